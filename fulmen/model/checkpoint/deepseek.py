"""DeepSeek-V3: latent attention, dense first layers, grouped sigmoid routing with a bias, multi-token prediction.

Rotary pairs lie interleaved in the released weights, (0, 1), (2, 3), ...; ours are halves, so rows are reordered.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.model.checkpoint.family import (
    Piece,
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
    spread_rows,
    write_rope,
)
from fulmen.model.config import MlaShape, ModelConfig, RouterShape


class DeepseekV3:
    """The family of DeepSeek-V3 and R1. Implements `Family`."""

    name = "deepseek_v3"
    architectures = ("DeepseekV3ForCausalLM",)
    model_types = ("deepseek_v3",)

    def read_config(self, record: Mapping[str, Any]) -> ModelConfig:
        """Returns our config."""
        require_fixed(
            record,
            {
                "hidden_act": ("silu",), "attention_bias": (False,), "tie_word_embeddings": (False,),
                "scoring_func": ("sigmoid",), "topk_method": ("noaux_tc",), "moe_layer_freq": (1,),
            },
        )  # fmt: skip
        theta, scaling = read_rope(record)
        num_layers, num_dense = require_int(record, "num_hidden_layers"), require_int(record, "first_k_dense_replace")
        rope_dim = require_int(record, "qk_rope_head_dim")
        dense = min(num_dense, num_layers)
        return make_config(
            vocab_size=require_int(record, "vocab_size"),
            hidden_size=require_int(record, "hidden_size"),
            num_layers=num_layers,
            num_heads=require_int(record, "num_attention_heads"),
            num_kv_heads=require_int(record, "num_attention_heads"),
            head_dim=require_int(record, "qk_nope_head_dim") + rope_dim,
            mixers="M",
            mla=MlaShape(
                kv_rank=require_int(record, "kv_lora_rank"),
                rope_dim=rope_dim,
                value_dim=require_int(record, "v_head_dim"),
                q_rank=optional_int(record, "q_lora_rank", 0),
            ),
            rope_theta=theta,
            rope_scaling=scaling,
            rms_norm_eps=require_float(record, "rms_norm_eps"),
            residual="plain",
            mlps="D" if dense == num_layers else "D" * dense + "E" * (num_layers - dense) if dense else "E",
            dense_size=require_int(record, "intermediate_size"),
            mtp_depth=optional_int(record, "num_nextn_predict_layers", 0),
            **({"num_experts": 0, "intermediate_size": require_int(record, "intermediate_size")}
               if dense == num_layers else _read_experts(record)),
        )  # fmt: skip

    def write_config(self, config: ModelConfig) -> dict[str, Any]:
        """Returns their config."""
        stack = "".join(config.mlp(layer) for layer in range(config.num_layers))
        dense = stack.count("D")
        router, shape = config.router, config.mla
        if shape is None or config.num_lightning_layers:
            raise ConfigError(f"mixers={config.mixers!r}; allowed in deepseek_v3: M")
        if stack != "D" * dense + "E" * (len(stack) - dense) or dense == len(stack):
            raise ConfigError(f"mlps={config.mlps!r}; allowed in deepseek_v3: dense layers first, then experts")
        if router.score != "sigmoid" or not router.has_bias:
            raise ConfigError(f"router={router}; allowed in deepseek_v3: sigmoid scores and a bias")
        if (config.residual, config.alpha, config.residual_beta) != ("plain", 1.0, 1.0) or config.tied_head:
            raise ConfigError(
                f"residual={config.residual!r}, tied_head={config.tied_head}; allowed in deepseek_v3: plain, False"
            )
        return {
            "architectures": [self.architectures[0]],
            "model_type": self.model_types[0],
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_heads,
            "qk_nope_head_dim": config.head_dim - shape.rope_dim,
            "qk_rope_head_dim": shape.rope_dim,
            "v_head_dim": shape.value_dim,
            "kv_lora_rank": shape.kv_rank,
            "q_lora_rank": shape.q_rank or None,
            "rms_norm_eps": config.rms_norm_eps,
            "rope_parameters": write_rope(config),
            "rope_interleave": True,
            "max_position_embeddings": 163_840,
            "first_k_dense_replace": dense,
            "intermediate_size": config.dense_width,
            "moe_intermediate_size": config.intermediate_size,
            "n_routed_experts": config.num_experts,
            "num_experts_per_tok": config.num_experts_per_token,
            "n_shared_experts": config.num_shared_experts,
            "n_group": router.num_groups,
            "topk_group": router.num_kept_groups,
            "norm_topk_prob": router.renormalise,
            "routed_scaling_factor": router.scale,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "hidden_act": "silu",
            "attention_bias": False,
            "tie_word_embeddings": False,
            "num_nextn_predict_layers": config.mtp_depth,
        }

    def pieces(self, config: ModelConfig, record: Mapping[str, Any]) -> list[Piece]:
        """Returns every stored tensor; MTP modules follow the last layer, and may be absent."""
        is_interleaved = bool(record.get("rope_interleave", True))
        pieces = end_pieces(config)
        for layer in range(config.num_layers):
            pieces += _block_pieces(config, f"model.layers.{layer}", f"layers.{layer}", layer, is_interleaved)
        for depth in range(config.mtp_depth):
            stored, name = f"model.layers.{config.num_layers + depth}", f"mtp.{depth}"
            pieces += [
                Piece(stored=f"{stored}.{part}.weight", name=f"{name}.{part}.weight")
                for part in ("enorm", "hnorm", "eh_proj")
            ]
            pieces.append(Piece(stored=f"{stored}.shared_head.norm.weight", name=f"{name}.norm.weight"))
            pieces += _block_pieces(config, stored, f"{name}.block", config.num_layers - 1, is_interleaved)
            pieces += [
                Piece(stored=f"{stored}.embed_tokens.weight", name="embed_tokens.weight", is_copy=True),
                Piece(stored=f"{stored}.shared_head.head.weight", name="lm_head.weight", is_copy=True),
            ]
        return pieces

    def adapt(self, config: ModelConfig, names: Collection[str]) -> ModelConfig:
        """Returns the config without MTP modules where none is stored: transformers' config counts one regardless."""
        first = f"model.layers.{config.num_layers}."
        return config if any(name.startswith(first) for name in names) else config.replace(mtp_depth=0)


def _read_experts(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "intermediate_size": require_int(record, "moe_intermediate_size"),
        "num_experts": require_int(record, "n_routed_experts"),
        "num_experts_per_token": require_int(record, "num_experts_per_tok"),
        "num_shared_experts": optional_int(record, "n_shared_experts", 0),
        "router": RouterShape(
            score="sigmoid",
            renormalise=bool(record.get("norm_topk_prob", True)),
            scale=require_float(record, "routed_scaling_factor"),
            num_groups=optional_int(record, "n_group", 1),
            num_kept_groups=optional_int(record, "topk_group", 1),
            has_bias=True,
            balance="sequence",
        ),
    }


def _block_pieces(config: ModelConfig, stored: str, name: str, layer: int, is_interleaved: bool) -> list[Piece]:
    assert config.mla is not None, "every layer of this family is MLA"
    shape = config.mla
    queries, keys = (
        _halves(config.head_dim - shape.rope_dim, shape.rope_dim, is_interleaved),
        _halves(shape.kv_rank, shape.rope_dim, is_interleaved),
    )
    pairs = [
        ("kv_a_proj_with_mqa", "kv_a_proj", keys),
        ("kv_a_layernorm", "kv_a_layernorm", None),
        ("kv_b_proj", "kv_b_proj", None),
        ("o_proj", "o_proj", None),
    ]
    all_queries = None if queries is None else spread_rows(queries, config.num_heads)
    if shape.q_rank:
        pairs += [("q_a_proj", "q_a_proj", None), ("q_a_layernorm", "q_a_layernorm", None)]
    last = "q_b_proj" if shape.q_rank else "q_proj"
    pairs.append((last, last, all_queries))
    pieces = norm_pieces(stored, name) + [
        Piece(stored=f"{stored}.self_attn.{theirs}.weight", name=f"{name}.self_attn.{ours}.weight", rows=rows)
        for theirs, ours, rows in pairs
    ]
    if config.mlp(layer) == "D":
        return pieces + mlp_pieces(f"{stored}.mlp", f"{name}.mlp")
    moe = f"{name}.block_sparse_moe"
    pieces += expert_pieces(config, f"{stored}.mlp", moe)
    if config.router.has_bias:
        pieces.append(Piece(stored=f"{stored}.mlp.gate.e_score_correction_bias", name=f"{moe}.gate.bias"))
    if config.num_shared_experts:
        pieces += mlp_pieces(f"{stored}.mlp.shared_experts", f"{moe}.shared_experts")
    return pieces


def _halves(first: int, rotated: int, is_interleaved: bool) -> Tensor | None:
    """Returns the row order that turns interleaved pairs after `first` other rows into halves."""
    if not is_interleaved:
        return None
    pairs = torch.arange(rotated).reshape(-1, 2).T.flatten()
    return torch.cat((torch.arange(first), first + pairs))


DEEPSEEK_V3 = DeepseekV3()
