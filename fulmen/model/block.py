"""One layer of the decoder: a mixer and an MLP, each behind a norm.

Axes: `T` tokens, `D` model width.
"""

from typing import NamedTuple

from torch import Generator, Tensor, nn

from fulmen.kernels.residual import AddNorm, add_norm
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout
from fulmen.model.mixers.lightning import LightningMixer
from fulmen.model.mixers.mla import MlaMixer
from fulmen.model.mixers.softmax import SoftmaxMixer
from fulmen.model.mlp import Mlp
from fulmen.model.moe import MoE, Routing

MIXERS: dict[str, type[LightningMixer] | type[SoftmaxMixer] | type[MlaMixer]] = {
    "L": LightningMixer,
    "S": SoftmaxMixer,
    "M": MlaMixer,
}
"""Letter of a mixer in `ModelConfig.mixers`, and its class."""


class Carried(NamedTuple):
    """What one block hands the next: h = alpha residual + beta branch, left open so that a norm's kernel can add it."""

    residual: Tensor
    """`[T, D]`."""
    branch: Tensor | None = None
    """`[T, D]`; None where h is `residual`, before the first block."""


class Block(nn.Module):
    """u = norm(h), h = alpha r + beta mixer(u); w = norm(h), h = alpha r + beta mlp(w).

    The residual r is the **normed** input (u, w) where `residual` is "normed", and h itself where it is "plain".
    Source: the released MiniMax-Text-01 code with `postnorm` true; pre-norm for the other families.
    """

    def __init__(self, config: ModelConfig, layer: int, cache_index: int) -> None:
        super().__init__()
        self.alpha, self.beta = config.alpha, config.residual_beta
        self.is_normed, self.has_experts = config.residual == "normed", config.mlp(layer) == "E"
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = MIXERS[config.mixer(layer)](config, layer, cache_index)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if self.has_experts:
            self.block_sparse_moe = MoE(config)
        else:
            self.mlp = Mlp(config.hidden_size, config.dense_width)

    def init_weights(self, gain: float, generator: Generator) -> None:
        """Fills the weights; `gain` is DeepNorm's."""
        nn.init.ones_(self.input_layernorm.weight)
        nn.init.ones_(self.post_attention_layernorm.weight)
        self.self_attn.init_weights(gain, generator)
        (self.block_sparse_moe if self.has_experts else self.mlp).init_weights(gain, generator)

    def forward(
        self, carried: Carried, layout: Layout, expert_ids: Tensor | None = None
    ) -> tuple[Carried, Routing | None]:
        """Returns the block's open output and where its tokens were routed, None for a dense block."""
        stream, normed = self.close(carried, self.input_layernorm)
        attended = Carried(normed if self.is_normed else stream, self.self_attn(normed, layout))
        stream, normed = self.close(attended, self.post_attention_layernorm)
        residual = normed if self.is_normed else stream
        if self.has_experts:
            has_cache = layout.cache is not None
            output, routing = self.block_sparse_moe(
                normed, expert_ids, layout.document_T,
                has_statistics=not has_cache, may_decode=has_cache and not layout.is_invariant,
            )  # fmt: skip
        else:
            output, routing = self.mlp(normed), None
        return Carried(residual, output), routing

    def close(self, carried: Carried, norm: nn.RMSNorm) -> AddNorm:
        """Returns h, and what `norm` makes of it."""
        assert norm.eps is not None, "every norm of the model has its eps"
        return add_norm(*carried, norm.weight, alpha=self.alpha, beta=self.beta, eps=norm.eps)
