"""Which rollouts and groups are worth training on."""

from typing import Literal

from fulmen.types import Rollout, RolloutGroup

Truncated = Literal["penalise", "mask"]
"""What becomes of a completion that the window cut off: its score and the length penalty count, or it is left out."""


def trained_reward(rollout: Rollout, *, truncated: Truncated = "penalise") -> float | None:
    """Returns the unshaped reward that a rollout is trained on; None leaves it out of its group's mean, std and loss.

    Source: DAPO (arXiv 2503.14476), section 3.4, for `mask` (overlong filtering).
    """
    if truncated == "mask" and rollout.completion.stop_reason == "length":
        return None
    return rollout.score.value


def is_informative(group: RolloutGroup, *, truncated: Truncated = "penalise") -> bool:
    """Returns True when the group's valid, unshaped rewards differ: else every advantage would be zero."""
    values = {trained_reward(rollout, truncated=truncated) for rollout in group.rollouts} - {None}
    return len(values) > 1
