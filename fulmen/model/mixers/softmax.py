"""The softmax mixer: grouped-query attention with rotary embedding on the first part of each head.

Axes: `T` tokens, `D` model width, `H`/`J` query and key/value heads.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.kernels.attention import cached_attention, packed_attention
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout
from fulmen.model.mixers.lightning import xavier_


class SoftmaxMixer(nn.Module):
    """out = W_o attention(rope(x W_q^T), rope(x W_k^T), x W_v^T), scale 1/sqrt(head width), no bias."""

    inverse_frequencies: Tensor

    def __init__(self, config: ModelConfig, layer: int, cache_index: int) -> None:
        super().__init__()
        self.config, self.layer, self.cache_index = config, layer, cache_index
        inner, inner_kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, inner_kv, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, inner_kv, bias=False)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=False)
        self.register_buffer("inverse_frequencies", torch.empty(config.rotary_width // 2), persistent=False)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier, with DeepNorm's gain on v and the output projection; sets the frequencies."""
        self.inverse_frequencies = self._frequencies()
        for projection, part_gain in ((self.q_proj, 1.0), (self.k_proj, 1.0), (self.v_proj, gain), (self.o_proj, gain)):
            xavier_(projection.weight, projection.in_features, projection.out_features, part_gain, generator)

    def _frequencies(self) -> Float[Tensor, "R2"]:
        width = self.config.rotary_width
        exponents = torch.arange(0, width, 2, dtype=torch.float64) / max(width, 1)
        return (self.config.rope_theta**-exponents).float().to(self.q_proj.weight.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SoftmaxMixer":
        """Moves or casts the module, but never the frequencies: bfloat16 turns far positions by wrong angles."""
        super()._apply(fn, recurse)
        self.inverse_frequencies = self._frequencies()
        return self

    def forward(self, x: Float[Tensor, "T D"], layout: Layout) -> Float[Tensor, "T D"]:
        """Returns the mixed tokens; continues and updates the cache rows of `layout`, if any."""
        heads = (-1, self.config.head_dim)
        q = apply_rope(self.q_proj(x).unflatten(-1, heads), layout.positions_T, self.inverse_frequencies)
        k = apply_rope(self.k_proj(x).unflatten(-1, heads), layout.positions_T, self.inverse_frequencies)
        v = self.v_proj(x).unflatten(-1, heads)
        if layout.cache is None:
            output = packed_attention(q, k, v, layout.cu_seqlens)
        else:
            keys = layout.cache.keys_W_R_J_S_D[self.cache_index]
            values = layout.cache.values_W_R_J_S_D[self.cache_index]
            keys[layout.document_T, :, layout.positions_T] = k.to(keys.dtype)
            values[layout.document_T, :, layout.positions_T] = v.to(values.dtype)
            seen = slice(0, layout.longest)
            output = cached_attention(q, keys[:, :, seen], values[:, :, seen], layout.positions_T, layout.cu_seqlens)
        return self.o_proj(output.flatten(-2))


def apply_rope(
    x: Float[Tensor, "T H D"], positions_T: Int[Tensor, "T"], inverse_frequencies: Float[Tensor, "R2"]
) -> Float[Tensor, "T H D"]:
    """Returns x with its first 2 R2 channels rotated by position, in NeoX halves (pairs i, i + R2).

    Angles are float32 (float64 for a float64 x).
    """
    half = inverse_frequencies.shape[0]
    dtype = torch.promote_types(x.dtype, torch.float32)
    angles_T1R = (positions_T[:, None].to(dtype) * inverse_frequencies.to(dtype))[:, None]
    cos, sin = angles_T1R.cos().to(x.dtype), angles_T1R.sin().to(x.dtype)
    first, second, rest = x.split((half, half, x.shape[-1] - 2 * half), dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)
