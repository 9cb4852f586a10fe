"""Triton kernels around the product of q, k and v in training: rotation in place, and the way back.

The product's rows `[T, C]` hold the query heads, the key heads and the value heads. Forward its query and key heads are
rotated where they lie; backward the gradients of the three are rotated back into one such matrix, which is what both
products of the backward pass take.
Axes: `T` tokens, `C` all channels, `H`/`J` query and key/value heads, `D` head width, `R2` pairs of rotated channels.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

NUM_WARPS = 4


def block_tokens(pairs: int) -> int:
    """Returns the tokens of a program; fewer where padding makes a head's tile larger than it is."""
    return 4 if pairs == triton.next_power_of_2(pairs) else 1


@triton.jit
@no_type_check
def angles(p_positions, p_frequencies, o_t, num_tokens, amplitude, R2: tl.constexpr, dtype: tl.constexpr):
    """Returns cos and sin `[tokens, 1, pairs]`, rounded to the dtype as apply_rope rounds them."""
    o_r = tl.arange(0, triton.next_power_of_2(R2))
    frequency = tl.load(p_frequencies + o_r, mask=o_r < R2, other=0.0)
    position = tl.load(p_positions + o_t, mask=o_t < num_tokens, other=0).to(tl.float32)
    angle = position[:, None] * frequency[None, :]
    cos = (tl.cos(angle) * amplitude).to(dtype).to(tl.float32)
    sin = (tl.sin(angle) * amplitude).to(dtype).to(tl.float32)
    return cos[:, None, :], sin[:, None, :]


@triton.jit
@no_type_check
def rotate(b_first, b_second, cos, sin, dtype: tl.constexpr):
    """Returns both rotated halves of some heads, each product and sum rounded to the dtype as eager torch does."""
    b_first, b_second = b_first.to(tl.float32), b_second.to(tl.float32)
    b_fc = (b_first * cos).to(dtype).to(tl.float32)
    b_ss = (b_second * sin).to(dtype).to(tl.float32)
    b_sc = (b_second * cos).to(dtype).to(tl.float32)
    b_fs = (b_first * sin).to(dtype).to(tl.float32)
    return (b_fc - b_ss).to(dtype), (b_sc + b_fs).to(dtype)


@triton.jit
@no_type_check
def rotate_kernel(
    p_x, p_positions, p_frequencies, num_tokens, amplitude,
    C: tl.constexpr, N: tl.constexpr, D: tl.constexpr, R2: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """Some tokens' first N heads in place."""
    dtype: tl.constexpr = p_x.dtype.element_ty
    o_t = tl.program_id(0) * BT + tl.arange(0, BT)
    cos, sin = angles(p_positions, p_frequencies, o_t, num_tokens, amplitude, R2, dtype)
    o_n = tl.arange(0, triton.next_power_of_2(N))
    o_r = tl.arange(0, triton.next_power_of_2(R2))
    m_x = (o_t < num_tokens)[:, None, None] & (o_n < N)[None, :, None] & (o_r < R2)[None, None, :]
    p_x += o_t.to(tl.int64)[:, None, None] * C + o_n[None, :, None] * D + o_r[None, None, :]
    b_first, b_second = rotate(
        tl.load(p_x, mask=m_x, other=0.0), tl.load(p_x + R2, mask=m_x, other=0.0), cos, sin, dtype
    )
    tl.store(p_x, b_first, mask=m_x)
    tl.store(p_x + R2, b_second, mask=m_x)


@triton.jit
@no_type_check
def copy_heads(
    p_y, p_x, o_t, num_tokens, row, C: tl.constexpr, N: tl.constexpr, D: tl.constexpr, START: tl.constexpr
):  # fmt: skip
    """Copies channels START.. of N heads."""
    o_n = tl.arange(0, triton.next_power_of_2(N))
    o_d = START + tl.arange(0, triton.next_power_of_2(D - START))
    m_x = (o_t < num_tokens)[:, None, None] & (o_n < N)[None, :, None] & (o_d < D)[None, None, :]
    o_head = o_n[None, :, None] * D + o_d[None, None, :]
    o_t = o_t.to(tl.int64)[:, None, None]
    tl.store(p_y + o_t * C + o_head, tl.load(p_x + o_t * row + o_head, mask=m_x, other=0.0), mask=m_x)


@triton.jit
@no_type_check
def rotate_back(
    p_y, p_x, cos, sin, o_t, num_tokens, row, C: tl.constexpr, N: tl.constexpr, D: tl.constexpr, R2: tl.constexpr
):  # fmt: skip
    """Writes N heads of gradients, rotated the other way and rounded once."""
    o_n = tl.arange(0, triton.next_power_of_2(N))
    o_r = tl.arange(0, triton.next_power_of_2(R2))
    m_x = (o_t < num_tokens)[:, None, None] & (o_n < N)[None, :, None] & (o_r < R2)[None, None, :]
    o_head = o_n[None, :, None] * D + o_r[None, None, :]
    o_row = o_t.to(tl.int64)[:, None, None]
    b_first = tl.load(p_x + o_row * row + o_head, mask=m_x, other=0.0).to(tl.float32)
    b_second = tl.load(p_x + o_row * row + o_head + R2, mask=m_x, other=0.0).to(tl.float32)
    dtype: tl.constexpr = p_y.dtype.element_ty
    tl.store(p_y + o_row * C + o_head, (b_first * cos + b_second * sin).to(dtype), mask=m_x)
    tl.store(p_y + o_row * C + o_head + R2, (b_second * cos - b_first * sin).to(dtype), mask=m_x)
    if 2 * R2 < D:
        copy_heads(p_y, p_x, o_t, num_tokens, row, C, N, D, 2 * R2)


@triton.jit
@no_type_check
def join_gradients_kernel(
    p_dq, p_dk, p_dv, p_positions, p_frequencies, p_y, num_tokens, q_row, k_row, v_row, amplitude,
    H: tl.constexpr, J: tl.constexpr, D: tl.constexpr, R2: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """Some tokens' gradients of q and k, rotated back, and of v, side by side."""
    C: tl.constexpr = (H + 2 * J) * D
    o_t = tl.program_id(0) * BT + tl.arange(0, BT)
    cos, sin = angles(p_positions, p_frequencies, o_t, num_tokens, amplitude, R2, p_dq.dtype.element_ty)
    rotate_back(p_y, p_dq, cos, sin, o_t, num_tokens, q_row, C, H, D, R2)
    rotate_back(p_y + H * D, p_dk, cos, sin, o_t, num_tokens, k_row, C, J, D, R2)
    copy_heads(p_y + (H + J) * D, p_dv, o_t, num_tokens, v_row, C, J, D, 0)


def rotate_(
    x: Float[Tensor, "T C"],
    positions_T: Int[Tensor, "T"],
    inverse_frequencies: Float[Tensor, "R2"],
    *,
    num_heads: int,
    width: int,
    amplitude: float,
) -> None:
    """Rotates the first `num_heads` heads of each row, each `width` channels, in place."""
    (num_tokens, channels), block = x.shape, block_tokens(len(inverse_frequencies))
    rotate_kernel[(triton.cdiv(num_tokens, block),)](
        x, positions_T, inverse_frequencies, num_tokens, amplitude,
        C=channels, N=num_heads, D=width, R2=len(inverse_frequencies), BT=block, num_warps=NUM_WARPS,
    )  # fmt: skip


def join_gradients(
    dq: Float[Tensor, "T H D"],
    dk: Float[Tensor, "T J D"],
    dv: Float[Tensor, "T J D"],
    positions_T: Int[Tensor, "T"],
    inverse_frequencies: Float[Tensor, "R2"],
    *,
    amplitude: float,
) -> Float[Tensor, "T C"]:
    """Returns the gradient of the product whose heads were rotated."""
    (num_tokens, num_heads, width), num_kv_heads = dq.shape, dk.shape[1]
    dq, dk, dv = (x if x.stride(2) == 1 and x.stride(1) == width else x.contiguous() for x in (dq, dk, dv))
    y = torch.empty(num_tokens, (num_heads + 2 * num_kv_heads) * width, dtype=dq.dtype, device=dq.device)
    block = block_tokens(len(inverse_frequencies))
    join_gradients_kernel[(triton.cdiv(num_tokens, block),)](
        dq, dk, dv, positions_T, inverse_frequencies, y, num_tokens, dq.stride(0), dk.stride(0), dv.stride(0),
        amplitude, H=num_heads, J=num_kv_heads, D=width, R2=len(inverse_frequencies), BT=block,
        num_warps=NUM_WARPS,
    )  # fmt: skip
    return y
