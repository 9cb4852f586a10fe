"""PPO's clipped objective on group advantages (GRPO without KL): CISPO's rival.

Source: MiniMax-M1 report, eq. (1) and (2); DeepSeekMath (arXiv 2402.03300). Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.rl.losses.ratio import constants, trust_region_mask
from fulmen.train import LossOutput

MAX_LOG_RATIO = 50.0


def ppo(
    logprobs_B_T: Float[Tensor, "B T"],
    old_logprobs_B_T: Float[Tensor, "B T"],
    advantages_B_T: Float[Tensor, "B T"],
    mask_B_T: Bool[Tensor, "B T"],
    *,
    token_weights_B_T: Float[Tensor, "B T"],
    document_ids_B_T: Int[Tensor, "B T"] | None = None,
    ref_logprobs_B_T: Float[Tensor, "B T"] | None = None,
    ratio_min: float = 0.8,
    ratio_max: float = 1.2,
) -> LossOutput:
    """Returns -sum_t token_weight * min(r A, clip(r, ratio_min, ratio_max) A) over trained tokens.

    A token whose ratio left the bounds in the direction of its advantage has no gradient. DAPO's clip-higher is
    `ratio_max=1.28`. Per-token quantities: log_ratio, weight (0 where dropped), advantage, is_capped.

    Raises: ConfigError unless 0 <= ratio_min <= 1 <= ratio_max.
    """
    if not 0 <= ratio_min <= 1 <= ratio_max:
        raise ConfigError(f"ratio_min={ratio_min}, ratio_max={ratio_max}; allowed: 0 <= ratio_min <= 1 <= ratio_max")
    logprobs_B_T = torch.where(mask_B_T, logprobs_B_T, 0.0)
    old_logprobs_B_T, advantages_B_T, token_weights_B_T = constants(
        mask_B_T, old_logprobs_B_T, advantages_B_T, token_weights_B_T
    )
    log_ratio = logprobs_B_T - old_logprobs_B_T
    ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
    terms = torch.minimum(ratio * advantages_B_T, ratio.clamp(ratio_min, ratio_max) * advantages_B_T)
    inside = trust_region_mask(log_ratio.detach(), advantages_B_T, ratio_min=ratio_min, ratio_max=ratio_max)
    return LossOutput(
        loss=-(token_weights_B_T * terms).sum(),
        tokens={
            "log_ratio": log_ratio.detach(),
            "weight": ratio.detach() * inside,
            "advantage": advantages_B_T,
            "is_capped": ~inside,
        },
    )
