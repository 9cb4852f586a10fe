"""One decoding step of lightning attention, in place on the states: the plain recurrence.

Axes: `N` rows, `H` heads, `K`/`V` key and value width.
"""

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def lightning_decode(
    q: Float[Tensor, "N H K"],
    k: Float[Tensor, "N H K"],
    v: Float[Tensor, "N H V"],
    slope: Float[Tensor, "H"],
    state: Float[Tensor, "N H K V"],
) -> Float[Tensor, "N H V"]:
    """Returns q S after S <- e^-s S + k v^T, written into `state` (float32 or float64).

    Cost: reads and writes N*H*K*V state elements once.
    """
    dtype = state.dtype
    state.mul_(torch.exp(-slope.to(dtype))[:, None, None]).addcmul_(k.to(dtype)[..., None], v.to(dtype)[..., None, :])
    return (q.to(dtype)[..., None, :] @ state).squeeze(-2).to(v.dtype)
