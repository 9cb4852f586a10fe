"""Dr. GRPO's loss: PPO's clip; what differs from GRPO is around it.

Advantages are not divided by the group's deviation (`advantage="group_mean"`) and tokens weigh 1 / (S window) however
long their completion is (`aggregation="constant"`). Source: Dr. GRPO (arXiv 2503.20783), section 3.
Axes: `B` rows, `T` tokens.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.rl.losses.ppo import ppo
from fulmen.train import LossOutput


def dr_grpo(
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
    """Returns PPO's loss; there is no KL penalty.

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
