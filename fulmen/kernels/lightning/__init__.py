"""Lightning attention: one public function, several implementations behind it.

`naive` is the recurrence (any dtype, the oracle), `chunk` the block form in torch (differentiable, any device),
`triton` the kernels for CUDA (bfloat16, heads of width 64 and 128). Nothing above this folder knows which of them ran.
Derivation in README.md beside this file. Source: MiniMax-01 (arXiv 2501.08313), section 2.2.
"""

import math
import warnings
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.kernels.lightning.checks import check_inputs, check_states, document_borders, triton_obstacle
from fulmen.kernels.lightning.chunk import chunk_lightning
from fulmen.kernels.lightning.decode import lightning_decode
from fulmen.kernels.lightning.naive import naive_lightning
from fulmen.kernels.lightning.plan import CHUNK
from fulmen.kernels.lightning.pool import Extension, LightningPool, decode_pool, extend_pool, plan_extension

__all__ = [
    "CHUNK", "Backend", "Extension", "LightningOutput", "LightningPool", "decode_pool", "extend_pool",
    "lightning_attention", "lightning_decode", "plan_extension", "slopes",
]  # fmt: skip

Backend = Literal["naive", "chunk", "triton"]


class LightningOutput(NamedTuple):
    """Output `[B, T, H, V]` in the dtype of v, and the state after each document `[N, H, K, V]` or None."""

    output: Tensor
    final_state: Tensor | None


def slopes(num_heads: int, layer: int, num_layers: int) -> Float[Tensor, "H"]:
    """Returns the decay rates s of one layer's heads, `[H]` float32; the state decays by e^-s per token.

    s = 2^(-8(h+1)/H) * (1 - layer / (num_layers - 1) + 1e-5), `layer` counted from 0 over the whole stack.
    For H not a power of two: the list of ALiBi. Source: the released MiniMax-Text-01 code.
    """
    if num_heads < 1 or not 0 <= layer < num_layers:
        raise ConfigError(f"slopes: num_heads={num_heads}, layer={layer}, num_layers={num_layers}; "
                          "allowed: num_heads >= 1 and 0 <= layer < num_layers")  # fmt: skip
    power = 2 ** math.floor(math.log2(num_heads))
    rates = [2.0 ** (-8.0 * (head + 1) / power) for head in range(power)]
    rates += [2.0 ** (-8.0 * (head + 1) / (2 * power)) for head in range(0, 2 * (num_heads - power), 2)]
    factor = 1.0 - layer / max(num_layers - 1, 1) + 1e-5
    return torch.tensor(rates, dtype=torch.float64).mul(factor).float()


def lightning_attention(
    q: Float[Tensor, "B T H K"],
    k: Float[Tensor, "B T H K"],
    v: Float[Tensor, "B T H V"],
    slope: Float[Tensor, "H"],
    *,
    initial_state: Float[Tensor, "N H K V"] | None = None,
    cu_seqlens: Int[Tensor, "N1"] | None = None,
    output_final_state: bool = False,
    is_invariant: bool = False,
    backend: Backend | None = None,
) -> LightningOutput:
    """Returns o_t = q_t S_t with S_t = e^-s S_(t-1) + k_t v_t^T (no scale, no denominator), and the last S.

    Packed documents: B = 1 and `cu_seqlens` int64 `[N + 1]` from 0 to T, strictly increasing; one state per document.
    Dense rows: N = B. States are float32 (float64 for float64 inputs). Gradients reach q, k, v and `initial_state`.
    `is_invariant`: the kernels cut no document into segments, so a document's result does not depend on its batch or
    on the number of processors, bit by bit. Views of one projection are read in place.

    Raises: ConfigError for shapes, dtypes, devices, borders or slopes that do not fit, or an unknown backend.
    Cost: 4KV + 2C(K + V) multiply-adds per token and head in chunks of C; on CUDA 8 D bytes per token and head.
    """
    check_inputs(q, k, v, slope, num_axes=4)
    batch, length, num_heads, width = q.shape
    borders = document_borders(cu_seqlens, batch, length)
    if initial_state is not None:
        check_states("initial_state", initial_state, (len(borders) - 1, num_heads, width, v.shape[-1]), v)
    if backend not in (None, "naive", "chunk", "triton"):
        raise ConfigError(f"backend={backend!r}; allowed: None, 'naive', 'chunk', 'triton'")
    obstacle = triton_obstacle(q, v, slope)
    if backend == "triton" and obstacle is not None:
        raise ConfigError(f"backend='triton' with {obstacle}")
    if backend == "triton" or (backend is None and obstacle is None):
        from fulmen.kernels.lightning.scan import triton_lightning

        output, state = triton_lightning(
            q, k, v, slope, borders, initial_state, output_final_state=output_final_state, is_invariant=is_invariant
        )
        return LightningOutput(output, state)
    if q.is_cuda and backend is None:
        say_once(f"lightning_attention runs in plain torch: {obstacle}")
    if cu_seqlens is None:
        cu_seqlens = torch.tensor(borders, device=q.device)
    run = naive_lightning if backend == "naive" else chunk_lightning
    output, state = run(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), slope, cu_seqlens, initial_state)
    return LightningOutput(output.unflatten(0, (batch, length)).to(v.dtype), state if output_final_state else None)


@lru_cache
def say_once(message: str) -> None:
    """Warns of a slower path the first time it is taken."""
    warnings.warn(message, stacklevel=3)
