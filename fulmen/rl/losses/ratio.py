"""What policy losses share: the region outside which clipping drops a token, and what no gradient may reach.

r = pi / pi_old is the importance ratio. Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


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
