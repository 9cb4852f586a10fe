"""Routing and experts of a decoding step in four kernels, for few tokens on CUDA where no gradient is asked for.

Left out: routers with groups, whose choice stays torch's. Axes: `T` tokens, `D` model width, `E` experts, `F` expert
width, `A` experts per token.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

TOKENS_MAX = 64
"""More tokens than this fill the tiles of a grouped product."""
PAIRS_MAX = 1024
"""Tokens times experts of each: every program reads all their ids."""


def is_decoding(x: Float[Tensor, "T D"], per_token: int, *parameters: Tensor) -> bool:
    """Returns whether the kernels run here: CUDA, half precision, few tokens, no gradient.

    They round otherwise than a grouped product, so callers ask only where results may depend on the number of tokens.
    """
    if not x.is_cuda or x.dtype.itemsize != 2 or not 0 < len(x) <= min(TOKENS_MAX, PAIRS_MAX // per_token):
        return False
    if any(parameter.dtype != x.dtype for parameter in parameters):
        return False
    return not (torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in parameters)))


def route(
    x: Float[Tensor, "T D"],
    weight: Float[Tensor, "E D"],
    bias: Float[Tensor, "E"] | None,
    *,
    per_token: int,
    is_sigmoid: bool,
    renormalise: bool,
    scale: float,
) -> tuple[Float[Tensor, "T A"], Int[Tensor, "T A"]]:
    """Returns the weights in float32 and the experts of each token, the greatest score first, the first of equals.

    Scores are softmax or sigmoid of x W^T in float32; the bias moves the choice alone.
    """
    from fulmen.kernels import experts_decode_triton

    return experts_decode_triton.route(
        x, weight, bias, per_token=per_token, is_sigmoid=is_sigmoid, renormalise=renormalise, scale=scale
    )


def decode_experts(
    x: Float[Tensor, "T D"],
    w13: Float[Tensor, "E F2 D"],
    w2: Float[Tensor, "E D F"],
    expert_ids: Int[Tensor, "T A"],
    weights: Float[Tensor, "T A"],
    shared: Float[Tensor, "T D"] | None = None,
) -> Float[Tensor, "T D"]:
    """Returns sum_a weights_a * w2(silu(w1 x) * w3 x) of each token's experts in their order, and `shared` added.

    Sums are float32; the inner activations are rounded to the dtype of x, and the result once.
    """
    from fulmen.kernels import experts_decode_triton

    return experts_decode_triton.decode_experts(x, w13, w2, expert_ids, weights, shared)
