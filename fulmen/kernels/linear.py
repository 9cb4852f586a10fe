"""Linear layers of a decoding step: few rows, and weights that are read once.

Weights that multiply the same input can lie side by side and then are one product; a product of very few rows is a
matter of reading the weight, for which a kernel of its own (`linear_triton.py`) is faster than a library's tiles.
Axes: `T` tokens, `D` input width, `N` output width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.kernels.invariant import is_batch_invariant

ROWS_MAX = 4
"""Most rows of the kernel; from there on tensor cores win."""


def linear(
    x: Float[Tensor, "T D"], weight: Float[Tensor, "N D"], bias: Float[Tensor, "N"] | None = None
) -> Float[Tensor, "T N"]:
    """Returns x W^T + b, summed in float32 and rounded once; differentiable.

    Without gradients up to ROWS_MAX rows in bfloat16 on CUDA go to the kernel, unless `batch_invariant` is on.
    """
    is_few = x.is_cuda and bias is None and len(x) <= ROWS_MAX and x.dtype == weight.dtype == torch.bfloat16
    if is_few and len(x) and weight.is_contiguous() and not torch.is_grad_enabled() and not is_batch_invariant():
        from fulmen.kernels.linear_triton import linear_triton

        return linear_triton(x, weight)
    return F.linear(x, weight, bias)


@torch.no_grad()
def join(*layers: nn.Linear) -> None:
    """Moves the weights of layers side by side, in order; parameters stay the objects that they are.

    Whoever holds a parameter sees no difference. Moving or casting the module parts them again.
    """
    if joined(*layers) is None and all(map(_has_no_bias, layers)):
        whole = torch.cat([layer.weight for layer in layers])
        for layer, part in zip(layers, whole.split([layer.out_features for layer in layers]), strict=True):
            layer.weight.data = part


def joined(*layers: nn.Linear) -> Float[Tensor, "N D"] | None:
    """Returns the weights of layers as one matrix in place, None where they do not lie side by side or have biases."""
    first = layers[0].weight
    end = first.data_ptr()
    storage = first.untyped_storage().data_ptr()
    for layer in layers:
        weight = layer.weight
        is_next = weight.data_ptr() == end and weight.untyped_storage().data_ptr() == storage
        if not is_next or not _has_no_bias(layer) or not weight.is_contiguous():
            return None
        end += weight.numel() * weight.itemsize
    rows = sum(layer.out_features for layer in layers)
    return first.detach().as_strided((rows, first.shape[1]), (first.shape[1], 1))


def _has_no_bias(layer: nn.Linear) -> bool:
    bias: Tensor | None = layer.bias
    return bias is None
