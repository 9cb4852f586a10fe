"""Reinforcement learning from scored groups: advantages, losses, batches, updates, monitors."""

from fulmen.rl.advantages import LengthPenalty, group_advantages
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.filters import is_informative
from fulmen.rl.learner import Learner
from fulmen.rl.losses import cispo, ppo

__all__ = [
    "Aggregation", "Learner", "LengthPenalty", "cispo", "group_advantages", "is_informative", "ppo", "rl_batch",
]  # fmt: skip
