"""A hybrid out of a softmax model: what is carried over, how the new layers are fitted, and what is refused."""

import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.model import Model, ModelConfig
from fulmen.model.hybrid import make_hybrid, sample_text
from fulmen.model.layout import make_layout
from fulmen.train.distil import changed_layers, mixer_losses

CONFIG = ModelConfig(
    vocab_size=64, hidden_size=32, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8, intermediate_size=48,
    num_experts=0, mlps="D", mixers="S", rotary_dim=8, residual="plain", rope_theta=1e3, tied_head=True,
)  # fmt: skip


def make_source(config: ModelConfig = CONFIG) -> Model:
    model = Model(config, seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5, generator=generator)
        model.embed_tokens.weight.mul_(20.0)
    return model.requires_grad_(False)


def draw_tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(64, shape, generator=torch.Generator().manual_seed(seed))


def test_weights_are_carried_over() -> None:
    source = make_source()
    hybrid = make_hybrid(source, "LLLS", draw_tokens(4, 64))
    theirs, ours = source.state_dict(), hybrid.state_dict()
    kept = {name for name in theirs if name in ours and "out_proj" not in name}
    assert all(name.startswith(("layers.0.self", "layers.1.self", "layers.2.self")) for name in theirs.keys() - kept)
    assert all(torch.equal(ours[name], theirs[name]) for name in kept)
    old, new = source.layers[1].self_attn, hybrid.layers[1].self_attn
    per_head = new.qkv_proj.weight.unflatten(0, (4, 3, 8))
    for head in range(4):
        kv = slice(8 * (head // 2), 8 * (head // 2) + 8)
        assert torch.equal(per_head[head, 0], old.q_proj.weight[8 * head : 8 * head + 8])
        assert torch.equal(per_head[head, 1], old.k_proj.weight[kv])
        ratio = per_head[head, 2] / old.v_proj.weight[kv]
        torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))
        assert ratio[0, 0] > 0
    assert torch.equal(new.out_proj.weight, old.o_proj.weight)
    assert hybrid.config == CONFIG.replace(mixers="LLLS")


def error(mixer: torch.nn.Module, old: torch.nn.Module, x: Tensor, target: Tensor) -> float:
    """Returns the squared error before the output projection."""
    return float((mixer.mix(x, make_layout(draw_tokens(1, len(x)), None, None)) - target).square().sum())


@torch.no_grad()
def test_the_norm_of_a_new_layer_is_the_best_there_is() -> None:
    """The fit is least squares: no layer is worse than none at all, and any change of the norm makes it worse."""
    source = make_source()
    token_ids = draw_tokens(1, 96)
    hybrid = make_hybrid(source, "LLLS", token_ids)
    x = source.layers[0].input_layernorm(source.embed_tokens(token_ids[0]))
    old, new = source.layers[0].self_attn, hybrid.layers[0].self_attn
    target = old.mix(x, make_layout(token_ids, None, None))
    best = error(new, old, x, target)
    assert best < 0.95 * float(target.square().sum())
    for channel in (0, 13, 31):
        for step in (-0.1, 0.1):
            new.norm.weight[channel] += step
            assert error(new, old, x, target) > best
            new.norm.weight[channel] -= step


def test_the_gate_starts_at_one_half_and_learns() -> None:
    source = make_source()
    hybrid = make_hybrid(source, "L", draw_tokens(2, 64)).requires_grad_(True)
    assert not hybrid.layers[0].self_attn.output_gate.weight.any()
    sum(mixer_losses(hybrid, source, draw_tokens(2, 40, seed=3)).values()).backward()
    for layer in range(4):
        assert hybrid.layers[layer].self_attn.output_gate.weight.grad.abs().max() > 1e-6


def test_layers_that_change() -> None:
    source = make_source()
    assert changed_layers(make_hybrid(source, "LS", draw_tokens(1, 32)), source) == [0, 2]


def test_sampled_text_is_a_function_of_its_seed_and_stays_in_the_vocabulary() -> None:
    source = make_source()
    first, again, other = (
        sample_text(source, first_id=2, vocab_size=50, num_rows=3, num_tokens=30, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (3, 30)
    assert first.max() < 50
    assert (first[:, 0] == 2).all()


@pytest.mark.parametrize(
    ("changes", "mixers", "message"),
    [
        ({"mixers": "LS"}, "LS", "the source has mixers='LS'; allowed: softmax attention"),
        ({"attention_bias": "qkv"}, "LS", "the source has attention_bias='qkv'; allowed: 'none'"),
        ({}, "SS", "mixers='SS'; allowed: a pattern of L and S with at least one L"),
        ({}, "LM", "mixers='LM'; allowed: a pattern of L and S"),
    ],
)
def test_what_cannot_be_converted_is_refused(changes: dict[str, object], mixers: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_hybrid(Model(CONFIG.replace(**changes)), mixers, draw_tokens(1, 8))
