"""Triton kernels of a decoding step's experts: routing, the two products of each expert, the sum over a token's.

A program of the products belongs to one expert and some of its rows of weights; it finds its tokens among the ids by
itself, so nothing is sorted, and is done at once where there are none. Sums run over whole rows in one order, whatever
the other tokens are. Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token, `X` pairs
of a token and an expert of it; `BM` pairs, `BN` rows of weights and `BK` columns of a tile.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor

BM, BN, BK = 16, 16, 256
ROUTE_ELEMENTS, SORT_BLOCK, SUM_BLOCK = 8192, 1024, 1024


@triton.jit
@no_type_check
def route_kernel(
    x, weight, bias, weights, expert_ids, stride_x, width, num_experts, scale,
    A: tl.constexpr, AP: tl.constexpr, E: tl.constexpr, BD: tl.constexpr,
    IS_SIGMOID: tl.constexpr, HAS_BIAS: tl.constexpr, RENORMALISE: tl.constexpr,
):  # fmt: skip
    """One token: scores of all experts in float32, and the A greatest of them, the first of equals first."""
    i_t = tl.program_id(0).to(tl.int64)
    o_e, o_a, o_block = tl.arange(0, E), tl.arange(0, AP), tl.arange(0, BD)
    b_sum = tl.zeros([E, BD], dtype=tl.float32)
    for i_d in range(0, width, BD):
        m_d = i_d + o_block < width
        b_x = tl.load(x + i_t * stride_x + i_d + o_block, mask=m_d, other=0.0).to(tl.float32)
        p_weight = weight + o_e[:, None] * width + (i_d + o_block)[None, :]
        b_weight = tl.load(p_weight, mask=(o_e < num_experts)[:, None] & m_d[None, :], other=0.0).to(tl.float32)
        b_sum += b_weight * b_x[None, :]
    b_logit = tl.where(o_e < num_experts, tl.sum(b_sum, axis=1), float("-inf"))
    if IS_SIGMOID:
        b_score = tl.where(o_e < num_experts, 1.0 / (1.0 + tl.exp(-b_logit)), 0.0)
    else:
        b_score = tl.exp(b_logit - tl.max(b_logit, axis=0))
        b_score = b_score / tl.sum(b_score, axis=0)
    b_choice = tl.where(o_e < num_experts, b_score, float("-inf"))
    if HAS_BIAS:
        b_choice += tl.load(bias + o_e, mask=o_e < num_experts, other=0.0)
    b_ids = tl.zeros([AP], dtype=tl.int32)
    b_kept = tl.zeros([AP], dtype=tl.float32)
    for i_a in tl.static_range(A):
        i_e = tl.min(tl.where(b_choice == tl.max(b_choice, axis=0), o_e, num_experts - 1), axis=0)
        b_ids = tl.where(o_a == i_a, i_e, b_ids)
        b_kept = tl.where(o_a == i_a, tl.sum(tl.where(o_e == i_e, b_score, 0.0), axis=0), b_kept)
        b_choice = tl.where(o_e == i_e, float("-inf"), b_choice)
    if RENORMALISE:
        b_kept = b_kept / (tl.sum(b_kept, axis=0) + (1e-20 if IS_SIGMOID else 0.0))
    tl.store(weights + i_t * A + o_a, b_kept * scale, mask=o_a < A)
    tl.store(expert_ids + i_t * A + o_a, b_ids.to(tl.int64), mask=o_a < A)


@triton.jit
@no_type_check
def own_pairs(expert_ids, i_e, num_pairs, X: tl.constexpr):
    """The places of one expert's pairs among its own, which pairs are its own, and how many."""
    o_x = tl.arange(0, X)
    b_own = tl.load(expert_ids + o_x, mask=o_x < num_pairs, other=-1).to(tl.int32) == i_e
    return tl.cumsum(b_own.to(tl.int32), axis=0) - 1, b_own, tl.sum(b_own.to(tl.int32), axis=0)


@triton.jit
@no_type_check
def find_pairs(b_rank, b_own, first, X: tl.constexpr, BM: tl.constexpr):
    """The pairs of one expert from its `first` on, and whether they exist."""
    o_m = first + tl.arange(0, BM)
    b_is = (b_rank[None, :] == o_m[:, None]) & b_own[None, :]
    o_x = tl.sum(tl.where(b_is, tl.arange(0, X)[None, :], 0), axis=1)
    return o_x, tl.sum(b_is.to(tl.int32), axis=1) > 0


@triton.jit
@no_type_check
def gate_up_kernel(
    x, w13, expert_ids, weights, h, stride_x, width, inner, num_pairs, num_blocks,
    A: tl.constexpr, X: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """BN columns of weight * silu(w1 x) * w3 x, for all pairs of one expert."""
    i_e = tl.program_id(0) // num_blocks
    b_rank, b_own, num_own = own_pairs(expert_ids, i_e, num_pairs, X)
    o_n = (tl.program_id(0) % num_blocks) * BN + tl.arange(0, BN)
    o_k = tl.arange(0, BK)
    m_n = o_n < inner
    p_gate = w13 + i_e.to(tl.int64) * (2 * inner * width) + o_n[None, :].to(tl.int64) * width
    p_up = p_gate + tl.cast(inner, tl.int64) * width
    for first in range(0, num_own, BM):
        o_pair, m_pair = find_pairs(b_rank, b_own, first, X, BM)
        p_x = x + (o_pair // A).to(tl.int64)[:, None] * stride_x
        b_gate, b_up = tl.zeros([BM, BN], dtype=tl.float32), tl.zeros([BM, BN], dtype=tl.float32)
        for i_k in range(0, width, BK):
            m_k = i_k + o_k < width
            b_x = tl.load(p_x + (i_k + o_k)[None, :], mask=m_pair[:, None] & m_k[None, :], other=0.0)
            m_w = m_k[:, None] & m_n[None, :]
            b_w1 = tl.load(p_gate + (i_k + o_k)[:, None], mask=m_w, other=0.0)
            b_w3 = tl.load(p_up + (i_k + o_k)[:, None], mask=m_w, other=0.0)
            b_gate = tl.dot(b_x, b_w1, b_gate, input_precision="ieee")
            b_up = tl.dot(b_x, b_w3, b_up, input_precision="ieee")
        b_weight = tl.load(weights + o_pair, mask=m_pair, other=0.0).to(tl.float32)
        b_h = b_gate * tl.sigmoid(b_gate) * b_up * b_weight[:, None]
        p_h = h + o_pair.to(tl.int64)[:, None] * inner + o_n[None, :]
        tl.store(p_h, b_h.to(h.dtype.element_ty), mask=m_pair[:, None] & m_n[None, :])


@triton.jit
@no_type_check
def down_kernel(
    h, w2, expert_ids, y, width, inner, num_pairs, num_blocks,
    X: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """BN columns of w2 h in float32, for all pairs of one expert."""
    i_e = tl.program_id(0) // num_blocks
    b_rank, b_own, num_own = own_pairs(expert_ids, i_e, num_pairs, X)
    o_n = (tl.program_id(0) % num_blocks) * BN + tl.arange(0, BN)
    o_k = tl.arange(0, BK)
    m_n = o_n < width
    p_w = w2 + i_e.to(tl.int64) * (width * inner) + o_n[None, :].to(tl.int64) * inner
    for first in range(0, num_own, BM):
        o_pair, m_pair = find_pairs(b_rank, b_own, first, X, BM)
        b_y = tl.zeros([BM, BN], dtype=tl.float32)
        for i_k in range(0, inner, BK):
            m_k = i_k + o_k < inner
            p_h = h + o_pair.to(tl.int64)[:, None] * inner + (i_k + o_k)[None, :]
            b_h = tl.load(p_h, mask=m_pair[:, None] & m_k[None, :], other=0.0)
            b_w = tl.load(p_w + (i_k + o_k)[:, None], mask=m_k[:, None] & m_n[None, :], other=0.0)
            b_y = tl.dot(b_h, b_w, b_y, input_precision="ieee")
        p_y = y + o_pair.to(tl.int64)[:, None] * width + o_n[None, :]
        tl.store(p_y, b_y, mask=m_pair[:, None] & m_n[None, :])


@triton.jit
@no_type_check
def sum_kernel(
    y, shared, out, stride_shared, width, num_blocks, A: tl.constexpr, HAS_SHARED: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """One block of one token: its experts' products in their order, in float32, and then the shared experts'."""
    i_t = (tl.program_id(0) // num_blocks).to(tl.int64)
    o_d = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    m_d = o_d < width
    b_sum = tl.zeros([BLOCK], dtype=tl.float32)
    for i_a in tl.static_range(A):
        b_sum += tl.load(y + (i_t * A + i_a) * width + o_d, mask=m_d, other=0.0)
    if HAS_SHARED:
        b_sum += tl.load(shared + i_t * stride_shared + o_d, mask=m_d, other=0.0).to(tl.float32)
    tl.store(out + i_t * width + o_d, b_sum.to(out.dtype.element_ty), mask=m_d)


@triton.jit
@no_type_check
def sort_kernel(expert_ids, order, inverse, ends, num_pairs, num_experts, BLOCK: tl.constexpr):
    """One expert: where its pairs come when all are sorted by expert, earlier pairs first. The last sorts what is none.

    Pairs of smaller experts are counted, not placed, so that no program waits for another.
    """
    i_e = tl.program_id(0)
    o_block = tl.arange(0, BLOCK)
    b_before = tl.zeros([BLOCK], dtype=tl.int32)
    for i_x in range(0, num_pairs, BLOCK):
        o_x = i_x + o_block
        b_id = tl.load(expert_ids + o_x, mask=o_x < num_pairs, other=num_experts).to(tl.int32)
        b_id = tl.where(b_id < 0, num_experts, b_id)
        b_before += (b_id < i_e).to(tl.int32)
    place = tl.sum(b_before, axis=0)
    for i_x in range(0, num_pairs, BLOCK):
        o_x = i_x + o_block
        b_id = tl.load(expert_ids + o_x, mask=o_x < num_pairs, other=num_experts).to(tl.int32)
        b_id = tl.minimum(tl.where(b_id < 0, num_experts, b_id), num_experts)
        b_own = (b_id == i_e) & (o_x < num_pairs)
        b_place = place + tl.cumsum(b_own.to(tl.int32), axis=0) - 1
        tl.store(inverse + o_x, b_place.to(tl.int64), mask=b_own)
        tl.store(order + b_place, o_x.to(tl.int64), mask=b_own)
        place += tl.sum(b_own.to(tl.int32), axis=0)
    tl.store(ends + i_e, place)


def route(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, per_token: int, is_sigmoid: bool, renormalise: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Returns the weights in float32 and the experts of each token; on CPU tensors only under the interpreter."""
    (num_tokens, width), num_experts = x.shape, len(weight)
    x = x if x.stride(1) == 1 else x.contiguous()
    weights = torch.empty((num_tokens, per_token), dtype=torch.float32, device=x.device)
    expert_ids = torch.empty((num_tokens, per_token), dtype=torch.int64, device=x.device)
    if num_tokens:
        padded = triton.next_power_of_2(num_experts)
        route_kernel[(num_tokens,)](
            x, weight.contiguous(), bias, weights, expert_ids, x.stride(0), width, num_experts, scale,
            A=per_token, AP=triton.next_power_of_2(per_token), E=padded,
            BD=min(triton.next_power_of_2(width), max(ROUTE_ELEMENTS // padded, 16)),
            IS_SIGMOID=is_sigmoid, HAS_BIAS=bias is not None, RENORMALISE=renormalise, num_warps=8,
        )  # fmt: skip
    return weights, expert_ids


def decode_experts(
    x: Tensor, w13: Tensor, w2: Tensor, expert_ids: Tensor, weights: Tensor, shared: Tensor | None
) -> Tensor:
    """Returns the experts' weighted sum, and `shared` added; on CPU tensors only under the interpreter."""
    num_experts, width, inner = w2.shape
    num_tokens, per_token = expert_ids.shape
    num_pairs = num_tokens * per_token
    x, expert_ids, weights = x if x.stride(1) == 1 else x.contiguous(), expert_ids.contiguous(), weights.contiguous()
    h = torch.empty((num_pairs, inner), dtype=x.dtype, device=x.device)
    y = torch.empty((num_pairs, width), dtype=torch.float32, device=x.device)
    out = torch.empty((num_tokens, width), dtype=x.dtype, device=x.device)
    if not num_tokens:
        return out
    padded = max(triton.next_power_of_2(num_pairs), 16)
    for_h, for_y = triton.cdiv(inner, BN), triton.cdiv(width, BN)
    gate_up_kernel[(num_experts * for_h,)](
        x, w13.contiguous(), expert_ids, weights, h, x.stride(0), width, inner, num_pairs, for_h,
        A=per_token, X=padded, BM=BM, BN=BN, BK=min(BK, max(triton.next_power_of_2(width), 16)),
        num_warps=4, num_stages=4,
    )  # fmt: skip
    down_kernel[(num_experts * for_y,)](
        h, w2.contiguous(), expert_ids, y, width, inner, num_pairs, for_y,
        X=padded, BM=BM, BN=BN, BK=min(BK, max(triton.next_power_of_2(inner), 16)), num_warps=4, num_stages=4,
    )  # fmt: skip
    if shared is not None and shared.stride(1) != 1:
        shared = shared.contiguous()
    block = min(triton.next_power_of_2(width), SUM_BLOCK)
    num_blocks = triton.cdiv(width, block)
    sum_kernel[(num_tokens * num_blocks,)](
        y, shared, out, 0 if shared is None else shared.stride(0), width, num_blocks,
        A=per_token, HAS_SHARED=shared is not None, BLOCK=block, num_warps=4,
    )  # fmt: skip
    return out


def sort_pairs(
    expert_ids: Int[Tensor, "T A"], num_experts: int
) -> tuple[Int[Tensor, "X"], Int[Tensor, "X"], Int[Tensor, "E"]]:
    """Returns the pairs' order by expert (stable), its inverse, and where each expert's end, the last as int32."""
    num_pairs = expert_ids.numel()
    order, inverse = (torch.empty(num_pairs, dtype=torch.int64, device=expert_ids.device) for _ in range(2))
    ends = torch.empty(num_experts + 1, dtype=torch.int32, device=expert_ids.device)
    sort_kernel[(num_experts + 1,)](
        expert_ids.contiguous(), order, inverse, ends, num_pairs, num_experts, BLOCK=SORT_BLOCK, num_warps=4
    )
    return order, inverse, ends[:-1]
