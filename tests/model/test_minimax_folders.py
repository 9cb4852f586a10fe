"""MiniMax on disk: both formats there and back, bit for bit, and transformers on what was exported."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model import PRESETS, Model, ModelConfig
from fulmen.model.checkpoint import export_model, load_model
from fulmen.model.checkpoint.family import Family
from fulmen.model.checkpoint.minimax import MINIMAX
from fulmen.model.checkpoint.minimax_original import MINIMAX_ORIGINAL

HALF = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=8, num_heads=2, num_kv_heads=1, head_dim=16,
    intermediate_size=16, num_experts=4, rope_theta=1e4,
)  # fmt: skip


def make_model(config: ModelConfig = HALF) -> Model:
    model = Model(config, seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5, generator=generator)
        model.lm_head.weight.mul_(20.0)
    return model


@pytest.mark.parametrize("family", [MINIMAX, MINIMAX_ORIGINAL], ids=["hf", "m1"])
@pytest.mark.parametrize("rotary_dim", [4, 8, 16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_there_and_back_is_bit_equal(family: Family, rotary_dim: int, dtype: torch.dtype, tmp_path: Path) -> None:
    model = make_model(HALF.replace(rotary_dim=rotary_dim)).to(dtype)
    export_model(model, tmp_path / "out", family, with_index=True)
    again = load_model(tmp_path / "out", dtype=dtype)
    assert again.config == model.config.replace(residual_alpha=model.config.alpha)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("rotary_dim", [4, 8, 16])
@torch.no_grad()
def test_transformers_reads_the_exported_folder_and_computes_the_same(rotary_dim: int, tmp_path: Path) -> None:
    model = make_model(HALF.replace(rotary_dim=rotary_dim))
    export_model(model, tmp_path / "out", MINIMAX)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    token_ids = torch.randint(64, (1, 300), generator=torch.Generator().manual_seed(0))
    expected = theirs(token_ids, use_cache=False).logits
    difference = (model(token_ids).logits - expected).abs().max()
    print(f"hf export, rotary {rotary_dim}: largest difference {float(difference):.1e}")
    assert expected.abs().max() > 5
    assert difference < 1e-4


def test_the_two_formats_differ_in_the_rows_of_q_and_k_and_nothing_else(tmp_path: Path) -> None:
    model = make_model()
    export_model(model, tmp_path / "hf", MINIMAX)
    export_model(model, tmp_path / "m1", MINIMAX_ORIGINAL)
    hf, m1 = (load_file(tmp_path / name / "model.safetensors") for name in ("hf", "m1"))
    assert hf.keys() == m1.keys()
    assert {name for name in hf if not torch.equal(hf[name], m1[name])} == {
        "model.layers.7.self_attn.q_proj.weight", "model.layers.7.self_attn.k_proj.weight",
    }  # fmt: skip
    assert "rotary_dim" not in json.loads((tmp_path / "hf" / "config.json").read_text())


def test_names_and_number_of_tensors_of_the_released_checkpoint() -> None:
    config = PRESETS["m1_456b"]
    pieces = MINIMAX_ORIGINAL.pieces(config, {})
    names = {piece.stored for piece in pieces}
    assert len(names) == len(pieces) == 8243
    for name in ("model.layers.0.self_attn.qkv_proj.weight", "model.layers.7.self_attn.k_proj.weight",
                 "model.layers.79.block_sparse_moe.experts.31.w2.weight", "lm_head.weight"):  # fmt: skip
        assert name in names


RELEASED: dict[str, Any] = {
    "architectures": ["MiniMaxM1ForCausalLM"], "model_type": "minimax_m1", "vocab_size": 200064, "hidden_size": 6144,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 9216, "num_local_experts": 32, "num_experts_per_tok": 2, "tie_word_embeddings": False,
    "rope_theta": 10000000, "rotary_dim": 64, "attn_type_list": ([0] * 7 + [1]) * 10, "postnorm": True,
    "layernorm_full_attention_alpha": 3.5565588200778455, "layernorm_linear_attention_alpha": 3.5565588200778455,
    "layernorm_mlp_alpha": 3.5565588200778455, "layernorm_full_attention_beta": 1.0,
    "layernorm_linear_attention_beta": 1.0, "layernorm_mlp_beta": 1.0, "rms_norm_eps": 1e-5, "hidden_act": "silu",
    "max_position_embeddings": 10240000, "shared_intermediate_size": 0, "shared_moe_mode": "sigmoid",
    "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "sliding_window": None, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip


@pytest.mark.parametrize("name", ["m1", "text_01"])
def test_the_released_config_is_the_preset(name: str) -> None:
    record = RELEASED | {"model_type": f"minimax_{name}"}
    config = MINIMAX_ORIGINAL.read_config(record)
    assert config == PRESETS["m1_456b"].replace(rotary_dim=64)
    assert config.num_parameters() == 456_089_655_296
    written = MINIMAX_ORIGINAL.write_config(config)
    assert MINIMAX_ORIGINAL.read_config(written) == config
    shared = written.keys() & RELEASED.keys() - {"rope_theta"}
    assert {key: written[key] for key in shared} == {key: RELEASED[key] for key in shared}
    assert RELEASED.keys() - written.keys() == {"router_aux_loss_coef", "router_jitter_noise"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlp_alpha_factor": 1.0}, "layernorm_mlp_alpha=3.55.*and mlp_alpha_factor=1.0; allowed: keys that agree"),
        ({"layer_types": ["full_attention"] * 80}, "attn_type_list=.*and layer_types=.*; allowed: keys that agree"),
        ({"postnorm": False}, "postnorm=False; allowed: true"),
        ({"shared_intermediate_size": 64}, "shared_intermediate_size=64; allowed: 0"),
        ({"layernorm_mlp_alpha": 1.0}, "alpha factors .*; allowed: one alpha and one beta for all"),
        ({"attn_type_list": [0, 2]}, r"attn_type_list=\[0, 2\]; allowed: a list of 0 and 1"),
        ({"rotary_dim": 65}, "rotary_dim=65; allowed: even"),
        ({"hidden_size": "wide"}, "hidden_size='wide'; allowed: an integer"),
        ({"layernorm_mlp_alpha": "one"}, "mlp_alpha_factor='one'; allowed: a number"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e7}}, "transformers rotates 128 channels"),
    ],
)
def test_keys_that_disagree_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MINIMAX_ORIGINAL.read_config(RELEASED | changes)


def test_keys_that_agree_are_read() -> None:
    both = RELEASED | {"mlp_alpha_factor": 3.5565588200778455, "linear_attn_beta_factor": 1.0}
    assert MINIMAX_ORIGINAL.read_config(both) == PRESETS["m1_456b"].replace(rotary_dim=64)


def test_a_model_of_another_kind_is_not_written(tmp_path: Path) -> None:
    model = Model(HALF.replace(residual="plain"))
    for family in (MINIMAX, MINIMAX_ORIGINAL):
        with pytest.raises(ConfigError, match="residual='plain'; allowed in a MiniMax checkpoint: 'normed'"):
            export_model(model, tmp_path / "out", family)
    assert list(tmp_path.iterdir()) == []
