"""The three Triton kernels of experts_decode.py.

Block axes: `BT` tokens, all of them; `BE` experts, `BA` choices of a token, all of them; `BF` columns of an expert's
middle, `BD` of the model's width, `BK` of the axis that is summed over.
"""

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

ROUTE_ELEMENTS = 8192
"""Of the router's weight that a program holds at once."""
NOBODY = tl.constexpr(1 << 30)


@triton.jit
@no_type_check
def route_kernel(
    x, weight, bias, ids, weights, stride_x, n_experts, width, scale,
    A: tl.constexpr, BE: tl.constexpr, BK: tl.constexpr, BA: tl.constexpr,
    IS_SIGMOID: tl.constexpr, IS_RENORMALISED: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One token: logits, p, and the best one after another."""
    i_t = tl.program_id(0).to(tl.int64)
    o_e, o_k, o_a = tl.arange(0, BE), tl.arange(0, BK), tl.arange(0, BA)
    m_e = o_e < n_experts
    b_sums = tl.zeros([BE, BK], dtype=tl.float32)
    for i_k in tl.range(0, width, BK, num_stages=STAGES):
        m_k = i_k + o_k < width
        b_x = tl.load(x + i_t * stride_x + i_k + o_k, mask=m_k, other=0.0).to(tl.float32)
        p_weight = weight + o_e[:, None] * width + i_k + o_k[None, :]
        b_weight = tl.load(p_weight, mask=m_e[:, None] & m_k[None, :], other=0.0).to(tl.float32)
        b_sums += b_weight * b_x[None, :]
    b_logits = tl.where(m_e, tl.sum(b_sums, axis=1), float("-inf"))
    if IS_SIGMOID:
        b_p = tl.where(m_e, tl.sigmoid(b_logits), 0.0)
    else:
        b_p = tl.exp(b_logits - tl.max(b_logits, axis=0))
        b_p = b_p / tl.sum(b_p, axis=0)
    b_choice = b_p
    if bias is not None:
        b_choice += tl.load(bias + o_e, mask=m_e, other=0.0).to(tl.float32)
    b_choice = tl.where(m_e, b_choice, float("-inf"))
    b_ids = tl.zeros([BA], dtype=tl.int32)
    b_kept = tl.zeros([BA], dtype=tl.float32)
    for i_a in tl.static_range(A):
        # Where there is no number, any expert will do, but it must exist.
        best = tl.minimum(tl.argmax(b_choice, axis=0), n_experts - 1)
        b_ids = tl.where(o_a == i_a, best, b_ids)
        b_kept = tl.where(o_a == i_a, tl.sum(tl.where(o_e == best, b_p, 0.0), axis=0), b_kept)
        b_choice = tl.where(o_e == best, float("-inf"), b_choice)
    if IS_RENORMALISED:
        total = tl.sum(b_kept, axis=0)
        b_kept = b_kept / (total + 1e-20 if IS_SIGMOID else total)
    tl.store(ids + i_t * A + o_a, b_ids.to(tl.int64), mask=o_a < A)
    tl.store(weights + i_t * A + o_a, b_kept * scale, mask=o_a < A)


@triton.jit
@no_type_check
def middle_kernel(
    x, w13, ids, weights, middle, stride_x, n_tokens, width, inner,
    A: tl.constexpr, BA: tl.constexpr, BT: tl.constexpr, BF: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """weight * silu(w1 x) * w3 x of one expert, for some columns and the tokens that chose it."""
    i_f, i_e = tl.program_id(0), tl.program_id(1)
    o_t, o_a, o_k = tl.arange(0, BT), tl.arange(0, BA), tl.arange(0, BK)
    m_t = o_t < n_tokens
    m_ta = m_t[:, None] & (o_a < A)[None, :]
    b_is_own = tl.load(ids + o_t[:, None] * A + o_a[None, :], mask=m_ta, other=-1) == i_e
    b_is_own_t = tl.max(b_is_own.to(tl.int32), axis=1) > 0
    if tl.max(b_is_own_t.to(tl.int32), axis=0) > 0:
        o_f = i_f * BF + tl.arange(0, BF)
        m_f = o_f < inner
        p_x = x + o_t.to(tl.int64)[:, None] * stride_x + o_k[None, :]
        p_w1 = w13 + (i_e.to(tl.int64) * (2 * inner) + tl.minimum(o_f, inner - 1)[None, :]) * width + o_k[:, None]
        p_w3 = p_w1 + inner.to(tl.int64) * width
        b_gate, b_up = tl.zeros([BT, BF], dtype=tl.float32), tl.zeros([BT, BF], dtype=tl.float32)
        for i_k in range(0, width, BK):
            b_x = tl.load(p_x + i_k, mask=m_t[:, None], other=0.0)
            b_gate = tl.dot(b_x, tl.load(p_w1 + i_k), b_gate, input_precision="ieee")
            b_up = tl.dot(b_x, tl.load(p_w3 + i_k), b_up, input_precision="ieee")
        dtype = middle.dtype.element_ty
        b_gate, b_up = b_gate.to(dtype).to(tl.float32), b_up.to(dtype).to(tl.float32)
        b_weight = tl.sum(tl.where(b_is_own, tl.load(weights + o_t[:, None] * A + o_a[None, :], mask=m_ta), 0.0), 1)
        o_p = o_t * A + tl.sum(tl.where(b_is_own, o_a[None, :], 0), axis=1)
        b_middle = b_gate * tl.sigmoid(b_gate) * b_up * b_weight[:, None]
        p_middle = middle + o_p.to(tl.int64)[:, None] * inner + o_f[None, :]
        tl.store(p_middle, b_middle.to(dtype), mask=b_is_own_t[:, None] & m_f[None, :])


@triton.jit
@no_type_check
def output_kernel(
    middle, w2, ids, base, output, n_tokens, width, inner, stride_base,
    A: tl.constexpr, BA: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Some columns of the output for all tokens: one chosen expert after another, in the order of their numbers."""
    o_t, o_a, o_k = tl.arange(0, BT), tl.arange(0, BA), tl.arange(0, BK)
    o_d = tl.program_id(0) * BD + tl.arange(0, BD)
    m_t, m_d = o_t < n_tokens, o_d < width
    m_ta = m_t[:, None] & (o_a < A)[None, :]
    b_ids = tl.load(ids + o_t[:, None] * A + o_a[None, :], mask=m_ta, other=NOBODY).to(tl.int32)
    p_w2 = w2 + tl.minimum(o_d, width - 1).to(tl.int64)[None, :] * inner + o_k[:, None]
    dtype = output.dtype.element_ty
    b_output = tl.zeros([BT, BD], dtype=tl.float32)
    i_e = tl.min(tl.min(b_ids, axis=1), axis=0)
    while i_e < NOBODY:
        b_is_own = b_ids == i_e
        m_own = tl.max(b_is_own.to(tl.int32), axis=1) > 0
        o_p = o_t * A + tl.sum(tl.where(b_is_own, o_a[None, :], 0), axis=1)
        p_middle = middle + o_p.to(tl.int64)[:, None] * inner + o_k[None, :]
        p_expert = p_w2 + i_e.to(tl.int64) * width * inner
        b_product = tl.zeros([BT, BD], dtype=tl.float32)
        for i_k in range(0, inner, BK):
            b_middle = tl.load(p_middle + i_k, mask=m_own[:, None], other=0.0)
            b_product = tl.dot(b_middle, tl.load(p_expert + i_k), b_product, input_precision="ieee")
        b_output += b_product.to(dtype).to(tl.float32)
        i_e = tl.min(tl.min(tl.where(b_ids > i_e, b_ids, NOBODY), axis=1), axis=0)
    m_out = m_t[:, None] & m_d[None, :]
    b_output = b_output.to(dtype)
    if base is not None:
        b_output += tl.load(base + o_t.to(tl.int64)[:, None] * stride_base + o_d[None, :], mask=m_out, other=0.0)
    tl.store(output + o_t.to(tl.int64)[:, None] * width + o_d[None, :], b_output, mask=m_out)


def route_triton(
    x: Float[Tensor, "T D"],
    weight: Float[Tensor, "E D"],
    bias: Float[Tensor, "E"] | None,
    *,
    per_token: int,
    is_sigmoid: bool,
    is_renormalised: bool,
    scale: float,
) -> tuple[Int[Tensor, "T A"], Float[Tensor, "T A"]]:
    """Returns ids and weights; on CPU tensors only under Triton's interpreter."""
    (n_tokens, width), n_experts = x.shape, len(weight)
    ids = torch.empty(n_tokens, per_token, dtype=torch.int64, device=x.device)
    weights = torch.empty(n_tokens, per_token, dtype=torch.float32, device=x.device)
    be = max(triton.next_power_of_2(n_experts), 2)
    bk = min(triton.next_power_of_2(width), max(ROUTE_ELEMENTS // be, 16), 1024)
    route_kernel[(n_tokens,)](
        x, weight, bias, ids, weights, x.stride(0), n_experts, width, float(scale),
        A=per_token, BE=be, BK=bk, BA=triton.next_power_of_2(per_token),
        IS_SIGMOID=is_sigmoid, IS_RENORMALISED=is_renormalised, STAGES=3, num_warps=8,
    )  # fmt: skip
    return ids, weights


def decode_mlp_triton(
    x: Float[Tensor, "T D"],
    w13: Float[Tensor, "E F2 D"],
    w2: Float[Tensor, "E D F"],
    expert_ids: Int[Tensor, "T A"],
    weights: Float[Tensor, "T A"],
    base: Float[Tensor, "T D"] | None,
) -> Float[Tensor, "T D"]:
    """Returns the weighted sum over experts; on CPU tensors only under Triton's interpreter."""
    (n_experts, width, inner), (n_tokens, per_token) = w2.shape, expert_ids.shape
    middle = torch.empty(n_tokens * per_token, inner, dtype=x.dtype, device=x.device)
    output = torch.empty(n_tokens, width, dtype=x.dtype, device=x.device)
    bt, ba = max(triton.next_power_of_2(n_tokens), 16), triton.next_power_of_2(per_token)
    bf = 16 if bt == 16 else 32
    middle_kernel[(triton.cdiv(inner, bf), n_experts)](
        x, w13, expert_ids, weights, middle, x.stride(0), n_tokens, width, inner,
        A=per_token, BA=ba, BT=bt, BF=bf, BK=math.gcd(width, 128), num_warps=4, num_stages=4,
    )  # fmt: skip
    bd = 16 if width <= 4096 else 32
    output_kernel[(triton.cdiv(width, bd),)](
        middle, w2, expert_ids, base, output, n_tokens, width, inner, 0 if base is None else base.stride(0),
        A=per_token, BA=ba, BT=bt, BD=bd, BK=math.gcd(inner, 256), num_warps=4, num_stages=4,
    )  # fmt: skip
    return output
