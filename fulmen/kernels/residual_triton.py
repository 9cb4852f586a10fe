"""The Triton kernel of add_norm: one row a program, each element read once."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from fulmen.kernels import launch

PER_THREAD = 8
"""Elements of a thread; few, since a decoding step has few rows and waits for each of them."""


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
