"""The decoder: embedding, blocks with DeepNorm residuals, final norm, head.

Axes: `B` rows, `T` tokens, `D` model width, `V` vocabulary, `L` layers, `A` experts per token.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.errors import DataError
from fulmen.kernels.logprob import head_logits
from fulmen.model.cache import Cache
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout, make_layout
from fulmen.model.mixers.lightning import LightningMixer
from fulmen.model.mixers.softmax import SoftmaxMixer
from fulmen.model.moe import MoE, Routing


class Hidden(NamedTuple):
    """Result of the decoder before its head."""

    hidden: Tensor
    """`[B, T, D]`, after the final norm."""
    expert_ids: Tensor
    """int64 `[B, T, L * A]`: experts of each token, layer by layer."""
    balance_loss: Tensor
    """Mean over layers of the router's balance loss; 1 when balanced."""


class ModelOutput(NamedTuple):
    """Result of a forward pass."""

    logits: Tensor
    """float32 `[B, T, V]`."""
    expert_ids: Tensor
    """int64 `[B, T, L * A]`."""


class Block(nn.Module):
    """u = norm(h), h = alpha u + beta mixer(u); w = norm(h), h = alpha w + beta moe(w).

    The residual is the **normed** input. Source: the released MiniMax-Text-01 code with `postnorm` true.
    """

    def __init__(self, config: ModelConfig, layer: int, cache_index: int) -> None:
        super().__init__()
        self.alpha, self.beta = config.alpha, config.residual_beta
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        mixer = LightningMixer if config.mixer(layer) == "L" else SoftmaxMixer
        self.self_attn = mixer(config, layer, cache_index)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.block_sparse_moe = MoE(config)

    def forward(self, hidden: Tensor, layout: Layout, expert_ids: Tensor | None) -> tuple[Tensor, Routing]:
        """Returns the block's output `[T, D]` and where its tokens were routed."""
        normed = self.input_layernorm(hidden)
        hidden = self.alpha * normed + self.beta * self.self_attn(normed, layout)
        normed = self.post_attention_layernorm(hidden)
        output, routing = self.block_sparse_moe(normed, expert_ids)
        return self.alpha * normed + self.beta * output, routing


class Model(nn.Module):
    """Hybrid lightning-attention decoder; the same modules train, sample and serve.

    `Model(config)` has random weights drawn from `seed`; under `torch.device("meta")` none are drawn.
    """

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        kinds = [config.mixer(layer) for layer in range(config.num_layers)]
        self.layers = nn.ModuleList(Block(config, layer, kinds[:layer].count(kind)) for layer, kind in enumerate(kinds))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if self.lm_head.weight.device.type != "meta":
            self.init_weights(seed)

    def init_weights(self, seed: int) -> None:
        """Draws all weights: DeepNorm's Xavier with gain (8 L)^(-1/4) on v, output and experts (MiniMax-01, 2.2)."""
        generator = torch.Generator(device=self.lm_head.weight.device).manual_seed(seed)
        gain = (8 * self.config.num_layers) ** -0.25
        with torch.no_grad():
            self.embed_tokens.weight.normal_(0.0, 0.02, generator=generator)
            self.lm_head.weight.normal_(0.0, 0.02, generator=generator)
            nn.init.ones_(self.norm.weight)
            for block in self.blocks():
                nn.init.ones_(block.input_layernorm.weight)
                nn.init.ones_(block.post_attention_layernorm.weight)
                block.self_attn.init_weights(gain, generator)
                block.block_sparse_moe.init_weights(gain, generator)

    def blocks(self) -> Iterator[Block]:
        """Yields the blocks, first layer first."""
        for layer in self.layers:
            assert isinstance(layer, Block), "layers hold blocks only"
            yield layer

    def encode(
        self,
        token_ids: Int[Tensor, "B T"],
        *,
        cu_seqlens: Int[Tensor, "N1"] | None = None,
        cache: Cache | None = None,
        expert_ids: Int[Tensor, "B T LA"] | None = None,
    ) -> Hidden:
        """Returns hidden states ready for the head.

        `cu_seqlens` packs documents into B = 1. `cache` has one row per row or document: its tokens are continued
        and it is updated. `expert_ids` replays a recorded routing.

        Raises: DataError when shapes, documents and cache rows do not fit together.
        """
        layout = make_layout(token_ids, cu_seqlens, cache)
        routes = self.config.num_layers * self.config.num_experts_per_token
        if expert_ids is not None and expert_ids.shape != (*token_ids.shape, routes):
            raise DataError(f"expert_ids {list(expert_ids.shape)}; allowed: {[*token_ids.shape, routes]}")
        hidden = self.embed_tokens(token_ids.flatten())
        replay = None if expert_ids is None else expert_ids.flatten(0, 1).long().chunk(self.config.num_layers, dim=-1)
        routings: list[Routing] = []
        for layer, block in enumerate(self.layers):
            hidden, routing = block(hidden, layout, None if replay is None else replay[layer])
            routings.append(routing)
        if cache is not None:
            cache.lengths_R.add_(layout.cu_seqlens.diff())
        return Hidden(
            hidden=self.norm(hidden).unflatten(0, token_ids.shape),
            expert_ids=torch.cat([r.expert_ids for r in routings], dim=-1).unflatten(0, token_ids.shape),
            balance_loss=torch.stack([r.balance_loss for r in routings]).mean(),
        )

    def forward(
        self,
        token_ids: Int[Tensor, "B T"],
        *,
        cu_seqlens: Int[Tensor, "N1"] | None = None,
        cache: Cache | None = None,
        expert_ids: Int[Tensor, "B T LA"] | None = None,
    ) -> ModelOutput:
        """Returns float32 logits of every position; arguments as in `encode`."""
        encoded = self.encode(token_ids, cu_seqlens=cu_seqlens, cache=cache, expert_ids=expert_ids)
        return ModelOutput(self.logits(encoded.hidden), encoded.expert_ids)

    def logits(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch V"]:
        """Returns the head's logits in float32."""
        return head_logits(hidden, self.lm_head.weight)
