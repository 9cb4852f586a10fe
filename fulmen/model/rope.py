"""Rotary embedding: frequencies, and their scaling to longer contexts. The rotation is `kernels/rotary.py`.

Angles turn pairs (i, i + R/2), NeoX halves; checkpoints of interleaved pairs are reordered when they are read.
Left out: dynamic NTK and LongRoPE, whose frequencies depend on the length of the input.
Axes: `R2` pairs of rotated channels.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fulmen.errors import ConfigError

ScalingKind = Literal["linear", "llama3", "yarn"]


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How frequencies are changed so that a model trained on `original_length` tokens reads more of them."""

    kind: ScalingKind
    """`linear` divides all; `llama3` and `yarn` (2309.00071) keep the fast ones and divide the slow ones."""
    factor: float
    original_length: int
    low_freq_factor: float = 1.0
    """llama3: wavelengths above original_length / low_freq_factor are divided."""
    high_freq_factor: float = 4.0
    """llama3: wavelengths below original_length / high_freq_factor are kept."""
    beta_fast: float = 32.0
    """yarn: pairs that turn more often than this in `original_length` tokens are kept."""
    beta_slow: float = 1.0
    """yarn: pairs that turn less often are divided."""
    truncate: bool = True
    """yarn: whether the borders of the ramp are rounded to whole pairs."""
    attention_factor: float | None = None
    """yarn: factor of cos and sin; None derives it from `mscale` and `mscale_all_dim`, or from `factor` alone."""
    mscale: float | None = None
    mscale_all_dim: float | None = None
    """yarn: when set, an MLA mixer multiplies its softmax scale by magnitude(mscale_all_dim)^2 (DeepSeek-V3)."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScalingKind):
            raise ConfigError(f"rope_scaling kind={self.kind!r}; allowed: {', '.join(get_args(ScalingKind))}")
        if not self.factor >= 1 or self.original_length < 1:
            raise ConfigError(
                f"rope_scaling factor={self.factor}, original_length={self.original_length}; allowed: at least 1"
            )
        if self.kind == "llama3" and not self.low_freq_factor < self.high_freq_factor:
            raise ConfigError(
                f"rope_scaling low_freq_factor={self.low_freq_factor}; allowed: below high_freq_factor="
                f"{self.high_freq_factor}"
            )

    @property
    def amplitude(self) -> float:
        """Factor of cos and sin."""
        if self.kind != "yarn":
            return 1.0
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return self._magnitude(self.mscale) / self._magnitude(self.mscale_all_dim)
        return self._magnitude(1.0)

    @property
    def softmax_factor(self) -> float:
        """Factor of an MLA mixer's softmax scale: 1.87385 for DeepSeek-V3 beyond 4,096 tokens."""
        return self._magnitude(self.mscale_all_dim) ** 2 if self.mscale_all_dim else 1.0

    def _magnitude(self, mscale: float) -> float:
        return 0.1 * mscale * math.log(self.factor) + 1.0 if self.factor > 1 else 1.0


def inverse_frequencies(width: int, theta: float, scaling: RopeScaling | None) -> Float[Tensor, "R2"]:
    """Returns the angle per position of each of the width / 2 pairs, float32, computed in float64."""
    exponents = torch.arange(0, width, 2, dtype=torch.float64) / max(width, 1)
    plain = theta**-exponents
    if scaling is None or width == 0:
        return plain.float()
    divided = plain / scaling.factor
    if scaling.kind == "linear":
        return divided.float()
    keep = _llama3_keep(plain, scaling) if scaling.kind == "llama3" else _yarn_keep(width, theta, scaling)
    return (keep * plain + (1 - keep) * divided).float()


def _llama3_keep(plain: Tensor, scaling: RopeScaling) -> Tensor:
    """Returns the share of each undivided frequency: 0 for long wavelengths, 1 for short ones, linear between."""
    turns = scaling.original_length * plain / (2 * math.pi)
    span = scaling.high_freq_factor - scaling.low_freq_factor
    return ((turns - scaling.low_freq_factor) / span).clamp(0, 1)


def _yarn_keep(width: int, theta: float, scaling: RopeScaling) -> Tensor:
    low, high = yarn_borders(width, theta, scaling)
    pairs = torch.arange(width // 2, dtype=torch.float64)
    return 1 - ((pairs - low) / (high - low if high > low else 0.001)).clamp(0, 1)


def yarn_borders(width: int, theta: float, scaling: RopeScaling) -> tuple[float, float]:
    """Returns between which pairs YaRN goes from kept to divided frequencies: 10 and 23 for DeepSeek-V3."""

    def pair(turns: float) -> float:
        return width * math.log(scaling.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair(scaling.beta_fast), pair(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    return float(max(low, 0)), float(min(high, width - 1))
