"""Llama (SmolLM2 among them), Mixtral, Qwen2, Qwen3, Qwen3-MoE: pre-norm decoders with softmax attention.

They differ in biases, norms of q and k, experts, and names of keys; `Decoder` holds the differences as settings.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model.checkpoint.family import (
    Piece,
    attention_pieces,
    end_pieces,
    expert_pieces,
    make_config,
    mlp_pieces,
    norm_pieces,
    optional_int,
    read_rope,
    require_fixed,
    require_float,
    require_int,
    write_rope,
)
from fulmen.model.config import ModelConfig, RouterShape

MAX_POSITIONS = 131_072
"""Written where the config of the source is not at hand; a bound that changes no number without scaling."""


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """A family of pre-norm softmax decoders. Implements `Family`."""

    name: str
    architectures: tuple[str, ...]
    model_types: tuple[str, ...]
    bias: Literal["none", "qkv", "config"] = "none"
    """Whether attention has biases; `config`: by the key attention_bias, o included."""
    qk_norm: bool = False
    experts: Literal["none", "mixtral", "qwen"] = "none"

    def read_config(self, record: Mapping[str, Any]) -> ModelConfig:
        """Returns our config."""
        require_fixed(record, {"hidden_act": ("silu",), "mlp_bias": (False,)})
        if record.get("use_sliding_window", self.experts == "mixtral") and record.get("sliding_window") is not None:
            raise CheckpointError(
                f"config.json: sliding_window={record['sliding_window']}; allowed: null, or use_sliding_window=false"
            )
        heads = require_int(record, "num_attention_heads")
        head_dim = optional_int(record, "head_dim", require_int(record, "hidden_size") // heads)
        theta, scaling = read_rope(record)
        has_bias = record.get("attention_bias", False) if self.bias == "config" else False
        return make_config(
            vocab_size=require_int(record, "vocab_size"),
            hidden_size=require_int(record, "hidden_size"),
            num_layers=require_int(record, "num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=optional_int(record, "num_key_value_heads", heads),
            head_dim=head_dim,
            mixers="S",
            rotary_dim=head_dim,
            rope_theta=theta,
            rope_scaling=scaling,
            rms_norm_eps=require_float(record, "rms_norm_eps"),
            residual="plain",
            attention_bias="qkv" if self.bias == "qkv" else "qkvo" if has_bias else "none",
            qk_norm=self.qk_norm,
            tied_head=bool(record.get("tie_word_embeddings", False)),
            **self._read_mlp(record),
        )

    def _read_mlp(self, record: Mapping[str, Any]) -> dict[str, Any]:
        if self.experts == "none":
            width = require_int(record, "intermediate_size")
            return {"mlps": "D", "num_experts": 0, "intermediate_size": width}
        if self.experts == "mixtral":
            return {
                "intermediate_size": require_int(record, "intermediate_size"),
                "num_experts": require_int(record, "num_local_experts"),
                "num_experts_per_token": require_int(record, "num_experts_per_tok"),
            }
        num_layers, every = require_int(record, "num_hidden_layers"), optional_int(record, "decoder_sparse_step", 1)
        dense = set(record.get("mlp_only_layers") or ())
        stack = "".join("E" if layer not in dense and (layer + 1) % every == 0 else "D" for layer in range(num_layers))
        count = require_int(record, "num_local_experts" if "num_experts" not in record else "num_experts")
        return {
            "mlps": shortest_pattern(stack),
            "intermediate_size": require_int(record, "moe_intermediate_size"),
            "dense_size": require_int(record, "intermediate_size"),
            "num_experts": count,
            "num_experts_per_token": require_int(record, "num_experts_per_tok"),
            "router": RouterShape(renormalise=bool(record.get("norm_topk_prob", False))),
        }

    def write_config(self, config: ModelConfig) -> dict[str, Any]:
        """Returns their config."""
        self._check(config)
        record: dict[str, Any] = {
            "architectures": [self.architectures[0]],
            "model_type": self.model_types[0],
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "head_dim": config.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": config.rms_norm_eps,
            "rope_parameters": write_rope(config),
            "max_position_embeddings": MAX_POSITIONS,
            "tie_word_embeddings": config.tied_head,
        }
        if self.bias == "config":
            record["attention_bias"] = config.attention_bias == "qkvo"
        if self.experts == "none":
            return record | {"intermediate_size": config.dense_width}
        record |= {"num_experts_per_tok": config.num_experts_per_token}
        if self.experts == "mixtral":
            return record | {
                "num_local_experts": config.num_experts,
                "intermediate_size": config.intermediate_size,
                "sliding_window": None,
            }
        return record | {
            "num_experts": config.num_experts,
            "moe_intermediate_size": config.intermediate_size,
            "intermediate_size": config.dense_width,
            "mlp_only_layers": [layer for layer in range(config.num_layers) if config.mlp(layer) == "D"],
            "decoder_sparse_step": 1,
            "norm_topk_prob": config.router.renormalise,
        }

    def _check(self, config: ModelConfig) -> None:
        """Raises: ConfigError when this family has no such model."""
        kinds = {config.mlp(layer) for layer in range(config.num_layers)}
        allowed_kinds = {"none": ("D",), "mixtral": ("E",), "qwen": ("D", "E")}[self.experts]
        biases = {"none": ("none",), "qkv": ("qkv",), "config": ("none", "qkvo")}[self.bias]
        plain_router = RouterShape(renormalise=config.router.renormalise if self.experts == "qwen" else True)
        checks = {
            "mixers": (config.num_lightning_layers == 0 and config.mla is None, "S"),
            "residual": ((config.residual, config.alpha, config.residual_beta) == ("plain", 1.0, 1.0), "plain"),
            "rotary_dim": (config.rotary_width == config.head_dim, config.head_dim),
            "attention_bias": (config.attention_bias in biases, " or ".join(biases)),
            "qk_norm": (config.qk_norm == self.qk_norm, self.qk_norm),
            "mlps": (kinds <= set(allowed_kinds), " and ".join(allowed_kinds)),
            "num_shared_experts": (config.num_shared_experts == 0, 0),
            "router": (config.router == plain_router, plain_router),
            "mtp_depth": (config.mtp_depth == 0, 0),
        }
        for field, (is_right, allowed) in checks.items():
            if not is_right:
                raise ConfigError(f"{field}={getattr(config, field)!r}; allowed in {self.name}: {allowed}")

    def pieces(self, config: ModelConfig, record: Mapping[str, Any]) -> list[Piece]:
        """Returns every stored tensor."""
        pieces = end_pieces(config)
        for layer in range(config.num_layers):
            stored, name = f"model.layers.{layer}", f"layers.{layer}"
            pieces += norm_pieces(stored, name)
            pieces += attention_pieces(config, f"{stored}.self_attn", f"{name}.self_attn")
            if config.mlp(layer) == "D":
                pieces += mlp_pieces(f"{stored}.mlp", f"{name}.mlp")
            elif self.experts == "mixtral":
                pieces += expert_pieces(
                    config, f"{stored}.block_sparse_moe", f"{name}.block_sparse_moe", names=("w1", "w3", "w2")
                )
            else:
                pieces += expert_pieces(config, f"{stored}.mlp", f"{name}.block_sparse_moe")
        return pieces

    def adapt(self, config: ModelConfig, names: Collection[str]) -> ModelConfig:
        """Returns the config unchanged."""
        return config


def shortest_pattern(stack: str) -> str:
    """Returns the shortest string that spells `stack` when repeated."""
    periods = range(1, len(stack) + 1)
    return next(stack[:p] for p in periods if all(letter == stack[i % p] for i, letter in enumerate(stack)))


LLAMA = Decoder(name="llama", architectures=("LlamaForCausalLM",), model_types=("llama",), bias="config")
MIXTRAL = Decoder(
    name="mixtral", architectures=("MixtralForCausalLM",), model_types=("mixtral",), experts="mixtral"
)  # fmt: skip
