"""The Triton kernels of paged attention: writing tokens into pages, rotated or as they are, and attending over pages.

Attention is one kernel for decoding and prefill. A program owns a tile of `BM` rows: the G = H / J query heads that
share a key/value head, of BM // G tokens of one document, on a grid that starts at the document's first token: a
token's place in the tile is its position's, whatever else is new. It walks the document's pages with an online softmax
in float32, in powers of two; a token whose last visible key lies further left adds exact zeros from there on. So a
token's bits depend on the size of the tile and on how pages are split, and not on what else comes with it.

Splits give the pages of a row to several programs, whose sums `combine_kernel` joins.

Axes: `T` tokens, `H` query heads, `J` key/value heads, `D` width of queries and keys, `V` of values, `C` tokens of a
page, `S` splits. Prefixes: `b_` a block in registers, `p_` a pointer, `o_` offsets, `m_` a mask, `i_` an index.
"""

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.kernels.launch import run
from fulmen.kernels.lightning.scan import dense, on_device, precision, row_aligned
from fulmen.kernels.paged import SPLITS_MAX
from fulmen.kernels.rotary_triton import rotate

ROPE_HEADS = 16
"""Query heads that a program rotates."""
ROPE_WARPS = 2
"""With more, each thread computes cosines that others compute too."""
PAGES_MIN = 2
"""Pages below which a row's split is not divided further."""


@triton.jit
@no_type_check
def store_heads(p_x, p_page, head, N: tl.constexpr, D: tl.constexpr, C: tl.constexpr, START: tl.constexpr):
    """Copies channels START.. of a token's N heads to its cell, given at head 0."""
    BN: tl.constexpr = triton.next_power_of_2(N)
    BD: tl.constexpr = triton.next_power_of_2(D - START)
    o_n = tl.arange(0, BN)[:, None]
    o_d = START + tl.arange(0, BD)[None, :]
    m_x = (o_n < N) & (o_d < D)
    b_x = tl.load(p_x + o_n * head + o_d, mask=m_x, other=0.0)
    tl.store(p_page + o_n * (C * D) + o_d, b_x.to(p_page.dtype.element_ty), mask=m_x)


@triton.jit
@no_type_check
def rotate_heads(p_x, p_y, cos, sin, head, y_head, o_n, num_heads, R2: tl.constexpr):
    """Rotates the first 2 R2 channels of heads `o_n`."""
    BR: tl.constexpr = triton.next_power_of_2(R2)
    dtype = p_x.dtype.element_ty
    o_r = tl.arange(0, BR)[None, :]
    m_x = (o_n < num_heads)[:, None] & (o_r < R2)
    p_x += o_n[:, None] * head + o_r
    p_y += o_n[:, None] * y_head + o_r
    b_first, b_second = tl.load(p_x, mask=m_x, other=0.0), tl.load(p_x + R2, mask=m_x, other=0.0)
    b_first, b_second = rotate(b_first, b_second, cos, sin, dtype)
    tl.store(p_y, b_first.to(p_y.dtype.element_ty), mask=m_x)
    tl.store(p_y + R2, b_second.to(p_y.dtype.element_ty), mask=m_x)


@triton.jit
@no_type_check
def write_kernel(
    p_k, p_v, p_cells, p_keys, p_values,
    k_row: tl.constexpr, v_row: tl.constexpr, k_head: tl.constexpr, v_head: tl.constexpr,
    J: tl.constexpr, D: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """One token's keys and values to its cell; cells of block 0 are not written."""
    i_t = tl.program_id(0).to(tl.int64)
    cell = tl.load(p_cells + i_t)
    if cell >= C:
        place = cell // C * (J * C) + cell % C
        store_heads(p_k + i_t * k_row, p_keys + place * D, k_head, J, D, C, 0)
        if V > 0:
            store_heads(p_v + i_t * v_row, p_values + place * V, v_head, J, V, C, 0)


@triton.jit
@no_type_check
def rope_kernel(
    p_q, p_k, p_v, p_positions, p_cells, p_frequencies, p_y, p_keys, p_values, amplitude,
    q_row: tl.constexpr, k_row: tl.constexpr, v_row: tl.constexpr,
    q_head: tl.constexpr, k_head: tl.constexpr, v_head: tl.constexpr,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, V: tl.constexpr, R2: tl.constexpr, C: tl.constexpr,
    BH: tl.constexpr,
):  # fmt: skip
    """Some query heads of one token, rotated into `p_y`; or, past them, its keys and values to its cell."""
    NUM_GROUPS: tl.constexpr = (H + BH - 1) // BH
    i_t = (tl.program_id(0) // (NUM_GROUPS + 1)).to(tl.int64)
    i_group = tl.program_id(0) % (NUM_GROUPS + 1)
    dtype = p_q.dtype.element_ty
    BR: tl.constexpr = triton.next_power_of_2(R2)
    o_r = tl.arange(0, BR)
    frequency = tl.load(p_frequencies + o_r, mask=o_r < R2, other=0.0)
    angle = tl.load(p_positions + i_t).to(tl.float32) * frequency
    # tl.cos is CUDA's cosf, which reduces angles of any size exactly; there is no fast approximation in it.
    cos = (tl.cos(angle) * amplitude).to(dtype).to(tl.float32)[None, :]
    sin = (tl.sin(angle) * amplitude).to(dtype).to(tl.float32)[None, :]
    if i_group < NUM_GROUPS:
        o_h = i_group * BH + tl.arange(0, BH)
        p_x = p_q + i_t * q_row
        p_y += i_t * (H * D)
        rotate_heads(p_x, p_y, cos, sin, q_head, D, o_h, H, R2)
        if 2 * R2 < D:
            o_d = 2 * R2 + tl.arange(0, triton.next_power_of_2(D - 2 * R2))[None, :]
            m_x = (o_h < H)[:, None] & (o_d < D)
            b_x = tl.load(p_x + o_h[:, None] * q_head + o_d, mask=m_x, other=0.0)
            tl.store(p_y + o_h[:, None] * D + o_d, b_x, mask=m_x)
    else:
        cell = tl.load(p_cells + i_t)
        if cell >= C:
            place = cell // C * (J * C) + cell % C
            o_j = tl.arange(0, triton.next_power_of_2(J))
            rotate_heads(p_k + i_t * k_row, p_keys + place * D, cos, sin, k_head, C * D, o_j, J, R2)
            if 2 * R2 < D:
                store_heads(p_k + i_t * k_row, p_keys + place * D, k_head, J, D, C, 2 * R2)
            store_heads(p_v + i_t * v_row, p_values + place * V, v_head, J, V, C, 0)


@triton.jit
@no_type_check
def find_row(p_cu_seqlens, i_tile, num_rows, TM: tl.constexpr):
    """Returns the row of a tile of TM tokens, where row n's tiles start at cu_seqlens[n] // TM + 2 n.

    Between two such starts lie as many tiles as the row can need, so num_tokens // TM + 2 num_rows tiles hold all rows,
    whatever their lengths: the grid needs nothing but these two numbers, and the tiles need no plan.
    """
    low = 0 * num_rows
    high = num_rows - 1
    while low < high:
        middle = (low + high + 1) // 2
        is_before = tl.load(p_cu_seqlens + middle).to(tl.int32) // TM + 2 * middle <= i_tile
        low = tl.where(is_before, middle, low)
        high = tl.where(is_before, high, middle - 1)
    return low


@triton.jit
@no_type_check
def load_page(p_page, o_c, end, D: tl.constexpr, BD: tl.constexpr):
    """Returns `[C, BD]` of one page and head, zeros from cell `end` on: what is not written may be NaN."""
    o_d = tl.arange(0, BD)
    p_page += o_c[:, None] * D + o_d[None, :]
    if D == BD:
        return tl.load(p_page, mask=(o_c < end)[:, None], other=0.0)
    return tl.load(p_page, mask=(o_c < end)[:, None] & (o_d < D)[None, :], other=0.0)


@triton.jit(do_not_specialize=["is_step", "num_rows", "num_tiles", "table_row", "num_splits"],
            do_not_specialize_on_alignment=["p_table", "p_lengths", "p_cu_seqlens"])  # fmt: skip
@no_type_check
def attention_kernel(
    p_q, p_keys, p_values, p_table, p_lengths, p_cu_seqlens, p_o, p_sums, scale2,
    is_step, num_rows, num_tiles, table_row, num_splits,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    BM: tl.constexpr, BD: tl.constexpr, BV: tl.constexpr, HAS_SPLITS: tl.constexpr, PRECISION: tl.constexpr,
    PAGES: tl.constexpr,
):  # fmt: skip
    """One tile of queries over one split of its row's pages.

    Without splits p_o is the output; with them it holds sums `[S, T, H, V]` of exp2(s - max) v, and `p_sums`
    `[S, T, H, 2]` max and sum of exp2(s - max), all float32. `scale2` is the scale times log2(e).
    """
    G: tl.constexpr = H // J
    TM: tl.constexpr = BM // G
    i_split = tl.program_id(0) % num_splits
    i_j = tl.program_id(0) // num_splits % J
    # The last tiles of a document see most: they start first.
    i_tile = num_tiles - 1 - tl.program_id(0) // num_splits // J
    num_new = 0 * num_rows + 1
    i_row = i_tile
    i_local = 0 * num_rows
    start = i_tile.to(tl.int64)
    num_tokens = num_rows.to(tl.int64)
    if is_step == 0:
        i_row = find_row(p_cu_seqlens, i_tile, num_rows, TM)
        start = tl.load(p_cu_seqlens + i_row)
        i_local = i_tile - (start // TM).to(tl.int32) - 2 * i_row
        num_new = (tl.load(p_cu_seqlens + i_row + 1) - start).to(tl.int32)
        num_tokens = tl.load(p_cu_seqlens + num_rows)
    num_seen = tl.load(p_lengths + i_row).to(tl.int32)
    p_table += i_row.to(tl.int64) * table_row

    # The first new token is not the first of its tile, unless its position is.
    first = i_local * TM - num_seen % TM
    o_m = tl.arange(0, BM)
    i_token = first + o_m // G
    m_m = (o_m < TM * G) & (i_token >= 0) & (i_token < num_new)
    # Row (token, head) of q, the output and the sums.
    o_row = (start + i_token) * H + i_j * G + o_m % G
    position = num_seen + i_token
    end = num_seen + tl.minimum(first + TM, num_new)
    if (first >= num_new) | (tl.load(p_table) == 0):
        end = 0 * end
    pages_per_split = tl.maximum(tl.cdiv(tl.cdiv(num_seen + num_new, C), num_splits), PAGES)
    first_page = i_split * pages_per_split
    last_page = tl.cdiv(end, C)
    if HAS_SPLITS:
        last_page = tl.minimum(first_page + pages_per_split, last_page)

    o_d = tl.arange(0, BD)
    o_v = tl.arange(0, BV)
    o_c = tl.arange(0, C)
    b_q = tl.load(p_q + o_row[:, None] * D + o_d[None, :], mask=m_m[:, None] & (o_d < D)[None, :], other=0.0)
    b_max = tl.full((BM,), float("-inf"), dtype=tl.float32)
    b_sum = tl.zeros((BM,), dtype=tl.float32)
    b_o = tl.zeros((BM, BV), dtype=tl.float32)
    p_keys += i_j * (C * D)
    p_values += i_j * (C * V)
    # A block's index is loaded one page ahead, since the addresses of its keys wait for it.
    block = tl.load(p_table + first_page, mask=first_page < last_page, other=0).to(tl.int64)
    for i_page in range(first_page, last_page):
        b_k = load_page(p_keys + block * (J * C * D), o_c, end - i_page * C, D, BD)
        b_v = load_page(p_values + block * (J * C * V), o_c, end - i_page * C, V, BV)
        block = tl.load(p_table + i_page + 1, mask=i_page + 1 < last_page, other=0).to(tl.int64)
        b_s = tl.dot(b_q, tl.trans(b_k), input_precision=PRECISION) * scale2
        b_s = tl.where(i_page * C + o_c[None, :] <= position[:, None], b_s, float("-inf"))
        b_new_max = tl.maximum(b_max, tl.max(b_s, axis=1))
        b_shift = b_new_max
        if HAS_SPLITS:
            # A split may lie beyond all that a token sees.
            b_shift = tl.where(b_new_max == float("-inf"), 0.0, b_new_max)
        b_decay = tl.exp2(b_max - b_shift)
        b_p = tl.exp2(b_s - b_shift[:, None])
        b_sum = b_sum * b_decay + tl.sum(b_p, axis=1)
        b_o = tl.dot(b_p.to(b_v.dtype), b_v, b_o * b_decay[:, None], input_precision=PRECISION)
        b_max = b_new_max

    m_o = m_m[:, None] & (o_v < V)[None, :]
    if HAS_SPLITS:
        o_row += i_split * (num_tokens * H)
        tl.store(p_sums + o_row * 2, b_max, mask=m_m)
        tl.store(p_sums + o_row * 2 + 1, b_sum, mask=m_m)
    else:
        b_o = b_o / tl.where(b_sum == 0.0, 1.0, b_sum)[:, None]
    tl.store(p_o + o_row[:, None] * V + o_v[None, :], b_o.to(p_o.dtype.element_ty), mask=m_o)


@triton.jit(do_not_specialize=["num_rows", "num_splits"])
@no_type_check
def combine_kernel(
    p_o, p_parts, p_sums, num_rows, num_splits,
    V: tl.constexpr, BV: tl.constexpr, BS: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """One row (token, head): output from the sums of its splits; 0 where none saw a key."""
    i_row = tl.program_id(0).to(tl.int64)
    o_v = tl.arange(0, BV)
    o_all = tl.arange(0, SPLITS)
    stride = num_rows.to(tl.int64)
    b_all = tl.load(p_sums + (o_all * stride + i_row) * 2, mask=o_all < num_splits, other=float("-inf"))
    top = tl.max(b_all, axis=0)
    top = tl.where(top == float("-inf"), 0.0, top)
    b_o = tl.zeros((BV,), dtype=tl.float32)
    total = 0.0
    for i_s in range(0, num_splits, BS):
        o_s = i_s + tl.arange(0, BS)
        o_row = o_s * stride + i_row
        b_max = tl.load(p_sums + o_row * 2, mask=o_s < num_splits, other=float("-inf"))
        m_s = b_max > float("-inf")
        b_weight = tl.exp2(b_max - top)
        total += tl.sum(b_weight * tl.load(p_sums + o_row * 2 + 1, mask=m_s, other=0.0), axis=0)
        m_o = m_s[:, None] & (o_v < V)[None, :]
        b_part = tl.load(p_parts + o_row[:, None] * V + o_v[None, :], mask=m_o, other=0.0)
        b_o += tl.sum(b_weight[:, None] * b_part, axis=0)
    b_o = b_o / tl.where(total == 0.0, 1.0, total)
    tl.store(p_o + i_row * V + o_v, b_o.to(p_o.dtype.element_ty), mask=o_v < V)


def write_pages_triton(k: Tensor, v: Tensor, keys: Tensor, values: Tensor, cells_T: Tensor) -> None:
    """Runs write_pages; on CPU tensors only under Triton's interpreter."""
    num_tokens, num_heads, width = k.shape
    if not num_tokens:
        return
    k, v = row_aligned(k), row_aligned(v)
    strides = (k.stride(0), v.stride(0), k.stride(1), v.stride(1))
    with on_device(k):
        run(
            write_kernel, num_tokens, 4, 1, (k, v, dense(cells_T), keys, values),
            (*strides, num_heads, width, v.shape[2], keys.shape[2]),
        )  # fmt: skip


def rope_write_triton(
    q: Tensor, k: Tensor, v: Tensor, positions_T: Tensor, cells_T: Tensor, inverse_frequencies: Tensor, keys: Tensor,
    values: Tensor, *, amplitude: float,
) -> Tensor:  # fmt: skip
    """Runs rope_write; on CPU tensors only under Triton's interpreter."""
    num_tokens, num_heads, width = q.shape
    rotated = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    if not num_tokens:
        return rotated
    q, k, v = row_aligned(q), row_aligned(k), row_aligned(v)
    heads = min(triton.next_power_of_2(num_heads), ROPE_HEADS)
    strides = (*(x.stride(0) for x in (q, k, v)), *(x.stride(1) for x in (q, k, v)))
    sizes = (num_heads, k.shape[1], width, v.shape[2], len(inverse_frequencies), keys.shape[2])
    arguments = (q, k, v, dense(positions_T), dense(cells_T), dense(inverse_frequencies), rotated, keys, values)
    with on_device(q):
        run(
            rope_kernel, num_tokens * (triton.cdiv(num_heads, heads) + 1), ROPE_WARPS, 1, (*arguments, amplitude),
            (*strides, *sizes, heads), is_contracted=False,
        )  # fmt: skip
    return rotated


def tile_rows(num_tokens: int, num_rows: int, group: int, *, is_wide: bool, is_invariant: bool) -> int:
    """Returns the rows of a program's tile: as many as the query heads of a token need, more for many new tokens."""
    least = max(16, triton.next_power_of_2(group))
    per_row = num_tokens * group // num_rows
    if is_invariant or is_wide or per_row <= least:
        return least
    return max(least, 64 if per_row <= 64 else 128)


def launch_shape(rows: int, page_bytes: int) -> tuple[int, int]:
    """Returns warps and stages of a program: pages on their way while one is worked on, two programs to an SM."""
    return (8 if rows > 64 else 4), (3 if page_bytes <= 32_768 else 2)


def paged_attention_triton(
    q: Float[Tensor, "T H D"],
    keys: Float[Tensor, "P J C D"],
    values: Float[Tensor, "P J C V"],
    table_N_X: Int[Tensor, "N X"],
    lengths_N: Int[Tensor, "N"],
    cu_seqlens: Int[Tensor, "N1"] | None,
    *,
    scale: float,
    num_splits: int,
    is_invariant: bool,
) -> Float[Tensor, "T H V"]:
    """Runs paged_attention; on CPU tensors only under Triton's interpreter."""
    (num_tokens, num_heads, width), (_, num_kv_heads, page, value_width) = q.shape, values.shape
    output = torch.empty(num_tokens, num_heads, value_width, dtype=q.dtype, device=q.device)
    num_rows, table_width = table_N_X.shape
    if not num_tokens:
        return output
    if not table_width:
        return output.zero_()
    lengths_N = dense(lengths_N)
    q, table_N_X = dense(q), table_N_X if table_N_X.stride(1) == 1 else table_N_X.contiguous()
    is_step = cu_seqlens is None
    group = num_heads // num_kv_heads
    # float32 multiplies outside the tensor cores, where large tiles end the registers.
    rows = tile_rows(num_tokens, num_rows, group, is_wide=q.dtype == torch.float32, is_invariant=is_invariant)
    num_tiles = num_rows if is_step else num_tokens // (rows // group) + 2 * num_rows
    parts, sums = output, None
    if num_splits > 1:
        parts = torch.empty(num_splits, *output.shape, dtype=torch.float32, device=q.device)
        sums = torch.empty(num_splits, num_tokens, num_heads, 2, dtype=torch.float32, device=q.device)
    padded, value_padded = (max(16, triton.next_power_of_2(size)) for size in (width, value_width))
    num_warps, num_stages = launch_shape(rows, page * (padded + value_padded) * q.element_size())
    with on_device(q):
        run(
            attention_kernel, num_tiles * num_kv_heads * num_splits, num_warps, num_stages,
            (
                q, keys, values, table_N_X, lengths_N, lengths_N if cu_seqlens is None else cu_seqlens, parts, sums,
                scale / math.log(2), int(is_step), num_rows, num_tiles, table_N_X.stride(0), num_splits,
            ),
            (
                num_heads, num_kv_heads, width, value_width, page, rows, padded, value_padded, num_splits > 1,
                precision(q), PAGES_MIN,
            ),
        )  # fmt: skip
        if sums is not None:
            run(
                combine_kernel, num_tokens * num_heads, 4, 1,
                (output, parts, sums, num_tokens * num_heads, num_splits), (value_width, value_padded, 8, SPLITS_MAX),
            )  # fmt: skip
    return output
