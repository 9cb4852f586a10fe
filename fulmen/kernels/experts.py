"""Mixture-of-experts products: tokens sorted by expert, one product per expert, no padding, no dropping.

In bfloat16 on CUDA all experts are one grouped product and nothing waits for the GPU; elsewhere a loop over experts.
Rows are moved by gathers only, forward and backward, so that no sum runs through atomics.
Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token, `X` rows, one per token and
expert of it, sorted by expert.
"""

import warnings
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.errors import DataError
from fulmen.kernels.ragged import permute_rows, sum_copies, take_copies
from fulmen.kernels.swiglu import weighted_swiglu


def expert_mlp(
    x: Float[Tensor, "T D"],
    w13: Float[Tensor, "E F2 D"],
    w2: Float[Tensor, "E D F"],
    expert_ids: Int[Tensor, "T A"],
    weights: Float[Tensor, "T A"],
) -> Float[Tensor, "T D"]:
    """Returns sum_a weights_a * w2(silu(w1 x) * w3 x) of each token's experts; `w13` holds w1's rows, then w3's.

    The sum over a token's experts runs in the order of `expert_ids`: deterministic, and independent of other tokens.
    The grouped path weighs before w2, in float32, and sums a token's experts in float32.

    Raises: DataError for tensors that do not fit together, and on CPU for an expert that does not exist.
    Cost: 6 T A D F operations forward.
    """
    _check(x, w13, w2, expert_ids, weights)
    per_token = expert_ids.shape[1]
    order_X, inverse_X, ends_E = _sort_pairs(expert_ids, len(w2))
    rows_X_D = take_copies(x, order_X, inverse_X, per_token)
    if _can_group(rows_X_D, w2):
        weights_X = permute_rows(weights.flatten(), order_X, inverse_X)
        products_X_D = _grouped_products(rows_X_D, w13, w2, ends_E, weights_X)
        return sum_copies(products_X_D, order_X, inverse_X, per_token)
    by_token = permute_rows(_looped_products(rows_X_D, w13, w2, ends_E), inverse_X, order_X)
    return (by_token.unflatten(0, expert_ids.shape) * weights[..., None].to(x.dtype)).sum(1)


def count_tokens(expert_ids: Int[Tensor, "T A"], num_experts: int) -> Int[Tensor, "E"]:
    """Returns how many tokens chose each expert; unlike bincount, without waiting for the GPU."""
    return (expert_ids[..., None] == torch.arange(num_experts, device=expert_ids.device)).sum((0, 1))


def _sort_pairs(expert_ids: Int[Tensor, "T A"], num_experts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the order of pairs by expert (stable), its inverse, and int32 where each expert's pairs end."""
    if expert_ids.is_cuda and expert_ids.numel():
        from fulmen.kernels.experts_decode_triton import sort_pairs

        return sort_pairs(expert_ids, num_experts)
    sorted_ids_X, order_X = expert_ids.flatten().sort(stable=True)
    experts_E = torch.arange(num_experts, dtype=sorted_ids_X.dtype, device=sorted_ids_X.device)
    return order_X, order_X.argsort(), torch.searchsorted(sorted_ids_X, experts_E, right=True, out_int32=True)


def _looped_products(
    rows: Float[Tensor, "X D"], w13: Float[Tensor, "E F2 D"], w2: Float[Tensor, "E D F"], ends: Int[Tensor, "E"]
) -> Float[Tensor, "X D"]:
    """Returns each row's product with its own expert, one expert after another; the sizes come to the host."""
    outputs = []
    borders = [0, *ends.tolist()]
    for expert, (first, last) in enumerate(pairwise(borders)):
        gate, up = F.linear(rows[first:last], w13[expert]).chunk(2, dim=-1)
        outputs.append(F.linear(F.silu(gate) * up, w2[expert]))
    return torch.cat(outputs)


def _grouped_products(
    rows: Float[Tensor, "X D"],
    w13: Float[Tensor, "E F2 D"],
    w2: Float[Tensor, "E D F"],
    ends: Int[Tensor, "E"],
    weights: Float[Tensor, "X"],
) -> Float[Tensor, "X D"]:
    """Returns the same times each row's weight, by one grouped product per layer of the experts.

    The groups' ends stay on the device.
    """
    gate_up = F.grouped_mm(rows, w13.transpose(-2, -1), offs=ends)
    return F.grouped_mm(weighted_swiglu(gate_up, weights), w2.transpose(-2, -1), offs=ends)


def _can_group(rows: Tensor, w2: Tensor) -> bool:
    """Returns whether the grouped product runs here: bfloat16 on CUDA, rows of all operands 16 bytes apart."""
    if not rows.is_cuda or rows.dtype != torch.bfloat16 or not len(rows):
        return False
    is_aligned = all(width % 8 == 0 for width in w2.shape[1:])
    if not is_aligned:
        warnings.warn(
            f"expert_mlp: widths {tuple(w2.shape[1:])} are no multiples of 8, so experts run one by one, slower",
            stacklevel=3,
        )
    return is_aligned


def _check(x: Tensor, w13: Tensor, w2: Tensor, expert_ids: Tensor, weights: Tensor) -> None:
    num_experts, width, inner = w2.shape
    for name, tensor, shape in (
        ("x", x, (len(x), width)),
        ("w13", w13, (num_experts, 2 * inner, width)),
        ("weights", weights, tuple(expert_ids.shape)),
        ("expert_ids", expert_ids, (len(x), expert_ids.shape[-1])),
    ):
        if tuple(tensor.shape) != shape:
            raise DataError(f"expert_mlp: {name} has shape {tuple(tensor.shape)}; allowed: {shape}, as w2 and x have")
        if tensor.device != x.device:
            raise DataError(f"expert_mlp: {name} is on {tensor.device}; allowed: {x.device}, as x is")
    for name, tensor in (("w13", w13), ("w2", w2)):
        if tensor.dtype != x.dtype:
            raise DataError(f"expert_mlp: {name} is {tensor.dtype}; allowed: {x.dtype}, as x is")
    if not expert_ids.is_cuda and expert_ids.numel():
        low, high = (int(bound) for bound in expert_ids.aminmax())
        if low < 0 or high >= num_experts:
            raise DataError(f"expert_mlp: expert_ids from {low} to {high}; allowed: 0 to {num_experts - 1}")
