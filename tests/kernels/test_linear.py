"""Linear layers of few rows, and weights side by side."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fulmen.kernels.linear import join, joined, linear
from fulmen.kernels.linear_triton import linear_triton
from fulmen.model import Cache, Model, ModelConfig
from fulmen.model.checkpoint import load_model, save_model
from tests.kernels.reference import draw


@pytest.mark.parametrize("num_rows", [1, 2, 4])
@pytest.mark.parametrize(("width", "num_outputs"), [(96, 40), (768, 24), (1, 3), (2048, 17), (640, 130)])
def test_the_kernel_sums_in_float32(num_rows: int, width: int, num_outputs: int) -> None:
    x, weight = draw(num_rows, width, seed=1).float(), draw(num_outputs, width, seed=2).float()
    expected = F.linear(x.double(), weight.double())
    assert (linear_triton(x, weight).double() - expected).abs().max() < 2e-6 * width
    wide = torch.cat((x, torch.full_like(x, torch.nan)), dim=1)
    assert torch.equal(linear_triton(wide[:, :width], weight), linear_triton(x, weight))


@pytest.mark.gpu
@pytest.mark.parametrize("num_rows", [1, 3, 4, 5])
@pytest.mark.parametrize(("width", "num_outputs"), [(768, 3072), (2048, 768), (576, 960), (5632, 2048), (704, 33)])
@torch.no_grad()
def test_on_the_gpu_few_rows_equal_float64(num_rows: int, width: int, num_outputs: int) -> None:
    x, weight = (draw(*shape, seed=3).bfloat16().cuda() for shape in ((num_rows, width), (num_outputs, width)))
    expected = F.linear(x.double(), weight.double())
    found = linear(x, weight)
    assert (found.double() - expected).norm() / expected.norm() < 3e-3


def test_weights_side_by_side_are_one_matrix_and_stay_parameters() -> None:
    layers = [nn.Linear(6, width, bias=False) for width in (4, 2, 3)]
    before, parameters = [layer.weight.detach().clone() for layer in layers], [layer.weight for layer in layers]
    assert joined(*layers) is None
    join(*layers)
    whole = joined(*layers)
    assert whole is not None
    assert torch.equal(whole, torch.cat(before))
    assert all(layer.weight is parameter for layer, parameter in zip(layers, parameters, strict=True))
    with torch.no_grad():
        layers[1].weight.mul_(2)
    assert torch.equal(whole[4:6], 2 * before[1])
    join(*layers)
    again = joined(*layers)
    assert again is not None
    assert again.data_ptr() == whole.data_ptr()
    assert joined(layers[1], layers[0]) is None
    assert joined(*(layer.double() for layer in layers)) is None, "casting parts them"


def test_layers_with_a_bias_are_left_alone() -> None:
    layers = [nn.Linear(6, 4), nn.Linear(6, 2)]
    join(*layers)
    assert joined(*layers) is None


@torch.no_grad()
def test_a_model_with_joined_weights_decodes_saves_and_loads_as_before(tmp_path: Path) -> None:
    config = ModelConfig(
        vocab_size=64, hidden_size=32, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=16, intermediate_size=16,
        num_experts=4, mixers="LLS",
    )  # fmt: skip
    model, tokens = Model(config, seed=1).double(), torch.arange(30)[None] % 64
    expected, before = model(tokens).logits, {name: t.clone() for name, t in model.state_dict().items()}
    model.join_weights()
    mixers = [block.self_attn for block in model.blocks()]
    assert joined(mixers[0].qkv_proj, mixers[0].output_gate) is not None
    assert joined(mixers[2].q_proj, mixers[2].k_proj, mixers[2].v_proj) is not None
    cache = Cache.allocate(config, num_rows=1, max_length=30, dtype=torch.float64)
    found = torch.cat([model(tokens[:, place : place + 1], cache=cache).logits for place in range(30)], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    save_model(model, tmp_path / "saved")
    again = load_model(tmp_path / "saved", dtype=torch.float64).state_dict()
    assert all(torch.equal(again[name], before[name].to(again[name].dtype)) for name in before)
