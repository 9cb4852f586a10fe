"""GRPO: PPO's clip on group advantages, with a penalty for leaving a reference policy.

Source: DeepSeekMath (arXiv 2402.03300), eq. (3) and (4). Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.rl.losses.ppo import ppo
from fulmen.rl.losses.ratio import MAX_LOG_RATIO
from fulmen.train import LossOutput


def grpo(
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
    kl_coefficient: float = 0.0,
) -> LossOutput:
    """Returns PPO's loss + kl_coefficient * sum_t token_weight * k3, with k3 = rho - log rho - 1, rho = pi_ref / pi.

    k3 is never negative, and its gradient with respect to log pi is 1 - rho. Differs: 0 in place of DeepSeekMath's
    0.04, so that no reference policy is needed. Per-token quantities: PPO's, and ref_kl (k3) where there is a penalty.

    Raises: ConfigError unless 0 <= ratio_min <= 1 <= ratio_max and kl_coefficient >= 0; DataError for a penalty
    without ref_logprobs_B_T.
    """
    if not kl_coefficient >= 0:
        raise ConfigError(f"kl_coefficient={kl_coefficient}; allowed: at least 0")
    clipped = ppo(
        logprobs_B_T,
        old_logprobs_B_T,
        advantages_B_T,
        mask_B_T,
        token_weights_B_T=token_weights_B_T,
        ratio_min=ratio_min,
        ratio_max=ratio_max,
    )
    if kl_coefficient == 0:
        return clipped
    if ref_logprobs_B_T is None:
        raise DataError(f"ref_logprobs_B_T=None; allowed: those of a reference with kl_coefficient={kl_coefficient}")
    log_rho = torch.where(mask_B_T, ref_logprobs_B_T.detach() - logprobs_B_T, 0.0)
    k3 = log_rho.clamp(max=MAX_LOG_RATIO).expm1() - log_rho
    token_weights_B_T = torch.where(mask_B_T, token_weights_B_T.detach(), 0.0)
    return LossOutput(
        loss=clipped.loss + kl_coefficient * (token_weights_B_T * k3).sum(),
        tokens={**clipped.tokens, "ref_kl": k3.detach()},
    )
