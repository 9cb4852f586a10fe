"""Elementwise work on a tile of logits, in two Triton kernels that read it once. The formulas: `logprob_tiles.py`."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 4096
NUM_WARPS = 8


@triton.jit
@no_type_check
def fold_kernel(
    logits, target_ids, sums, stride_logits, stride_sums, first_col, num_cols, scale, BLOCK: tl.constexpr
):  # fmt: skip
    """One row of a tile: brings its four running sums up to date."""
    i_t = tl.program_id(0).to(tl.int64)
    p_row = logits + i_t * stride_logits
    p_sums = sums + i_t
    b_max, b_total = tl.load(p_sums), tl.load(p_sums + stride_sums)
    b_weighted = tl.load(p_sums + 2 * stride_sums)
    for i_c in range(0, num_cols, BLOCK):
        o_c = i_c + tl.arange(0, BLOCK)
        b_z = tl.load(p_row + o_c, mask=o_c < num_cols, other=float("-inf")) * scale
        b_new = tl.maximum(b_max, tl.max(b_z, axis=0))
        b_fall = b_max - b_new
        b_z -= b_new
        b_e = tl.exp(b_z)
        b_shrink = tl.exp(b_fall)
        # e^z (z - m) is 0, not NaN, where z is -inf.
        b_sum = tl.sum(b_e * tl.where(b_e == 0.0, 0.0, b_z), axis=0)
        b_weighted = b_shrink * (b_weighted + b_fall * b_total) + b_sum
        b_total = b_shrink * b_total + tl.sum(b_e, axis=0)
        b_max = b_new
    tl.store(p_sums, b_max)
    tl.store(p_sums + stride_sums, b_total)
    tl.store(p_sums + 2 * stride_sums, b_weighted)
    i_target = tl.load(target_ids + i_t).to(tl.int64) - first_col
    m_target = (i_target >= 0) & (i_target < num_cols)
    tl.store(p_sums + 3 * stride_sums, tl.load(p_row + i_target, mask=m_target, other=0.0) * scale, mask=m_target)


@triton.jit
@no_type_check
def gradient_kernel(
    logits, d_logits, target_ids, lse, entropy, d_logprob, d_entropy,
    stride_logits, stride_out, first_col, num_cols, num_blocks, scale,
    HAS_ENTROPY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One block of one row; `d_logits` may be `logits`, since each element is read before it is written."""
    i_t = (tl.program_id(0) // num_blocks).to(tl.int64)
    o_c = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    m_c = o_c < num_cols
    b_logp = tl.load(logits + i_t * stride_logits + o_c, mask=m_c, other=0.0) * scale - tl.load(lse + i_t)
    b_p = tl.exp(b_logp)
    i_target = tl.load(target_ids + i_t).to(tl.int64) - first_col
    b_d_logprob = tl.load(d_logprob + i_t)
    b_d = tl.where(o_c == i_target, b_d_logprob, 0.0) - b_d_logprob * b_p
    if HAS_ENTROPY:
        b_spread = b_p * (tl.where(b_p == 0.0, 0.0, b_logp) + tl.load(entropy + i_t))
        b_d -= tl.load(d_entropy + i_t) * b_spread
    tl.store(d_logits + i_t * stride_out + o_c, (b_d * scale).to(d_logits.dtype.element_ty), mask=m_c)


def fold_tile(
    logits: Float[Tensor, "R C"],
    target_ids: Int[Tensor, "R"],
    sums: Float[Tensor, "S R"],
    *,
    first_col: int,
    temperature: float,
) -> None:
    """Adds the columns of a tile, which start at `first_col` of the vocabulary, to `sums`."""
    num_rows, num_cols = logits.shape
    fold_kernel[(num_rows,)](
        logits, target_ids.contiguous(), sums, logits.stride(0), sums.stride(0), first_col, num_cols, 1.0 / temperature,
        BLOCK=BLOCK, num_warps=NUM_WARPS,
    )  # fmt: skip


def tile_gradient(
    logits: Float[Tensor, "R C"],
    target_ids: Int[Tensor, "R"],
    lse: Float[Tensor, "R"],
    entropy: Float[Tensor, "R"],
    d_logprob: Float[Tensor, "R"],
    d_entropy: Float[Tensor, "R"] | None,
    *,
    first_col: int,
    temperature: float,
    dtype: torch.dtype,
) -> Float[Tensor, "R C"]:
    """Returns the logits' gradient in `dtype`, in place of the logits where `dtype` is theirs.

    Rows of the result are padded to 16 bytes apart, which tensor cores need where the vocabulary is odd.
    """
    num_rows, num_cols = logits.shape
    if dtype == logits.dtype:
        d_logits = logits
    else:
        d_logits = torch.empty((num_rows, triton.cdiv(num_cols, 8) * 8), dtype=dtype, device=logits.device)
    num_blocks = triton.cdiv(num_cols, BLOCK)
    gradient_kernel[(num_rows * num_blocks,)](
        logits, d_logits, target_ids.contiguous(), lse, entropy,
        d_logprob.contiguous(), lse if d_entropy is None else d_entropy.contiguous(),
        logits.stride(0), d_logits.stride(0), first_col, num_cols, num_blocks, 1.0 / temperature,
        HAS_ENTROPY=d_entropy is not None, BLOCK=BLOCK, num_warps=NUM_WARPS,
    )  # fmt: skip
    return d_logits[:, :num_cols]
