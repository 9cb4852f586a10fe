"""REINFORCE with importance sampling: unbiased off-policy, and of unbounded variance.

Source: MiniMax-M1 report (arXiv 2506.13585), eq. (3). Axes: `B` rows, `T` tokens.
"""

import math

from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.rl.losses.unified import unified
from fulmen.train import LossOutput


def reinforce(
    logprobs_B_T: Float[Tensor, "B T"],
    old_logprobs_B_T: Float[Tensor, "B T"],
    advantages_B_T: Float[Tensor, "B T"],
    mask_B_T: Bool[Tensor, "B T"],
    *,
    token_weights_B_T: Float[Tensor, "B T"],
    document_ids_B_T: Int[Tensor, "B T"] | None = None,
    ref_logprobs_B_T: Float[Tensor, "B T"] | None = None,
    weight_max: float = math.inf,
) -> LossOutput:
    """Returns -sum_t token_weight * sg(min(r, weight_max)) * A * log pi over trained tokens; no cap by default.

    Per-token quantities: log_ratio, weight, advantage, is_capped.

    Raises: ConfigError unless weight_max > 0. Warns when weight_max < 1.
    """
    return unified(
        logprobs_B_T,
        old_logprobs_B_T,
        advantages_B_T,
        mask_B_T,
        token_weights_B_T=token_weights_B_T,
        weight_max=weight_max,
        mask_ratio_min=None,
        mask_ratio_max=None,
    )
