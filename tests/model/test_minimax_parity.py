"""Our model against transformers' MiniMaxForCausalLM, and the mapping of names and config between the two.

transformers is a reference in full forwards without its cache and in float32 only.
"""

import dataclasses
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model import PRESETS, Model, ModelConfig
from fulmen.model.checkpoint.minimax import SIZES, from_transformers, to_transformers
from fulmen.model.config import MlaShape, RouterShape
from fulmen.model.rope import RopeScaling

HALF = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=8, num_heads=2, num_kv_heads=1, head_dim=16,
    intermediate_size=16, num_experts=4, rope_theta=1e4,
)  # fmt: skip
CONFIGS = {
    "rotary on half of each head": HALF,
    "rotary on all of each head": HALF.replace(rotary_dim=16),
    "rotary on a quarter": HALF.replace(rotary_dim=4, rope_theta=1e7),
}


def make_model(config: ModelConfig) -> Model:
    """Returns a random model with logits of about ±10, so that a tolerance of 1e-4 means something."""
    model = Model(config, seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5, generator=generator)
        model.lm_head.weight.mul_(20.0)
    return model


def load_transformers(config: dict[str, Any], state: dict[str, Tensor]) -> transformers.MiniMaxForCausalLM:
    model = transformers.MiniMaxForCausalLM(transformers.MiniMaxConfig(**config)).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert {name.rsplit(".", 1)[1] for name in missing} == {"slope_rate", "query_decay", "key_decay", "diagonal_decay"}
    return model


@torch.no_grad()
def forward_transformers(model: transformers.MiniMaxForCausalLM, token_ids: Tensor) -> Tensor:
    return model(token_ids, use_cache=False).logits


def draw_tokens(length: int) -> Tensor:
    return torch.randint(64, (1, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_logits_equal_those_of_transformers(config: ModelConfig) -> None:
    """7 lightning layers and 1 softmax layer, 4 experts top 2; 257 and 300 pass transformers' block of 256."""
    ours = make_model(config)
    theirs = load_transformers(*to_transformers(config, ours.state_dict()))
    for length in (1, 2, 33, 256, 257, 300):
        token_ids = draw_tokens(length)
        with torch.no_grad():
            logits = ours(token_ids).logits
        expected = forward_transformers(theirs, token_ids)
        assert expected.abs().max() > 5
        assert (logits - expected).abs().max() < 1e-4
        assert torch.equal(logits.argmax(-1), expected.argmax(-1))


def permute_qkv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rows per head q | k | v become all q, then all k, then all v."""
    heads = (HALF.num_heads, 3, HALF.head_dim)
    return {n: t.unflatten(0, heads).transpose(0, 1).flatten(0, 2) if "qkv_proj" in n else t for n, t in state.items()}


def permute_rope(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries and keys get their rows back in our order."""
    inverse = torch.tensor([*range(4), *range(8, 12), *range(4, 8), *range(12, 16)]).argsort()
    return {
        name: t.unflatten(0, (-1, 16))[:, inverse].flatten(0, 1) if "q_proj" in name or "k_proj" in name else t
        for name, t in state.items()
    }


def swap_experts(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """w3's rows first."""
    return {n: torch.cat(t.chunk(2, dim=1)[::-1], dim=1) if "gate_up_proj" in n else t for n, t in state.items()}


@pytest.mark.parametrize("wrong", [permute_qkv, permute_rope, swap_experts])
def test_parity_can_fail(wrong: Any) -> None:
    """A wrong split of qkv, unpermuted rotary rows, or swapped expert halves must show far above the tolerance."""
    ours = make_model(HALF)
    config, state = to_transformers(HALF, ours.state_dict())
    token_ids = draw_tokens(40)
    with torch.no_grad():
        logits = ours(token_ids).logits
    assert (logits - forward_transformers(load_transformers(config, wrong(state)), token_ids)).abs().max() > 0.1


@pytest.mark.parametrize("key", ["layer_types", "linear_attn_alpha_factor", "mlp_alpha_factor", "rope_parameters"])
def test_every_key_whose_default_differs_matters(key: str) -> None:
    """What transformers assumes when the key is absent is another model; the export must not rely on it."""
    ours = make_model(HALF)
    config, state = to_transformers(HALF, ours.state_dict())
    if key == "layer_types":
        # Other mixers have other weights: the default could not even load these.
        default = transformers.MiniMaxConfig(**{k: v for k, v in config.items() if k != key})
        assert default.layer_types != config["layer_types"]
        return
    token_ids = draw_tokens(40)
    with torch.no_grad():
        logits = ours(token_ids).logits
    changed = load_transformers({k: v for k, v in config.items() if k != key}, state)
    assert (logits - forward_transformers(changed, token_ids)).abs().max() > 1e-2


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_there_and_back_is_bit_equal(config: ModelConfig) -> None:
    state = make_model(config).state_dict()
    exported = to_transformers(config, state)
    imported = from_transformers(*exported)
    assert list(imported.state) == list(state)
    assert all(torch.equal(imported.state[name], state[name]) for name in state)
    explicit = config.replace(residual_alpha=config.alpha, rotary_dim=config.rotary_width)
    assert imported.config == explicit
    assert to_transformers(*imported).config == exported.config


def test_what_transformers_itself_holds_comes_back_bit_equal() -> None:
    """Its own to_dict() and state_dict(), stray decay buffers included; experts are fused in memory."""
    state = make_model(HALF).state_dict()
    theirs = load_transformers(*to_transformers(HALF, state))
    held = theirs.state_dict()
    assert "model.layers.0.mlp.experts.gate_up_proj" in held
    assert "model.layers.0.mlp.experts.down_proj" in held
    assert "model.layers.0.self_attn.slope_rate" in held
    imported = from_transformers(theirs.config.to_dict(), held)
    assert imported.state.keys() == state.keys()
    assert all(torch.equal(imported.state[name], state[name]) for name in state)
    assert imported.config == HALF.replace(residual_alpha=HALF.alpha, rotary_dim=8)
    Model(imported.config).load_state_dict(imported.state)


def test_m1_exports_theta_1e14_and_comes_back() -> None:
    config, _ = to_transformers(PRESETS["m1_456b"], {})
    assert config["rope_parameters"] == {"rope_type": "proportional", "rope_theta": 1e14, "partial_rotary_factor": 0.5}
    assert config["layer_types"] == (["linear_attention"] * 7 + ["full_attention"]) * 10
    assert {config[f"{b}_alpha_factor"] for b in ("linear_attn", "full_attn", "mlp")} == {3.5565588200778455}
    assert "rotary_dim" not in config
    assert from_transformers(config, {}).config == PRESETS["m1_456b"].replace(rotary_dim=64)


def test_bos_and_eos_are_written_as_null() -> None:
    """transformers' defaults, 1 and 2, are ordinary tokens: generation would stop at one of them."""
    config, _ = to_transformers(HALF, {})
    parsed = transformers.MiniMaxConfig(**config)
    assert config["bos_token_id"] is config["eos_token_id"] is parsed.bos_token_id is parsed.eos_token_id is None


@pytest.mark.parametrize(("rotary_dim", "head_dim"), [(2, 6), (6, 20), (58, 100), (14, 22), (94, 106), (98, 100)])
def test_the_rotated_width_survives_the_rounding_of_its_factor(rotary_dim: int, head_dim: int) -> None:
    config, _ = to_transformers(HALF.replace(rotary_dim=rotary_dim, head_dim=head_dim), {})
    rotary = transformers.models.minimax.modeling_minimax.MiniMaxRotaryEmbedding(transformers.MiniMaxConfig(**config))
    assert int((rotary.inv_freq != 0).sum()) * 2 == rotary_dim
    expected = 1e4 ** (-torch.arange(0, rotary_dim, 2) / rotary_dim)
    torch.testing.assert_close(rotary.inv_freq[: rotary_dim // 2], expected, rtol=1e-5, atol=0)
    imported = from_transformers(config, {}).config
    assert (imported.rotary_dim, imported.rope_theta) == (rotary_dim, 1e4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 6}, "num_heads=6; transformers has other slopes; allowed: powers of two"),
        ({"lightning_norm_eps": 1e-5}, "lightning_norm_eps=1e-05; allowed in transformers: 1e-6"),
        ({"rotary_dim": 0}, "rotary_dim=0"),
        ({"head_dim": 15, "rotary_dim": 8}, "head_dim=15"),
    ],
)
def test_what_transformers_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        to_transformers(HALF.replace(**changes), {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mixtral"}, "model_type='mixtral'; allowed: 'minimax'"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'; allowed: 'silu'"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings=True; allowed: False"),
        ({"sliding_window": 128}, "sliding_window=128; allowed: None"),
        ({"mlp_alpha_factor": 3.0}, "allowed: one alpha and one beta for all"),
        ({"full_attn_beta_factor": 0.5}, "allowed: one alpha and one beta for all"),
        ({"layer_types": ["linear_attention"] * 7}, "allowed: 8 of"),
        ({"layer_types": ["mamba"] * 8}, "allowed: 8 of"),
        ({"num_key_value_heads": 3}, "num_kv_heads=3; allowed: divisors of num_heads=2"),
        ({"rotary_dim": 16}, "rotary_dim=16: transformers rotates 8 channels"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "allowed: rope_type 'default' or"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
         "transformers rotates 16 channels"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "rotary_dim": 8}, "rotates 16 channels"),
    ],
)  # fmt: skip
def test_a_config_that_we_cannot_follow_is_refused(changes: dict[str, Any], message: str) -> None:
    config, _ = to_transformers(HALF, {})
    with pytest.raises(CheckpointError, match=message):
        from_transformers({**config, **changes}, {})


@pytest.mark.parametrize("key", ["vocab_size", "layer_types", "mlp_beta_factor", "rope_parameters", "hidden_act"])
def test_a_config_that_lacks_a_key_is_refused(key: str) -> None:
    config, _ = to_transformers(HALF, {})
    del config[key]
    with pytest.raises(CheckpointError, match=f"the transformers config lacks {key}"):
        from_transformers(config, {})


def test_a_head_width_of_none_is_the_models_width_over_its_heads() -> None:
    config, _ = to_transformers(HALF, {})
    assert from_transformers({**config, "head_dim": None}, {}).config.head_dim == 16


def test_an_unknown_tensor_is_refused() -> None:
    config, _ = to_transformers(HALF, {})
    with pytest.raises(CheckpointError, match=r"tensor visual\.weight; allowed: names that begin with"):
        from_transformers(config, {"visual.weight": torch.zeros(1)})


def test_every_field_of_the_config_is_mapped() -> None:
    """A field added to ModelConfig must not silently be dropped by the export."""
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    mapped = {"mixers", "rotary_dim", "rope_theta", "residual_alpha", "residual_beta", "lightning_norm_eps"}
    assert known == mapped | SIZES.keys() | OPTIONS.keys()


OPTIONS: dict[str, Any] = {
    "residual": "plain",
    "mlps": "D",
    "dense_size": None,
    "num_shared_experts": 1,
    "router": RouterShape(score="sigmoid"),
    "attention_bias": "qkv",
    "qk_norm": True,
    "rope_scaling": RopeScaling(kind="linear", factor=2.0, original_length=64),
    "mla": MlaShape(kv_rank=4, rope_dim=4, value_dim=8),
    "tied_head": True,
    "mtp_depth": 1,
}
"""What a MiniMax checkpoint cannot say; `dense_size` means nothing without dense layers."""


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"dense_size"}))
def test_an_option_that_minimax_lacks_is_refused(name: str) -> None:
    changes = {name: OPTIONS[name]}
    if name == "mlps":
        changes["num_experts"] = 0
    if name == "mla":
        changes["mixers"] = "M"
    with pytest.raises(ConfigError, match=f"{name}=.*; allowed in a MiniMax checkpoint"):
        to_transformers(HALF.replace(**changes), {})
