"""The softmax mixer: grouped-query attention with rotary embedding on the first part of each head.

Axes: `T` tokens, `D` model width, `H`/`J` query and key/value heads.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.kernels.attention import packed_attention
from fulmen.kernels.invariant import is_batch_invariant
from fulmen.kernels.linear import join, joined, linear
from fulmen.kernels.paged import invariant_attention, paged_attention, rope_write, step_attention, write_pages
from fulmen.kernels.projection import is_supported, project_rotate
from fulmen.kernels.rotary import apply_rope
from fulmen.model.cache import Cache
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
        return linear(self.mix(x, layout), self.o_proj.weight, self.o_proj.bias)

    def mix(self, x: Float[Tensor, "T D"], layout: Layout) -> Float[Tensor, "T C"]:
        """Returns the heads' outputs side by side, before the output projection."""
        if layout.is_fresh and not layout.is_invariant and self._is_fused(x):
            return self._attend_fused(x, layout).flatten(-2)
        heads = (-1, self.config.head_dim)
        q, k, v = (part.unflatten(-1, heads) for part in self._project(x, layout))
        attend = self._attend if layout.cache is None else self._continue
        return attend(self.q_norm(q), self.k_norm(k), v, layout).flatten(-2)

    def join_weights(self) -> None:
        """Lays the weights of q, k and v side by side: one product in a decoding step."""
        join(self.q_proj, self.k_proj, self.v_proj)

    def _project(self, x: Tensor, layout: Layout) -> tuple[Tensor, ...]:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        whole = joined(*projections) if layout.is_step and layout.cache is not None else None
        if whole is None:
            return tuple(projection(x) for projection in projections)
        return linear(x, whole).split([projection.out_features for projection in projections], dim=-1)

    def _is_fused(self, x: Tensor) -> bool:
        """Returns whether projection and rotation are one step: nothing comes between them."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        is_plain = not self.config.qk_norm and self.config.attention_bias == "none" and not is_batch_invariant()
        return is_plain and is_supported(x, *(projection.weight for projection in projections))

    def _attend_fused(self, x: Tensor, layout: Layout) -> Float[Tensor, "T H V"]:
        """Returns attention inside the documents, which the cache, if there is one, then holds."""
        of_q, of_k, of_v = self.q_proj, self.k_proj, self.v_proj
        q, k, v = project_rotate(
            x, of_q.weight, of_k.weight, of_v.weight, layout.positions_T, self.inverse_frequencies,
            whole=joined(of_q, of_k, of_v), head_width=self.config.head_dim, amplitude=self.amplitude,
        )  # fmt: skip
        if layout.cache is not None:
            write_pages(k, v, *self._pages(layout.cache), self._cells(layout))
        return packed_attention(q, k, v, layout.cu_seqlens, borders=layout.borders)

    def _pages(self, cache: Cache) -> tuple[Tensor, Tensor]:
        return cache.pool.keys_W_P_J_C_D[self.cache_index], cache.pool.values_W_P_J_C_V[self.cache_index]

    def _cells(self, layout: Layout) -> Tensor:
        assert layout.cells_T is not None, "a layout with a cache has cells"
        return layout.cells_T

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Float[Tensor, "T H V"]:
        """Returns attention inside the documents."""
        q, k = self._rotate(q, layout), self._rotate(k, layout)
        if layout.is_invariant:
            return invariant_attention(q, k, v, layout.cu_seqlens, longest=layout.longest)
        return packed_attention(q, k, v, layout.cu_seqlens, borders=layout.borders)

    def _continue(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Float[Tensor, "T H V"]:
        """Returns attention over what the rows have seen and the new tokens, which the cache then holds."""
        cache = layout.cache
        assert cache is not None, "there is a cache"
        pages, cells_T = self._pages(cache), self._cells(layout)
        if layout.is_fresh and not layout.is_invariant:
            q, k = self._rotate(q, layout), self._rotate(k, layout)
            write_pages(k, v, *pages, cells_T)
            return packed_attention(q, k, v, layout.cu_seqlens, borders=layout.borders)
        if layout.is_step and not layout.is_invariant:
            return step_attention(
                q, k, v, layout.positions_T, cells_T, self.inverse_frequencies, *pages, cache.table_R_X,
                amplitude=self.amplitude, longest=layout.longest,
            )  # fmt: skip
        q = rope_write(q, k, v, layout.positions_T, cells_T, self.inverse_frequencies, *pages, amplitude=self.amplitude)
        return paged_attention(
            q, *pages, cache.table_R_X, cache.lengths_R, None if layout.is_step else layout.cu_seqlens,
            longest=layout.longest, is_invariant=layout.is_invariant,
        )  # fmt: skip

    def _rotate(self, x: Tensor, layout: Layout) -> Tensor:
        return apply_rope(x, layout.positions_T, self.inverse_frequencies, amplitude=self.amplitude)
