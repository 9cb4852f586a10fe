"""The Triton kernels of add_norm, each element read once: forward one row a program, backward some rows.

With x the stream, r = 1 / rms(x), w the norm's weight and dn, ds the gradients of normed and stream:
dx = ds + r (w dn - x r^2 mean(w dn x)),  d_residual = alpha dx,  d_branch = beta dx,  dw = sum over rows of dn x r.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from fulmen.kernels import launch

PER_THREAD = 8
"""Elements of a thread; few, since a decoding step has few rows and waits for each of them."""
PROGRAMS_MAX = 1056
"""Programs of the backward pass, each with a row of the weight's gradient to add up."""


@triton.jit
@no_type_check
def add_norm_kernel(
    residual, branch, weight, stream, normed,
    WIDTH: tl.constexpr, W: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr, EPS: tl.constexpr,
    HAS_BRANCH: tl.constexpr,
):  # fmt: skip
    """One row; products and sum are rounded to the rows' dtype, as torch's separate kernels round them."""
    i_t = tl.program_id(0).to(tl.int64)
    o_w = tl.arange(0, W)
    m_w = o_w < WIDTH
    b_x = tl.load(residual + i_t * WIDTH + o_w, mask=m_w, other=0.0)
    b_weight = tl.load(weight + o_w, mask=m_w, other=0.0).to(tl.float32)
    dtype = residual.dtype.element_ty
    if HAS_BRANCH:
        b_branch = tl.load(branch + i_t * WIDTH + o_w, mask=m_w, other=0.0)
        b_x = (b_x.to(tl.float32) * ALPHA).to(dtype).to(tl.float32)
        b_branch = (b_branch.to(tl.float32) * BETA).to(dtype).to(tl.float32)
        b_x = (b_x + b_branch).to(dtype)
        tl.store(stream + i_t * WIDTH + o_w, b_x, mask=m_w)
    b_x = b_x.to(tl.float32)
    b_rstd = 1.0 / tl.sqrt(tl.sum(b_x * b_x, axis=0) / WIDTH + EPS)
    tl.store(normed + i_t * WIDTH + o_w, (b_x * b_rstd * b_weight).to(dtype), mask=m_w)


@triton.jit
@no_type_check
def add_norm_backward_kernel(
    stream, weight, d_stream, d_normed, d_residual, d_branch, d_weight, num_rows, rows_per_program,
    WIDTH: tl.constexpr, W: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr, EPS: tl.constexpr,
    HAS_D_STREAM: tl.constexpr, HAS_D_BRANCH: tl.constexpr,
):  # fmt: skip
    """Some rows one after the other; their share of the weight's gradient becomes one row of `d_weight`."""
    i_program = tl.program_id(0).to(tl.int64)
    o_w = tl.arange(0, W)
    m_w = o_w < WIDTH
    b_weight = tl.load(weight + o_w, mask=m_w, other=0.0).to(tl.float32)
    b_d_weight = tl.zeros([W], dtype=tl.float32)
    first = i_program * rows_per_program
    dtype = stream.dtype.element_ty
    for i_t in range(first, tl.minimum(first + rows_per_program, num_rows)):
        b_x = tl.load(stream + i_t * WIDTH + o_w, mask=m_w, other=0.0).to(tl.float32)
        b_d = tl.load(d_normed + i_t * WIDTH + o_w, mask=m_w, other=0.0).to(tl.float32)
        b_rstd = 1.0 / tl.sqrt(tl.sum(b_x * b_x, axis=0) / WIDTH + EPS)
        b_x *= b_rstd
        b_d_weight += b_d * b_x
        b_d *= b_weight
        b_d = b_rstd * (b_d - b_x * (tl.sum(b_d * b_x, axis=0) / WIDTH))
        if HAS_D_STREAM:
            b_d += tl.load(d_stream + i_t * WIDTH + o_w, mask=m_w, other=0.0).to(tl.float32)
        tl.store(d_residual + i_t * WIDTH + o_w, (ALPHA * b_d).to(dtype), mask=m_w)
        if HAS_D_BRANCH:
            tl.store(d_branch + i_t * WIDTH + o_w, (BETA * b_d).to(dtype), mask=m_w)
    tl.store(d_weight + i_program * WIDTH + o_w, b_d_weight, mask=m_w)


def add_norm_backward(
    stream: Float[Tensor, "T D"],
    weight: Float[Tensor, "D"],
    d_stream: Float[Tensor, "T D"] | None,
    d_normed: Float[Tensor, "T D"],
    *,
    alpha: float,
    beta: float,
    eps: float,
    has_branch: bool,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Returns the gradients of residual, branch (the residual's own tensor where alpha is beta) and weight.

    Deterministic: rows are added up in a fixed order.
    """
    num_rows, width = stream.shape
    d_residual = torch.empty_like(stream)
    is_shared = alpha == beta or not has_branch
    d_branch = None if is_shared else torch.empty_like(stream)
    if not num_rows:
        return d_residual, d_residual if has_branch and is_shared else d_branch, torch.zeros_like(weight)
    rows_per_program = triton.cdiv(num_rows, PROGRAMS_MAX)
    num_programs = triton.cdiv(num_rows, rows_per_program)
    parts = torch.empty(num_programs, width, dtype=torch.float32, device=stream.device)
    padded = triton.next_power_of_2(width)
    add_norm_backward_kernel[(num_programs,)](
        stream, weight, None if d_stream is None else launch.aligned(d_stream), launch.aligned(d_normed),
        d_residual, d_branch, parts, num_rows, rows_per_program, width, padded,
        float(alpha) if has_branch else 1.0, float(beta), float(eps), d_stream is not None, d_branch is not None,
        num_warps=min(max(padded // (32 * PER_THREAD), 1), 16),
    )  # fmt: skip
    return d_residual, d_residual if has_branch and is_shared else d_branch, parts.sum(0).to(weight.dtype)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, residual, branch, weight, alpha, beta, eps):  # type: ignore[no-untyped-def]
        stream, normed = add_norm_triton(residual, branch, weight, alpha, beta, eps)
        ctx.save_for_backward(stream, weight)
        ctx.settings, ctx.has_branch = {"alpha": alpha, "beta": beta, "eps": eps}, branch is not None
        ctx.set_materialize_grads(False)
        return (stream, normed) if branch is not None else normed

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):  # type: ignore[no-untyped-def]
        stream, weight = ctx.saved_tensors
        d_stream, d_normed = gradients if ctx.has_branch else (None, *gradients)
        if d_normed is None:
            d_normed = torch.zeros_like(stream)
        return *add_norm_backward(
            stream, weight, d_stream, d_normed, has_branch=ctx.has_branch, **ctx.settings
        ), None, None, None  # fmt: skip


def add_norm_with_gradients(
    residual: Float[Tensor, "T D"],
    branch: Float[Tensor, "T D"] | None,
    weight: Float[Tensor, "D"],
    alpha: float,
    beta: float,
    eps: float,
) -> tuple[Float[Tensor, "T D"], Float[Tensor, "T D"]]:
    """Returns what `add_norm_triton` does, differentiably; saved are the stream and the weight."""
    if branch is None:
        return residual, _AddNorm.apply(residual, None, weight, alpha, beta, eps)
    stream, normed = _AddNorm.apply(residual, branch, weight, alpha, beta, eps)
    return stream, normed


def add_norm_triton(
    residual: Float[Tensor, "T D"],
    branch: Float[Tensor, "T D"] | None,
    weight: Float[Tensor, "D"],
    alpha: float,
    beta: float,
    eps: float,
) -> tuple[Float[Tensor, "T D"], Float[Tensor, "T D"]]:
    """Returns stream and normed; on CPU tensors only under Triton's interpreter. No gradient."""
    (num_rows, width), residual, weight = residual.shape, launch.aligned(residual), launch.aligned(weight)
    normed = torch.empty_like(residual)
    stream = residual if branch is None else torch.empty_like(residual)
    if num_rows:
        padded = triton.next_power_of_2(width)
        launch.run(
            add_norm_kernel, num_rows, min(max(padded // (32 * PER_THREAD), 1), 16), 1,
            (residual, None if branch is None else launch.aligned(branch), weight, stream, normed),
            (width, padded, float(alpha), float(beta), float(eps), branch is not None),
            is_contracted=False,
        )  # fmt: skip
    return stream, normed
