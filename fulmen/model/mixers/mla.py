"""The latent-attention mixer of DeepSeek-V3: keys and values made from one narrow latent, which is all that is cached.

Axes: `T` tokens, `D` model width, `H` heads, `K` head width of q and k, `V` of values, `R` latent width, `S` cache.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.kernels.attention import cached_attention, packed_attention
from fulmen.kernels.paged import gather_pages, write_pages
from fulmen.kernels.rotary import apply_rope
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout
from fulmen.model.mixers.lightning import xavier_
from fulmen.model.rope import inverse_frequencies

LATENT_NORM_EPS = 1e-6
"""Of the norms over the latents, whatever `rms_norm_eps` says (released code)."""


class MlaMixer(nn.Module):
    """c = norm(W_a x); per head k = [W_uk c ; rope(k_r)], v = W_uv c, with one k_r for all heads.

    Training and prefill expand the latents; a decoding step moves W_uk into the query and W_uv behind the softmax, so
    that it reads R + rope_dim numbers per cached token. Source: DeepSeek-V3, 2.1.1; rotation in half-split pairs.
    """

    inverse_frequencies: Tensor

    def __init__(self, config: ModelConfig, layer: int, cache_index: int) -> None:
        super().__init__()
        assert config.mla is not None, "checked by ModelConfig"
        shape = config.mla
        self.config, self.shape, self.layer, self.cache_index = config, shape, layer, cache_index
        self.nope_dim = config.head_dim - shape.rope_dim
        inner = config.num_heads * config.head_dim
        self.q_a_layernorm: nn.Module = nn.Identity()
        if shape.q_rank:
            self.q_a_proj = nn.Linear(config.hidden_size, shape.q_rank, bias=False)
            self.q_a_layernorm = nn.RMSNorm(shape.q_rank, eps=LATENT_NORM_EPS)
            self.q_b_proj = nn.Linear(shape.q_rank, inner, bias=False)
        else:
            self.q_proj = nn.Linear(config.hidden_size, inner, bias=False)
        self.kv_a_proj = nn.Linear(config.hidden_size, shape.kv_rank + shape.rope_dim, bias=False)
        self.kv_a_layernorm = nn.RMSNorm(shape.kv_rank, eps=LATENT_NORM_EPS)
        self.kv_b_proj = nn.Linear(shape.kv_rank, config.num_heads * (self.nope_dim + shape.value_dim), bias=False)
        self.o_proj = nn.Linear(config.num_heads * shape.value_dim, config.hidden_size, bias=False)
        scaling = config.rope_scaling
        self.amplitude = 1.0 if scaling is None else scaling.amplitude
        self.scale = config.head_dim**-0.5 * (1.0 if scaling is None else scaling.softmax_factor)
        self.register_buffer("inverse_frequencies", torch.empty(shape.rope_dim // 2), persistent=False)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier, with DeepNorm's gain on the up-projection and the output; sets the frequencies."""
        self.inverse_frequencies = self._frequencies()
        for name, module in self.named_children():
            if isinstance(module, nn.Linear):
                part_gain = gain if name in ("kv_b_proj", "o_proj") else 1.0
                xavier_(module.weight, module.in_features, module.out_features, part_gain, generator)
            elif isinstance(module, nn.RMSNorm):
                nn.init.ones_(module.weight)

    def _frequencies(self) -> Float[Tensor, "R2"]:
        frequencies = inverse_frequencies(self.shape.rope_dim, self.config.rope_theta, self.config.rope_scaling)
        return frequencies.to(self.o_proj.weight.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "MlaMixer":
        """Moves or casts the module, but never the frequencies: bfloat16 turns far positions by wrong angles."""
        super()._apply(fn, recurse)
        self.inverse_frequencies = self._frequencies()
        return self

    def forward(self, x: Float[Tensor, "T D"], layout: Layout) -> Float[Tensor, "T D"]:
        """Returns the mixed tokens; continues and updates the cache rows of `layout`, if any."""
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))) if self.shape.q_rank else self.q_proj(x)
        q_nope, q_rope = q.unflatten(-1, (-1, self.config.head_dim)).split((self.nope_dim, self.shape.rope_dim), -1)
        q_rope = self._rotate(q_rope, layout)
        latent, k_rope = self.kv_a_proj(x).split((self.shape.kv_rank, self.shape.rope_dim), dim=-1)
        latent, k_rope = self.kv_a_layernorm(latent), self._rotate(k_rope[:, None], layout)
        if layout.cache is None:
            return self._attend(q_nope, q_rope, latent, k_rope, layout)
        assert layout.cells_T is not None, "a layout with a cache has cells"
        keys = layout.cache.pool.keys_W_P_J_C_D[self.cache_index]
        values = layout.cache.pool.values_W_P_J_C_V[self.cache_index]
        entries = torch.cat((latent[:, None], k_rope), dim=-1)
        write_pages(entries, entries[..., :0], keys, values, layout.cells_T)
        if layout.is_fresh:
            return self._attend(q_nope, q_rope, latent, k_rope, layout)
        stored = gather_pages(keys, layout.cache.table_R_X, layout.longest)
        # What a row has not written may be anything.
        is_written_N_S = torch.arange(stored.shape[2], device=x.device) < layout.seen_after_N[:, None]
        stored = torch.where(is_written_N_S[:, None, :, None], stored, 0)
        attend = self._absorbed if layout.is_step else self._naive
        return self.o_proj(attend(q_nope, q_rope, stored, layout).flatten(-2))

    def _attend(self, q_nope: Tensor, q_rope: Tensor, latent: Tensor, k_rope: Tensor, layout: Layout) -> Tensor:
        """Returns the mixed tokens of documents that need no cache."""
        k, v = self._expand(latent, k_rope)
        output = packed_attention(torch.cat((q_nope, q_rope), -1), k, v, layout.cu_seqlens, scale=self.scale)
        return self.o_proj(output.flatten(-2))

    def _rotate(self, x: Tensor, layout: Layout) -> Tensor:
        return apply_rope(x, layout.positions_T, self.inverse_frequencies, amplitude=self.amplitude)

    def _expand(self, latent: Float[Tensor, "*b R"], k_rope: Float[Tensor, "*b 1 X"]) -> tuple[Tensor, Tensor]:
        """Returns keys `[..., H, K]` and values `[..., H, V]` of every head."""
        up = self.kv_b_proj(latent).unflatten(-1, (self.config.num_heads, -1))
        k_nope, v = up.split((self.nope_dim, self.shape.value_dim), dim=-1)
        return torch.cat((k_nope, k_rope.expand(*k_nope.shape[:-1], -1)), dim=-1), v

    def _naive(self, q_nope: Tensor, q_rope: Tensor, stored_N1SX: Tensor, layout: Layout) -> Tensor:
        """Returns attention over the cache with keys and values expanded: fewest operations for many new tokens."""
        latent, k_rope = stored_N1SX[:, 0].split((self.shape.kv_rank, self.shape.rope_dim), dim=-1)
        k, v = self._expand(latent, k_rope[:, :, None])
        q = torch.cat((q_nope, q_rope), dim=-1)
        return cached_attention(
            q, k.transpose(1, 2), v.transpose(1, 2), layout.positions_T, layout.cu_seqlens, scale=self.scale
        )

    def _absorbed(self, q_nope: Tensor, q_rope: Tensor, stored_N1SX: Tensor, layout: Layout) -> Tensor:
        """Returns the same, the latents themselves being keys and values of one shared head."""
        up_H_X_R = self.kv_b_proj.weight.unflatten(0, (self.config.num_heads, -1))
        up_k, up_v = up_H_X_R.split((self.nope_dim, self.shape.value_dim), dim=1)
        q = torch.cat((torch.einsum("thn,hnr->thr", q_nope, up_k), q_rope), dim=-1)
        output = cached_attention(
            q, stored_N1SX, stored_N1SX[..., : self.shape.kv_rank], layout.positions_T, layout.cu_seqlens,
            scale=self.scale,
        )  # fmt: skip
        return torch.einsum("thr,hvr->thv", output, up_v)
