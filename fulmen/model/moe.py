"""Mixture of experts: a float32 softmax router that keeps the top k, and SwiGLU experts.

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.kernels.experts import count_tokens, expert_mlp
from fulmen.model.config import ModelConfig
from fulmen.model.mixers.lightning import xavier_


class Routing(NamedTuple):
    """Where the tokens of one layer went."""

    expert_ids: Tensor
    """int64 `[T, A]`, most probable first."""
    balance_loss: Tensor
    """E * sum_e f_e P_e, with f the share of assignments and P the mean probability; 1 when balanced."""


class Router(nn.Module):
    """p = softmax(x W^T) over all experts in float32; the top k are kept and renormalised to sum 1."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.per_token = config.num_experts_per_token
        self.weight = nn.Parameter(torch.empty(config.num_experts, config.hidden_size))

    def forward(
        self, x: Float[Tensor, "T D"], expert_ids: Int[Tensor, "T A"] | None
    ) -> tuple[Float[Tensor, "T A"], Routing]:
        """Returns the weights of each token's experts, and the routing.

        `expert_ids` replays a recorded choice: near ties may fall differently in two programs, and a discrete
        difference is no rounding error. The weights are computed afresh, so gradients are those of the choice made.
        """
        dtype = torch.promote_types(x.dtype, torch.float32)
        probabilities = F.linear(x.to(dtype), self.weight.to(dtype)).softmax(-1)
        if expert_ids is None:
            expert_ids = probabilities.topk(self.per_token, dim=-1).indices
        kept = probabilities.gather(-1, expert_ids)
        counts = count_tokens(expert_ids, self.weight.shape[0])
        share = counts.to(dtype) / expert_ids.numel()
        balance = (share * probabilities.mean(0)).sum() * self.weight.shape[0]
        return kept / kept.sum(-1, keepdim=True), Routing(expert_ids, balance)


class Experts(nn.Module):
    """Weights of all experts of a layer: `w13` holds w1's rows and then w3's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        shape = (config.num_experts, config.hidden_size, config.intermediate_size)
        self.w13 = nn.Parameter(torch.empty(shape[0], 2 * shape[2], shape[1]))
        self.w2 = nn.Parameter(torch.empty(shape))


class MoE(nn.Module):
    """sum over the chosen experts of weight * w2(silu(w1 x) * w3 x). Source: M1's block; Mixtral's names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier with DeepNorm's gain on the experts, plain Xavier on the router."""
        width, expert_width = self.experts.w2.shape[1:]
        xavier_(self.experts.w13, width, expert_width, gain, generator)
        xavier_(self.experts.w2, width, expert_width, gain, generator)
        xavier_(self.gate.weight, width, self.gate.weight.shape[0], 1.0, generator)

    def forward(self, x: Float[Tensor, "T D"], expert_ids: Int[Tensor, "T A"] | None) -> tuple[Tensor, Routing]:
        """Returns the output `[T, D]` and the routing."""
        weights, routing = self.gate(x, expert_ids)
        return expert_mlp(x, self.experts.w13, self.experts.w2, routing.expert_ids, weights), routing
