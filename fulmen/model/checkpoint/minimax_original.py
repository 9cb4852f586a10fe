"""MiniMaxAI's own files of MiniMax-Text-01 and MiniMax-M1: the keys of their config; tensors are named as natively.

Read by vLLM up to 0.23 and by llama.cpp's converter. Rows of q and k are in our own order.
"""

from collections.abc import Collection, Mapping
from typing import Any

from fulmen.errors import ConfigError
from fulmen.model.checkpoint.family import Piece
from fulmen.model.checkpoint.minimax import (
    LAYER_TYPES,
    MAX_POSITIONS,
    MINIMAX,
    ORIGINAL_KEYS,
    SIZES,
    check_envelope,
    minimax_pieces,
)
from fulmen.model.config import ModelConfig


class MiniMaxOriginal:
    """The released files' own format. Implements `Family`."""

    name = "minimax_m1"
    architectures = ("MiniMaxM1ForCausalLM", "MiniMaxText01ForCausalLM")
    model_types = ("minimax_m1", "minimax_text_01")

    def read_config(self, record: Mapping[str, Any]) -> ModelConfig:
        """Returns our config; keys of transformers' config may be there too and must agree."""
        return MINIMAX.read_config(_named(record))

    def write_config(self, config: ModelConfig) -> dict[str, Any]:
        """Returns their config, with the tokenizer's ids left null as in the released file."""
        check_envelope(config)
        if config.num_heads & (config.num_heads - 1):
            raise ConfigError(f"num_heads={config.num_heads}; allowed in a MiniMax checkpoint: powers of two")
        record: dict[str, Any] = {
            "architectures": [self.architectures[0]],
            "model_type": self.model_types[0],
            **{theirs: getattr(config, ours) for ours, theirs in SIZES.items()},
            "attn_type_list": [int(config.mixer(layer) == "S") for layer in range(config.num_layers)],
            "rope_theta": config.rope_theta,
            "rotary_dim": config.rotary_width,
            "postnorm": True,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "sliding_window": None,
            "attention_dropout": 0.0,
            "max_position_embeddings": MAX_POSITIONS,
            "shared_intermediate_size": 0,
            "shared_moe_mode": "sigmoid",
            "bos_token_id": None,
            "eos_token_id": None,
        }
        for original in ORIGINAL_KEYS:
            record[original] = config.alpha if original.endswith("alpha") else config.residual_beta
        return record

    def pieces(self, config: ModelConfig, record: Mapping[str, Any]) -> list[Piece]:
        """Returns every stored tensor."""
        return minimax_pieces(config, None)

    def adapt(self, config: ModelConfig, names: Collection[str]) -> ModelConfig:
        """Returns the config unchanged."""
        return config


def _named(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "model_type": MiniMaxOriginal.model_types[0]}


MINIMAX_ORIGINAL = MiniMaxOriginal()
assert set(LAYER_TYPES) == {"L", "S"}, "attn_type_list knows two kinds"
