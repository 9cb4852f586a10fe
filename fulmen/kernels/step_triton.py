"""Attention of a decoding step in one Triton kernel: rotation, the new key's and value's cell, and the row's pages.

One program a row and key/value head. It rotates its query heads and the new key, writes key and value to their cell,
and attends to them and the pages before. Rotation splits heads in halves, so scores are the sum of two products.
With every rounding of `rope_write` and `paged_attention`; sums are in another order.
Axes: `R` rows, `H`/`J` query and key/value heads, `D` head width, `P` pages of `C` tokens, `X` pages of a row.
"""

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.kernels.launch import run
from fulmen.kernels.rotary_triton import rotate

ROWS = tl.constexpr(16)
"""Rows of a tile of queries, the fewest that tensor cores take."""
NUM_STAGES = 2


@triton.jit(do_not_specialize=["table_row"])
@no_type_check
def step_kernel(
    p_q, p_k, p_v, p_positions, p_frequencies, p_table, p_keys, p_values, p_o, scale2, amplitude, table_row,
    q_row: tl.constexpr, k_row: tl.constexpr, v_row: tl.constexpr,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """One row and one key/value head. Rows without pages give 0."""
    G: tl.constexpr = H // J
    R2: tl.constexpr = D // 2
    dtype: tl.constexpr = p_q.dtype.element_ty
    i_r, i_j = (tl.program_id(0) // J).to(tl.int64), tl.program_id(0) % J
    p_table += i_r * table_row
    position = tl.load(p_positions + i_r).to(tl.int32)
    o_r, o_c, o_m = tl.arange(0, R2), tl.arange(0, C), tl.arange(0, ROWS)
    m_m = (o_m < G)[:, None]
    p_o += (i_r * H + i_j * G) * D + o_m[:, None] * D + tl.arange(0, D)[None, :]
    first_block = tl.load(p_table)
    is_owned = first_block != 0
    angle = position.to(tl.float32) * tl.load(p_frequencies + o_r)
    cos = (tl.cos(angle) * amplitude).to(dtype).to(tl.float32)
    sin = (tl.sin(angle) * amplitude).to(dtype).to(tl.float32)
    p_new = p_k + i_r * k_row + i_j * D + o_r
    b_first, b_second = rotate(tl.load(p_new), tl.load(p_new + R2), cos, sin, dtype)
    own = tl.load(p_table + position // C).to(tl.int64) * (J * C) + i_j * C + position % C
    o_d = tl.arange(0, D)
    tl.store(p_keys + own * D + o_r, b_first, mask=is_owned)
    tl.store(p_keys + own * D + R2 + o_r, b_second, mask=is_owned)
    b_new_v = tl.load(p_v + i_r * v_row + i_j * D + o_d)
    tl.store(p_values + own * D + o_d, b_new_v, mask=is_owned)
    p_own = p_q + i_r * q_row + i_j * (G * D) + o_m[:, None] * D + o_r[None, :]
    b_q1, b_q2 = tl.load(p_own, mask=m_m, other=0.0), tl.load(p_own + R2, mask=m_m, other=0.0)
    b_q1, b_q2 = rotate(b_q1, b_q2, cos[None, :], sin[None, :], dtype)
    # The new token comes first, from registers: pages need not wait until its cell is written.
    b_own = (
        b_q1.to(tl.float32) * b_first.to(tl.float32)[None, :] + b_q2.to(tl.float32) * b_second.to(tl.float32)[None, :]
    )
    b_max = tl.sum(b_own, axis=1) * scale2
    b_sum = tl.full([ROWS], 1.0, dtype=tl.float32)
    b_o = tl.zeros([ROWS, D], dtype=tl.float32) + b_new_v.to(tl.float32)[None, :]
    num_pages = tl.where(is_owned, tl.cdiv(position, C), 0)
    # A block's index is loaded one page ahead, since the addresses of its keys wait for it.
    block = first_block.to(tl.int64)
    for i_page in range(0, num_pages):
        p_page = block * (J * C * D) + i_j * (C * D) + o_c[:, None] * D
        m_c = (i_page * C + o_c < position)[:, None]
        b_k1 = tl.load(p_keys + p_page + o_r[None, :], mask=m_c, other=0.0)
        b_k2 = tl.load(p_keys + p_page + R2 + o_r[None, :], mask=m_c, other=0.0)
        b_v = tl.load(p_values + p_page + o_d[None, :], mask=m_c, other=0.0)
        block = tl.load(p_table + i_page + 1, mask=i_page + 1 < num_pages, other=0).to(tl.int64)
        b_s = tl.dot(b_q1, tl.trans(b_k1))
        b_s = tl.dot(b_q2, tl.trans(b_k2), b_s) * scale2
        b_s = tl.where((i_page * C + o_c < position)[None, :], b_s, float("-inf"))
        b_new = tl.maximum(b_max, tl.max(b_s, axis=1))
        b_decay = tl.exp2(b_max - b_new)
        b_p = tl.exp2(b_s - b_new[:, None])
        b_sum = b_sum * b_decay + tl.sum(b_p, axis=1)
        b_o = tl.dot(b_p.to(dtype), b_v, b_o * b_decay[:, None])
        b_max = b_new
    tl.store(p_o, tl.where(is_owned, b_o / b_sum[:, None], 0.0).to(dtype), mask=m_m)


def step_attention_triton(
    q: Float[Tensor, "R H D"],
    k: Float[Tensor, "R J D"],
    v: Float[Tensor, "R J D"],
    positions_R: Int[Tensor, "R"],
    inverse_frequencies: Float[Tensor, "R2"],
    keys: Float[Tensor, "P J C D"],
    values: Float[Tensor, "P J C D"],
    table_R_X: Int[Tensor, "R X"],
    *,
    scale: float,
    amplitude: float,
) -> Float[Tensor, "R H D"]:
    """Runs step_attention; on CPU tensors only under Triton's interpreter."""
    (rows, num_heads, width), (_, num_kv_heads, page, _) = q.shape, keys.shape
    output = torch.empty(rows, num_heads, width, dtype=q.dtype, device=q.device)
    if rows:
        run(
            step_kernel, rows * num_kv_heads, 1 if width <= 64 else 2, NUM_STAGES,
            (
                q, k, v, positions_R, inverse_frequencies, table_R_X, keys, values, output,
                scale / math.log(2), amplitude, table_R_X.stride(0),
            ),
            (q.stride(0), k.stride(0), v.stride(0), num_heads, num_kv_heads, width, page),
        )  # fmt: skip
    return output
