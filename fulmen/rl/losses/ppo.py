"""PPO's clipped objective: a token whose ratio left the bounds in the direction of its advantage is dropped.

Source: PPO (arXiv 1707.06347), eq. (7); MiniMax-M1 report, eq. (1). Left out: the value model, `fulmen.rl.value`.
Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.rl.losses.ratio import clipped_objective, constants
from fulmen.train import LossOutput


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

    The bounds are absolute values of r. Per-token quantities: log_ratio, weight (0 where dropped), advantage,
    is_capped (dropped).

    Raises: ConfigError unless 0 <= ratio_min <= 1 <= ratio_max.
    """
    logprobs_B_T = torch.where(mask_B_T, logprobs_B_T, 0.0)
    old_logprobs_B_T, advantages_B_T, token_weights_B_T = constants(
        mask_B_T, old_logprobs_B_T, advantages_B_T, token_weights_B_T
    )
    log_ratio = logprobs_B_T - old_logprobs_B_T
    return clipped_objective(
        log_ratio, log_ratio, advantages_B_T, token_weights_B_T, ratio_min=ratio_min, ratio_max=ratio_max
    )
