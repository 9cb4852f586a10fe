"""What policy losses share: the clipped objective, the region outside which it drops a token, and what is constant.

r = pi / pi_old is the importance ratio. Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.train import LossOutput

MAX_LOG_RATIO = 50.0
"""Ratios are those of at most this logarithm, so that they are finite in float32."""


def clipped_objective(
    log_ratio: Float[Tensor, "B T"],
    token_log_ratio: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    token_weights: Float[Tensor, "B T"],
    *,
    ratio_min: float,
    ratio_max: float,
) -> LossOutput:
    """Returns -sum_t token_weight * min(r A, clip(r, ratio_min, ratio_max) A), with r = exp(log_ratio).

    `token_log_ratio` is reported; it differs from `log_ratio` where r is that of a whole sequence.

    Raises: ConfigError unless 0 <= ratio_min <= 1 <= ratio_max.
    """
    if not 0 <= ratio_min <= 1 <= ratio_max:
        raise ConfigError(f"ratio_min={ratio_min}, ratio_max={ratio_max}; allowed: 0 <= ratio_min <= 1 <= ratio_max")
    ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
    terms = torch.minimum(ratio * advantages, ratio.clamp(ratio_min, ratio_max) * advantages)
    inside = trust_region_mask(log_ratio.detach(), advantages, ratio_min=ratio_min, ratio_max=ratio_max)
    return LossOutput(
        loss=-(token_weights * terms).sum(),
        tokens={
            "log_ratio": token_log_ratio.detach(),
            "weight": ratio.detach() * inside,
            "advantage": advantages,
            "is_capped": ~inside,
        },
    )


def trust_region_mask(
    log_ratio: Float[Tensor, "*batch"],
    advantages: Float[Tensor, "*batch"],
    *,
    ratio_min: float | None,
    ratio_max: float | None,
) -> Bool[Tensor, "*batch"]:
    """Returns False where A > 0 and r > ratio_max, or A < 0 and r < ratio_min; None switches a bound off.

    Bounds are absolute values of r, 0 among them, and are compared with r itself: its rounding is then that of
    PPO's clip, which has its zero gradient there. Source: MiniMax-M1 report, eq. (7).
    """
    ratio = log_ratio.exp()
    mask = torch.ones_like(log_ratio, dtype=torch.bool)
    if ratio_max is not None:
        mask &= ~((advantages > 0) & (ratio > ratio_max))
    if ratio_min is not None:
        mask &= ~((advantages < 0) & (ratio < ratio_min))
    return mask


def constants(mask: Bool[Tensor, "B T"], *tensors: Float[Tensor, "B T"]) -> tuple[Float[Tensor, "B T"], ...]:
    """Returns the tensors without gradient, and 0 where the mask is False: padding may hold anything, NaN too."""
    return tuple(torch.where(mask, tensor.detach(), 0.0) for tensor in tensors)
