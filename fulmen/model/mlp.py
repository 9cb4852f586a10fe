"""The dense SwiGLU layer: a block's own, or the experts that every token passes.

Axes: `T` tokens, `D` model width, `F` inner width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.kernels.linear import linear
from fulmen.kernels.swiglu import swiglu
from fulmen.model.mixers.lightning import xavier_


class Mlp(nn.Module):
    """w2(silu(w1 x) * w3 x); `w13` holds w1's rows and then w3's."""

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__()
        self.w13 = nn.Linear(hidden_size, 2 * width, bias=False)
        self.w2 = nn.Linear(width, hidden_size, bias=False)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier with `gain`."""
        width, inner = self.w2.weight.shape
        xavier_(self.w13.weight, width, inner, gain, generator)
        xavier_(self.w2.weight, width, inner, gain, generator)

    def forward(self, x: Float[Tensor, "T D"]) -> Float[Tensor, "T D"]:
        """Returns the transformed tokens."""
        return linear(swiglu(linear(x, self.w13.weight)), self.w2.weight)
