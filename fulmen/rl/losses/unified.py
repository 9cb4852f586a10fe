"""The report's unified form: REINFORCE, CISPO and PPO's gradient are settings of it.

Source: MiniMax-M1 report (arXiv 2506.13585), eq. (6) and (7). Axes: `B` rows, `T` tokens.
"""

import math
import warnings

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.rl.losses.ratio import MAX_LOG_RATIO, constants, trust_region_mask
from fulmen.train import LossOutput


def unified(
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
    mask_ratio_min: float | None = 0.8,
    mask_ratio_max: float | None = 1.2,
) -> LossOutput:
    """Returns -sum_t token_weight * M * sg(clip(r, weight_min, weight_max)) * A * log pi over trained tokens.

    M is 0 where A > 0 and r > mask_ratio_max, or A < 0 and r < mask_ratio_min; None switches a bound off. All four
    bounds are absolute values of r, and the mask's are not the weight's. With `weight_max=inf` the gradient is PPO's
    to the last bit; without the mask this is CISPO. Differs: the report gives no values; the mask is PPO's by default.
    Per-token quantities: log_ratio, weight (0 where dropped), advantage, is_capped (r beyond weight_max).

    Raises: ConfigError unless 0 <= weight_min < weight_max and 0 <= mask_ratio_min <= mask_ratio_max. Warns when
    weight_max < 1.
    """
    if not 0 <= weight_min < weight_max:
        raise ConfigError(f"weight_min={weight_min}, weight_max={weight_max}; allowed: 0 <= weight_min < weight_max")
    for name, bound in (("mask_ratio_min", mask_ratio_min), ("mask_ratio_max", mask_ratio_max)):
        if bound is not None and not bound >= 0:
            raise ConfigError(f"{name}={bound}; allowed: None or an absolute ratio >= 0")
    if mask_ratio_min is not None and mask_ratio_max is not None and mask_ratio_min > mask_ratio_max:
        raise ConfigError(f"mask_ratio_min={mask_ratio_min}; allowed: at most mask_ratio_max={mask_ratio_max}")
    if weight_max < 1:
        warnings.warn(f"weight_max={weight_max} caps even on-policy tokens: it bounds r itself", stacklevel=2)
    logprobs_B_T = torch.where(mask_B_T, logprobs_B_T, 0.0)
    old_logprobs_B_T, advantages_B_T, token_weights_B_T = constants(
        mask_B_T, old_logprobs_B_T, advantages_B_T, token_weights_B_T
    )
    log_ratio = (logprobs_B_T - old_logprobs_B_T).detach()
    inside = trust_region_mask(log_ratio, advantages_B_T, ratio_min=mask_ratio_min, ratio_max=mask_ratio_max)
    weight = log_ratio.clamp(max=min(math.log(weight_max), MAX_LOG_RATIO)).exp().clamp(min=weight_min)
    weight = torch.where(inside, weight, 0.0)
    # In the order in which PPO's backward pass multiplies: equal gradients are equal to the last bit.
    coefficient = token_weights_B_T * advantages_B_T * weight
    return LossOutput(
        loss=-(coefficient * logprobs_B_T).sum(),
        tokens={
            "log_ratio": log_ratio,
            "weight": weight,
            "advantage": advantages_B_T,
            "is_capped": log_ratio > math.log(weight_max),
        },
    )
