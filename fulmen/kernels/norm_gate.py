"""RMSNorm of the lightning mixer's output over all heads at once, times a sigmoid gate.

On CUDA two Triton kernels that pass once over the data each (`norm_gate_triton.py`); elsewhere torch.
Axes: `T` tokens, `W` width of all heads together.
"""

import warnings

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fulmen.errors import ConfigError, DataError

WIDTH_MAX = 8192
"""Widest row of the Triton kernels, MiniMax-M1's: a program holds a whole row in registers. Wider rows use torch."""


def norm_gate(
    x: Float[Tensor, "T W"], gate: Float[Tensor, "T W"], weight: Float[Tensor, "W"], *, eps: float
) -> Float[Tensor, "T W"]:
    """Returns sigmoid(gate) * weight * x / sqrt(mean(x^2) + eps), in the dtype of x. Differentiable in all three.

    On CUDA everything between loading and storing is float32; rows may lie apart (any row stride). The gradient of
    `weight` is summed in an order that only T decides, without atomics: the same call gives the same bits. float64,
    and rows wider than WIDTH_MAX (with a warning), run in torch there too.

    Raises: ConfigError for eps below 0; DataError for tensors that differ in shape, dtype or device.
    Cost: 3 T W elements moved forward and 5 T W backward; 4 bytes per token are saved beside the inputs.
    """
    width = x.shape[-1]
    if not eps >= 0:
        raise ConfigError(f"norm_gate: eps={eps}; allowed: at least 0")
    for name, tensor, shape in (("gate", gate, x.shape), ("weight", weight, x.shape[-1:])):
        if tensor.shape != shape:
            raise DataError(f"norm_gate: {name} has shape {tuple(tensor.shape)}; allowed: {tuple(shape)}, as x has")
        if tensor.device != x.device or tensor.dtype != x.dtype:
            raise DataError(
                f"norm_gate: {name} is {tensor.dtype} on {tensor.device}; allowed: {x.dtype} on {x.device}, as x is"
            )
    if x.is_cuda and width > WIDTH_MAX:
        warnings.warn(f"norm_gate: width {width} is above {WIDTH_MAX}, so torch runs it, slower", stacklevel=2)
    if x.is_cuda and width <= WIDTH_MAX and x.dtype != torch.float64:
        from fulmen.kernels.norm_gate_triton import norm_gate_triton

        return norm_gate_triton(x, gate, weight, eps)
    return torch.sigmoid(gate) * F.rms_norm(x, (width,), weight, eps)
