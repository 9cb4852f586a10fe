"""Launches of Triton kernels with less work on the host.

Triton looks at every argument of every launch to find the compiled kernel; where a kernel takes 20 microseconds, that
is most of the time. The kernels launched here take strides and sizes as constants, and pointers that start at 16 bytes,
so the constants say which compiled kernel is meant.
"""

from typing import Any

import torch
from torch import Tensor

_compiled: dict[tuple[Any, ...], Any] = {}


def run(
    kernel: Any,
    num_programs: int,
    num_warps: int,
    num_stages: int,
    arguments: tuple[Tensor | int | float | None, ...],
    constants: tuple[int | float | str | bool, ...],
    *,
    is_contracted: bool = True,
) -> None:
    """Launches `num_programs` programs; `arguments` are the kernel's run-time parameters, `constants` those after them.

    The caller sees to it that: tensors lie on the current device and start at 16 bytes; which of them are None, and
    their dtypes but that of the first, follow from `constants`; integers that are not named in the kernel's
    `do_not_specialize` do too. `is_contracted` lets a product and a sum be rounded once.
    """
    first = arguments[0]
    assert isinstance(first, Tensor), "the first argument says device and dtype"
    key = (kernel, first.dtype, first.get_device(), num_warps, num_stages, is_contracted, constants)
    compiled = _compiled.get(key)
    if compiled is None:
        options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": is_contracted}
        if not first.is_cuda:
            # Under the interpreter, which compiles nothing.
            kernel[(num_programs,)](*arguments, *constants, **options)
            return
        compiled = _compiled[key] = kernel.warmup(*arguments, *constants, grid=(1,), **options)
    compiled[(num_programs, 1, 1)](*arguments, *constants)


def aligned(x: Tensor) -> Tensor:
    """Returns x, or a copy of it unless it is contiguous and starts at 16 bytes."""
    return x if x.is_contiguous() and x.data_ptr() % 16 == 0 else x.clone(memory_format=torch.contiguous_format)
