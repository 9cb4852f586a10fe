"""The addition that ends a branch together with the RMSNorm that follows it.

On CUDA one Triton kernel, and one backward (`residual_triton.py`): a decoding step is as fast as its kernels are few,
and a training step as the bytes they move. Elsewhere the same in torch. Axes: `T` tokens, `D` model width.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fulmen.errors import DataError

WIDTH_MAX = 8192
"""Widest row of the Triton kernel, whose program holds a whole row; wider ones use torch."""


class AddNorm(NamedTuple):
    """Result of `add_norm`, both `[T, D]`."""

    stream: Tensor
    """alpha residual + beta branch; the residual itself where there is no branch."""
    normed: Tensor
    """RMSNorm of the stream, times the weight."""


def add_norm(
    residual: Float[Tensor, "T D"],
    branch: Float[Tensor, "T D"] | None,
    weight: Float[Tensor, "D"],
    *,
    alpha: float,
    beta: float,
    eps: float,
) -> AddNorm:
    """Returns alpha residual + beta branch, and weight * x / sqrt(mean(x^2) + eps) of that x.

    The kernel rounds where torch does: both products and their sum to the tensors' dtype, then the norm once, from
    float32.

    Raises: DataError for a branch that does not fit the residual.
    Cost: 4 T D elements moved forward, 4 T D backward (5 where alpha is not beta).
    """
    if branch is not None and (branch.shape != residual.shape or branch.dtype != residual.dtype):
        raise DataError(
            f"add_norm: branch is {branch.dtype} {tuple(branch.shape)}; "
            f"allowed: {residual.dtype} {tuple(residual.shape)}, as the residual is"
        )
    if residual.is_cuda and _has_kernel(residual, weight):
        from fulmen.kernels.residual_triton import add_norm_triton, add_norm_with_gradients

        tensors = (residual, weight) if branch is None else (residual, branch, weight)
        needs_gradient = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        run = add_norm_with_gradients if needs_gradient else add_norm_triton
        return AddNorm(*run(residual, branch, weight, alpha, beta, eps))
    stream = residual if branch is None else alpha * residual + beta * branch
    return AddNorm(stream, F.rms_norm(stream, weight.shape, weight, eps))


def _has_kernel(residual: Tensor, weight: Tensor) -> bool:
    return residual.dtype.itemsize <= 4 and weight.dtype == residual.dtype and residual.shape[1] <= WIDTH_MAX
