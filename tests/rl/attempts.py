"""Groups of attempts at given tasks, for the tests of what follows pass rates."""

import functools
from collections.abc import Sequence

from fulmen.types import Rollout, RolloutGroup, Task
from tests.rl.examples import make_rollout


def scored(task: Task, rewards: Sequence[float | None], *, num_lost: int = 0) -> RolloutGroup:
    """Returns a group of attempts at a task with these rewards."""
    return RolloutGroup(task=task, rollouts=tuple(map(_attempt, rewards)), num_lost=num_lost)


@functools.cache
def _attempt(reward: float | None) -> Rollout:
    """Returns the one attempt of this reward: of a group, only its own task is read."""
    return make_rollout(reward)
