"""Which groups are worth training on."""

from fulmen.types import RolloutGroup


def is_informative(group: RolloutGroup) -> bool:
    """Returns True when the group's valid, unshaped rewards differ: else every advantage would be zero."""
    values = {rollout.score.value for rollout in group.rollouts if rollout.score.value is not None}
    return len(values) > 1
