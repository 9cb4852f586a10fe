"""The projections of q, k and v of a training step: one product, rotated where it lies.

Three products of the same input and what rotation does to their results in torch take half as long again as the
products. Here it is one matrix product and one kernel, and backward one kernel and two products.
Axes: `T` tokens, `D` model width, `H`/`J` query and key/value heads, `W` head width, `R2` pairs of rotated channels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def is_supported(x: Tensor, *weights: Tensor) -> bool:
    """Returns whether `project_rotate` has kernels for these: half precision on CUDA."""
    return x.is_cuda and x.dtype.itemsize == 2 and all(weight.dtype == x.dtype for weight in weights)


def project_rotate(
    x: Float[Tensor, "T D"],
    q_weight: Float[Tensor, "HW D"],
    k_weight: Float[Tensor, "JW D"],
    v_weight: Float[Tensor, "JW D"],
    positions_T: Int[Tensor, "T"],
    inverse_frequencies: Float[Tensor, "R2"],
    *,
    whole: Float[Tensor, "C D"] | None,
    head_width: int,
    amplitude: float = 1.0,
) -> tuple[Float[Tensor, "T H W"], Float[Tensor, "T J W"], Float[Tensor, "T J W"]]:
    """Returns apply_rope(x W_q^T), apply_rope(x W_k^T) and x W_v^T, differentiably; with the roundings of apply_rope.

    `whole` are the three weights as one matrix, where they lie side by side; else they are copied together.
    Gradients are rotated back in float32 and rounded once.
    """
    whole = torch.cat((q_weight, k_weight, v_weight)) if whole is None else whole
    q, k, v = _ProjectRotate.apply(
        x, q_weight, k_weight, v_weight, whole.detach(), positions_T, inverse_frequencies, head_width, amplitude
    )
    return q, k, v


class _ProjectRotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, wq, wk, wv, whole, positions, frequencies, width, amplitude):  # type: ignore[no-untyped-def]
        from fulmen.kernels.rotary_triton import rotate_

        product = x @ whole.T
        sizes = [len(weight) // width for weight in (wq, wk, wv)]
        rotate_(product, positions, frequencies, num_heads=sizes[0] + sizes[1], width=width, amplitude=amplitude)
        ctx.save_for_backward(x, whole, positions, frequencies)
        ctx.amplitude, ctx.rows = amplitude, [len(weight) for weight in (wq, wk, wv)]
        return tuple(part.unflatten(1, (-1, width)) for part in product.split(ctx.rows, dim=1))

    @staticmethod
    @once_differentiable
    def backward(ctx, dq, dk, dv):  # type: ignore[no-untyped-def]
        from fulmen.kernels.rotary_triton import join_gradients

        x, whole, positions, frequencies = ctx.saved_tensors
        d_product = join_gradients(dq, dk, dv, positions, frequencies, amplitude=ctx.amplitude)
        dx = d_product @ whole if ctx.needs_input_grad[0] else None
        d_weights = (d_product.T @ x).split(ctx.rows) if any(ctx.needs_input_grad[1:4]) else (None, None, None)
        return dx, *d_weights, None, None, None, None, None
