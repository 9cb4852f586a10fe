"""The Triton kernels of decoding: the plain recurrence, and the open chunk of the chunk-aligned pool (`pool.py`).

Axes, prefixes and `tile_*` as in `tiles.py`; `BN` new tokens that one tile can take.
"""

from typing import no_type_check

import triton
import triton.language as tl

from fulmen.kernels.lightning.tiles import LOG2E, decay_tables, tile_output, tile_state


@triton.jit
@no_type_check
def silu(b_x):
    """Returns x sigmoid(x), computed in float32 and rounded to the dtype of x."""
    b_wide = b_x.to(tl.float32)
    return (b_wide / (1.0 + tl.exp(-b_wide))).to(b_x.dtype)


@triton.jit
@no_type_check
def load_vector(p_x, o_x, IS_SILU: tl.constexpr):
    """Returns a vector in float32, through x sigmoid(x) if asked for."""
    b_x = tl.load(p_x + o_x)
    if IS_SILU:
        b_x = silu(b_x)
    return b_x.to(tl.float32)


@triton.jit
@no_type_check
def recurrence_kernel(
    p_q, p_k, p_v, p_o, p_slope, p_state, p_slots, state_row, q_row, k_row, v_row, q_head, k_head, v_head,
    H: tl.constexpr, D: tl.constexpr, BV: tl.constexpr, HAS_SLOTS: tl.constexpr, IS_SILU: tl.constexpr,
):  # fmt: skip
    """One step S <- e^-s S + k v^T, o = q S in float32, in place; slot 0 is skipped and its output is 0."""
    o_v = tl.program_id(0) % (D // BV) * BV + tl.arange(0, BV)
    i_h = tl.program_id(0) // (D // BV) % H
    i_row = (tl.program_id(0) // (D // BV * H)).to(tl.int64)
    o_d = tl.arange(0, D)
    p_o += (i_row * H + i_h) * D
    slot = i_row
    if HAS_SLOTS:
        slot = tl.load(p_slots + i_row).to(tl.int64)
    if HAS_SLOTS and slot == 0:
        tl.store(p_o + o_v, tl.zeros((BV,), dtype=p_o.dtype.element_ty))
    else:
        b_q = load_vector(p_q + i_row * q_row + i_h * q_head, o_d, IS_SILU)
        b_k = load_vector(p_k + i_row * k_row + i_h * k_head, o_d, IS_SILU)
        b_v = load_vector(p_v + i_row * v_row + i_h * v_head, o_v, IS_SILU)
        decay = tl.exp2(-tl.load(p_slope + i_h) * LOG2E)
        p_state += slot * state_row + i_h * D * D
        o_state = o_d[:, None] * D + o_v[None, :]
        b_state = tl.load(p_state + o_state) * decay + b_k[:, None] * b_v[None, :]
        tl.store(p_state + o_state, b_state)
        tl.store(p_o + o_v, tl.sum(b_state * b_q[:, None], 0).to(p_o.dtype.element_ty))


@triton.jit
@no_type_check
def load_open_rows(
    p_x, p_ring, o_t, o_x, row, num_ring, count, D: tl.constexpr, IS_STEP: tl.constexpr, IS_SILU: tl.constexpr
):
    """Returns `[BT, .]` of an open chunk: `num_ring` rows from the ring, then `count` new ones, then zeros."""
    m_new = ((o_t >= num_ring) & (o_t < num_ring + count))[:, None]
    if IS_STEP:
        b_new = tl.load(p_x + o_x)[None, :]
    else:
        b_new = tl.load(p_x + (o_t - num_ring)[:, None] * row + o_x[None, :], mask=m_new, other=0.0)
    if IS_SILU:
        b_new = silu(b_new)
    b_old = tl.load(p_ring + o_t[:, None] * D + o_x[None, :], mask=(o_t < num_ring)[:, None], other=0.0)
    return tl.where(m_new, b_new, b_old)


@triton.jit
@no_type_check
def open_tile_kernel(
    p_q, p_k, p_v, p_o, p_slope, p_state, p_shadow, p_ring, p_items, p_lengths,
    q_row, k_row, v_row, q_head, k_head, v_head,
    H: tl.constexpr, D: tl.constexpr, BT: tl.constexpr, BV: tl.constexpr, BN: tl.constexpr,
    PRECISION: tl.constexpr, IS_STEP: tl.constexpr, IS_SILU: tl.constexpr,
):  # fmt: skip
    """At most BN new tokens of one chunk: outputs from the state and the ring; a full chunk goes to the state.

    The tokens join the ring; once it holds BT of them, state and shadow move on. Columns of `p_items`: slot, first row
    of the inputs, number of new tokens, number of tokens in the ring, whether the shadow is older than the state.
    A step has one token a row: `p_items` holds the slots alone, `p_lengths` how many tokens each row has seen.
    """
    i_v = tl.program_id(0) % (D // BV)
    i_h = tl.program_id(0) // (D // BV) % H
    i_item = tl.program_id(0) // (D // BV * H)
    if IS_STEP:
        slot = tl.load(p_items + i_item).to(tl.int64)
        start = i_item.to(tl.int64)
        count = 1
        num_ring = (tl.load(p_lengths + i_item) % BT).to(tl.int32)
        is_stale = 0
    else:
        slot = tl.load(p_items + i_item * 5).to(tl.int64)
        start = tl.load(p_items + i_item * 5 + 1).to(tl.int64)
        count = tl.load(p_items + i_item * 5 + 2)
        num_ring = tl.load(p_items + i_item * 5 + 3)
        is_stale = tl.load(p_items + i_item * 5 + 4)
    o_d = tl.arange(0, D)
    o_t = tl.arange(0, BT)
    o_n = tl.arange(0, BN)
    o_v = i_v * BV + tl.arange(0, BV)
    i_state = slot * H + i_h
    p_state += i_state * D * D
    p_shadow += i_state * D * D
    p_ring += i_state * 2 * BT * D
    p_o += (start * H + i_h) * D
    if slot == 0:
        b_zero = tl.zeros((BN, BV), dtype=p_o.dtype.element_ty)
        tl.store(p_o + o_n[:, None] * (H * D) + o_v[None, :], b_zero, mask=(o_n < count)[:, None])
    else:
        o_state = o_d[None, :] * D + o_v[:, None]
        o_shadow = o_v[:, None] * D + o_d[None, :]
        if is_stale == 1:
            b_shadow = tl.load(p_state + o_state).to(p_shadow.dtype.element_ty)
            tl.store(p_shadow + o_shadow, b_shadow)
        else:
            b_shadow = tl.load(p_shadow + o_shadow)
        if count > 0:
            slope2 = tl.load(p_slope + i_h) * LOG2E
            m_n = (o_n < count)[:, None]
            p_k += start * k_row + i_h * k_head
            p_v += start * v_row + i_h * v_head
            p_q += start * q_row + i_h * q_head
            if IS_STEP:
                # The one query fills all columns of the tile: a product needs that many.
                b_q = tl.load(p_q + 0 * o_n[:, None] + o_d[None, :])
            else:
                b_q = tl.load(p_q + o_n[:, None] * q_row + o_d[None, :], mask=m_n, other=0.0)
            if IS_SILU:
                b_q = silu(b_q)
            b_qt = tl.trans(b_q)
            b_k = load_open_rows(p_k, p_ring, o_t, o_d, k_row, num_ring, count, D, IS_STEP, IS_SILU)
            p_ring_v = p_ring + BT * D
            b_v = load_open_rows(p_v, p_ring_v, o_t, o_v, v_row, num_ring, count, D, IS_STEP, IS_SILU)
            b_vt = tl.trans(b_v)
            b_key, _, decay = decay_tables(slope2, BT)
            b_query = tl.exp2(slope2 * (BT - 1 - num_ring - o_n))
            b_o = tile_output(b_qt, b_k, b_vt, b_shadow, b_key, b_query, decay, num_ring, BN, PRECISION)
            o_o = o_n[:, None] * (H * D) + o_v[None, :]
            tl.store(p_o + o_o, tl.trans(b_o).to(p_o.dtype.element_ty), mask=m_n)
            m_t = ((o_t >= num_ring) & (o_t < num_ring + count))[:, None]
            if i_v == 0:
                tl.store(p_ring + o_t[:, None] * D + o_d[None, :], b_k, mask=m_t)
            tl.store(p_ring_v + o_t[:, None] * D + o_v[None, :], b_v, mask=m_t)
            if num_ring + count == BT:
                b_state = tile_state(b_k, b_vt, tl.load(p_state + o_state), b_key, decay, PRECISION)
                tl.store(p_state + o_state, b_state)
                tl.store(p_shadow + o_shadow, b_state.to(p_shadow.dtype.element_ty))
