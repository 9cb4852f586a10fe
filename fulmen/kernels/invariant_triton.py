"""The two Triton kernels of invariant.py: products by tiles that the weight's shape chooses, never the number of rows.

A program sums one tile over the whole inner axis in steps of BK, so that an element's order of sums is fixed.
Block axes: `BM` rows, `BN` columns, `BK` of the inner axis.
"""

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

BM = 64
GROUP = 8
"""Tiles of rows that share a column of weights before the next: their columns then come from the L2 cache."""


class Blocking(NamedTuple):
    """Sizes of a tile and how a program runs it."""

    bn: int
    bk: int
    num_warps: int
    num_stages: int


def blocking(num_columns: int, num_inner: int, itemsize: int) -> Blocking:
    """Returns the tile for a weight of that shape: narrow ones where wide ones would leave processors idle."""
    if itemsize == 4:
        return Blocking(32, 32, 4, 3)
    if num_inner % 128:
        # Masks take registers: with more columns they do not fit (checked by compiling for sm_90).
        return Blocking(32, 64, 4, 4)
    if num_columns >= 16384:
        return Blocking(128, 64, 4, 4)
    return Blocking(64 if num_columns >= 8192 else 32, 128, 4, 4)


@triton.jit
@no_type_check
def product(
    p_a, p_b, o_m, last_m, o_n, n_cols, n_inner, stride_am, stride_ak, stride_bk, stride_bn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, IS_EVEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile in float32. Rows and columns past the end repeat the last one; their results are not stored."""
    o_k = tl.arange(0, BK)
    o_m = tl.minimum(o_m, last_m).to(tl.int64)
    o_n = tl.minimum(o_n, n_cols - 1).to(tl.int64)
    b_out = tl.zeros([BM, BN], dtype=tl.float32)
    p_a += o_m[:, None] * stride_am
    p_b += o_n[None, :] * stride_bn
    for i_k in range(0, n_inner, BK):
        o_ik = i_k + o_k
        if IS_EVEN:
            b_a = tl.load(p_a + o_ik[None, :] * stride_ak)
            b_b = tl.load(p_b + o_ik[:, None] * stride_bk)
        else:
            b_a = tl.load(p_a + o_ik[None, :] * stride_ak, mask=o_ik[None, :] < n_inner, other=0.0)
            b_b = tl.load(p_b + o_ik[:, None] * stride_bk, mask=o_ik[:, None] < n_inner, other=0.0)
        b_out = tl.dot(b_a, b_b, b_out, input_precision=PRECISION)
    return b_out


@triton.jit
@no_type_check
def mm_kernel(
    a, b, out, n_rows, n_cols, n_inner, stride_ab, stride_am, stride_ak, stride_bb, stride_bk, stride_bn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
    IS_EVEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile of one product of the batch."""
    i_p, i_b = tl.program_id(0), tl.program_id(1).to(tl.int64)
    num_m, num_n = tl.cdiv(n_rows, BM), tl.cdiv(n_cols, BN)
    first_m = i_p // (GROUP * num_n) * GROUP
    height = tl.minimum(num_m - first_m, GROUP)
    i_m = first_m + i_p % (GROUP * num_n) % height
    i_n = i_p % (GROUP * num_n) // height
    o_m, o_n = i_m * BM + tl.arange(0, BM), i_n * BN + tl.arange(0, BN)
    b_out = product(
        a + i_b * stride_ab, b + i_b * stride_bb, o_m, n_rows - 1, o_n, n_cols, n_inner,
        stride_am, stride_ak, stride_bk, stride_bn, BM, BN, BK, IS_EVEN, PRECISION,
    )  # fmt: skip
    p_out = out + (i_b * n_rows + o_m.to(tl.int64)[:, None]) * n_cols + o_n[None, :]
    tl.store(p_out, b_out.to(out.dtype.element_ty), mask=(o_m[:, None] < n_rows) & (o_n[None, :] < n_cols))


@triton.jit
@no_type_check
def grouped_mm_kernel(
    a, b, ends, out, n_groups, n_cols, n_inner, stride_am, stride_ak, stride_be, stride_bk, stride_bn,
    E: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    IS_EVEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile of one group, found by counting the tiles of the groups before it; more programs start than are needed.

    Which rows share a tile depends on the groups' sizes, but not what becomes of them.
    """
    i_t, i_n = tl.program_id(1), tl.program_id(0)
    o_e = tl.arange(0, E)
    b_ends = tl.load(ends + o_e, mask=o_e < n_groups, other=0)
    b_starts = tl.load(ends + o_e - 1, mask=(o_e > 0) & (o_e < n_groups), other=0)
    b_tiles = (b_ends - b_starts + BM - 1) // BM
    i_e = tl.sum((tl.cumsum(b_tiles, 0) <= i_t).to(tl.int32), 0)
    if i_e < n_groups:
        first = tl.sum(tl.where(o_e == i_e, b_starts, 0), 0)
        last = tl.sum(tl.where(o_e == i_e, b_ends, 0), 0)
        i_m = i_t - tl.sum(tl.where(o_e < i_e, b_tiles, 0), 0)
        o_m, o_n = first + i_m * BM + tl.arange(0, BM), i_n * BN + tl.arange(0, BN)
        b_out = product(
            a, b + i_e.to(tl.int64) * stride_be, o_m, last - 1, o_n, n_cols, n_inner,
            stride_am, stride_ak, stride_bk, stride_bn, BM, BN, BK, IS_EVEN, PRECISION,
        )  # fmt: skip
        p_out = out + o_m.to(tl.int64)[:, None] * n_cols + o_n[None, :]
        tl.store(p_out, b_out.to(out.dtype.element_ty), mask=(o_m[:, None] < last) & (o_n[None, :] < n_cols))


def precision(dtype: torch.dtype) -> str:
    """Returns how float32 operands are multiplied: torch's own setting for CUDA products."""
    return "tf32" if dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32 else "ieee"


def mm_triton(a: Float[Tensor, "B M K"], b: Float[Tensor, "B K N"], out_dtype: torch.dtype) -> Float[Tensor, "B M N"]:
    """Returns a b of each pair; any strides. On CPU tensors only under Triton's interpreter."""
    (batch, n_rows, n_inner), n_cols = a.shape, b.shape[2]
    out = torch.empty((batch, n_rows, n_cols), dtype=out_dtype, device=a.device)
    if not out.numel():
        return out
    bn, bk, num_warps, num_stages = blocking(n_cols, n_inner, a.element_size())
    grid = (triton.cdiv(n_rows, BM) * triton.cdiv(n_cols, bn), batch)
    mm_kernel[grid](
        a, b, out, n_rows, n_cols, n_inner, *a.stride(), *b.stride(),
        BM=BM, BN=bn, BK=bk, GROUP=GROUP, IS_EVEN=n_inner % bk == 0, PRECISION=precision(a.dtype),
        num_warps=num_warps, num_stages=num_stages,
    )  # fmt: skip
    return out


def grouped_mm_triton(
    a: Float[Tensor, "M K"], b: Float[Tensor, "E K N"], ends_E: Int[Tensor, "E"], out_dtype: torch.dtype
) -> Float[Tensor, "M N"]:
    """Returns each group's product; rows after the last end stay unwritten. On CPU only under the interpreter."""
    (n_rows, n_inner), (n_groups, _, n_cols) = a.shape, b.shape
    out = torch.empty((n_rows, n_cols), dtype=out_dtype, device=a.device)
    if not out.numel():
        return out
    bn, bk, num_warps, num_stages = blocking(n_cols, n_inner, a.element_size())
    num_tiles = min(triton.cdiv(n_rows, BM) + n_groups, n_rows)
    grouped_mm_kernel[(triton.cdiv(n_cols, bn), num_tiles)](
        a, b, ends_E, out, n_groups, n_cols, n_inner, *a.stride(), *b.stride(),
        E=triton.next_power_of_2(n_groups), BM=BM, BN=bn, BK=bk, IS_EVEN=n_inner % bk == 0,
        PRECISION=precision(a.dtype), num_warps=num_warps, num_stages=num_stages,
    )  # fmt: skip
    return out
