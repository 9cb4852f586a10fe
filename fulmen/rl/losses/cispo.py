"""CISPO: the importance weight is capped and detached, so no token ever loses its gradient.

Source: MiniMax-M1 report (arXiv 2506.13585), eq. (4)-(7). Axes: `B` rows, `T` tokens.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.rl.losses.unified import unified
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

    Raises: ConfigError unless 0 <= weight_min < weight_max and 0 <= mask_ratio_min <= mask_ratio_max. Warns when
    weight_max < 1.
    """
    return unified(
        logprobs_B_T,
        old_logprobs_B_T,
        advantages_B_T,
        mask_B_T,
        token_weights_B_T=token_weights_B_T,
        weight_max=weight_max,
        weight_min=weight_min,
        mask_ratio_min=mask_ratio_min,
        mask_ratio_max=mask_ratio_max,
    )
