"""The tile program of lightning attention in Triton: what happens to one chunk of one head, and its scan over time.

Prefill, training and decoding call the same two functions, `tile_output` and `tile_state`, so that a token's output
does not depend on which of them computed it. The host side is `scan.py`; derivation, byte counts, and what was tried
and did not help are in README.md beside this file. Imported only where Triton runs: on CUDA, or under its interpreter.

Axes: `H` heads, `D` head width (keys and values alike), `BT` tokens of a chunk, `BV` columns of the state that one
program owns. The state is held transposed, `[BV, D]`: as left operand of a product it then stays in registers.
Prefixes: `b_` loaded block, `p_` pointer, `o_` offset, `m_` mask, `i_` index. `slope2` is s * log2(e): the hardware's
exponential has base 2. An item is one segment of a document, a row of `p_items` (columns: `plan.py`). Strides of
tensors are constants: few occur, and a launch then looks at half as many arguments.
"""

from typing import no_type_check

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
# States that weigh less than e^-25 = 1.4e-11, four digits below what float32 resolves, are not fetched.
CUTOFF2 = tl.constexpr(36.06737602222409)
ITEM = tl.constexpr(5)


@triton.jit
@no_type_check
def decay_tables(slope2, BT: tl.constexpr):
    """Returns b_j = e^(-s(BT-1-j)), its inverse, and e^(-s BT)."""
    o_j = BT - 1 - tl.arange(0, BT)
    return tl.exp2(-slope2 * o_j), tl.exp2(slope2 * o_j), tl.exp2(-slope2 * BT)


@triton.jit
@no_type_check
def tile_output(b_qt, b_k, b_vt, b_state, b_key, b_query, decay, i_first, BN: tl.constexpr, PRECISION: tl.constexpr):
    """Returns outputs `[BV, BN]` in float32 of BN queries, the first of which is token `i_first` of the chunk.

    O_i = (1/b_i) (e^(-s BT) S q_i + sum_(j<=i) b_j (k_j . q_i) v_j), which is the recurrence, since 1/b_i e^(-s BT) =
    e^(-s(i+1)) and b_j/b_i = e^(-s(i-j)). Scores and state enter products in the dtype of the inputs.
    """
    o_j = tl.arange(0, b_k.shape[0])
    o_i = i_first + tl.arange(0, BN)
    b_scores = tl.dot(b_k, b_qt, input_precision=PRECISION) * b_key[:, None]
    b_scores = tl.where(o_i[None, :] >= o_j[:, None], b_scores, 0.0).to(b_qt.dtype)
    b_o = tl.dot(b_state, b_qt, input_precision=PRECISION) * decay
    return tl.dot(b_vt, b_scores, b_o, input_precision=PRECISION) * b_query[None, :]


@triton.jit
@no_type_check
def tile_state(b_k, b_vt, b_state, b_key, decay, PRECISION: tl.constexpr):
    """Returns e^(-s BT) S + sum_j b_j v_j k_j^T, the transposed state after a chunk, in float32."""
    return tl.dot((b_vt * b_key[None, :]).to(b_k.dtype), b_k, b_state * decay, input_precision=PRECISION)


@triton.jit(do_not_specialize=["num_tokens", "piece_length"])
@no_type_check
def piece_kernel(
    p_k, p_v, p_slope, p_pieces, p_partial, num_tokens, piece_length,
    K_ROW: tl.constexpr, V_ROW: tl.constexpr, K_HEAD: tl.constexpr, V_HEAD: tl.constexpr,
    H: tl.constexpr, D: tl.constexpr, BT: tl.constexpr, BV: tl.constexpr, STAGES: tl.constexpr,
    PRECISION: tl.constexpr, IS_REVERSED: tl.constexpr,
):  # fmt: skip
    """Writes what each piece adds to the state at its end, `[pieces, H, D, D]` float32.

    Only the tokens that still weigh e^-25 where the next segment starts are read, and a piece without any is left
    unwritten: fast heads cost almost nothing. Columns of `p_pieces`: first token, tokens from its end to that start.
    """
    i_v = tl.program_id(0) % (D // BV)
    i_h = tl.program_id(0) // (D // BV) % H
    i_piece = tl.program_id(0) // (D // BV * H)
    slope2 = tl.load(p_slope + i_h) * LOG2E
    age = tl.load(p_pieces + i_piece * 2 + 1)
    reach = tl.minimum(1.0 / slope2 * CUTOFF2, 1.0e9).to(tl.int32)
    num_chunks = tl.minimum(piece_length // BT, (reach - age) // BT + 1)
    if slope2 * age >= CUTOFF2:
        return
    first = tl.load(p_pieces + i_piece * 2) + piece_length - num_chunks * BT
    k_row = K_ROW
    v_row = V_ROW
    if IS_REVERSED:
        first = num_tokens - 1 - first
        k_row = -K_ROW
        v_row = -V_ROW
    p_k += first.to(tl.int64) * K_ROW + i_h.to(tl.int64) * K_HEAD
    p_v += first.to(tl.int64) * V_ROW + i_h.to(tl.int64) * V_HEAD
    o_d = tl.arange(0, D)
    o_v = i_v * BV + tl.arange(0, BV)
    o_t = tl.arange(0, BT)[:, None]
    o_kt = o_t * k_row + o_d[None, :]
    o_vt = o_t * v_row + o_v[None, :]
    b_key, _, decay = decay_tables(slope2, BT)
    b_state = tl.zeros((BV, D), dtype=tl.float32)
    for _ in tl.range(0, num_chunks, num_stages=STAGES):
        b_k = tl.load(p_k + o_kt)
        b_vt = tl.trans(tl.load(p_v + o_vt))
        b_state = tile_state(b_k, b_vt, b_state, b_key, decay, PRECISION)
        p_k += BT * k_row
        p_v += BT * v_row
    p_partial += (i_piece.to(tl.int64) * H + i_h) * D * D
    tl.store(p_partial + o_v[:, None] + o_d[None, :] * D, b_state)


@triton.jit(do_not_specialize=["piece_length", "pieces_per_segment"])
@no_type_check
def fold_kernel(
    p_partial, p_initial, p_states, p_slope, p_documents, piece_length, pieces_per_segment,
    H: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, HAS_INITIAL: tl.constexpr,
):  # fmt: skip
    """Writes the state at the start of each segment, `[items, H, D, D]`, from what the pieces before it add.

    Columns of `p_documents`: document, its first item, its number of items, its first piece.
    """
    i_block = tl.program_id(0) % (D * D // BLOCK)
    i_h = tl.program_id(0) // (D * D // BLOCK) % H
    p_documents += tl.program_id(0) // (D * D // BLOCK * H) * 4
    i_item = tl.load(p_documents + 1)
    i_piece = tl.load(p_documents + 3)
    slope2 = tl.load(p_slope + i_h) * LOG2E
    decay = tl.exp2(-slope2 * piece_length)
    o_block = i_h * D * D + i_block * BLOCK + tl.arange(0, BLOCK)
    b_state = tl.zeros((BLOCK,), dtype=tl.float32)
    if HAS_INITIAL:
        b_state += tl.load(p_initial + tl.load(p_documents).to(tl.int64) * H * D * D + o_block)
    tl.store(p_states + i_item.to(tl.int64) * H * D * D + o_block, b_state)
    for i in tl.range(1, tl.load(p_documents + 2)):
        for j in tl.range(0, pieces_per_segment):
            is_written = slope2 * ((pieces_per_segment - 1 - j) * piece_length) < CUTOFF2
            p_piece = p_partial + i_piece.to(tl.int64) * H * D * D
            b_state = b_state * decay + tl.load(p_piece + o_block, mask=is_written, other=0.0)
            i_piece += 1
        tl.store(p_states + (i_item + i).to(tl.int64) * H * D * D + o_block, b_state)


@triton.jit
@no_type_check
def scan_segment(
    p_q, p_k, p_v, p_o, p_slope, p_items, p_initial, p_final, i_item, i_h, i_v, num_tokens,
    q_row, k_row, v_row, o_row, q_head, k_head, v_head, o_head, in_key, in_value, out_key, out_value,
    is_writer, H: tl.constexpr, D: tl.constexpr, BT: tl.constexpr, BV: tl.constexpr, STAGES: tl.constexpr,
    PRECISION: tl.constexpr, IS_REVERSED: tl.constexpr, HAS_INITIAL: tl.constexpr, HAS_FINAL: tl.constexpr,
    IS_SPLIT: tl.constexpr,
):  # fmt: skip
    """Writes the outputs of one segment, one head, BV columns; the state stays in registers from chunk to chunk.

    Reversed: time runs backwards, token t is row num_tokens - 1 - t. The initial state is the document's, or, where
    documents are split, the item's. `in_key`, `in_value` are the strides of a stored initial state, `out_key`,
    `out_value` those of the final one: equal in value, but one block of offsets shared by the load before and the store
    after the loop would live through it and spill.
    """
    i_document = tl.load(p_items + i_item * ITEM)
    start = tl.load(p_items + i_item * ITEM + 1)
    end = tl.load(p_items + i_item * ITEM + 2)
    slope2 = tl.load(p_slope + i_h) * LOG2E
    first = start
    if IS_REVERSED:
        first = num_tokens - 1 - start
    p_q += first.to(tl.int64) * q_row + i_h.to(tl.int64) * q_head
    p_k += first.to(tl.int64) * k_row + i_h.to(tl.int64) * k_head
    p_v += first.to(tl.int64) * v_row + i_h.to(tl.int64) * v_head
    p_o += first.to(tl.int64) * o_row + i_h.to(tl.int64) * o_head
    if IS_REVERSED:
        q_row = -q_row
        k_row = -k_row
        v_row = -v_row
        o_row = -o_row
    o_d = tl.arange(0, D)
    o_v = i_v * BV + tl.arange(0, BV)
    b_state = tl.zeros((BV, D), dtype=tl.float32)
    if HAS_INITIAL:
        i_state = i_document
        if IS_SPLIT:
            i_state = i_item
        p_initial += (i_state.to(tl.int64) * H + i_h) * D * D
        b_state += tl.load(p_initial + o_v[:, None] * in_value + o_d[None, :] * in_key)
    b_key, b_query, decay = decay_tables(slope2, BT)
    o_t = tl.arange(0, BT)
    o_qt = o_t[:, None] * q_row + o_d[None, :]
    o_kt = o_t[:, None] * k_row + o_d[None, :]
    o_vt = o_t[:, None] * v_row + o_v[None, :]
    o_ot = o_t[:, None] * o_row + o_v[None, :]
    for t in tl.range(0, end - start, BT, num_stages=STAGES):
        m_t = (o_t < end - start - t)[:, None]
        b_qt = tl.trans(tl.load(p_q + o_qt, mask=m_t, other=0.0))
        b_k = tl.load(p_k + o_kt, mask=m_t, other=0.0)
        b_vt = tl.trans(tl.load(p_v + o_vt, mask=m_t, other=0.0))
        b_o = tile_output(b_qt, b_k, b_vt, b_state.to(b_k.dtype), b_key, b_query, decay, 0, BT, PRECISION)
        b_state = tile_state(b_k, b_vt, b_state, b_key, decay, PRECISION)
        tl.store(p_o + o_ot, tl.trans(b_o).to(p_o.dtype.element_ty), mask=m_t)
        p_q += BT * q_row
        p_k += BT * k_row
        p_v += BT * v_row
        p_o += BT * o_row
    if HAS_FINAL:  # noqa: SIM102 - a constant first, so that nothing of it is compiled otherwise
        if (tl.load(p_items + i_item * ITEM + 3) == 1) & is_writer:
            # The padding of the last chunk aged the state too.
            b_state *= tl.exp2(slope2 * (tl.cdiv(end - start, BT) * BT - (end - start)))
            p_final += (i_document.to(tl.int64) * H + i_h) * D * D
            tl.store(p_final + o_v[:, None] * out_value + o_d[None, :] * out_key, b_state)


@triton.jit(do_not_specialize=["num_tokens"])
@no_type_check
def scan_kernel(
    p_q, p_k, p_v, p_o, p_slope, p_items, p_initial, p_final, num_tokens,
    in_row, out_row,
    Q_ROW: tl.constexpr, K_ROW: tl.constexpr, V_ROW: tl.constexpr, O_ROW: tl.constexpr,
    Q_HEAD: tl.constexpr, K_HEAD: tl.constexpr, V_HEAD: tl.constexpr, O_HEAD: tl.constexpr,
    H: tl.constexpr, D: tl.constexpr, BT: tl.constexpr, BV: tl.constexpr, STAGES: tl.constexpr,
    PRECISION: tl.constexpr, HAS_INITIAL: tl.constexpr, HAS_FINAL: tl.constexpr, IS_SPLIT: tl.constexpr,
    IS_TRANSPOSED: tl.constexpr,
):  # fmt: skip
    """Lightning attention of q, k, v: the forward pass, and the gradient of q as that of (do, v, k).

    Transposed: the stored states have keys and values swapped.
    """
    in_key, in_value, out_key, out_value = in_row, 1, out_row, 1
    if IS_TRANSPOSED:
        in_key, in_value, out_key, out_value = 1, in_row, 1, out_row
    i_v = tl.program_id(0) % (D // BV)
    i_h = tl.program_id(0) // (D // BV) % H
    i_item = tl.program_id(0) // (D // BV * H)
    scan_segment(
        p_q, p_k, p_v, p_o, p_slope, p_items, p_initial, p_final, i_item, i_h, i_v, num_tokens,
        Q_ROW, K_ROW, V_ROW, O_ROW, Q_HEAD, K_HEAD, V_HEAD, O_HEAD, in_key, in_value, out_key, out_value,
        True, H, D, BT, BV, STAGES, PRECISION, False, HAS_INITIAL, HAS_FINAL, IS_SPLIT,
    )  # fmt: skip


@triton.jit(do_not_specialize=["num_tokens"])
@no_type_check
def key_value_gradient_kernel(
    p_q, p_k, p_v, p_do, p_dk, p_dv, p_slope, p_items, p_initial, p_final, num_tokens,
    in_row, out_row,
    Q_ROW: tl.constexpr, K_ROW: tl.constexpr, V_ROW: tl.constexpr, DO_ROW: tl.constexpr, DK_ROW: tl.constexpr,
    DV_ROW: tl.constexpr, Q_HEAD: tl.constexpr, K_HEAD: tl.constexpr, V_HEAD: tl.constexpr, DO_HEAD: tl.constexpr,
    DK_HEAD: tl.constexpr, DV_HEAD: tl.constexpr,
    H: tl.constexpr, D: tl.constexpr, BT: tl.constexpr, BV: tl.constexpr, STAGES: tl.constexpr,
    PRECISION: tl.constexpr, HAS_INITIAL: tl.constexpr, HAS_FINAL: tl.constexpr, IS_SPLIT: tl.constexpr,
):  # fmt: skip
    """Gradients of k and v as two scans backwards in time, side by side so that q and do come from DRAM once.

    dv is the scan of (k, q, do), dk that of (v, do, q); their states are each other's transposes, R = sum q^T do.
    The role picks pointers and strides, so that there is one copy of the program.
    """
    i_v = tl.program_id(0) % (D // BV)
    is_dk = tl.program_id(0) // (D // BV) % 2 == 1
    i_h = tl.program_id(0) // (D // BV * 2) % H
    i_item = tl.program_id(0) // (D // BV * 2 * H)
    scan_segment(
        tl.where(is_dk, p_v, p_k), tl.where(is_dk, p_do, p_q), tl.where(is_dk, p_q, p_do), tl.where(is_dk, p_dk, p_dv),
        p_slope, p_items, p_initial, p_final, i_item, i_h, i_v, num_tokens,
        tl.where(is_dk, V_ROW, K_ROW), tl.where(is_dk, DO_ROW, Q_ROW),
        tl.where(is_dk, Q_ROW, DO_ROW), tl.where(is_dk, DK_ROW, DV_ROW),
        tl.where(is_dk, V_HEAD, K_HEAD), tl.where(is_dk, DO_HEAD, Q_HEAD),
        tl.where(is_dk, Q_HEAD, DO_HEAD), tl.where(is_dk, DK_HEAD, DV_HEAD),
        tl.where(is_dk, 1, in_row), tl.where(is_dk, in_row, 1),
        tl.where(is_dk, 1, out_row), tl.where(is_dk, out_row, 1),
        # Both know the state at the document's start, rounded differently: one of them writes it.
        is_dk == 0, H, D, BT, BV, STAGES, PRECISION, True, HAS_INITIAL, HAS_FINAL, IS_SPLIT,
    )  # fmt: skip
