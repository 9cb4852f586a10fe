"""The two Triton kernels of norm_gate. A program holds whole rows, so each pass reads its inputs once.

n = x * rstd with rstd = 1 / sqrt(mean(x^2) + eps), s = sigmoid(gate), y = s * w * n. With dn = dy * s * w:
    dx = rstd * (dn - n * mean(dn * n)),  dgate = dy * n * w * s * (1 - s),  dw = sum_t dy * s * n.
Only rstd is saved. Block axes: `W` columns of a row, padded to a power of two.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

# More elements per thread than this, and the registers end (checked by compiling for sm_90: no spills).
FORWARD_PER_THREAD, BACKWARD_PER_THREAD = 32, 16
# Two rows are on their way from memory while one is worked on: 96 KiB of shared memory at width 8192 in bfloat16.
BACKWARD_STAGES = 3
NUM_PARTIALS_MAX = 264
"""Partial sums of the weight's gradient; a constant, not the card's size, so that the order of sums is T's alone."""


@triton.jit
@no_type_check
def forward_kernel(x, gate, weight, y, rstd, stride_x, stride_gate, eps, width, W: tl.constexpr):
    """One row: y and rstd."""
    i_t = tl.program_id(0).to(tl.int64)
    o_w = tl.arange(0, W)
    m_w = o_w < width
    b_x = tl.load(x + i_t * stride_x + o_w, mask=m_w, other=0.0).to(tl.float32)
    b_gate = tl.load(gate + i_t * stride_gate + o_w, mask=m_w, other=0.0).to(tl.float32)
    b_weight = tl.load(weight + o_w, mask=m_w, other=0.0).to(tl.float32)
    b_rstd = 1.0 / tl.sqrt(tl.sum(b_x * b_x, axis=0) / width + eps)
    tl.store(rstd + i_t, b_rstd)
    b_y = tl.sigmoid(b_gate) * (b_x * b_rstd * b_weight)
    tl.store(y + i_t * width + o_w, b_y.to(y.dtype.element_ty), mask=m_w)


@triton.jit
@no_type_check
def backward_kernel(
    x, gate, weight, rstd, dy, dx, dgate, dweight_partial,
    stride_x, stride_gate, stride_dy, num_rows, rows_per_program, width, W: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """A run of rows: dx, dgate, and the sum of dw over the run as one float32 row of `dweight_partial`."""
    i_p = tl.program_id(0).to(tl.int64)
    o_w = tl.arange(0, W)
    m_w = o_w < width
    b_weight = tl.load(weight + o_w, mask=m_w, other=0.0).to(tl.float32)
    b_dweight = tl.zeros([W], dtype=tl.float32)
    first = i_p * rows_per_program
    last = tl.minimum(first + rows_per_program, num_rows)
    for i_t in tl.range(first, last, num_stages=STAGES):
        b_x = tl.load(x + i_t * stride_x + o_w, mask=m_w, other=0.0).to(tl.float32)
        b_gate = tl.load(gate + i_t * stride_gate + o_w, mask=m_w, other=0.0).to(tl.float32)
        b_dy = tl.load(dy + i_t * stride_dy + o_w, mask=m_w, other=0.0).to(tl.float32)
        b_rstd = tl.load(rstd + i_t)
        b_n = b_x * b_rstd
        b_s = tl.sigmoid(b_gate)
        b_dys = b_dy * b_s
        b_dweight += b_dys * b_n
        b_dn = b_dys * b_weight
        b_dot = tl.sum(b_dn * b_n, axis=0) / width
        tl.store(dx + i_t * width + o_w, (b_rstd * (b_dn - b_n * b_dot)).to(dx.dtype.element_ty), mask=m_w)
        tl.store(dgate + i_t * width + o_w, (b_dn * b_n * (1.0 - b_s)).to(dgate.dtype.element_ty), mask=m_w)
    tl.store(dweight_partial + i_p * width + o_w, b_dweight, mask=m_w)


def num_warps(width: int, *, per_thread: int) -> int:
    """Returns the warps of a program that holds a row of `width` at about `per_thread` elements per thread."""
    return min(max(triton.next_power_of_2(width) // (32 * per_thread), 1), 16)


def dense_rows(x: Tensor) -> Tensor:
    """Returns x, or a copy of it if neighbours within a row are apart in memory."""
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def forward(
    x: Float[Tensor, "T W"], gate: Float[Tensor, "T W"], weight: Float[Tensor, "W"], eps: float
) -> tuple[Float[Tensor, "T W"], Float[Tensor, "T"]]:
    """Returns y and rstd."""
    (num_rows, width), (x, gate) = x.shape, (dense_rows(x), dense_rows(gate))
    y = torch.empty((num_rows, width), dtype=x.dtype, device=x.device)
    rstd = torch.empty(num_rows, dtype=torch.float32, device=x.device)
    if y.numel():
        forward_kernel[(num_rows,)](
            x, gate, weight.contiguous(), y, rstd, x.stride(0), gate.stride(0), float(eps), width,
            W=triton.next_power_of_2(width), num_warps=num_warps(width, per_thread=FORWARD_PER_THREAD),
        )  # fmt: skip
    return y, rstd


def backward(
    x: Float[Tensor, "T W"],
    gate: Float[Tensor, "T W"],
    weight: Float[Tensor, "W"],
    rstd: Float[Tensor, "T"],
    dy: Float[Tensor, "T W"],
) -> tuple[Float[Tensor, "T W"], Float[Tensor, "T W"], Float[Tensor, "W"]]:
    """Returns dx, dgate and dweight, in the dtypes of x, gate and weight."""
    (num_rows, width), (x, gate, dy) = x.shape, (dense_rows(x), dense_rows(gate), dense_rows(dy))
    dx, dgate = (torch.empty((num_rows, width), dtype=t.dtype, device=x.device) for t in (x, gate))
    if not dx.numel():
        return dx, dgate, torch.zeros_like(weight)
    rows_per_program = triton.cdiv(num_rows, NUM_PARTIALS_MAX)
    num_programs = triton.cdiv(num_rows, rows_per_program)
    partial = torch.empty((num_programs, width), dtype=torch.float32, device=x.device)
    backward_kernel[(num_programs,)](
        x, gate, weight.contiguous(), rstd, dy, dx, dgate, partial,
        x.stride(0), gate.stride(0), dy.stride(0), num_rows, rows_per_program, width,
        W=triton.next_power_of_2(width), STAGES=BACKWARD_STAGES,
        num_warps=num_warps(width, per_thread=BACKWARD_PER_THREAD),
    )  # fmt: skip
    return dx, dgate, partial.sum(0).to(weight.dtype)


class _NormGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gate, weight, eps):  # type: ignore[no-untyped-def]
        y, rstd = forward(x, gate, weight, eps)
        ctx.save_for_backward(x, gate, weight, rstd)
        return y

    @staticmethod
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        x, gate, weight, rstd = ctx.saved_tensors
        return *backward(x, gate, weight, rstd, dy), None


def norm_gate_triton(
    x: Float[Tensor, "T W"], gate: Float[Tensor, "T W"], weight: Float[Tensor, "W"], eps: float
) -> Float[Tensor, "T W"]:
    """Returns norm_gate through the kernels above; on CPU tensors only under Triton's interpreter."""
    return _NormGate.apply(x, gate, weight, eps)
