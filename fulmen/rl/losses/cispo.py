"""CISPO: the importance weight is capped and detached, so no token ever loses its gradient.

Source: MiniMax-M1 report (arXiv 2506.13585), eq. (4)-(7). Axes: `B` rows, `T` tokens.
"""

import math
import warnings

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.rl.losses.ratio import constants, trust_region_mask
from fulmen.train import LossOutput


def cispo(
    logprobs_B_T: Float[Tensor, "B T"],
    old_logprobs_B_T: Float[Tensor, "B T"],
    advantages_B_T: Float[Tensor, "B T"],
    mask_B_T: Bool[Tensor, "B T"],
    *,
    token_weights_B_T: Float[Tensor, "B T"],
    document_ids_B_T: Int[Tensor, "B T"] | None = None,
    ref_logprobs_B_T: Float[Tensor, "B T"] | None = None,
    weight_max: float = 5.0,
    weight_min: float = 0.0,
    mask_ratio_min: float | None = None,
    mask_ratio_max: float | None = None,
) -> LossOutput:
    """Returns -sum_t token_weight * sg(clip(r, weight_min, weight_max)) * A * log pi over trained tokens.

    `weight_max` is the **absolute** cap on r, the report's 1 + eps_high^IS. Differs: the report gives no value; 5 is
    ours, and ScaleRL finds 4, 5 and 8 alike. There is no floor by default. `mask_ratio_min/max` are the bounds of
    eq. (7), off in standard CISPO.
    Per-token quantities: log_ratio, weight (0 where dropped), advantage, is_capped.

    Raises: ConfigError unless 0 <= weight_min < weight_max and mask bounds are >= 0. Warns when weight_max < 1.
    """
    if not 0 <= weight_min < weight_max:
        raise ConfigError(f"weight_min={weight_min}, weight_max={weight_max}; allowed: 0 <= weight_min < weight_max")
    for name, bound in (("mask_ratio_min", mask_ratio_min), ("mask_ratio_max", mask_ratio_max)):
        if bound is not None and not bound >= 0:
            raise ConfigError(f"{name}={bound}; allowed: None or an absolute ratio >= 0")
    if weight_max < 1:
        warnings.warn(f"weight_max={weight_max} caps even on-policy tokens: it bounds r itself", stacklevel=2)
    logprobs_B_T = torch.where(mask_B_T, logprobs_B_T, 0.0)
    old_logprobs_B_T, advantages_B_T, token_weights_B_T = constants(
        mask_B_T, old_logprobs_B_T, advantages_B_T, token_weights_B_T
    )
    log_ratio = (logprobs_B_T - old_logprobs_B_T).detach()
    inside = trust_region_mask(log_ratio, advantages_B_T, ratio_min=mask_ratio_min, ratio_max=mask_ratio_max)
    weight = log_ratio.clamp(max=math.log(weight_max)).exp().clamp(min=weight_min)
    weight = torch.where(inside, weight, 0.0)
    return LossOutput(
        loss=-(token_weights_B_T * weight * advantages_B_T * logprobs_B_T).sum(),
        tokens={
            "log_ratio": log_ratio,
            "weight": weight,
            "advantage": advantages_B_T,
            "is_capped": log_ratio > math.log(weight_max),
        },
    )
