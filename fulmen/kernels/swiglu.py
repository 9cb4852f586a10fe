"""The middle of a SwiGLU layer: silu(gate) * up, in an expert times the row's weight.

On CUDA two Triton kernels (`swiglu_triton.py`), one pass each; elsewhere torch. Weighing here, not after the expert's
second product, lets that product's result be forgotten: the weight's gradient comes from what is saved anyway.
Axes: `X` rows, `F` expert width (`F2` twice that).
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fulmen.errors import DataError


def swiglu(gate_up: Float[Tensor, "X F2"]) -> Float[Tensor, "X F"]:
    """Returns silu(gate) * up in the dtype of `gate_up`, whose rows hold gate and then up.

    On CUDA everything between loading and storing is float32; torch rounds silu too.

    Raises: DataError for rows that have no two halves.
    Cost: 3 X F elements moved forward, 5 X F backward.
    """
    _check(gate_up, "swiglu")
    if gate_up.is_cuda and gate_up.dtype.itemsize <= 4:
        from fulmen.kernels.swiglu_triton import swiglu_triton

        return swiglu_triton(gate_up)
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


def weighted_swiglu(gate_up: Float[Tensor, "X F2"], weight: Float[Tensor, "X"]) -> Float[Tensor, "X F"]:
    """Returns weight * silu(gate) * up in the dtype of `gate_up`, whose rows hold gate and then up.

    On CUDA everything between loading and storing is float32, and gradients are deterministic.

    Raises: DataError for tensors that do not fit together.
    Cost: 3 X F elements moved forward, 5 X F backward.
    """
    _check(gate_up, "weighted_swiglu")
    if weight.shape != gate_up.shape[:1] or weight.device != gate_up.device:
        raise DataError(
            f"weighted_swiglu: weight has shape {tuple(weight.shape)} on {weight.device}; "
            f"allowed: ({len(gate_up)},) on {gate_up.device}, one per row of gate_up"
        )
    if gate_up.is_cuda and gate_up.dtype.itemsize <= 4:
        from fulmen.kernels.swiglu_triton import weighted_swiglu_triton

        return weighted_swiglu_triton(gate_up, weight)
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up * weight[:, None].to(gate_up.dtype)


def _check(gate_up: Tensor, name: str) -> None:
    if gate_up.ndim != 2 or gate_up.shape[1] % 2:
        raise DataError(f"{name}: gate_up has shape {tuple(gate_up.shape)}; allowed: [X, 2 F]")
