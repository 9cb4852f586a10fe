"""The Triton kernel of `linear.py`: a matrix times very few vectors. Axes: `T` rows, `D` input width, `N` output."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from fulmen.kernels.launch import run
from fulmen.kernels.lightning.scan import on_device

PROGRAMS = 264
"""Programs that keep the memory of a large GPU busy: two on each of 132 multiprocessors."""
TILE = 2048
"""Elements of the weight that a program holds at once."""


@triton.jit
@no_type_check
def linear_kernel(
    p_x, p_w, p_y,
    x_row: tl.constexpr, T: tl.constexpr, N: tl.constexpr, D: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """BN outputs of all T rows: sums over D in float32, a tile of the weight being read once for all rows."""
    o_n = tl.program_id(0) * BN + tl.arange(0, BN)
    m_n = o_n < N
    p_w += o_n.to(tl.int64)[:, None] * D
    for t in tl.static_range(T):
        b_sum = tl.zeros((BN, BD), dtype=tl.float32)
        for start in range(0, D, BD):
            o_d = start + tl.arange(0, BD)
            m_d = o_d < D
            b_w = tl.load(p_w + o_d[None, :], mask=m_n[:, None] & m_d[None, :], other=0.0).to(tl.float32)
            b_x = tl.load(p_x + t * x_row + o_d, mask=m_d, other=0.0).to(tl.float32)
            b_sum += b_w * b_x[None, :]
        tl.store(p_y + t * N + o_n, tl.sum(b_sum, 1).to(p_y.dtype.element_ty), mask=m_n)


def linear_triton(x: Tensor, weight: Tensor) -> Tensor:
    """Returns x W^T `[T, N]`; on CPU tensors only under Triton's interpreter."""
    if x.stride(1) != 1 or x.stride(0) * x.itemsize % 16 or x.data_ptr() % 16:
        x = x.contiguous()
    num_rows, width = x.shape
    num_outputs = len(weight)
    output = torch.empty(num_rows, num_outputs, dtype=x.dtype, device=x.device)
    columns = min(triton.next_power_of_2(max(num_outputs // PROGRAMS, 1)), 16)
    depth = min(triton.next_power_of_2(width), max(TILE // columns, 128))
    with on_device(x):
        run(
            linear_kernel, triton.cdiv(num_outputs, columns), 4, 2, (x, weight, output),
            (x.stride(0), num_rows, num_outputs, width, columns, depth),
        )  # fmt: skip
    return output
