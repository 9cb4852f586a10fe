"""Groups of attempts at given tasks, for the tests of what follows pass rates."""

from collections.abc import Sequence

from fulmen.types import RolloutGroup, Task
from tests.rl.examples import make_rollout


def scored(task: Task, rewards: Sequence[float | None], *, num_lost: int = 0) -> RolloutGroup:
    """Returns a group of attempts at a task with these rewards."""
    rollouts = tuple(make_rollout(reward, task=task) for reward in rewards)
    return RolloutGroup(task=task, rollouts=rollouts, num_lost=num_lost)
