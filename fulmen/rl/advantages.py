"""Rewards to advantages. Axes: `P` prompts, `G` completions of a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fulmen.errors import ConfigError

Advantage = Literal["group_std", "group_mean", "batch_std", "value"]
"""`group_std` (R - mean) / std of the group, the report's eq. (2); `group_mean` R - mean (Dr. GRPO); `batch_std`
R - mean over the deviation of these in the whole batch (ScaleRL); `value` R itself, which `fulmen.rl.value` turns into
an advantage per token."""


@dataclass(frozen=True, kw_only=True)
class LengthPenalty:
    """DAPO's soft overlong punishment: 0 up to `window - soft_zone` tokens, then linear down to -1 at `window`.

    Source: DAPO (arXiv 2503.14476), eq. (13). Differs: the report uses it without
    giving constants; the zone is DAPO's proportion of its window.
    """

    window: int
    """Longest completion, in tokens."""
    soft_zone_frac: float = 0.2
    """Length of the linear zone as a fraction of the window."""
    scale: float = 1.0
    """Largest penalty."""

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 < self.soft_zone_frac <= 1 or self.scale < 0:
            raise ConfigError(
                f"window={self.window}, soft_zone_frac={self.soft_zone_frac}, scale={self.scale}; "
                "allowed: window >= 1, 0 < soft_zone_frac <= 1, scale >= 0"
            )

    def __call__(self, num_tokens: int) -> float:
        """Returns the (non-positive) penalty of a completion."""
        zone = self.soft_zone_frac * self.window
        return self.scale * float(np.clip((self.window - zone - num_tokens) / zone, -1.0, 0.0))


def group_advantages(
    rewards: Sequence[float | None], *, normalise_std: bool = True, eps: float = 1e-6
) -> list[float | None]:
    """Returns (R_i - mean) / (std + eps) over a group's valid rewards, std of the population; None stays None.

    Source: MiniMax-M1 report, eq. (2). Every token of completion i gets the same advantage.
    """
    valid = np.array([reward for reward in rewards if reward is not None], dtype=np.float64)
    if not len(valid):
        return [None] * len(rewards)
    scale = valid.std() + eps if normalise_std else 1.0
    return [None if reward is None else float((reward - valid.mean()) / scale) for reward in rewards]


def batch_advantages(
    rewards_P_G: Sequence[Sequence[float | None]], *, advantage: Advantage = "group_std", eps: float = 1e-6
) -> list[list[float | None]]:
    """Returns the advantages of a generation batch, before its split into mini-batches; None stays None.

    Raises: ConfigError for an unknown kind.
    """
    if advantage not in get_args(Advantage):
        raise ConfigError(f"advantage={advantage!r}; allowed: {', '.join(get_args(Advantage))}")
    if advantage == "value":
        return [list(rewards) for rewards in rewards_P_G]
    is_std = advantage == "group_std"
    advantages = [group_advantages(rewards, normalise_std=is_std, eps=eps) for rewards in rewards_P_G]
    valid = [a for own in advantages for a in own if a is not None]
    if advantage != "batch_std" or not valid:
        return advantages
    # Every group's mean is 0 by now, so this is the pooled deviation within groups.
    scale = float(np.std(valid)) + eps
    return [[None if a is None else a / scale for a in own] for own in advantages]
