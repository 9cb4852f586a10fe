"""One decoding step of lightning attention, in place on a pool of states: the plain recurrence.

The reference of the chunk-aligned form (`pool.py`), and the path where its guarantees do not matter.
Axes: `N` rows, `S` slots of the pool, `H` heads, `K`/`V` key and value width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.kernels.lightning.checks import check_index, check_inputs, check_states


@torch.no_grad()
def lightning_decode(
    q: Float[Tensor, "N H K"],
    k: Float[Tensor, "N H K"],
    v: Float[Tensor, "N H V"],
    slope: Float[Tensor, "H"],
    state: Float[Tensor, "S H K V"],
    *,
    slots: Int[Tensor, "N"] | None = None,
    is_silu: bool = False,
) -> Float[Tensor, "N H V"]:
    """Returns q S after S <- e^-s S + k v^T, written into `state` (float32; float64 for float64 inputs).

    Row n owns state n, or state `slots[n]`: distinct ones, except that slot 0 is nobody's: rows padded with it leave it
    alone and give 0. `is_silu`: q, k, v are the projection's output, and go through SiLU first. Nothing is read back
    to the host, so a CUDA graph can hold it.

    Raises: ConfigError for shapes, dtypes and devices that do not fit.
    Cost: reads and writes N*H*K*V state elements once, 8 K V bytes per row and head.
    """
    check_inputs(q, k, v, slope, num_axes=3)
    num_rows, num_heads, width = v.shape
    if slots is None and state.shape[0] != num_rows:
        raise ConfigError(f"state of {state.shape[0]} rows; allowed: {num_rows}, or slots that say which row is whose")
    check_states("state", state, (state.shape[0], num_heads, q.shape[-1], width), v)
    if slots is not None:
        check_index("slots", slots, num_rows, v)
    if is_kernel_fit(q, v, slope, state):
        from fulmen.kernels.lightning.steps import triton_decode

        return triton_decode(q, k, v, slope, state, slots, is_silu)
    if is_silu:
        q, k, v = F.silu(q), F.silu(k), F.silu(v)
    own = state if slots is None else state[slots]
    dtype = state.dtype
    own.mul_(torch.exp(-slope.to(dtype))[:, None, None]).addcmul_(k.to(dtype)[..., None], v.to(dtype)[..., None, :])
    output = (q.to(dtype)[..., None, :] @ own).squeeze(-2).to(v.dtype)
    if slots is None:
        return output
    is_used_N = slots > 0
    # A padded row writes back what is there.
    state[slots] = torch.where(is_used_N[:, None, None, None], own, state[slots])
    return torch.where(is_used_N[:, None, None], output, 0)


def is_kernel_fit(q: Tensor, v: Tensor, slope: Tensor, state: Tensor) -> bool:
    """Whether the Triton kernel serves: on CUDA, equal widths that it was tested with, float32, and whole states."""
    width = v.shape[-1]
    return (
        v.is_cuda and q.shape[-1] == width and width in (32, 64, 128)
        and state.dtype == slope.dtype == torch.float32 and state[0].is_contiguous()
    )  # fmt: skip
