"""The two Triton kernels of swiglu and weighted_swiglu: y = w * silu(g) * u, each element read once.

With s = sigmoid(g): du = dy w g s,  dg = dy w u s (1 + g (1 - s)),  dw = sum over the row of dy g s u.
Without weights w is 1 and has no gradient.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

BLOCK_MAX = 2048
NUM_WARPS = 4


@triton.jit
@no_type_check
def forward_kernel(gate_up, weight, y, stride_x, width, num_blocks, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr):
    """One block of one row."""
    i_x = (tl.program_id(0) // num_blocks).to(tl.int64)
    o_f = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    m_f = o_f < width
    p_gate = gate_up + i_x * stride_x + o_f
    b_gate = tl.load(p_gate, mask=m_f, other=0.0).to(tl.float32)
    b_up = tl.load(p_gate + width, mask=m_f, other=0.0).to(tl.float32)
    b_y = b_gate * tl.sigmoid(b_gate) * b_up
    if HAS_WEIGHT:
        b_y *= tl.load(weight + i_x).to(tl.float32)
    tl.store(y + i_x * width + o_f, b_y.to(y.dtype.element_ty), mask=m_f)


@triton.jit
@no_type_check
def backward_kernel(
    gate_up, weight, dy, d_gate_up, d_weight, stride_x, stride_dy, width, HAS_WEIGHT: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """One row, block by block, so that its weight's gradient is one sum."""
    i_x = tl.program_id(0).to(tl.int64)
    b_sum = tl.zeros([BLOCK], dtype=tl.float32)
    b_weight = tl.load(weight + i_x).to(tl.float32) if HAS_WEIGHT else 1.0
    for i_f in range(0, width, BLOCK):
        o_f = i_f + tl.arange(0, BLOCK)
        m_f = o_f < width
        p_gate = gate_up + i_x * stride_x + o_f
        b_gate = tl.load(p_gate, mask=m_f, other=0.0).to(tl.float32)
        b_up = tl.load(p_gate + width, mask=m_f, other=0.0).to(tl.float32)
        b_dy = tl.load(dy + i_x * stride_dy + o_f, mask=m_f, other=0.0).to(tl.float32)
        b_s = tl.sigmoid(b_gate)
        b_silu = b_gate * b_s
        if HAS_WEIGHT:
            b_sum += b_dy * b_silu * b_up
            b_dy *= b_weight
        p_d_gate = d_gate_up + i_x * (2 * width) + o_f
        b_d_gate = b_dy * b_up * b_s * (1.0 + b_gate * (1.0 - b_s))
        tl.store(p_d_gate, b_d_gate.to(d_gate_up.dtype.element_ty), mask=m_f)
        tl.store(p_d_gate + width, (b_dy * b_silu).to(d_gate_up.dtype.element_ty), mask=m_f)
    if HAS_WEIGHT:
        tl.store(d_weight + i_x, tl.sum(b_sum, axis=0).to(d_weight.dtype.element_ty))


def forward(gate_up: Float[Tensor, "X F2"], weight: Float[Tensor, "X"] | None) -> Float[Tensor, "X F"]:
    """Returns y; rows of `gate_up` may lie apart."""
    num_rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    y = torch.empty((num_rows, width), dtype=gate_up.dtype, device=gate_up.device)
    if y.numel():
        block = min(triton.next_power_of_2(width), BLOCK_MAX)
        num_blocks = triton.cdiv(width, block)
        forward_kernel[(num_rows * num_blocks,)](
            gate_up, weight, y, gate_up.stride(0), width, num_blocks,
            HAS_WEIGHT=weight is not None, BLOCK=block, num_warps=NUM_WARPS,
        )  # fmt: skip
    return y


def backward(
    gate_up: Float[Tensor, "X F2"], weight: Float[Tensor, "X"] | None, dy: Float[Tensor, "X F"]
) -> tuple[Float[Tensor, "X F2"], Float[Tensor, "X"] | None]:
    """Returns the gradients of `gate_up` and `weight`, in their dtypes."""
    num_rows, width = dy.shape
    d_gate_up = torch.empty((num_rows, 2 * width), dtype=gate_up.dtype, device=gate_up.device)
    d_weight = None if weight is None else torch.empty_like(weight)
    if not dy.numel():
        return d_gate_up.zero_(), None if d_weight is None else d_weight.zero_()
    backward_kernel[(num_rows,)](
        gate_up, weight, dy, d_gate_up, d_weight, gate_up.stride(0), dy.stride(0), width,
        HAS_WEIGHT=weight is not None, BLOCK=min(triton.next_power_of_2(width), BLOCK_MAX), num_warps=NUM_WARPS,
    )  # fmt: skip
    return d_gate_up, d_weight


class _Swiglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate_up, weight):  # type: ignore[no-untyped-def]
        gate_up = gate_up if gate_up.stride(1) == 1 else gate_up.contiguous()
        weight = None if weight is None else weight.contiguous()
        ctx.save_for_backward(gate_up, weight)
        return forward(gate_up, weight)

    @staticmethod
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        gate_up, weight = ctx.saved_tensors
        return backward(gate_up, weight, dy if dy.stride(1) == 1 else dy.contiguous())


def weighted_swiglu_triton(gate_up: Float[Tensor, "X F2"], weight: Float[Tensor, "X"]) -> Float[Tensor, "X F"]:
    """Returns weighted_swiglu through the kernels above; on CPU tensors only under Triton's interpreter."""
    return _Swiglu.apply(gate_up, weight)


def swiglu_triton(gate_up: Float[Tensor, "X F2"]) -> Float[Tensor, "X F"]:
    """Returns swiglu through the same kernels."""
    return _Swiglu.apply(gate_up, None)
