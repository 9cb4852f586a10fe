"""The decoder: embedding, blocks, final norm, head; one definition for every family of checkpoints.

Axes: `B` rows, `T` tokens, `D` model width, `V` vocabulary, `L` expert layers, `A` experts per token,
`E` experts.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fulmen.errors import DataError
from fulmen.kernels.logprob import head_logits
from fulmen.model.block import Block, Carried
from fulmen.model.cache import Cache
from fulmen.model.config import ModelConfig
from fulmen.model.layout import Layout, make_layout
from fulmen.model.mixers.lightning import LightningMixer
from fulmen.model.mixers.softmax import SoftmaxMixer
from fulmen.model.moe import Routing
from fulmen.model.mtp import MtpModule, shift


class Hidden(NamedTuple):
    """Result of the decoder before its head."""

    hidden: Tensor
    """`[B, T, D]`, after the final norm."""
    expert_ids: Tensor
    """int64 `[B, T, L * A]`: experts of each token, layer by layer."""
    balance_loss: Tensor
    """Mean over expert layers of the router's balance loss; 1 when balanced, 0 without experts. Empty with a cache."""
    loads: Tensor
    """int64 `[L, E]`, tokens that each expert got; rows of MTP modules, if they ran, come last. Empty with a cache."""
    mtp: tuple[Tensor, ...] = ()
    """Of each MTP module, `[B, T, D]` ready for the head; module k's last k places of a document mean nothing."""


class ModelOutput(NamedTuple):
    """Result of a forward pass."""

    logits: Tensor
    """float32 `[B, T, V]`."""
    expert_ids: Tensor
    """int64 `[B, T, L * A]`."""


class Model(nn.Module):
    """Hybrid lightning-attention decoder; the same modules train, sample and serve.

    `Model(config)` has random weights drawn from `seed`; under `torch.device("meta")` none are drawn.
    A tied head is the embedding module itself under a second name, so it is one parameter in every list.
    """

    lm_head: nn.Linear | nn.Embedding

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        kinds = [config.mixer(layer) for layer in range(config.num_layers)]
        self.layers = nn.ModuleList(Block(config, layer, kinds[:layer].count(kind)) for layer, kind in enumerate(kinds))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        if config.tied_head:
            self.__dict__["lm_head"] = self.embed_tokens
        else:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.mtp = nn.ModuleList(MtpModule(config) for _ in range(config.mtp_depth))
        if self.lm_head.weight.device.type != "meta":
            self.init_weights(seed)

    def init_weights(self, seed: int) -> None:
        """Draws all weights: DeepNorm's Xavier with gain (8 L)^(-1/4) on v, output and experts (MiniMax-01, 2.2).

        A plain residual takes (2 L)^(-1/2) in its place: then the branches together add about as much as the input.
        """
        generator = torch.Generator(device=self.lm_head.weight.device).manual_seed(seed)
        is_normed, num_layers = self.config.residual == "normed", self.config.num_layers
        gain = (8 * num_layers) ** -0.25 if is_normed else (2 * num_layers) ** -0.5
        with torch.no_grad():
            self.embed_tokens.weight.normal_(0.0, 0.02, generator=generator)
            if not self.config.tied_head:
                self.lm_head.weight.normal_(0.0, 0.02, generator=generator)
            nn.init.ones_(self.norm.weight)
            for block in self.blocks():
                block.init_weights(gain, generator)
            for module in self.mtp:
                assert isinstance(module, MtpModule), "the list holds MTP modules only"
                module.init_weights(gain, generator)

    def join_weights(self) -> None:
        """Lays weights that multiply the same input side by side, for faster decoding; nothing else changes."""
        for block in self.blocks():
            if isinstance(block.self_attn, LightningMixer | SoftmaxMixer):
                block.self_attn.join_weights()

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
        with_mtp: bool = False,
        is_invariant: bool = False,
    ) -> Hidden:
        """Returns hidden states ready for the head.

        `cu_seqlens` packs documents into B = 1. `cache` has one row per row or document: its tokens are continued
        and it is updated. `expert_ids` replays a recorded routing. `with_mtp` runs the MTP modules too.

        Raises: DataError when shapes, documents and cache rows do not fit together.
        """
        layout = make_layout(token_ids, cu_seqlens, cache, is_invariant=is_invariant)
        return self.run(token_ids, layout, expert_ids=expert_ids, with_mtp=with_mtp)

    def run(
        self,
        token_ids: Int[Tensor, "B T"],
        layout: Layout,
        *,
        expert_ids: Int[Tensor, "B T LA"] | None = None,
        with_mtp: bool = False,
    ) -> Hidden:
        """Returns the same for a layout that is there already; nothing is read back to the host."""
        cache = layout.cache
        routes = self.config.num_routes
        if expert_ids is not None and expert_ids.shape != (*token_ids.shape, routes):
            raise DataError(f"expert_ids {list(expert_ids.shape)}; allowed: {[*token_ids.shape, routes]}")
        if with_mtp and cache is not None:
            raise DataError("with_mtp=True with a cache; allowed: MTP modules in full forward passes only")
        carried = Carried(self.embed_tokens(token_ids.flatten()))
        replay = None
        if expert_ids is not None:
            replay = iter(expert_ids.flatten(0, 1).long().split(self.config.num_experts_per_token, dim=-1))
        routings: list[Routing] = []
        blocks = list(self.blocks())
        for block in blocks:
            carried, routing = block(carried, layout, next(replay) if replay and block.has_experts else None)
            routings += [] if routing is None else [routing]
        if cache is not None:
            cache.lengths_R.add_(layout.cu_seqlens.diff())
        hidden, normed = blocks[-1].close(carried, self.norm)
        num_main = len(routings)
        ahead, mtp_routings = self._run_mtp(hidden, token_ids.flatten(), layout) if with_mtp else ((), [])
        routings += mtp_routings
        # Empty tensors cost a decoding step no kernel.
        balance, loads = hidden.new_empty(0), token_ids.new_empty(0, 0)
        if cache is None:
            losses = [r.balance_loss for r in routings if r.balance_loss is not None]
            balance = torch.stack(losses).mean() if losses else hidden.new_zeros(())
            loads = torch.stack([r.load_E for r in routings if r.load_E is not None]) if losses else loads
        return Hidden(
            hidden=normed.unflatten(0, token_ids.shape),
            expert_ids=(
                torch.cat([r.expert_ids for r in routings[:num_main]], dim=-1)
                if num_main
                else token_ids.new_empty(token_ids.numel(), 0)
            ).unflatten(0, token_ids.shape),
            balance_loss=balance,
            loads=loads,
            mtp=tuple(x.unflatten(0, token_ids.shape) for x in ahead),
        )

    def _run_mtp(self, hidden: Tensor, token_ids_T: Tensor, layout: Layout) -> tuple[tuple[Tensor, ...], list[Routing]]:
        """Returns what each MTP module hands the head, and the routings of those that have experts."""
        outputs: list[Tensor] = []
        routings: list[Routing] = []
        for depth, module in enumerate(self.mtp, start=1):
            assert isinstance(module, MtpModule), "the list holds MTP modules only"
            shifted, _ = shift(token_ids_T, layout.cu_seqlens, depth)
            (hidden, normed), routing = module(hidden, self.embed_tokens(shifted), layout)
            outputs.append(normed)
            routings += [] if routing is None else [routing]
        return tuple(outputs), routings

    @torch.no_grad()
    def update_router_bias(self, loads: Int[Tensor, "L E"], *, rate: float) -> None:
        """Moves each router's bias by `rate` up where its expert got less than the mean load, down where more.

        `loads` are those of the whole optimizer step, summed over micro-batches and ranks, rows as in `Hidden`;
        without the rows of MTP modules their routers stay as they are. Source: DeepSeek-V3, 2.1.2.
        """
        modules = [module.block for module in self.mtp if isinstance(module, MtpModule)]
        routers = [block.block_sparse_moe.gate for block in (*self.blocks(), *modules) if block.has_experts]
        assert len(loads) in (len(routers), self.config.num_expert_layers), "one row per router"
        for router, load_E in zip(routers, loads.float(), strict=False):
            if router.bias is not None:
                router.bias.add_(rate * (load_E.mean() - load_E).sign())

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
