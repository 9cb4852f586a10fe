"""Mixture of experts: a float32 router that keeps the top k, and SwiGLU experts.

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token, `N` documents.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.kernels.experts import count_tokens, expert_mlp
from fulmen.kernels.experts_decode import decode_experts, is_decoding, route
from fulmen.model.config import ModelConfig
from fulmen.model.mixers.lightning import xavier_
from fulmen.model.mlp import Mlp


class Routing(NamedTuple):
    """Where the tokens of one layer went."""

    expert_ids: Tensor
    """int64 `[T, A]`, most probable first."""
    balance_loss: Tensor | None
    """E * sum_e f_e P_e, with f the share of assignments and P the mean probability; 1 when balanced. None where
    nobody asked for statistics."""
    load_E: Tensor | None
    """int64, tokens that each expert got; None with the other."""


class Router(nn.Module):
    """p = softmax or sigmoid of x W^T in float32; the top k are kept and weighted by p.

    With groups only the experts of the best groups can be chosen; with a bias the choice, and nothing else, is by
    p + bias. Source: MiniMax-Text-01 (softmax); DeepSeek-V3, 2.1.2 (sigmoid, groups, bias).
    """

    bias: Tensor | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.per_token, self.shape = config.num_experts_per_token, config.router
        self.weight = nn.Parameter(torch.empty(config.num_experts, config.hidden_size))
        self.register_buffer("bias", torch.zeros(config.num_experts) if config.router.has_bias else None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Router":
        """Moves or casts the module, but the bias stays float32: steps of 0.001 vanish in bfloat16."""
        bias = self.bias
        super()._apply(fn, recurse)
        if bias is not None:
            is_new = bias.is_meta and not self.weight.is_meta
            self.bias = torch.zeros(len(bias), device=self.weight.device) if is_new else bias.to(self.weight.device)
        return self

    def forward(
        self,
        x: Float[Tensor, "T D"],
        expert_ids: Int[Tensor, "T A"] | None,
        document_T: Int[Tensor, "T"] | None = None,
        *,
        has_statistics: bool = True,
        may_decode: bool = False,
    ) -> tuple[Float[Tensor, "T A"], Routing]:
        """Returns the weights of each token's experts, and the routing.

        `has_statistics` asks for load and balance loss; `may_decode` allows kernels for few tokens, which round
        otherwise.

        `expert_ids` replays a recorded choice: near ties may fall differently in two programs, and a discrete
        difference is no rounding error. The weights are computed afresh, so gradients are those of the choice made.
        """
        is_plain = expert_ids is None and not has_statistics and self.shape.num_groups == 1
        if may_decode and is_plain and is_decoding(x, self.per_token, self.weight):
            return self._decode(x)
        dtype = torch.promote_types(x.dtype, torch.float32)
        logits = F.linear(x.to(dtype), self.weight.to(dtype))
        is_sigmoid = self.shape.score == "sigmoid"
        scores = logits.sigmoid() if is_sigmoid else logits.softmax(-1)
        if expert_ids is None:
            expert_ids = self._choose(scores)
        kept = scores.gather(-1, expert_ids)
        weights = kept
        if self.shape.renormalise:
            weights = kept / (kept.sum(-1, keepdim=True) + 1e-20 if is_sigmoid else kept.sum(-1, keepdim=True))
        if self.shape.scale != 1.0:
            weights = weights * self.shape.scale
        if not has_statistics:
            return weights, Routing(expert_ids, None, None)
        return weights, self._measure(scores, expert_ids, document_T)

    def _decode(self, x: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T A"], Routing]:
        """Returns the same in one kernel, without statistics."""
        weights, expert_ids = route(
            x, self.weight, self.bias, per_token=self.per_token, is_sigmoid=self.shape.score == "sigmoid",
            renormalise=self.shape.renormalise, scale=self.shape.scale,
        )  # fmt: skip
        return weights, Routing(expert_ids, None, None)

    def _measure(
        self, scores: Float[Tensor, "T E"], expert_ids: Int[Tensor, "T A"], document_T: Int[Tensor, "T"] | None
    ) -> Routing:
        """Returns the routing with its load and balance loss."""
        probabilities = scores / scores.sum(-1, keepdim=True) if self.shape.score == "sigmoid" else scores
        load_E = count_tokens(expert_ids, self.weight.shape[0])
        if self.shape.balance == "batch" or document_T is None:
            balance = (load_E.to(scores.dtype) / expert_ids.numel() * probabilities.mean(0)).sum() * len(load_E)
        else:
            balance = sequence_balance(scores.topk(self.per_token, dim=-1).indices, probabilities, document_T)
        return Routing(expert_ids, balance, load_E)

    def _choose(self, scores: Float[Tensor, "T E"]) -> Int[Tensor, "T A"]:
        choice = scores if self.bias is None else scores + self.bias.to(scores.dtype)
        if self.shape.num_groups > 1:
            grouped = choice.unflatten(-1, (self.shape.num_groups, -1))
            best = grouped.topk(2, dim=-1).values.sum(-1).topk(self.shape.num_kept_groups, dim=-1).indices
            is_kept = torch.zeros_like(grouped[..., 0], dtype=torch.bool).scatter(-1, best, True)
            choice = grouped.masked_fill(~is_kept[..., None], -torch.inf).flatten(-2)
        return choice.topk(self.per_token, dim=-1).indices


def sequence_balance(
    top_ids: Int[Tensor, "T A"], probabilities: Float[Tensor, "T E"], document_T: Int[Tensor, "T"]
) -> Float[Tensor, ""]:
    """Returns the mean over documents of sum_e f_e P_e, f and P being of one document; 1 when balanced.

    Source: DeepSeek-V3, eq. 17-20; f counts the top k of the scores without bias.
    """
    num_documents, num_experts = int(document_T[-1]) + 1, probabilities.shape[1]
    lengths_N = torch.bincount(document_T, minlength=num_documents).to(probabilities.dtype)
    cells = document_T[:, None] * num_experts + top_ids
    counts = torch.bincount(cells.flatten(), minlength=num_documents * num_experts).unflatten(0, (-1, num_experts))
    membership_N_T = F.one_hot(document_T, num_documents).T.to(probabilities.dtype)
    mean_N_E = membership_N_T @ probabilities / lengths_N[:, None]
    share_N_E = counts * num_experts / (top_ids.shape[1] * lengths_N[:, None])
    return (share_N_E * mean_N_E).sum(-1).mean()


def max_violation(load_E: Tensor) -> Tensor:
    """Returns max_e load_e / mean load - 1, of each row: 0 when balanced. Source: auxiliary-loss-free balancing."""
    load = load_E.to(torch.float32)
    return load.amax(-1) / load.mean(-1) - 1


class Experts(nn.Module):
    """Weights of all experts of a layer: `w13` holds w1's rows and then w3's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        shape = (config.num_experts, config.hidden_size, config.intermediate_size)
        self.w13 = nn.Parameter(torch.empty(shape[0], 2 * shape[2], shape[1]))
        self.w2 = nn.Parameter(torch.empty(shape))


class MoE(nn.Module):
    """sum over the chosen experts of weight * w2(silu(w1 x) * w3 x), and the shared experts' output if there are any.

    Source: M1's block, Mixtral's names.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = Router(config)
        self.experts = Experts(config)
        self.has_shared = config.num_shared_experts > 0
        if self.has_shared:
            self.shared_experts = Mlp(config.hidden_size, config.num_shared_experts * config.intermediate_size)

    def init_weights(self, gain: float, generator: torch.Generator) -> None:
        """Fills the weights: Xavier with DeepNorm's gain on the experts, plain Xavier on the router."""
        width, expert_width = self.experts.w2.shape[1:]
        xavier_(self.experts.w13, width, expert_width, gain, generator)
        xavier_(self.experts.w2, width, expert_width, gain, generator)
        xavier_(self.gate.weight, width, self.gate.weight.shape[0], 1.0, generator)
        if self.has_shared:
            self.shared_experts.init_weights(gain, generator)
        if self.gate.bias is not None:
            nn.init.zeros_(self.gate.bias)

    def forward(
        self,
        x: Float[Tensor, "T D"],
        expert_ids: Int[Tensor, "T A"] | None,
        document_T: Int[Tensor, "T"] | None = None,
        *,
        has_statistics: bool = True,
        may_decode: bool = False,
    ) -> tuple[Tensor, Routing]:
        """Returns the output `[T, D]` and the routing; the last two arguments as in `Router`."""
        weights, routing = self.gate(
            x, expert_ids, document_T, has_statistics=has_statistics, may_decode=may_decode
        )  # fmt: skip
        shared = self.shared_experts(x) if self.has_shared else None
        w13, w2 = self.experts.w13, self.experts.w2
        if may_decode and is_decoding(x, routing.expert_ids.shape[1], w13, w2):
            return decode_experts(x, w13, w2, routing.expert_ids, weights, shared), routing
        output = expert_mlp(x, w13, w2, routing.expert_ids, weights)
        return (output if shared is None else output + shared), routing
