"""The softmax mixer: grouped-query attention with rotary embedding on the first part of each head.

Axes: `T` tokens, `D` model width, `H`/`J` query and key/value heads.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.kernels.attention import packed_attention
from fulmen.kernels.paged import paged_attention, write_pages
from fulmen.kernels.rotary import apply_rope
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout
from fulmen.model.mixers.lightning import xavier_
from fulmen.model.rope import inverse_frequencies


class SoftmaxMixer(nn.Module):
    """out = W_o attention(rope(x W_q^T), rope(x W_k^T), x W_v^T), scale 1/sqrt(head width).

    Options of other families: biases (Qwen2), RMSNorm of each query and key head (Qwen3), scaled frequencies.
    """

    inverse_frequencies: Tensor

    def __init__(self, config: ModelConfig, layer: int, cache_index: int) -> None:
        super().__init__()
        self.config, self.layer, self.cache_index = config, layer, cache_index
        inner, inner_kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        has_bias = config.attention_bias != "none"
        self.q_proj = nn.Linear(config.hidden_size, inner, bias=has_bias)
        self.k_proj = nn.Linear(config.hidden_size, inner_kv, bias=has_bias)
        self.v_proj = nn.Linear(config.hidden_size, inner_kv, bias=has_bias)
        self.o_proj = nn.Linear(inner, config.hidden_size, bias=config.attention_bias == "qkvo")
        self.q_norm: nn.Module = nn.Identity()
        self.k_norm: nn.Module = nn.Identity()
        if config.qk_norm:
            self.q_norm = nn.RMSNorm(config.head_dim, eps=config.rms_norm_eps)
            self.k_norm = nn.RMSNorm(config.head_dim, eps=config.rms_norm_eps)
        self.amplitude = 1.0 if config.rope_scaling is None else config.rope_scaling.amplitude
        self.register_buffer("inverse_frequencies", torch.empty(config.rotary_width // 2), persistent=False)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier, with DeepNorm's gain on v and the output projection; sets the frequencies."""
        self.inverse_frequencies = self._frequencies()
        for projection, part_gain in ((self.q_proj, 1.0), (self.k_proj, 1.0), (self.v_proj, gain), (self.o_proj, gain)):
            xavier_(projection.weight, projection.in_features, projection.out_features, part_gain, generator)
            if projection.bias is not None:
                nn.init.zeros_(projection.bias)
        for norm in (self.q_norm, self.k_norm):
            if isinstance(norm, nn.RMSNorm):
                nn.init.ones_(norm.weight)

    def _frequencies(self) -> Float[Tensor, "R2"]:
        config = self.config
        frequencies = inverse_frequencies(config.rotary_width, config.rope_theta, config.rope_scaling)
        return frequencies.to(self.q_proj.weight.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SoftmaxMixer":
        """Moves or casts the module, but never the frequencies: bfloat16 turns far positions by wrong angles."""
        super()._apply(fn, recurse)
        self.inverse_frequencies = self._frequencies()
        return self

    def forward(self, x: Float[Tensor, "T D"], layout: Layout) -> Float[Tensor, "T D"]:
        """Returns the mixed tokens; continues and updates the cache rows of `layout`, if any."""
        heads = (-1, self.config.head_dim)
        q, k = (
            apply_rope(
                norm(projection(x).unflatten(-1, heads)), layout.positions_T, self.inverse_frequencies,
                amplitude=self.amplitude,
            )
            for projection, norm in ((self.q_proj, self.q_norm), (self.k_proj, self.k_norm))
        )  # fmt: skip
        v = self.v_proj(x).unflatten(-1, heads)
        if layout.cache is None or layout.is_fresh:
            output = packed_attention(q, k, v, layout.cu_seqlens)
        if layout.cache is not None:
            pages = (
                layout.cache.pool.keys_W_P_J_C_D[self.cache_index],
                layout.cache.pool.values_W_P_J_C_V[self.cache_index],
            )
            write_pages(k, v, *pages, layout.cells_T)
            if not layout.is_fresh:
                output = paged_attention(
                    q, *pages, layout.cache.table_R_X, layout.cache.lengths_R,
                    None if layout.is_step else layout.cu_seqlens, longest=layout.longest,
                )  # fmt: skip
        return self.o_proj(output.flatten(-2))
