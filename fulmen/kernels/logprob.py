"""The LM head: logits in float32 and what is read off them. Engine and learner call the same functions.

The report found the head to be where training and sampling probabilities part (MiniMax-M1, section 3.2), so its
result is float32 whatever the dtype of the model. `token_logprobs` works on tiles of the logits and keeps none: with
200,064 words, 8,192 tokens' logits would be 6.5 GB, several times over. Elementwise work on a tile is a Triton kernel
on CUDA (`logprob_triton.py`), torch elsewhere (`logprob_tiles.py`).
Axes: `T` tokens, `D` model width, `V` vocabulary; of a tile, `R` rows and `C` columns of the vocabulary.
"""

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from fulmen.errors import ConfigError, DataError
from fulmen.kernels import logprob_tiles

TILE_BYTES = 256 << 20
"""Size of one tile of logits; memory goes with it, and the cost of adding up gradients against it."""
TILE_ROWS_MAX = 8192
"""Rows of a tile. Up to so many tokens, the weight's gradient is made of whole products and nothing is added up."""


class TokenLogprobs(NamedTuple):
    """log p(target) and the entropy of p in nats, both float32 `[T]` (float64 for float64 inputs)."""

    logprob: Tensor
    entropy: Tensor


class Tile(NamedTuple):
    """Rows `first_row..last_row` and columns `first_col..last_col` of the logits."""

    first_row: int
    last_row: int
    first_col: int
    last_col: int


def head_logits(hidden: Float[Tensor, "*batch D"], weight: Float[Tensor, "V D"]) -> Float[Tensor, "*batch V"]:
    """Returns hidden W^T in float32 (float64 for float64 inputs), with sums in float32.

    On CUDA, half-precision operands go to the tensor cores as they are; their gradient then comes from the logits'
    gradient rounded to the operands' dtype.
    """
    if hidden.is_cuda and hidden.dtype.itemsize == 2 and hidden.dtype == weight.dtype:
        return _HeadLogits.apply(hidden.reshape(-1, hidden.shape[-1]), weight).unflatten(0, hidden.shape[:-1])
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    return hidden.to(dtype) @ weight.to(dtype).T


def token_logprobs(
    hidden: Float[Tensor, "T D"],
    weight: Float[Tensor, "V D"],
    target_ids: Int[Tensor, "T"],
    *,
    temperature: float = 1.0,
    has_entropy_gradient: bool = False,
    tile_bytes: int = TILE_BYTES,
) -> TokenLogprobs:
    """Returns log-probabilities of the targets and entropies under softmax(logits / temperature).

    Gradients reach hidden and weight, through the entropy only if `has_entropy_gradient`; else it is detached.

    What is rounded: logits, logarithms and sums over the vocabulary are float32 from operands as they are (float64 for
    float64). The backward pass makes the logits again and rounds their gradient to the operands' dtype, once; both
    products of it sum in float32 (cuBLAS may add parts of a split sum in bfloat16 where
    `torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction` allows it). Sums over tiles are float32 too, and
    each gradient is rounded to its tensor's dtype at the end. The order of sums is a function of the shapes and
    `tile_bytes` alone.

    A target outside the vocabulary is an error on CPU; on CUDA, where looking would stall the queue, its
    log-probability is NaN.

    Raises: ConfigError for a temperature or tile_bytes that is not positive; DataError for tensors that do not fit.
    Cost: 2 T V D operations forward, 6 T V D backward (a third of it for making logits again); memory of one tile in
        float32 and one in the operands' dtype, and a float32 [T, D] backward; saved are the inputs and 8 bytes a token.
    """
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"token_logprobs: temperature={temperature}; allowed: above 0")
    if tile_bytes < 1:
        raise ConfigError(f"token_logprobs: tile_bytes={tile_bytes}; allowed: at least 1")
    _check_head(hidden, weight, target_ids)
    result: TokenLogprobs = TokenLogprobs(
        *_TokenLogprobs.apply(hidden, weight, target_ids, float(temperature), has_entropy_gradient, tile_bytes)
    )
    return result


def _check_head(hidden: Tensor, weight: Tensor, target_ids: Tensor) -> None:
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1]:
        raise DataError(
            f"token_logprobs: hidden {tuple(hidden.shape)} and weight {tuple(weight.shape)}; allowed: [T, D] and [V, D]"
        )
    if target_ids.shape != hidden.shape[:1]:
        raise DataError(
            f"token_logprobs: target_ids has shape {tuple(target_ids.shape)}; allowed: ({hidden.shape[0]},), "
            "one per row of hidden"
        )
    if target_ids.dtype not in (torch.int64, torch.int32):
        raise DataError(f"token_logprobs: target_ids is {target_ids.dtype}; allowed: int64, int32")
    for name, tensor in (("weight", weight), ("target_ids", target_ids)):
        if tensor.device != hidden.device:
            raise DataError(f"token_logprobs: {name} is on {tensor.device}; allowed: {hidden.device}, as hidden is")
    if weight.dtype != hidden.dtype:
        raise DataError(f"token_logprobs: weight is {weight.dtype}; allowed: {hidden.dtype}, as hidden is")
    if not target_ids.is_cuda and target_ids.numel():
        low, high = (int(x) for x in target_ids.aminmax())
        if low < 0 or high >= weight.shape[0]:
            raise DataError(f"token_logprobs: target_ids from {low} to {high}; allowed: 0 to {weight.shape[0] - 1}")


def tiles(num_rows: int, num_cols: int, *, tile_bytes: int, itemsize: int) -> Iterator[Tile]:
    """Yields the tiles of `[num_rows, num_cols]` logits, all rows of some columns before the next columns.

    A tile has at most TILE_ROWS_MAX rows and, in full, at most `tile_bytes`, but no fewer than 16 columns.
    """
    rows = min(num_rows, TILE_ROWS_MAX)
    cols = max(tile_bytes // (itemsize * max(rows, 1)) // 16 * 16, 16)
    for first_col in range(0, num_cols, cols):
        for first_row in range(0, num_rows, TILE_ROWS_MAX):
            yield Tile(
                first_row,
                min(first_row + TILE_ROWS_MAX, num_rows),
                first_col,
                min(first_col + cols, num_cols),
            )


def _kernels(x: Tensor) -> ModuleType:
    """Returns the module whose `fold_tile` and `tile_gradient` run where x is."""
    if not x.is_cuda or x.dtype == torch.float64:
        return logprob_tiles
    from fulmen.kernels import logprob_triton

    return logprob_triton


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Returns a b in float32 (float64 for float64), summed in float32."""
    if a.is_cuda and a.dtype.itemsize == 2:
        return torch.mm(a, b, out_dtype=torch.float32)
    dtype = torch.promote_types(a.dtype, torch.float32)
    return a.to(dtype) @ b.to(dtype)


class _HeadLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(hidden, weight)
        return _product(hidden, weight.T)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        hidden, weight = ctx.saved_tensors
        rounded = gradient.to(hidden.dtype)
        return rounded @ weight, rounded.T @ hidden


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, target_ids, temperature, has_entropy_gradient, tile_bytes):  # type: ignore[no-untyped-def]
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        sums_S_T = logprob_tiles.empty_sums(len(hidden), dtype, hidden.device)
        shape = (len(hidden), len(weight))
        for tile in tiles(*shape, tile_bytes=tile_bytes, itemsize=dtype.itemsize):
            rows, cols = slice(tile.first_row, tile.last_row), slice(tile.first_col, tile.last_col)
            logits_R_C = _product(hidden[rows], weight[cols].T)
            _kernels(hidden).fold_tile(
                logits_R_C, target_ids[rows], sums_S_T[:, rows], first_col=tile.first_col, temperature=temperature
            )
            # Before the next tile is made, not after.
            del logits_R_C
        logprob_T, entropy_T, lse_T = logprob_tiles.finish(sums_S_T)
        ctx.save_for_backward(hidden, weight, target_ids, lse_T, entropy_T)
        ctx.temperature, ctx.has_entropy_gradient, ctx.tile_bytes = temperature, has_entropy_gradient, tile_bytes
        if not has_entropy_gradient:
            ctx.mark_non_differentiable(entropy_T)
        return logprob_T, entropy_T

    @staticmethod
    @once_differentiable
    def backward(ctx, d_logprob_T, d_entropy_T):  # type: ignore[no-untyped-def]
        hidden, weight, target_ids, lse_T, entropy_T = ctx.saved_tensors
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        is_one_row_block = len(hidden) <= TILE_ROWS_MAX
        d_hidden = hidden.new_zeros(hidden.shape, dtype=lse_T.dtype) if needs_hidden else None
        # Without tokens there are no tiles to fill it.
        make = weight.new_empty if len(hidden) else weight.new_zeros
        d_weight = make(weight.shape) if needs_weight else None
        d_cols_C_D: Tensor | None = None
        for tile in tiles(len(hidden), len(weight), tile_bytes=ctx.tile_bytes, itemsize=lse_T.dtype.itemsize):
            rows, cols = slice(tile.first_row, tile.last_row), slice(tile.first_col, tile.last_col)
            d_logits_R_C = _kernels(hidden).tile_gradient(
                _product(hidden[rows], weight[cols].T), target_ids[rows], lse_T[rows], entropy_T[rows],
                d_logprob_T[rows], d_entropy_T[rows] if ctx.has_entropy_gradient else None,
                first_col=tile.first_col, temperature=ctx.temperature, dtype=hidden.dtype,
            )  # fmt: skip
            if d_hidden is not None:
                d_hidden[rows].add_(_product(d_logits_R_C, weight[cols]))
            if d_weight is not None and is_one_row_block:
                torch.mm(d_logits_R_C.T, hidden, out=d_weight[cols])
            elif d_weight is not None:
                part = _product(d_logits_R_C.T, hidden[rows])
                d_cols_C_D = part if d_cols_C_D is None else d_cols_C_D.add_(part)
                if tile.last_row == len(hidden):
                    d_weight[cols] = d_cols_C_D
                    d_cols_C_D = None
            del d_logits_R_C
        return None if d_hidden is None else d_hidden.to(hidden.dtype), d_weight, None, None, None, None
