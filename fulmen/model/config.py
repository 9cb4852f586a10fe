"""Shape of a model, the presets, and parameter counts.

Defaults stay inside the envelope that exports exactly to other tools: power-of-two heads, one alpha for all branches,
beta 1, MoE in every layer, rotary on half of each head, untied head.
"""

import dataclasses
from dataclasses import dataclass

from fulmen.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape and constants of a hybrid lightning-attention decoder. Source: MiniMax-Text-01 / M1 config.json."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    """Query heads of both mixers, and key/value heads of the lightning mixer; a power of two."""
    num_kv_heads: int
    """Key/value heads of the softmax mixer."""
    head_dim: int
    intermediate_size: int
    """Width of one expert."""
    num_experts: int
    num_experts_per_token: int = 2
    mixers: str = "LLLLLLLS"
    """Pattern of lightning (L) and softmax (S) layers, repeated over the stack."""
    rotary_dim: int | None = None
    """Rotated width of each softmax head; None means half of `head_dim`."""
    rope_theta: float = 1e7
    rms_norm_eps: float = 1e-5
    lightning_norm_eps: float = 1e-6
    """Of the norm over all lightning heads; 1e-6 in the released code, whatever `rms_norm_eps` says."""
    residual_alpha: float | None = None
    """Factor of the (normed) residual; None means DeepNorm's (2 num_layers)^(1/4)."""
    residual_beta: float = 1.0
    """Factor of each branch."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim",
                     "intermediate_size", "num_experts", "num_experts_per_token"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")
        if self.num_experts_per_token > self.num_experts:
            raise ConfigError(
                f"num_experts_per_token={self.num_experts_per_token}; allowed: at most num_experts={self.num_experts}"
            )
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(f"num_kv_heads={self.num_kv_heads}; allowed: divisors of num_heads={self.num_heads}")
        if not self.mixers or set(self.mixers) - set("LS"):
            raise ConfigError(f"mixers={self.mixers!r}; allowed: a non-empty pattern of L (lightning) and S (softmax)")
        if self.rotary_width % 2 or not 0 <= self.rotary_width <= self.head_dim:
            raise ConfigError(f"rotary_dim={self.rotary_dim}; allowed: even, from 0 to head_dim={self.head_dim}")

    @property
    def rotary_width(self) -> int:
        """Rotated width of each softmax head."""
        return self.head_dim // 2 if self.rotary_dim is None else self.rotary_dim

    @property
    def alpha(self) -> float:
        """Factor of the residual."""
        return (2 * self.num_layers) ** 0.25 if self.residual_alpha is None else self.residual_alpha

    def mixer(self, layer: int) -> str:
        """Returns "L" or "S" for a layer counted from 0."""
        return self.mixers[layer % len(self.mixers)]

    @property
    def num_lightning_layers(self) -> int:
        """Layers whose mixer is lightning attention."""
        return sum(self.mixer(layer) == "L" for layer in range(self.num_layers))

    def num_parameters(self) -> int:
        """Returns the number of all parameters."""
        return self._count(self.num_experts, with_embedding=True, with_head=True)

    def num_active_parameters(self) -> int:
        """Returns the parameters a token touches, embedding and head left out, as the report counts (45.9B for M1)."""
        return self._count(self.num_experts_per_token, with_embedding=False, with_head=False)

    def _count(self, num_experts: int, *, with_embedding: bool, with_head: bool) -> int:
        width, heads = self.hidden_size, self.num_heads * self.head_dim
        lightning = 5 * width * heads + heads
        softmax = 2 * width * heads + 2 * width * self.num_kv_heads * self.head_dim
        moe = num_experts * 3 * width * self.intermediate_size + self.num_experts * width
        ends = self.vocab_size * width * (with_embedding + with_head) + width
        num_softmax = self.num_layers - self.num_lightning_layers
        return (
            self.num_lightning_layers * lightning + num_softmax * softmax + self.num_layers * (moe + 2 * width) + ends
        )

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


def preset(name: str) -> ModelConfig:
    """Returns a named configuration.

    Raises: ConfigError for an unknown name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset={name!r}; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]
