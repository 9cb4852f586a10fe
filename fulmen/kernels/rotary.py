"""The rotation of rotary embedding; its frequencies are the model's (`model/rope.py`).

Axes: `T` tokens, `H` heads, `D` head width, `R2` pairs of rotated channels.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def apply_rope(
    x: Float[Tensor, "T H D"],
    positions_T: Int[Tensor, "T"],
    inverse_frequencies: Float[Tensor, "R2"],
    *,
    amplitude: float = 1.0,
) -> Float[Tensor, "T H D"]:
    """Returns x with its first 2 R2 channels rotated by position, in NeoX halves (pairs i, i + R2).

    Angles are float32 (float64 for a float64 x). `amplitude` multiplies the rotated channels.
    """
    half = inverse_frequencies.shape[0]
    dtype = torch.promote_types(x.dtype, torch.float32)
    angles_T1R = (positions_T[:, None].to(dtype) * inverse_frequencies.to(dtype))[:, None]
    cos, sin = angles_T1R.cos(), angles_T1R.sin()
    if amplitude != 1.0:
        cos, sin = cos * amplitude, sin * amplitude
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second, rest = x.split((half, half, x.shape[-1] - 2 * half), dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)
