"""Launches of Triton kernels with less work on the host.

Triton looks at every argument of every launch to find the compiled kernel; where a kernel takes 20 microseconds, that
is most of the time. The kernels here take their strides and sizes as constants, so a tuple of them says which compiled
kernel is meant.
"""

from typing import Any

from torch import Tensor

_compiled: dict[tuple[Any, ...], Any] = {}


def run(
    kernel: Any,
    num_programs: int,
    num_warps: int,
    num_stages: int,
    arguments: tuple[Tensor | int | None, ...],
    constants: tuple[int | str | bool, ...],
) -> None:
    """Launches `num_programs` programs; `arguments` are the kernel's run-time parameters, `constants` those after them.

    Tensors must lie on the current device; one that does not start at 16 bytes costs a compilation of its own.
    """
    key = (kernel, num_warps, num_stages, tuple(map(_kind, arguments)), constants, _device(arguments))
    compiled = _compiled.get(key)
    if compiled is None:
        options = {"num_warps": num_warps, "num_stages": num_stages}
        if key[-1] is None:
            kernel[(num_programs,)](*arguments, *constants, **options)
            return
        compiled = _compiled[key] = kernel.warmup(*arguments, *constants, grid=(1,), **options)
    compiled[(num_programs, 1, 1)](*arguments, *constants)


def _kind(argument: Tensor | int | None) -> tuple[Any, ...]:
    """Returns what Triton compiles differently: dtype and alignment; whether an integer is 1, 16 n, or wide."""
    if isinstance(argument, Tensor):
        return argument.dtype, argument.data_ptr() % 16 == 0
    return () if argument is None else (argument == 1, argument % 16 == 0, -(2**31) <= argument < 2**31)


def _device(arguments: tuple[Tensor | int | None, ...]) -> int | None:
    """Returns the CUDA device's index, or None under the interpreter, which compiles nothing."""
    first = arguments[0]
    return first.get_device() if isinstance(first, Tensor) and first.is_cuda else None
