"""GSPO: one importance ratio per completion, the geometric mean of its tokens' ratios, and one clip.

Source: GSPO (arXiv 2507.18071), eq. (5), (7) and, for the gradient, its token form (13). Axes: `B` rows, `T` tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fulmen.errors import DataError
from fulmen.rl.losses.ratio import clipped_objective, constants
from fulmen.train import LossOutput


def gspo(
    logprobs_B_T: Float[Tensor, "B T"],
    old_logprobs_B_T: Float[Tensor, "B T"],
    advantages_B_T: Float[Tensor, "B T"],
    mask_B_T: Bool[Tensor, "B T"],
    *,
    token_weights_B_T: Float[Tensor, "B T"],
    document_ids_B_T: Int[Tensor, "B T"] | None = None,
    ref_logprobs_B_T: Float[Tensor, "B T"] | None = None,
    ratio_min: float = 1 - 3e-4,
    ratio_max: float = 1 + 4e-4,
) -> LossOutput:
    """Returns -sum_t token_weight * min(s A, clip(s, ratio_min, ratio_max) A), s = exp(mean_t log r) of its document.

    The mean is over the document's trained tokens. In its gradient s_t = sg(s) * pi / sg(pi), so each token's
    log-probability gets -token_weight * s * A; with one weight and advantage per document that is the gradient of s.
    Per-token quantities: log_ratio (of the token itself), weight (s, 0 where dropped), advantage, is_capped (dropped).

    Raises: ConfigError unless 0 <= ratio_min <= 1 <= ratio_max; DataError without document_ids_B_T, which tell
    documents apart over all rows.
    """
    if document_ids_B_T is None:
        raise DataError("document_ids_B_T=None; allowed: the document of every token, for the ratio of a sequence")
    logprobs_B_T = torch.where(mask_B_T, logprobs_B_T, 0.0)
    old_logprobs_B_T, advantages_B_T, token_weights_B_T = constants(
        mask_B_T, old_logprobs_B_T, advantages_B_T, token_weights_B_T
    )
    log_ratio = (logprobs_B_T - old_logprobs_B_T).detach()
    mean = _document_mean(log_ratio, document_ids_B_T, mask_B_T)
    return clipped_objective(
        mean + (logprobs_B_T - logprobs_B_T.detach()),
        log_ratio,
        advantages_B_T,
        token_weights_B_T,
        ratio_min=ratio_min,
        ratio_max=ratio_max,
    )


def _document_mean(
    values: Float[Tensor, "B T"], document_ids: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """Returns, at each trained token, the mean over the trained tokens of its document; 0 elsewhere."""
    trained = values[mask].double()
    _, places, counts = document_ids[mask].unique(return_inverse=True, return_counts=True)
    # In float64: the order of the sum, which CUDA does not fix, must not show in float32.
    sums = trained.new_zeros(len(counts)).index_add(0, places, trained)
    return torch.zeros_like(values).masked_scatter(mask, (sums / counts)[places].to(values.dtype))
