"""What the kernels refuse, before anything is launched; each error names the argument and what is allowed."""

import math
from itertools import pairwise
from typing import NoReturn

import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.kernels.lightning.naive import state_dtype
from fulmen.kernels.lightning.plan import host_copy

TRITON_WIDTHS = (64, 128)
SLOPE_MAX = 1.25
"""Above it 1 / b_j of the kernels' tables, up to e^(63 s), leaves float32. Every slope of the family is below 1."""


def check_inputs(q: Tensor, k: Tensor, v: Tensor, slope: Tensor, *, num_axes: int) -> None:
    """Raises ConfigError unless q, k `[..., H, K]`, v `[..., H, V]` and `slope` `[H]` > 0 fit together."""
    is_one_kind = q.dtype == k.dtype == v.dtype and q.device == k.device == v.device == slope.device
    is_one_shape = q.shape == k.shape and q.shape[:-1] == v.shape[:-1] and slope.shape == q.shape[-2:-1]
    is_float = v.is_floating_point() and slope.dtype in (torch.float32, torch.float64)
    if not (q.ndim == num_axes and is_one_kind and is_one_shape and is_float):
        _refuse(q, k, v, slope, num_axes)
    rates = host_copy(slope)
    if not 0 < rates.lowest <= rates.highest < math.inf:
        raise ConfigError(f"slope {slope.tolist()}; allowed: finite decay rates > 0")


def _refuse(q: Tensor, k: Tensor, v: Tensor, slope: Tensor, num_axes: int) -> NoReturn:
    """Raises ConfigError naming the first argument that does not fit; at least one does not."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim != num_axes:
            raise ConfigError(f"{name} of shape {list(x.shape)}; allowed: {num_axes} axes")
        if not x.is_floating_point() or x.dtype != v.dtype:
            raise ConfigError(f"{name} of dtype {x.dtype}; allowed: that of v, a floating one ({v.dtype})")
        if x.device != v.device:
            raise ConfigError(f"{name} on {x.device}; allowed: the device of v, {v.device}")
    if k.shape != q.shape:
        raise ConfigError(f"k of shape {list(k.shape)}; allowed: that of q, {list(q.shape)}")
    if v.shape[:-1] != q.shape[:-1]:
        raise ConfigError(f"v of shape {list(v.shape)}; allowed: {list(q.shape[:-1])} and any width")
    if slope.shape != q.shape[-2:-1]:
        raise ConfigError(f"slope of shape {list(slope.shape)}; allowed: [{q.shape[-2]}], one decay rate per head")
    raise ConfigError(f"slope: {slope.dtype} on {slope.device}; allowed: float32 or float64 on {v.device}")


def triton_obstacle(q: Tensor, v: Tensor, slope: Tensor) -> str | None:
    """Returns what keeps checked inputs from the tile kernels, with what is allowed; None if nothing does."""
    width = q.shape[-1]
    if not q.is_cuda:
        return f"tensors on {q.device}; allowed: a CUDA device"
    if q.dtype != torch.bfloat16:
        return f"dtype {q.dtype}; allowed: torch.bfloat16"
    if width != v.shape[-1] or width not in TRITON_WIDTHS:
        return f"head widths K = {width}, V = {v.shape[-1]}; allowed: K = V in {TRITON_WIDTHS}"
    fastest = host_copy(slope).highest
    if fastest > SLOPE_MAX:
        return f"a slope of {fastest:.3g}; allowed: at most {SLOPE_MAX}"
    if slope.dtype != torch.float32:
        return f"slopes of dtype {slope.dtype}; allowed: torch.float32"
    return None


def check_states(name: str, states: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    """Raises ConfigError unless `states` has this shape, the state dtype of `like`, and its device."""
    if tuple(states.shape) != shape:
        raise ConfigError(f"{name} of shape {list(states.shape)}; allowed: {list(shape)}")
    if states.dtype != state_dtype(like.dtype):
        raise ConfigError(f"{name} of dtype {states.dtype}; allowed: {state_dtype(like.dtype)}, whatever the inputs'")
    if states.device != like.device:
        raise ConfigError(f"{name} on {states.device}; allowed: {like.device}")


def check_index(name: str, index: Tensor, length: int, like: Tensor) -> None:
    """Raises ConfigError unless `index` is an integer vector of this length on the device of `like`."""
    if index.shape != (length,) or index.dtype not in (torch.int32, torch.int64) or index.device != like.device:
        raise ConfigError(
            f"{name}: {index.dtype} {list(index.shape)} on {index.device}; allowed: int32 or int64 [{length}] "
            f"on {like.device}"
        )


def document_borders(cu_seqlens: Tensor | None, batch: int, length: int) -> tuple[int, ...]:
    """Returns the borders of the documents, rows counted as documents.

    Raises: ConfigError unless `cu_seqlens` rises strictly from 0 to the number of tokens, with one row.
    """
    if batch * length == 0:
        raise ConfigError(f"q of B = {batch}, T = {length}; allowed: at least one token")
    if cu_seqlens is None:
        return tuple(range(0, (batch + 1) * length, length))
    if batch != 1:
        raise ConfigError(f"cu_seqlens with B = {batch}; packed documents need B = 1")
    if cu_seqlens.ndim != 1 or cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise ConfigError(f"cu_seqlens: {cu_seqlens.dtype} {list(cu_seqlens.shape)}; allowed: int32 or int64 [N + 1]")
    borders = tuple(int(border) for border in host_copy(cu_seqlens).values)
    is_rising = all(start < end for start, end in pairwise(borders))
    if len(borders) < 2 or borders[0] != 0 or borders[-1] != length or not is_rising:
        raise ConfigError(f"cu_seqlens {list(borders)} must rise strictly from 0 to T = {length}")
    return borders
