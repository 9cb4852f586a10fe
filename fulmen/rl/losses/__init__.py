"""Policy losses: one file each, one signature, one conformance suite; `LossSettings` chooses one by name."""

from fulmen.rl.losses.choose import LossName, LossSettings
from fulmen.rl.losses.cispo import cispo
from fulmen.rl.losses.dapo import dapo
from fulmen.rl.losses.dr_grpo import dr_grpo
from fulmen.rl.losses.grpo import grpo
from fulmen.rl.losses.gspo import gspo
from fulmen.rl.losses.ppo import ppo
from fulmen.rl.losses.reinforce import reinforce
from fulmen.rl.losses.unified import unified

__all__ = [
    "LossName", "LossSettings", "cispo", "dapo", "dr_grpo", "grpo", "gspo", "ppo", "reinforce", "unified",
]  # fmt: skip
