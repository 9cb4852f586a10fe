"""Lightning attention: one public function, several implementations behind it.

`naive` is the recurrence (any dtype, the oracle), `chunk` the block form in torch (differentiable, any device).
Derivation in README.md beside this file. Source: MiniMax-01 (arXiv 2501.08313), section 2.2.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.kernels.lightning.chunk import chunk_lightning
from fulmen.kernels.lightning.decode import lightning_decode
from fulmen.kernels.lightning.naive import naive_lightning

__all__ = ["Backend", "LightningOutput", "lightning_attention", "lightning_decode", "slopes"]

Backend = Literal["naive", "chunk"]


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
    backend: Backend | None = None,
) -> LightningOutput:
    """Returns o_t = q_t S_t with S_t = e^-s S_(t-1) + k_t v_t^T (no scale, no denominator), and the last S.

    Packed documents: B = 1 and `cu_seqlens` int64 `[N + 1]` from 0 to T, strictly increasing; one state per document.
    Dense rows: N = B. States are float32 (float64 for float64 inputs). Gradients reach q, k, v and `initial_state`.

    Raises: DataError when `cu_seqlens` does not partition the tokens; ConfigError for an unknown backend.
    Cost: 4KV + 2C(K + V) multiply-adds per token and head in chunks of C = 64.
    """
    batch, length = q.shape[:2]
    if batch * length == 0:
        raise DataError(f"lightning_attention: B = {batch}, T = {length}; allowed: at least one token")
    if cu_seqlens is None:
        cu_seqlens = torch.arange(0, (batch + 1) * length, length, device=q.device)
    elif batch != 1:
        raise DataError(f"lightning_attention: cu_seqlens with B = {batch}; packed documents need B = 1")
    elif cu_seqlens[0] != 0 or cu_seqlens[-1] != length or bool((cu_seqlens.diff() < 1).any()):
        raise DataError(
            f"lightning_attention: cu_seqlens {cu_seqlens.tolist()} must rise strictly from 0 to T = {length}"
        )
    num_documents = len(cu_seqlens) - 1
    if initial_state is not None and initial_state.shape[0] != num_documents:
        raise DataError(f"lightning_attention: {initial_state.shape[0]} initial states for {num_documents} documents")
    if backend not in (None, "naive", "chunk"):
        raise ConfigError(f"backend={backend!r}; allowed: None, 'naive', 'chunk'")
    run = naive_lightning if backend == "naive" else chunk_lightning
    output, state = run(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), slope, cu_seqlens, initial_state)
    return LightningOutput(output.unflatten(0, (batch, length)).to(v.dtype), state if output_final_state else None)
