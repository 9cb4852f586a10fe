"""Lightning attention as the recurrence itself: slow, exact in any dtype, the oracle of every other form.

Axes: `T` tokens of all documents, `N` documents, `H` heads, `K`/`V` key and value width.
"""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """Returns the dtype of the recurrent state for inputs of `dtype`: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


def naive_lightning(
    q: Float[Tensor, "T H K"],
    k: Float[Tensor, "T H K"],
    v: Float[Tensor, "T H V"],
    slope: Float[Tensor, "H"],
    cu_seqlens: Int[Tensor, "N1"],
    initial_state: Float[Tensor, "N H K V"] | None,
) -> tuple[Float[Tensor, "T H V"], Float[Tensor, "N H K V"]]:
    """Returns outputs and final states, one token at a time: S <- e^-s S + k v^T, o = q S."""
    dtype = state_dtype(v.dtype)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    decay_H11 = torch.exp(-slope.to(dtype))[:, None, None]
    outputs, states = [], []
    borders = cu_seqlens.tolist()
    for document, (start, stop) in enumerate(pairwise(borders)):
        if initial_state is None:
            state = v.new_zeros(q.shape[1], q.shape[2], v.shape[2])
        else:
            state = initial_state[document].to(dtype)
        for t in range(start, stop):
            state = decay_H11 * state + k[t, :, :, None] * v[t, :, None, :]
            outputs.append((q[t, :, None, :] @ state).squeeze(1))
        states.append(state)
    return torch.stack(outputs), torch.stack(states)
