"""DAPO's loss: PPO's clip with a higher upper bound, so that rare tokens can grow; no KL penalty.

Source: DAPO (arXiv 2503.14476), eq. (8). Its token-level mean is `aggregation="batch_token"`; its dynamic sampling
and overlong penalty are `fulmen.rl.filters` and `LengthPenalty`. Axes: `B` rows, `T` tokens.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.rl.losses.ppo import ppo
from fulmen.train import LossOutput


def dapo(
    logprobs_B_T: Float[Tensor, "B T"],
    old_logprobs_B_T: Float[Tensor, "B T"],
    advantages_B_T: Float[Tensor, "B T"],
    mask_B_T: Bool[Tensor, "B T"],
    *,
    token_weights_B_T: Float[Tensor, "B T"],
    document_ids_B_T: Int[Tensor, "B T"] | None = None,
    ref_logprobs_B_T: Float[Tensor, "B T"] | None = None,
    ratio_min: float = 0.8,
    ratio_max: float = 1.28,
) -> LossOutput:
    """Returns PPO's loss with clip-higher: eps 0.2 and 0.28, as absolute bounds of r.

    Raises: ConfigError unless 0 <= ratio_min <= 1 <= ratio_max.
    """
    return ppo(
        logprobs_B_T,
        old_logprobs_B_T,
        advantages_B_T,
        mask_B_T,
        token_weights_B_T=token_weights_B_T,
        ratio_min=ratio_min,
        ratio_max=ratio_max,
    )
