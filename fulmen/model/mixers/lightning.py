"""The lightning-attention mixer of MiniMax-Text-01: linear attention with a fixed decay per head, normed and gated.

Axes: `T` tokens, `D` model width, `H` heads, `K` head width (keys and values alike).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from fulmen.kernels.lightning import decode_pool, extend_pool, lightning_attention, lightning_decode, slopes
from fulmen.kernels.linear import join, joined, linear
from fulmen.kernels.norm_gate import norm_gate
from fulmen.model.cache import Cache
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout


class LightningMixer(nn.Module):
    """out = W_o(sigmoid(x W_g^T) * RMSNorm(lightning(silu(x W_qkv^T)))); no RoPE, no scale, no bias.

    Rows of `qkv_proj` lie per head as q | k | v. The norm spans all heads at once, with its own eps.
    Source: released MiniMax-Text-01 code; M1 report, section 2.
    """

    slope_H: Tensor

    def __init__(self, config: ModelConfig, layer: int, cache_index: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.layer, self.cache_index = (
            config.num_heads, config.head_dim, layer, cache_index)  # fmt: skip
        self.num_layers = config.num_layers
        inner = config.num_heads * config.head_dim
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * inner, bias=False)
        self.output_gate = nn.Linear(config.hidden_size, inner, bias=False)
        self.norm = nn.RMSNorm(inner, eps=config.lightning_norm_eps)
        self.out_proj = nn.Linear(inner, config.hidden_size, bias=False)
        self.register_buffer("slope_H", torch.empty(config.num_heads), persistent=False)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier, with DeepNorm's gain on v and the output projection; sets the decay rates."""
        self.slope_H = self._slopes()
        width, inner = self.output_gate.in_features, self.output_gate.out_features
        per_head = self.qkv_proj.weight.unflatten(0, (self.num_heads, 3, self.head_dim))
        for part, part_gain in enumerate((1.0, 1.0, gain)):
            xavier_(per_head[:, part], width, inner, part_gain, generator)
        xavier_(self.output_gate.weight, width, inner, 1.0, generator)
        xavier_(self.out_proj.weight, inner, width, gain, generator)
        nn.init.ones_(self.norm.weight)

    def _slopes(self) -> Float[Tensor, "H"]:
        return slopes(self.num_heads, self.layer, self.num_layers).to(self.qkv_proj.weight.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LightningMixer":
        """Moves or casts the module, but never the decay rates: in bfloat16 they would be off by up to 0.4 %."""
        super()._apply(fn, recurse)
        self.slope_H = self._slopes()
        return self

    def forward(self, x: Float[Tensor, "T D"], layout: Layout) -> Float[Tensor, "T D"]:
        """Returns the mixed tokens; continues and updates the cache rows of `layout`, if any."""
        return linear(self.mix(x, layout), self.out_proj.weight)

    def mix(self, x: Float[Tensor, "T D"], layout: Layout) -> Float[Tensor, "T C"]:
        """Returns the normed and gated heads side by side, before the output projection."""
        qkv, gate = self._project(x, layout)
        qkv = qkv.unflatten(-1, (self.num_heads, 3, self.head_dim))
        if layout.cache is not None:
            output = self._continue(qkv, layout, layout.cache)
        else:
            q, k, v = F.silu(qkv).unbind(2)
            output = lightning_attention(
                q[None], k[None], v[None], self.slope_H,
                cu_seqlens=layout.cu_seqlens, is_invariant=layout.is_invariant,
            ).output[0]  # fmt: skip
        assert self.norm.eps is not None, "the norm is made with an eps"
        return norm_gate(output.flatten(-2), gate, self.norm.weight, eps=self.norm.eps)

    def join_weights(self) -> None:
        """Lays the weights of q, k, v and the gate side by side: one product in a decoding step."""
        join(self.qkv_proj, self.output_gate)

    def _project(self, x: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        """Returns what becomes q, k and v, and the gate before its sigmoid."""
        whole = joined(self.qkv_proj, self.output_gate) if layout.is_step and layout.cache is not None else None
        if whole is None:
            return self.qkv_proj(x), self.output_gate(x)
        qkv, gate = linear(x, whole).split([self.qkv_proj.out_features, self.output_gate.out_features], dim=-1)
        return qkv, gate

    def _continue(self, qkv: Float[Tensor, "T H 3 K"], layout: Layout, cache: Cache) -> Float[Tensor, "T H K"]:
        """Returns attention over what the rows have seen and the new tokens, which their states then know."""
        pool, slope = cache.pool, self.slope_H
        if layout.is_step:
            q, k, v = qkv.unbind(2)
            if pool.is_aligned:
                states = pool.lightning(self.cache_index)
                return decode_pool(
                    q, k, v, slope, states, slots=cache.slots_R, lengths=layout.positions_T, is_silu=True
                )
            state = pool.states_M_S_H_K_V[self.cache_index]
            if cache.span is not None:
                return lightning_decode(q, k, v, slope, state[slice(*cache.span)], is_silu=True)
            return lightning_decode(q, k, v, slope, state, slots=cache.slots_R, is_silu=True)
        q, k, v = F.silu(qkv).unbind(2)
        if layout.extension is not None:
            return extend_pool(q, k, v, slope, pool.lightning(self.cache_index), layout.extension)
        state = pool.states_M_S_H_K_V[self.cache_index]
        output, final = lightning_attention(
            q[None], k[None], v[None], slope,
            cu_seqlens=layout.cu_seqlens, initial_state=state[cache.slots_R], output_final_state=True,
        )  # fmt: skip
        assert final is not None, "a final state was asked for"
        state[cache.slots_R] = final
        return output[0]


def xavier_(weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: torch.Generator) -> None:
    """Fills `weight` in place with normal noise of deviation gain * sqrt(2 / (fan_in + fan_out))."""
    with torch.no_grad():
        weight.normal_(0.0, gain * (2.0 / (fan_in + fan_out)) ** 0.5, generator=generator)
