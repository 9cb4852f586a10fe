"""Shape of a model, the presets, and parameter counts.

Defaults stay inside the envelope that exports exactly to other tools: power-of-two heads, one alpha for all branches,
beta 1, MoE in every layer, rotary on half of each head, untied head. Every other field is an option that a family of
checkpoints needs; `fulmen/model/checkpoint/` says which.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from fulmen.errors import ConfigError
from fulmen.model.rope import RopeScaling


@dataclass(frozen=True, kw_only=True)
class MlaShape:
    """Widths of multi-head latent attention; each head's q and k are `head_dim` wide, `rope_dim` of it rotated.

    Source: DeepSeek-V3, 2.1.1.
    """

    kv_rank: int
    """Width of the latent that keys and values are made from; it and `rope_dim` are what is cached."""
    rope_dim: int
    value_dim: int
    q_rank: int = 0
    """Width of the queries' latent; 0 makes them from the input directly."""


@dataclass(frozen=True, kw_only=True)
class RouterShape:
    """How experts are chosen and weighted."""

    score: Literal["softmax", "sigmoid"] = "softmax"
    renormalise: bool = True
    """Whether the weights of the chosen experts sum to `scale`."""
    scale: float = 1.0
    """Factor of the weights."""
    num_groups: int = 1
    """Node-limited routing: experts lie in this many groups, ..."""
    num_kept_groups: int = 1
    """... of which a token reaches this many, those whose two best experts score highest together."""
    has_bias: bool = False
    """Adds a bias to the scores for the choice only, moved by load and not by gradients (DeepSeek-V3, 2.1.2)."""
    balance: Literal["batch", "sequence"] = "batch"
    """What the balance loss averages over: all tokens of a pass, or each document by itself (DeepSeek-V3, eq. 17)."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape and constants of a hybrid lightning-attention decoder. Source: MiniMax-Text-01 / M1 config.json."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    """Query heads of all mixers, and key/value heads of the lightning mixer."""
    num_kv_heads: int
    """Key/value heads of the softmax mixer."""
    head_dim: int
    intermediate_size: int
    """Width of one expert."""
    num_experts: int
    """Routed experts of a layer; 0 when no layer has any."""
    num_experts_per_token: int = 2
    mixers: str = "LLLLLLLS"
    """Pattern of lightning (L), softmax (S) and latent attention (M) layers, repeated over the stack."""
    rotary_dim: int | None = None
    """Rotated width of each softmax head; None means half of `head_dim`."""
    rope_theta: float = 1e7
    rms_norm_eps: float = 1e-5
    lightning_norm_eps: float = 1e-6
    """Of the norm over all lightning heads; 1e-6 in the released code, whatever `rms_norm_eps` says."""
    residual_alpha: float | None = None
    """Factor of the residual; None means DeepNorm's (2 num_layers)^(1/4), or 1 for a plain residual."""
    residual_beta: float = 1.0
    """Factor of each branch."""
    residual: Literal["normed", "plain"] = "normed"
    """What a branch is added to: its own normed input (MiniMax), or the stream before the norm (all others)."""
    mlps: str = "E"
    """Pattern of expert (E) and dense (D) layers, repeated over the stack."""
    dense_size: int | None = None
    """Width of a dense layer; None means `intermediate_size`."""
    num_shared_experts: int = 0
    """Experts that every token passes, fused into one."""
    router: RouterShape = field(default_factory=RouterShape)
    attention_bias: Literal["none", "qkv", "qkvo"] = "none"
    """Which projections of the softmax mixer have a bias."""
    qk_norm: bool = False
    """RMSNorm of each query and key head of the softmax mixer, before rotation (Qwen3)."""
    rope_scaling: RopeScaling | None = None
    mla: MlaShape | None = None
    """Needed by the mixer M."""
    tied_head: bool = False
    """Whether the head is the embedding."""
    mtp_depth: int = 0
    """Multi-token prediction modules after the stack (DeepSeek-V3, 2.2)."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim",
                     "intermediate_size", "num_experts_per_token"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")
        for name in ("num_shared_experts", "mtp_depth"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 0")
        if self.dense_size is not None and self.dense_size < 1:
            raise ConfigError(f"dense_size={self.dense_size}; allowed: at least 1")
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(f"num_kv_heads={self.num_kv_heads}; allowed: divisors of num_heads={self.num_heads}")
        if not self.mlps or set(self.mlps) - set("ED"):
            raise ConfigError(f"mlps={self.mlps!r}; allowed: a non-empty pattern of E (experts) and D (dense)")
        for name, choices in (("residual", ("normed", "plain")), ("attention_bias", ("none", "qkv", "qkvo"))):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name}={getattr(self, name)!r}; allowed: {', '.join(choices)}")
        self._check_mixers()
        self._check_experts()

    def _check_mixers(self) -> None:
        if not self.mixers or set(self.mixers) - set("LSM"):
            raise ConfigError(
                f"mixers={self.mixers!r}; allowed: a non-empty pattern of L (lightning), S (softmax), M (latent)"
            )
        if "S" in self.mixers and "M" in self.mixers:
            raise ConfigError(f"mixers={self.mixers!r}; allowed: S or M beside L, not both (one cache holds one kind)")
        if self.rotary_width % 2 or not 0 <= self.rotary_width <= self.head_dim:
            raise ConfigError(f"rotary_dim={self.rotary_dim}; allowed: even, from 0 to head_dim={self.head_dim}")
        if ("M" in self.mixers) != (self.mla is not None):
            raise ConfigError(f"mixers={self.mixers!r}, mla={self.mla}; allowed: M with mla, or neither")
        if self.mla is not None:
            shape = self.mla
            if shape.rope_dim % 2 or not 0 < shape.rope_dim < self.head_dim:
                raise ConfigError(
                    f"mla rope_dim={shape.rope_dim}; allowed: even, above 0, below head_dim={self.head_dim}"
                )
            if min(shape.kv_rank, shape.value_dim) < 1 or shape.q_rank < 0:
                raise ConfigError(f"mla={shape}; allowed: kv_rank and value_dim of at least 1, q_rank of at least 0")

    def _check_experts(self) -> None:
        router = self.router
        if "E" not in self.mlps:
            if self.num_experts or self.num_shared_experts:
                raise ConfigError(
                    f"num_experts={self.num_experts}, num_shared_experts={self.num_shared_experts}; allowed: 0 where "
                    f"mlps={self.mlps!r} has no expert layer"
                )
            return
        if self.num_experts < 1:
            raise ConfigError(f"num_experts={self.num_experts}; allowed: at least 1")
        if self.num_experts_per_token > self.num_experts:
            raise ConfigError(
                f"num_experts_per_token={self.num_experts_per_token}; allowed: at most num_experts={self.num_experts}"
            )
        if router.score not in ("softmax", "sigmoid") or router.balance not in ("batch", "sequence"):
            raise ConfigError(
                f"router score={router.score!r}, balance={router.balance!r}; allowed: softmax or sigmoid, batch or "
                "sequence"
            )
        groups, kept = router.num_groups, router.num_kept_groups
        if not 1 <= kept <= groups or self.num_experts % groups:
            raise ConfigError(
                f"router num_groups={groups}, num_kept_groups={kept}; allowed: divisors of num_experts="
                f"{self.num_experts}, and no more kept than there are"
            )
        size = self.num_experts // groups
        if groups > 1 and (size < 2 or kept * size < self.num_experts_per_token):
            raise ConfigError(
                f"router num_groups={groups}, num_kept_groups={kept}; allowed: groups of at least 2 experts, "
                f"and num_experts_per_token={self.num_experts_per_token} experts in the kept ones"
            )

    @property
    def rotary_width(self) -> int:
        """Rotated width of each softmax head."""
        return self.head_dim // 2 if self.rotary_dim is None else self.rotary_dim

    @property
    def alpha(self) -> float:
        """Factor of the residual."""
        if self.residual_alpha is not None:
            return self.residual_alpha
        return (2 * self.num_layers) ** 0.25 if self.residual == "normed" else 1.0

    @property
    def dense_width(self) -> int:
        """Width of a dense layer."""
        return self.intermediate_size if self.dense_size is None else self.dense_size

    def mixer(self, layer: int) -> str:
        """Returns "L", "S" or "M" for a layer counted from 0; an MTP module continues the last layer's kind."""
        return self.mixers[min(layer, self.num_layers - 1) % len(self.mixers)]

    def mlp(self, layer: int) -> str:
        """Returns "E" or "D" for a layer counted from 0; an MTP module continues the last layer's kind."""
        return self.mlps[min(layer, self.num_layers - 1) % len(self.mlps)]

    @property
    def num_lightning_layers(self) -> int:
        """Layers whose mixer is lightning attention."""
        return sum(self.mixer(layer) == "L" for layer in range(self.num_layers))

    @property
    def num_expert_layers(self) -> int:
        """Layers with routed experts."""
        return sum(self.mlp(layer) == "E" for layer in range(self.num_layers))

    @property
    def num_routes(self) -> int:
        """Experts a token passes in the whole stack."""
        return self.num_expert_layers * self.num_experts_per_token

    def num_parameters(self) -> int:
        """Returns the number of all parameters."""
        ends = self.vocab_size * self.hidden_size * (1 if self.tied_head else 2) + self.hidden_size
        extra = self.num_layers + self.mtp_depth
        mtp = self.mtp_depth * (2 * self.hidden_size**2 + 3 * self.hidden_size)
        return ends + mtp + sum(self._count(layer, self.num_experts) for layer in range(extra))

    def num_active_parameters(self) -> int:
        """Returns the parameters a token touches, embedding and head left out, as the report counts (45.9B for M1)."""
        return self.hidden_size + sum(
            self._count(layer, self.num_experts_per_token) for layer in range(self.num_layers)
        )

    def _count(self, layer: int, num_experts: int) -> int:
        """Returns the parameters of one layer with `num_experts` of its experts."""
        width = self.hidden_size
        if self.mlp(layer) == "D":
            mlp = 3 * width * self.dense_width
        else:
            mlp = (num_experts + self.num_shared_experts) * 3 * width * self.intermediate_size
            mlp += self.num_experts * width
        return self._count_mixer(self.mixer(layer)) + mlp + 2 * width

    def _count_mixer(self, kind: str) -> int:
        width, inner = self.hidden_size, self.num_heads * self.head_dim
        if kind == "L":
            return 5 * width * inner + inner
        if kind == "M":
            assert self.mla is not None, "checked on construction"
            shape, nope = self.mla, self.head_dim - self.mla.rope_dim
            queries = width * inner if not shape.q_rank else shape.q_rank * (width + inner + 1)
            latent = width * (shape.kv_rank + shape.rope_dim) + shape.kv_rank
            heads = shape.kv_rank * self.num_heads * (nope + shape.value_dim)
            return queries + latent + heads + self.num_heads * shape.value_dim * width
        inner_kv = self.num_kv_heads * self.head_dim
        biases = {"none": 0, "qkv": inner + 2 * inner_kv, "qkvo": inner + 2 * inner_kv + width}
        return 2 * width * (inner + inner_kv) + biases[self.attention_bias] + 2 * self.head_dim * self.qk_norm

    def replace(self, **changes: object) -> "ModelConfig":
        """Returns a copy with some fields changed; checked again."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(
        vocab_size=320, hidden_size=96, num_layers=8, num_heads=4, num_kv_heads=2, head_dim=32,
        intermediate_size=64, num_experts=4, rope_theta=1e4,
    ),
    "small": ModelConfig(
        vocab_size=8192, hidden_size=512, num_layers=16, num_heads=8, num_kv_heads=2, head_dim=64,
        intermediate_size=256, num_experts=4, rope_theta=1e4,
    ),
    "m1_456b": ModelConfig(
        vocab_size=200_064, hidden_size=6144, num_layers=80, num_heads=64, num_kv_heads=8, head_dim=128,
        intermediate_size=9216, num_experts=32, rope_theta=1e7, residual_alpha=3.5565588200778455,
    ),
}  # fmt: skip
"""Named shapes. `tiny` is for two CPU cores, `small` (about 50M) for one GPU, `m1_456b` is MiniMax-M1's own."""

SIBLINGS: dict[str, ModelConfig] = {
    "deepseek_r1": ModelConfig(
        vocab_size=129_280, hidden_size=7168, num_layers=61, num_heads=128, num_kv_heads=128, head_dim=192,
        intermediate_size=2048, num_experts=256, num_experts_per_token=8, num_shared_experts=1,
        mixers="M", mla=MlaShape(kv_rank=512, rope_dim=64, value_dim=128, q_rank=1536),
        mlps="DDD" + "E" * 58, dense_size=18_432, residual="plain", rms_norm_eps=1e-6, rope_theta=1e4,
        rope_scaling=RopeScaling(kind="yarn", factor=40.0, original_length=4096, mscale=1.0, mscale_all_dim=1.0),
        router=RouterShape(
            score="sigmoid", scale=2.5, num_groups=8, num_kept_groups=4, has_bias=True, balance="sequence",
        ),
    ),
    "qwen3_235b": ModelConfig(
        vocab_size=151_936, hidden_size=4096, num_layers=94, num_heads=64, num_kv_heads=4, head_dim=128,
        intermediate_size=1536, num_experts=128, num_experts_per_token=8, mixers="S", rotary_dim=128, qk_norm=True,
        residual="plain", rms_norm_eps=1e-6, rope_theta=1e6,
    ),
}  # fmt: skip
"""What the report compares M1 with: outside the envelope of our presets, for arithmetic and for their checkpoints."""


def preset(name: str) -> ModelConfig:
    """Returns a named configuration.

    Raises: ConfigError for an unknown name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset={name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]
