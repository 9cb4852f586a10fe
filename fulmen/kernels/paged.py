"""Keys and values in pages: tokens are written to cells, and attention reads a row's pages where they lie.

One softmax layer stores keys `[P, J, C, D]` and values `[P, J, C, V]`: P blocks (pages) of C tokens. A row's blocks, in
order, are a line of `table_N_X`; token t of the row lies in cell `table[t // C] * C + t % C`. Block 0 is nobody's: its
cells are never written, and a row whose first block is 0 is padding, whose output is 0.
What no token wrote may hold anything, NaN included: nothing here reads it.

On CUDA the kernels of `paged_triton.py`, which read nothing on the host and so fit into a CUDA graph; elsewhere, and
where gradients are wanted or widths, groups or blocks do not fit the kernels, torch, which reads lengths on the host.
Left out: keys and values of one-byte types, sliding windows.

Axes: `T` new tokens of all rows, `N` rows, `X` blocks of a row, `P` blocks, `C` tokens of a block, `H` query heads, `J`
key/value heads, `D` width of queries and keys, `V` of values, `R2` pairs of rotated channels, `L` tokens of a row.
"""

import functools

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.kernels.attention import cached_attention, packed_attention
from fulmen.kernels.rotary import apply_rope

WIDTH_MIN = 16
WIDTH_MAX = {torch.bfloat16: 256, torch.float16: 256, torch.float32: 128}
"""Least and largest head width of the attention kernel; float32 beyond that ends the registers."""
PAGE_SIZES = (16, 32, 64, 128)
"""Tokens of a block of the attention kernel."""
GROUP_MAX = 128
"""Query heads for one key/value head, of the attention kernel."""
SPLITS_MAX = 64
STEP_GROUP_MAX = 16
"""Query heads for one key/value head, of the kernel of whole decoding steps."""


def write_pages(
    k: Float[Tensor, "T J D"],
    v: Float[Tensor, "T J V"],
    keys: Float[Tensor, "P J C D"],
    values: Float[Tensor, "P J C V"],
    cells_T: Int[Tensor, "T"],
) -> None:
    """Writes each token's key and value to its cell, in place; cells of block 0 are skipped.

    Cells must be distinct, but for skipped ones. Values may have width 0. Not differentiable.
    """
    _check_pages(keys, values)
    if k.is_cuda:
        from fulmen.kernels.paged_triton import write_pages_triton

        write_pages_triton(k.detach(), v.detach(), keys, values, cells_T)
        return
    size = keys.shape[2]
    is_owned_T = cells_T >= size
    if not bool(is_owned_T.all()):
        k, v, cells_T = k[is_owned_T], v[is_owned_T], cells_T[is_owned_T]
    block_T, place_T = cells_T // size, cells_T % size
    keys[block_T, :, place_T] = k.detach().to(keys.dtype)
    values[block_T, :, place_T] = v.detach().to(values.dtype)


def rope_write(
    q: Float[Tensor, "T H D"],
    k: Float[Tensor, "T J D"],
    v: Float[Tensor, "T J V"],
    positions_T: Int[Tensor, "T"],
    cells_T: Int[Tensor, "T"],
    inverse_frequencies: Float[Tensor, "R2"],
    keys: Float[Tensor, "P J C D"],
    values: Float[Tensor, "P J C V"],
    *,
    amplitude: float = 1.0,
) -> Float[Tensor, "T H D"]:
    """Returns q rotated as apply_rope does, and writes k, rotated, and v to their cells as write_pages does.

    On CUDA one launch, with every rounding of apply_rope: the same bits in bfloat16 and float16, where products of two
    numbers are exact before they are rounded; in float32 multiply-adds are fused. q, k and v may be views of one
    projection. Differentiable in q; with gradients, and in float64, apply_rope and write_pages run one by one.
    Cost: reads q, k, v and writes them once.
    """
    _check_pages(keys, values)
    if q.is_cuda and _is_kernel(q, k, v) and q.dtype == k.dtype == v.dtype and len(inverse_frequencies):
        from fulmen.kernels.paged_triton import rope_write_triton

        return rope_write_triton(q, k, v, positions_T, cells_T, inverse_frequencies, keys, values, amplitude=amplitude)
    rotated, k = (apply_rope(x, positions_T, inverse_frequencies, amplitude=amplitude) for x in (q, k))
    write_pages(k, v, keys, values, cells_T)
    return rotated


def step_attention(
    q: Float[Tensor, "R H D"],
    k: Float[Tensor, "R J D"],
    v: Float[Tensor, "R J D"],
    positions_R: Int[Tensor, "R"],
    cells_R: Int[Tensor, "R"],
    inverse_frequencies: Float[Tensor, "R2"],
    keys: Float[Tensor, "P J C D"],
    values: Float[Tensor, "P J C D"],
    table_R_X: Int[Tensor, "R X"],
    *,
    amplitude: float = 1.0,
    longest: int | None = None,
) -> Float[Tensor, "R H D"]:
    """Returns attention of one new token a row, rotated here, over its pages, which then hold its key and value.

    `rope_write` and then `paged_attention` of a decoding step; on CUDA one launch where heads are rotated whole, their
    width is a power of two and there are rows enough to occupy the device.
    Cost: as `paged_attention`.
    """
    if q.is_cuda and _is_one_step(q, k, v, inverse_frequencies, keys, values):
        from fulmen.kernels.step_triton import step_attention_triton

        return step_attention_triton(
            q, k, v, positions_R, inverse_frequencies, keys, values, table_R_X,
            scale=q.shape[2] ** -0.5, amplitude=amplitude,
        )  # fmt: skip
    q = rope_write(q, k, v, positions_R, cells_R, inverse_frequencies, keys, values, amplitude=amplitude)
    return paged_attention(q, keys, values, table_R_X, positions_R, None, longest=longest)


def _is_one_step(q: Tensor, k: Tensor, v: Tensor, frequencies: Tensor, keys: Tensor, values: Tensor) -> bool:
    width = q.shape[2]
    has_shape = width == v.shape[2] == 2 * len(frequencies) and width in (32, 64, 128)
    is_half = q.dtype.itemsize == 2 and k.dtype == v.dtype == q.dtype
    are_rows = all(x.stride(2) == 1 and x.stride(1) == width for x in (q, k, v))
    if not (has_shape and is_half and are_rows and _fits_kernel(q, keys, values)):
        return False
    is_filled = decode_splits(len(q), keys.shape[1], _num_processors(q.device)) == 1
    return is_filled and q.shape[1] // keys.shape[1] <= STEP_GROUP_MAX


def gather_pages(
    pages: Float[Tensor, "P J C D"], table_N_X: Int[Tensor, "N X"], length: int
) -> Float[Tensor, "N J L D"]:
    """Returns a copy of the first `length` cells of each row; cells that no token wrote are as they lie."""
    num_blocks = -(-length // pages.shape[2])
    rows = pages[table_N_X[:, :num_blocks].long()]
    return rows.transpose(1, 2).flatten(2, 3)[:, :, :length]


def paged_attention(
    q: Float[Tensor, "T H D"],
    keys: Float[Tensor, "P J C D"],
    values: Float[Tensor, "P J C V"],
    table_N_X: Int[Tensor, "N X"],
    lengths_N: Int[Tensor, "N"],
    cu_seqlens: Int[Tensor, "N1"] | None,
    *,
    scale: float | None = None,
    num_splits: int | None = None,
    longest: int | None = None,
    is_invariant: bool = False,
) -> Float[Tensor, "T H V"]:
    """Returns attention of each row's new tokens over its pages, which already hold the new keys and values.

    Row n had seen `lengths_N[n]` tokens; its i-th new one, at `cu_seqlens[n] + i` of q, sees entries 0..lengths_N[n]+i.
    `cu_seqlens` None is a decoding step: one new token a row. `scale` None is 1 / sqrt(D). Rows of padding give 0.

    `num_splits` programs share a row's pages, which occupies a GPU at few rows; a row's result depends on it and on the
    row alone. None is `decode_splits` in a step, and 1 otherwise. `longest`, the most tokens any row holds afterwards
    or a bound of it, spares torch's path reading it from the device; the kernels do not need it.

    The tile of queries grows with the number of new tokens, and with it the order of float32 sums changes. With
    `is_invariant` it does not: a token has the same bits after a step and after a prefill in any pieces. torch's path
    does not promise that.

    Raises: ConfigError for a number of splits outside 1..SPLITS_MAX, or above 1 with `is_invariant`; DataError for
    pages that are not contiguous, and for query heads that key/value heads do not divide.
    Cost: a step reads 2 J (D + V) bytes per seen token in bfloat16, and is bound by that.
    """
    _check_pages(keys, values)
    if num_splits is None:
        is_split = cu_seqlens is None and q.is_cuda and not is_invariant
        num_splits = decode_splits(len(q), keys.shape[1], _num_processors(q.device)) if is_split else 1
    if not 1 <= num_splits <= (1 if is_invariant else SPLITS_MAX):
        raise ConfigError(
            f"paged_attention: num_splits={num_splits}; allowed: 1 to {SPLITS_MAX}, and 1 with is_invariant"
        )
    if q.shape[1] % keys.shape[1]:
        raise DataError(
            f"paged_attention: {q.shape[1]} query heads; allowed: multiples of {keys.shape[1]}, as keys has"
        )
    scale = q.shape[2] ** -0.5 if scale is None else scale
    if q.is_cuda and _fits_kernel(q, keys, values):
        from fulmen.kernels.paged_triton import paged_attention_triton

        return paged_attention_triton(
            q, keys, values, table_N_X, lengths_N, cu_seqlens,
            scale=scale, num_splits=num_splits, is_invariant=is_invariant,
        )  # fmt: skip
    return _paged_attention_torch(q, keys, values, table_N_X, lengths_N, cu_seqlens, scale, longest)


def as_pages(
    k: Float[Tensor, "T J D"],
    v: Float[Tensor, "T J V"],
    cu_seqlens: Int[Tensor, "N1"],
    *,
    block: int = 64,
    longest: int | None = None,
) -> tuple[Float[Tensor, "P J C D"], Float[Tensor, "P J C V"], Int[Tensor, "N X"]]:
    """Returns packed documents laid out as pages of `block` tokens: keys, values, and the table of their blocks.

    Nothing is read back from the device, so there are blocks for the worst case: T / C + N + 1. `longest` bounds the
    length of a document, and with it the width of the table; None is T. Not differentiable.
    """
    num_tokens, num_rows = len(k), len(cu_seqlens) - 1
    counts_N = cu_seqlens.diff()
    # Document n starts no earlier than 1 + starts_N[n] // C + n, whatever the lengths before it were.
    first_N = 1 + cu_seqlens[:-1] // block + torch.arange(num_rows, device=k.device)
    column_X = torch.arange(-(-(num_tokens if longest is None else longest) // block), device=k.device)
    table_N_X = torch.where(column_X * block < counts_N[:, None], first_N[:, None] + column_X, 0).to(torch.int32)
    document_T = torch.repeat_interleave(counts_N, output_size=num_tokens)
    cells_T = torch.arange(num_tokens, device=k.device) + (first_N * block - cu_seqlens[:-1])[document_T]
    shape = (1 + num_tokens // block + num_rows, k.shape[1], block)
    keys, values = (torch.empty(*shape, x.shape[-1], dtype=x.dtype, device=x.device) for x in (k, v))
    write_pages(k, v, keys, values, cells_T)
    return keys, values, table_N_X


class _InvariantAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, cu_seqlens, scale, longest):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(q, k, v, cu_seqlens)
        ctx.scale = scale
        pages = as_pages(k, v, cu_seqlens, longest=longest)
        none_seen = torch.zeros_like(cu_seqlens[1:])
        return paged_attention(q, *pages, none_seen, cu_seqlens, scale=scale, longest=longest, is_invariant=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        *inputs, cu_seqlens = ctx.saved_tensors
        with torch.enable_grad():
            q, k, v = (x.detach().requires_grad_() for x in inputs)
            output = packed_attention(q, k, v, cu_seqlens, scale=ctx.scale)
        return *torch.autograd.grad(output, (q, k, v), gradient), None, None, None


def invariant_attention(
    q: Float[Tensor, "T H D"],
    k: Float[Tensor, "T J D"],
    v: Float[Tensor, "T J V"],
    cu_seqlens: Int[Tensor, "N1"],
    *,
    scale: float | None = None,
    longest: int | None = None,
) -> Float[Tensor, "T H V"]:
    """Returns `packed_attention` with the bits that `paged_attention(is_invariant=True)` gives tokens in a cache.

    Differentiable once: the backward pass is that of `packed_attention`, whose forward it computes anew.
    """
    return _InvariantAttention.apply(q, k, v, cu_seqlens, scale, longest)


def decode_splits(num_rows: int, num_kv_heads: int, num_processors: int) -> int:
    """Returns into how many parts a step of `num_rows` rows divides their pages on a GPU of `num_processors` SMs.

    Two programs to an SM keep its memory pipe full. A row too short for all its splits leaves the last ones empty.
    """
    return min(max(2 * num_processors // max(num_rows * num_kv_heads, 1), 1), SPLITS_MAX)


@functools.cache
def _num_processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


def _paged_attention_torch(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    table_N_X: Tensor,
    lengths_N: Tensor,
    cu_seqlens: Tensor | None,
    scale: float,
    longest: int | None,
) -> Tensor:
    """Returns paged_attention by a copy of every row's pages, with zeros where nothing is written."""
    num_rows, num_blocks = table_N_X.shape
    if not len(q) or not num_blocks:
        return q.new_zeros(*q.shape[:2], values.shape[3])
    if cu_seqlens is None:
        cu_seqlens = torch.arange(num_rows + 1, device=q.device)
    counts_N = cu_seqlens.diff()
    seen_after_N = lengths_N + counts_N
    longest = min(int(seen_after_N.max()) if longest is None else longest, num_blocks * keys.shape[2])
    is_row_N = table_N_X[:, 0] != 0
    is_written_N_L = (torch.arange(longest, device=q.device) < seen_after_N[:, None]) & is_row_N[:, None]
    k, v = (
        torch.where(is_written_N_L[:, None, :, None], gather_pages(pages, table_N_X, longest), 0)
        for pages in (keys, values)
    )
    row_T = torch.repeat_interleave(counts_N, output_size=len(q))
    positions_T = torch.arange(len(q), device=q.device) - cu_seqlens[row_T] + lengths_N[row_T]
    # A row of padding has zeros for values.
    return cached_attention(q, k, v, positions_T, cu_seqlens, scale=scale)


def _check_pages(keys: Tensor, values: Tensor) -> None:
    if not keys.is_contiguous() or not values.is_contiguous() or keys.shape[:3] != values.shape[:3]:
        raise DataError(
            f"keys {tuple(keys.shape)} and values {tuple(values.shape)} of strides {keys.stride()} and "
            f"{values.stride()}; allowed: contiguous tensors that agree in all axes but the last"
        )


def _is_kernel(*tensors: Tensor) -> bool:
    """Returns whether these inputs, on CUDA, are of types the kernels take and need no gradient."""
    has_grad = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    return not has_grad and all(x.dtype in WIDTH_MAX for x in tensors)


def _fits_kernel(q: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Returns whether the attention kernel takes these inputs, if they are on CUDA."""
    widths = (q.shape[2], values.shape[3])
    return (
        _is_kernel(q, keys, values)
        and q.dtype == keys.dtype == values.dtype
        and all(WIDTH_MIN <= width <= WIDTH_MAX[q.dtype] for width in widths)
        and keys.shape[2] in PAGE_SIZES
        and q.shape[1] // keys.shape[1] <= GROUP_MAX
    )
