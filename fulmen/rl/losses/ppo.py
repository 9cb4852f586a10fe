"""PPO's clipped objective on group advantages (GRPO without KL): CISPO's rival.

Source: MiniMax-M1 report, eq. (1) and (2); DeepSeekMath (arXiv 2402.03300). Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.rl.losses.ratio import constants, trust_region_mask
from fulmen.train import LossOutput

MAX_LOG_RATIO = 50.0


def ppo(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    token_weights: Float[Tensor, "B T"],
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
    logprobs = torch.where(mask, logprobs, 0.0)
    old_logprobs, advantages, token_weights = constants(mask, old_logprobs, advantages, token_weights)
    log_ratio = logprobs - old_logprobs
    ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
    terms = torch.minimum(ratio * advantages, ratio.clamp(ratio_min, ratio_max) * advantages)
    inside = trust_region_mask(log_ratio.detach(), advantages, ratio_min=ratio_min, ratio_max=ratio_max)
    return LossOutput(
        loss=-(token_weights * terms).sum(),
        tokens={
            "log_ratio": log_ratio.detach(),
            "weight": ratio.detach() * inside,
            "advantage": advantages,
            "is_capped": ~inside,
        },
    )
