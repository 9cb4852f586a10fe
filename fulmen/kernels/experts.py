"""Mixture-of-experts products: tokens sorted by expert, one product per expert, no padding, no dropping.

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.kernels.ragged import collect_rows, spread


def expert_mlp(
    x: Float[Tensor, "T D"],
    w13: Float[Tensor, "E F2 D"],
    w2: Float[Tensor, "E D F"],
    expert_ids: Int[Tensor, "T A"],
    weights: Float[Tensor, "T A"],
) -> Float[Tensor, "T D"]:
    """Returns sum_a weights_a * w2(silu(w1 x) * w3 x) of each token's experts; `w13` holds w1's rows, then w3's.

    The sum over a token's experts runs in the order of `expert_ids`: deterministic, and independent of other tokens.
    """
    num_experts, per_token = w13.shape[0], expert_ids.shape[1]
    flat = expert_ids.flatten()
    order = flat.argsort(stable=True)
    counts = torch.bincount(flat, minlength=num_experts).tolist()
    copies = x[:, None].expand(-1, per_token, -1).flatten(0, 1)
    outputs = []
    for expert, rows in enumerate(collect_rows(copies, order).split(counts)):
        gate, up = F.linear(rows, w13[expert]).chunk(2, dim=-1)
        outputs.append(F.linear(F.silu(gate) * up, w2[expert]))
    by_token = spread(torch.cat(outputs), order, len(order)).unflatten(0, expert_ids.shape)
    return (by_token * weights[..., None].to(x.dtype)).sum(1)
