"""Reinforcement learning from scored groups: advantages, losses, batches, updates, monitors."""

from fulmen.rl.advantages import LengthPenalty, batch_advantages, group_advantages
from fulmen.rl.anchor import anchored, inert_cap
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.filters import is_informative
from fulmen.rl.learner import Learner
from fulmen.rl.losses import LossSettings, cispo, dapo, dr_grpo, grpo, gspo, ppo, reinforce, unified

__all__ = [
    "Aggregation", "Learner", "LengthPenalty", "LossSettings", "anchored", "batch_advantages", "cispo", "dapo",
    "dr_grpo", "group_advantages", "grpo", "gspo", "inert_cap", "is_informative", "ppo", "reinforce", "rl_batch",
    "unified",
]  # fmt: skip
