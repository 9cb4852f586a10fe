"""Rewards to advantages. Axes: `P` prompts, `G` completions of a prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.errors import ConfigError


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
