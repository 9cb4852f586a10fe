"""The Triton kernel behind `take_copies` and `sum_copies`: sums of rows gathered from anywhere, without atomics."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_MAX = 2048
NUM_WARPS = 4


@triton.jit
@no_type_check
def gather_sum_kernel(x, rows, y, stride_x, width, num_blocks, num_copies, BLOCK: tl.constexpr):
    """One block of one sum, in float32, in the order of `rows`."""
    i_t = (tl.program_id(0) // num_blocks).to(tl.int64)
    o_d = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    m_d = o_d < width
    b_y = tl.zeros([BLOCK], dtype=tl.float32)
    for i_a in range(0, num_copies):
        i_x = tl.load(rows + i_t * num_copies + i_a).to(tl.int64)
        b_y += tl.load(x + i_x * stride_x + o_d, mask=m_d, other=0.0).to(tl.float32)
    tl.store(y + i_t * width + o_d, b_y.to(y.dtype.element_ty), mask=m_d)


def gather_sum(x: Float[Tensor, "X D"], rows: Int[Tensor, "X"], num_copies: int) -> Float[Tensor, "T D"]:
    """Returns `[T, D]`, row t the sum of rows `rows[t * num_copies : (t + 1) * num_copies]` of x."""
    x = x if x.stride(1) == 1 else x.contiguous()
    num_sums, width = len(rows) // num_copies, x.shape[1]
    y = torch.empty((num_sums, width), dtype=x.dtype, device=x.device)
    if y.numel():
        block = min(triton.next_power_of_2(width), BLOCK_MAX)
        num_blocks = triton.cdiv(width, block)
        gather_sum_kernel[(num_sums * num_blocks,)](
            x, rows.contiguous(), y, x.stride(0), width, num_blocks, num_copies, BLOCK=block, num_warps=NUM_WARPS
        )
    return y
