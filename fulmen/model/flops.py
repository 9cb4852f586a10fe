"""Arithmetic of a shape: FLOPs to generate and to train, bytes to decode, memory to hold.

Generating N tokens from nothing costs F(N) = a N + b N^2: every weight a token touches is one multiply-add, and each
softmax layer looks at all tokens before. The report's Figure 1 (right) counts otherwise; `paper` reproduces its curves.
Symbols: H heads, D head width, d_qk and d_v widths of a head's key and value.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from fulmen.errors import ConfigError
from fulmen.model.config import PRESETS, SIBLINGS, ModelConfig

Convention = Literal["paper", "exact-naive", "exact-absorbed", "full-pairs"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
SHAPES: dict[str, ModelConfig] = PRESETS | SIBLINGS
PAPER_SHAPES = ("m1_456b", "deepseek_r1", "qwen3_235b")
H100_BF16_FLOPS = 989e12
"""Dense bfloat16 peak of one H100, per second."""


@dataclass(frozen=True, kw_only=True)
class GenerationCost:
    """F(N) = linear N + quadratic N^2 FLOPs for N generated tokens."""

    linear: int
    quadratic: int

    def flops(self, num_tokens: int) -> int:
        """Returns the FLOPs of all N tokens together."""
        return self.linear * num_tokens + self.quadratic * num_tokens**2


def generation_cost(config: ModelConfig, convention: Convention = "exact-naive") -> GenerationCost:
    """Returns the cost of generating token after token.

    `exact-naive` halves softmax attention for causality and expands latents; `exact-absorbed` keeps them, as decoding
    kernels do; `full-pairs` does not halve; `paper` is the report's figure (see `_paper_cost`).

    Raises: ConfigError for an unknown convention, or `paper` for a shape that the figure does not show.
    """
    if convention not in CONVENTIONS:
        raise ConfigError(f"convention={convention!r}; allowed: {', '.join(CONVENTIONS)}")
    if convention == "paper":
        return _paper_cost(config)
    kinds = _kinds(config)
    recurrent = 4 * config.num_heads * config.head_dim**2
    linear = 2 * touched_weights(config) + kinds.count("L") * recurrent
    quadratic = sum(config.num_heads * _pair_width(config, kind, convention) for kind in kinds if kind != "L")
    return GenerationCost(linear=linear, quadratic=quadratic * (2 if convention == "full-pairs" else 1))


def _paper_cost(config: ModelConfig) -> GenerationCost:
    """Returns what Figure 1 (right) of the report plots, found by fitting its markers (0.05 % from 9K tokens up).

    Router gates are left out; QK^T is halved for causality, PV is not; R1 has 61 expert layers besides its 3 dense
    ones; M1 has 72 lightning and 8 softmax layers, and a lightning layer costs 2 (H D)^2 beside its projections.
    """
    if config not in [SHAPES[name] for name in PAPER_SHAPES]:
        raise ConfigError(f"convention='paper' for another shape; allowed: {', '.join(PAPER_SHAPES)}")
    inner = config.num_heads * config.head_dim
    num_softmax = config.num_layers
    weights = config.vocab_size * config.hidden_size
    if config.num_lightning_layers:
        num_softmax = 8
        num_lightning = config.num_layers - num_softmax
        weights += num_lightning * (_mixer_weights(config, "L") + inner**2)
    kind = "M" if config.mla else "S"
    weights += num_softmax * _mixer_weights(config, kind) + config.num_layers * _expert_weights(config)
    weights += 3 * config.hidden_size * config.dense_width * (config.num_layers - config.num_expert_layers)
    value_width = config.head_dim if config.mla is None else config.mla.value_dim
    return GenerationCost(
        linear=2 * weights, quadratic=num_softmax * config.num_heads * (config.head_dim + 2 * value_width)
    )


def touched_weights(config: ModelConfig) -> int:
    """Returns the weights that multiply one token: head and routers counted; embedding, norms and biases not."""
    total = config.vocab_size * config.hidden_size
    for layer in range(config.num_layers):
        total += _mixer_weights(config, config.mixer(layer))
        if config.mlp(layer) == "E":
            total += _expert_weights(config) + config.num_experts * config.hidden_size
        else:
            total += 3 * config.hidden_size * config.dense_width
    return total


def training_flops(config: ModelConfig, lengths: list[int], *, is_halved: bool = True) -> int:
    """Returns the FLOPs of forward and backward over documents of these lengths, nothing recomputed.

    6 per touched weight and token, 6 T H (d_qk + d_v) / 2 per softmax layer and token (the causal half; other trainers
    do not halve, which `is_halved=False` gives), 12 H D^2 per lightning layer and token, whatever the kernel does.
    """
    num_tokens, pairs = sum(lengths), sum(length**2 for length in lengths)
    kinds = _kinds(config)
    per_token = 6 * touched_weights(config) + kinds.count("L") * 12 * config.num_heads * config.head_dim**2
    per_pair = sum(3 * config.num_heads * _pair_width(config, kind, "exact-naive") for kind in kinds if kind != "L")
    return per_token * num_tokens + per_pair * pairs * (1 if is_halved else 2)


def mfu(flops: float, *, seconds: float, num_gpus: int = 1, peak_flops: float = H100_BF16_FLOPS) -> float:
    """Returns model FLOPs utilisation: FLOPs over what the devices could have done in that time."""
    return flops / (seconds * num_gpus * peak_flops)


@dataclass(frozen=True, kw_only=True)
class DecodeBytes:
    """What one decoding step of one row moves and what stays in memory, in bytes."""

    weights_bytes: int
    """Weights a token touches."""
    cache_bytes: int
    """Keys and values (or latents) of the context, read once."""
    state_bytes: int
    """Lightning states, float32, read and written."""
    resident_bytes: int
    """Keys, values and states of the row at the end."""
    model_bytes: int
    """All parameters."""


def decode_bytes(config: ModelConfig, num_tokens: int, *, bytes_per_value: int = 2) -> DecodeBytes:
    """Returns the traffic of the step that follows `num_tokens` tokens; states are float32."""
    num_lightning = config.num_lightning_layers
    width = 2 * config.num_kv_heads * config.head_dim
    if config.mla is not None:
        width = config.mla.kv_rank + config.mla.rope_dim
    cache = (config.num_layers - num_lightning) * width * num_tokens * bytes_per_value
    state = num_lightning * config.num_heads * config.head_dim**2 * 4
    return DecodeBytes(
        weights_bytes=touched_weights(config) * bytes_per_value,
        cache_bytes=cache,
        state_bytes=2 * state,
        resident_bytes=cache + state,
        model_bytes=config.num_parameters() * bytes_per_value,
    )


def _kinds(config: ModelConfig) -> list[str]:
    return [config.mixer(layer) for layer in range(config.num_layers)]


def _pair_width(config: ModelConfig, kind: str, convention: Convention) -> int:
    """Returns d_qk + d_v of a softmax or latent head."""
    if kind == "S" or config.mla is None:
        return 2 * config.head_dim
    if convention == "exact-absorbed":
        return 2 * config.mla.kv_rank + config.mla.rope_dim
    return config.head_dim + config.mla.value_dim


def _mixer_weights(config: ModelConfig, kind: str) -> int:
    width, inner = config.hidden_size, config.num_heads * config.head_dim
    if kind == "L":
        return 5 * width * inner
    if kind == "S" or config.mla is None:
        return 2 * width * (inner + config.num_kv_heads * config.head_dim)
    shape = config.mla
    nope = config.head_dim - shape.rope_dim
    queries = shape.q_rank * (width + inner) if shape.q_rank else width * inner
    latent = width * (shape.kv_rank + shape.rope_dim)
    heads = config.num_heads * (shape.kv_rank * (nope + shape.value_dim) + shape.value_dim * width)
    return queries + latent + heads


def _expert_weights(config: ModelConfig) -> int:
    """Returns the weights of the experts that one token passes in one layer, the router's left out."""
    num_experts = config.num_experts_per_token + config.num_shared_experts
    return num_experts * 3 * config.hidden_size * config.intermediate_size
