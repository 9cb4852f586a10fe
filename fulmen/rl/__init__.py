"""Reinforcement learning from scored groups: advantages, losses, batches, updates, monitors."""

from fulmen.rl.advantages import LengthPenalty, group_advantages
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.filters import is_informative
from fulmen.rl.learner import Learner
from fulmen.rl.losses import cispo, dapo, dr_grpo, grpo, gspo, ppo, reinforce, unified

__all__ = [
    "Aggregation", "Learner", "LengthPenalty", "cispo", "dapo", "dr_grpo", "group_advantages", "grpo", "gspo",
    "is_informative", "ppo", "reinforce", "rl_batch", "unified",
]  # fmt: skip
