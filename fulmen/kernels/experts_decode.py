"""Mixture of experts for few tokens, in three kernels on CUDA: a decoding step is as fast as its kernels are few.

The router, the experts' first products with what follows them, and their second products with the sum over a token's
experts (`experts_decode_triton.py`). Nothing is sorted or moved: each expert that any token chose is multiplied with
all tokens, whose number is small, and what nobody asked for is dropped. Beyond MAX_TOKENS that is waste.
Leaves out gradients, recorded routes and groups of experts, which keep the general path (`experts.py`).
Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token, `P` = T A choices.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

MAX_TOKENS = 64
MAX_EXPERTS = 512
MAX_PER_TOKEN = 16


class Choice(NamedTuple):
    """Experts of each token."""

    expert_ids: Tensor
    """int64 `[T, A]`, most probable first; of equal ones the lower number."""
    weights: Tensor
    """float32 `[T, A]`."""


def can_decode(x: Float[Tensor, "T D"], w2: Float[Tensor, "E D F"], *, per_token: int) -> bool:
    """Returns whether the kernels run here: bfloat16 on CUDA, few tokens, no gradient asked for, even widths."""
    return (
        x.is_cuda
        and x.dtype == w2.dtype == torch.bfloat16
        and 0 < len(x) <= MAX_TOKENS
        and len(w2) <= MAX_EXPERTS
        and per_token <= MAX_PER_TOKEN
        and all(width % 16 == 0 for width in w2.shape[1:])
        and not torch.is_grad_enabled()
    )


def route(
    x: Float[Tensor, "T D"],
    weight: Float[Tensor, "E D"],
    bias: Float[Tensor, "E"] | None,
    *,
    per_token: int,
    is_sigmoid: bool,
    is_renormalised: bool,
    scale: float,
) -> Choice:
    """Returns the experts of each token: the best by p + bias, weighted by p, a softmax or sigmoid of x W^T.

    Products, sums and p are float32.
    Cost: the router's weight is read once per token; 2 T D E operations.
    """
    from fulmen.kernels.experts_decode_triton import route_triton

    return Choice(
        *route_triton(
            x, weight, bias, per_token=per_token, is_sigmoid=is_sigmoid, is_renormalised=is_renormalised, scale=scale
        )
    )


def decode_mlp(
    x: Float[Tensor, "T D"],
    w13: Float[Tensor, "E F2 D"],
    w2: Float[Tensor, "E D F"],
    expert_ids: Int[Tensor, "T A"],
    weights: Float[Tensor, "T A"],
    base: Float[Tensor, "T D"] | None = None,
) -> Float[Tensor, "T D"]:
    """Returns base + sum_a weights_a * w2(silu(w1 x) * w3 x); a token's experts must be distinct.

    Rounds to x's dtype where `expert_mlp`'s grouped path does: after w13, after weighing, after w2, and after the sum,
    which is float32. Differs: a token's experts are added in the order of their numbers.
    Cost: every chosen expert is read once; 6 T D F operations for each of them.
    """
    from fulmen.kernels.experts_decode_triton import decode_mlp_triton

    return decode_mlp_triton(x, w13, w2, expert_ids, weights, base)
