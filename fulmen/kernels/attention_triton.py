"""Causal attention of short packed documents, in three Triton kernels: forward, dq, and dk with dv.

FlashAttention's tiles of 128 rows are half empty where documents have a few hundred tokens, and its gradients of shared
key/value heads come out once per query head. Here tiles are 64 by 64 and a key tile's program goes through all query
heads that share it. With s = scale q k^T, p = softmax(s), d = sum over the row of do o:
dv = p^T do,  ds = p (do v^T - d),  dq = scale ds k,  dk = scale ds^T q.
Sums and softmax are float32; p and ds are rounded to the tensors' dtype for the products. Deterministic.
Axes: `T` tokens, `H`/`J` query and key/value heads, `D` head width, `X` tiles.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE = 64
"""Rows of a tile, of queries and of keys."""
WIDTH_MAX = 128
"""Widest head: two tiles of it and their sums have to fit into registers."""
NUM_STAGES = 2


@triton.jit
@no_type_check
def load_rows(p_x, o_t, length, row, D: tl.constexpr, BD: tl.constexpr):
    """Returns rows `o_t` of a head, zeros from `length` on."""
    o_d = tl.arange(0, BD)
    m_x = (o_t < length)[:, None] & (o_d < D)[None, :]
    return tl.load(p_x + o_t.to(tl.int64)[:, None] * row + o_d[None, :], mask=m_x, other=0.0)


@triton.jit
@no_type_check
def store_rows(p_x, b_x, o_t, length, row, D: tl.constexpr, BD: tl.constexpr):
    """Writes rows `o_t` below `length` of a head."""
    o_d = tl.arange(0, BD)
    m_x = (o_t < length)[:, None] & (o_d < D)[None, :]
    tl.store(p_x + o_t.to(tl.int64)[:, None] * row + o_d[None, :], b_x.to(p_x.dtype.element_ty), mask=m_x)


@triton.jit
@no_type_check
def forward_kernel(
    p_q, p_k, p_v, p_o, p_lse, p_cu_seqlens, p_tiles, scale2, num_tokens, q_row, k_row, v_row,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """One tile of one head's queries."""
    i_tile, i_h = tl.program_id(0) // H, tl.program_id(0) % H
    i_n, first = tl.load(p_tiles + 2 * i_tile), tl.load(p_tiles + 2 * i_tile + 1)
    start = tl.load(p_cu_seqlens + i_n).to(tl.int64)
    length = (tl.load(p_cu_seqlens + i_n + 1) - start).to(tl.int32)
    p_k += start * k_row + (i_h // (H // J)) * D
    p_v += start * v_row + (i_h // (H // J)) * D
    o_m = first + tl.arange(0, TILE)
    b_q = load_rows(p_q + start * q_row + i_h * D, o_m, length, q_row, D, BD)
    b_max = tl.full([TILE], float("-inf"), dtype=tl.float32)
    b_sum = tl.zeros([TILE], dtype=tl.float32)
    b_o = tl.zeros([TILE, BD], dtype=tl.float32)
    for i_k in range(0, first + TILE, TILE):
        o_k = i_k + tl.arange(0, TILE)
        b_k = load_rows(p_k, o_k, length, k_row, D, BD)
        b_v = load_rows(p_v, o_k, length, v_row, D, BD)
        b_s = tl.dot(b_q, tl.trans(b_k)) * scale2
        b_s = tl.where(o_m[:, None] >= o_k[None, :], b_s, float("-inf"))
        b_new = tl.maximum(b_max, tl.max(b_s, axis=1))
        b_decay = tl.exp2(b_max - b_new)
        b_p = tl.exp2(b_s - b_new[:, None])
        b_sum = b_sum * b_decay + tl.sum(b_p, axis=1)
        b_o = tl.dot(b_p.to(b_v.dtype), b_v, b_o * b_decay[:, None])
        b_max = b_new
    store_rows(p_o + (start * H + i_h) * D, b_o / b_sum[:, None], o_m, length, H * D, D, BD)
    tl.store(p_lse + i_h * num_tokens + start + o_m, b_max + tl.log2(b_sum), mask=o_m < length)


@triton.jit
@no_type_check
def query_gradient_kernel(
    p_q, p_k, p_v, p_o, p_do, p_lse, p_delta, p_dq, p_cu_seqlens, p_tiles, scale, scale2, num_tokens,
    q_row, k_row, v_row, do_row,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """One tile of one head's dq; its d is kept for the other kernel."""
    i_tile, i_h = tl.program_id(0) // H, tl.program_id(0) % H
    i_n, first = tl.load(p_tiles + 2 * i_tile), tl.load(p_tiles + 2 * i_tile + 1)
    start = tl.load(p_cu_seqlens + i_n).to(tl.int64)
    length = (tl.load(p_cu_seqlens + i_n + 1) - start).to(tl.int32)
    p_k += start * k_row + (i_h // (H // J)) * D
    p_v += start * v_row + (i_h // (H // J)) * D
    o_m = first + tl.arange(0, TILE)
    b_q = load_rows(p_q + start * q_row + i_h * D, o_m, length, q_row, D, BD)
    b_do = load_rows(p_do + start * do_row + i_h * D, o_m, length, do_row, D, BD)
    b_o = load_rows(p_o + (start * H + i_h) * D, o_m, length, H * D, D, BD)
    b_delta = tl.sum(b_o.to(tl.float32) * b_do.to(tl.float32), axis=1)
    o_row = i_h * num_tokens + start + o_m
    tl.store(p_delta + o_row, b_delta, mask=o_m < length)
    b_lse = tl.load(p_lse + o_row, mask=o_m < length, other=float("inf"))
    b_dq = tl.zeros([TILE, BD], dtype=tl.float32)
    for i_k in range(0, first + TILE, TILE):
        o_k = i_k + tl.arange(0, TILE)
        b_k = load_rows(p_k, o_k, length, k_row, D, BD)
        b_v = load_rows(p_v, o_k, length, v_row, D, BD)
        b_s = tl.dot(b_q, tl.trans(b_k)) * scale2
        b_p = tl.where(o_m[:, None] >= o_k[None, :], tl.exp2(b_s - b_lse[:, None]), 0.0)
        b_ds = b_p * (tl.dot(b_do, tl.trans(b_v)) - b_delta[:, None])
        b_dq = tl.dot(b_ds.to(b_k.dtype), b_k, b_dq)
    store_rows(p_dq + (start * H + i_h) * D, b_dq * scale, o_m, length, H * D, D, BD)


@triton.jit
@no_type_check
def key_gradient_kernel(
    p_q, p_k, p_v, p_do, p_lse, p_delta, p_dk, p_dv, p_cu_seqlens, p_tiles, scale, scale2, num_tokens,
    q_row, k_row, v_row, do_row,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """One tile of one key/value head's dk and dv, over all query heads that share it."""
    G: tl.constexpr = H // J
    i_tile, i_j = tl.program_id(0) // J, tl.program_id(0) % J
    i_n, first = tl.load(p_tiles + 2 * i_tile), tl.load(p_tiles + 2 * i_tile + 1)
    start = tl.load(p_cu_seqlens + i_n).to(tl.int64)
    length = (tl.load(p_cu_seqlens + i_n + 1) - start).to(tl.int32)
    o_k = first + tl.arange(0, TILE)
    b_k = load_rows(p_k + start * k_row + i_j * D, o_k, length, k_row, D, BD)
    b_v = load_rows(p_v + start * v_row + i_j * D, o_k, length, v_row, D, BD)
    b_dk = tl.zeros([TILE, BD], dtype=tl.float32)
    b_dv = tl.zeros([TILE, BD], dtype=tl.float32)
    num_rows = tl.cdiv(length - first, TILE)
    for i in range(0, G * num_rows):
        i_h = i_j * G + i // num_rows
        o_m = first + (i % num_rows) * TILE + tl.arange(0, TILE)
        b_q = load_rows(p_q + start * q_row + i_h * D, o_m, length, q_row, D, BD)
        b_do = load_rows(p_do + start * do_row + i_h * D, o_m, length, do_row, D, BD)
        o_row = i_h * num_tokens + start + o_m
        b_lse = tl.load(p_lse + o_row, mask=o_m < length, other=float("inf"))
        b_delta = tl.load(p_delta + o_row, mask=o_m < length, other=0.0)
        b_s = tl.dot(b_k, tl.trans(b_q)) * scale2
        b_p = tl.where(o_m[None, :] >= o_k[:, None], tl.exp2(b_s - b_lse[None, :]), 0.0)
        b_dv = tl.dot(b_p.to(b_do.dtype), b_do, b_dv)
        b_ds = b_p * (tl.dot(b_v, tl.trans(b_do)) - b_delta[None, :])
        b_dk = tl.dot(b_ds.to(b_q.dtype), b_q, b_dk)
    store_rows(p_dk + (start * J + i_j) * D, b_dk * scale, o_k, length, J * D, D, BD)
    store_rows(p_dv + (start * J + i_j) * D, b_dv, o_k, length, J * D, D, BD)


def _constants(num_heads: int, num_kv_heads: int, width: int) -> dict[str, int]:
    padded = max(triton.next_power_of_2(width), 16)
    return {
        "H": num_heads, "J": num_kv_heads, "D": width, "BD": padded, "TILE": TILE,
        "num_warps": 4 if padded <= 64 else 8, "num_stages": NUM_STAGES,
    }  # fmt: skip


def _dense_heads(x: Tensor) -> Tensor:
    """Returns x, or a copy of it unless the heads of a row lie side by side."""
    return x if x.stride(2) == 1 and x.stride(1) == x.shape[2] else x.contiguous()


LOG2E = 1.4426950408889634


class _ShortAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, cu_seqlens, tiles, scale):  # type: ignore[no-untyped-def]
        q, k, v = (_dense_heads(x) for x in (q, k, v))
        (num_tokens, num_heads, width), num_kv_heads = q.shape, k.shape[1]
        o = torch.empty(num_tokens, num_heads, width, dtype=q.dtype, device=q.device)
        lse = torch.empty(num_heads, num_tokens, dtype=torch.float32, device=q.device)
        forward_kernel[(len(tiles) * num_heads,)](
            q, k, v, o, lse, cu_seqlens, tiles, scale * LOG2E, num_tokens, q.stride(0), k.stride(0), v.stride(0),
            **_constants(num_heads, num_kv_heads, width),
        )  # fmt: skip
        ctx.save_for_backward(q, k, v, o, lse, cu_seqlens, tiles)
        ctx.scale = scale
        return o

    @staticmethod
    @once_differentiable
    def backward(ctx, do):  # type: ignore[no-untyped-def]
        q, k, v, o, lse, cu_seqlens, tiles = ctx.saved_tensors
        do = _dense_heads(do)
        (num_tokens, num_heads, width), num_kv_heads = q.shape, k.shape[1]
        delta = torch.empty_like(lse)
        dq = torch.empty_like(o)
        dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (k, v))
        strides = (q.stride(0), k.stride(0), v.stride(0), do.stride(0))
        constants = _constants(num_heads, num_kv_heads, width)
        query_gradient_kernel[(len(tiles) * num_heads,)](
            q, k, v, o, do, lse, delta, dq, cu_seqlens, tiles, ctx.scale, ctx.scale * LOG2E, num_tokens, *strides,
            **constants,
        )  # fmt: skip
        key_gradient_kernel[(len(tiles) * num_kv_heads,)](
            q, k, v, do, lse, delta, dk, dv, cu_seqlens, tiles, ctx.scale, ctx.scale * LOG2E, num_tokens, *strides,
            **constants,
        )  # fmt: skip
        return dq, dk, dv, None, None, None


def short_attention(
    q: Float[Tensor, "T H D"],
    k: Float[Tensor, "T J D"],
    v: Float[Tensor, "T J D"],
    cu_seqlens: Int[Tensor, "N1"],
    tiles_X_2: Int[Tensor, "X 2"],
    *,
    scale: float,
) -> Float[Tensor, "T H D"]:
    """Returns softmax(scale q k^T) v, causal, inside each document; differentiable once.

    `tiles_X_2` are (document, first token of the tile in it), `TILE` tokens each, longest work first.
    """
    return _ShortAttention.apply(q, k, v, cu_seqlens, tiles_X_2, scale)
