"""Policy losses: one file each, one signature, one conformance suite."""

from fulmen.rl.losses.cispo import cispo
from fulmen.rl.losses.ppo import ppo

__all__ = ["cispo", "ppo"]
