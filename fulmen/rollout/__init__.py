"""Groups of scored attempts; imports no torch, is handed a `Generate`."""

from fulmen.rollout.backlog import Backlog
from fulmen.rollout.collect import Collected, CollectSettings, collect
from fulmen.rollout.episodes import Failure, Lockstep, Patience, sample_groups
from fulmen.rollout.failures import FailureLimit, FailureWatch

__all__ = [
    "Backlog",
    "CollectSettings",
    "Collected",
    "Failure",
    "FailureLimit",
    "FailureWatch",
    "Lockstep",
    "Patience",
    "collect",
    "sample_groups",
]
