"""The importance ratio r = pi / pi_old and the region outside which clipping losses drop a token."""

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

    Bounds are absolute values of r. Source: MiniMax-M1 report, eq. (7); PPO's clip has its zero gradient there.
    """
    mask = torch.ones_like(log_ratio, dtype=torch.bool)
    if ratio_max is not None:
        mask &= ~((advantages > 0) & (log_ratio > torch.tensor(ratio_max, dtype=log_ratio.dtype).log()))
    if ratio_min is not None:
        mask &= ~((advantages < 0) & (log_ratio < torch.tensor(ratio_min, dtype=log_ratio.dtype).log()))
    return mask
