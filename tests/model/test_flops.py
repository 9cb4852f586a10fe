"""The numbers of the report's Figure 1 (right), of DeepSeek-R1, Qwen3-235B and MiniMax-M1, to every printed digit."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fulmen import cli
from fulmen.model import PRESETS, Model, ModelConfig
from fulmen.model.checkpoint import save_model
from fulmen.model.flops import SHAPES, Convention, decode_bytes, generation_cost, mfu, touched_weights, training_flops

R1, QWEN3, M1 = (SHAPES[name] for name in ("deepseek_r1", "qwen3_235b", "m1_456b"))
MODELS = (R1, QWEN3, M1)
COSTS: dict[Convention, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "paper": ((75_414_503_424, 43_036_704_768, 104_530_968_576), (3_497_984, 2_310_144, 196_608)),
    "exact-naive": ((73_249_193_984, 43_135_270_912, 94_638_702_592), (2_498_560, 1_540_096, 163_840)),
    "exact-absorbed": ((73_249_193_984, 43_135_270_912, 94_638_702_592), (8_495_104, 1_540_096, 163_840)),
    "full-pairs": ((73_249_193_984, 43_135_270_912, 94_638_702_592), (4_997_120, 3_080_192, 327_680)),
}
MARKERS = {
    "R1": (R1, {9: 0.0992, 17: 0.2373, 33: 0.6543, 65: 2.0517, 97: 4.2002, 128: 6.998}),
    "Qwen3": (QWEN3, {9: 0.0593, 17: 0.145, 33: 0.4093, 65: 1.3099, 97: 2.7067, 128: 4.5329}),
    "M1": (M1, {9: 0.098, 17: 0.188, 33: 0.3757, 65: 0.7829, 97: 1.2323, 128: 1.7079}),
}
"""Of the vector figure: thousands (1,024) of tokens, and 10^16 FLOPs."""


@pytest.mark.parametrize("convention", COSTS)
def test_coefficients(convention: Convention) -> None:
    costs = [generation_cost(config, convention) for config in MODELS]
    assert tuple(cost.linear for cost in costs) == COSTS[convention][0]
    assert tuple(cost.quadratic for cost in costs) == COSTS[convention][1]


@pytest.mark.parametrize("name", MARKERS)
def test_the_paper_convention_meets_the_markers_of_the_figure(name: str) -> None:
    config, markers = MARKERS[name]
    for thousands, expected in markers.items():
        # The figure was read to four decimals of its axis.
        found = generation_cost(config, "paper").flops(thousands * 1024) / 1e16
        assert found == pytest.approx(expected, rel=1e-3, abs=6e-5)


@pytest.mark.parametrize(
    ("convention", "thousands", "values", "ratios"),
    [
        ("paper", 8, ("0.0853", "0.0508", "0.0870"), ("102.0", "171.3")),
        ("paper", 64, ("1.9966", "1.2742", "0.7695"), ("38.5", "60.4")),
        ("paper", 100, ("4.4401", "2.8631", "1.2766"), ("28.8", "44.6")),
        ("paper", 1024, ("392.5200", "258.5200", "32.5780"), ("8.3", "12.6")),
        ("exact-naive", 8, ("0.0768", "0.0457", "0.0786"), ("102.4", "172.2")),
        ("exact-naive", 64, ("1.5532", "0.9442", "0.6906"), ("44.5", "73.1")),
        ("exact-naive", 100, ("3.3700", "2.0566", "1.1409"), ("33.9", "55.5")),
        ("exact-absorbed", 64, ("4.1287", "0.9442", "0.6906"), ("16.7", "73.1")),
        ("exact-absorbed", 100, ("9.6578", "2.0566", "1.1409"), ("11.8", "55.5")),
        ("full-pairs", 64, (None, None, None), ("29.0", "47.4")),
        ("full-pairs", 1024, (None, None, None), ("8.2", "13.4")),
    ],
)
def test_totals_and_ratios(
    convention: Convention, thousands: int, values: tuple[str | None, ...], ratios: tuple[str, ...]
) -> None:
    found = [generation_cost(config, convention).flops(thousands * 1024) / 1e16 for config in MODELS]
    for value, expected in zip(found, values, strict=True):
        if expected is not None:
            digits = 2 if value > 100 else 3 if value > 30 else 4
            assert f"{value:.{digits}f}" == f"{float(expected):.{digits}f}"
    assert (f"{100 * found[2] / found[0]:.1f}", f"{100 * found[2] / found[1]:.1f}") == ratios


@pytest.mark.parametrize(
    ("convention", "r1", "qwen3"),
    [
        ("paper", 8_819, 29_095), ("exact-naive", 9_161, 37_423), ("exact-absorbed", 2_567, 37_423),
        ("full-pairs", 4_581, 18_711),
    ],
)  # fmt: skip
def test_below_a_length_m1_costs_more(convention: Convention, r1: int, qwen3: int) -> None:
    mine = generation_cost(M1, convention)
    for other, border in ((R1, r1), (QWEN3, qwen3)):
        its = generation_cost(other, convention)
        assert mine.flops(border - 1) > its.flops(border - 1)
        assert mine.flops(border + 1) < its.flops(border + 1)


def test_decoding_traffic() -> None:
    """KV bytes per token, states, and GB per step at 128K and 1M tokens, as the engine's roofline has them."""
    assert [decode_bytes(config, 1).cache_bytes for config in MODELS] == [70_272, 192_512, 40_960]
    assert decode_bytes(M1, 0).state_bytes == pytest.approx(587e6, rel=1e-3)
    moved = {n: [decode_bytes(c, n) for c in MODELS] for n in (131_072, 1_048_576)}
    assert [f"{(b.cache_bytes + b.state_bytes) / 1e9:.2f}" for b in moved[131_072]] == ["9.21", "25.23", "5.96"]
    assert [f"{b.resident_bytes / 1e9:.1f}" for b in moved[1_048_576]] == ["73.7", "201.9", "43.2"]
    assert [f"{b.weights_bytes / 1e9:.1f}" for b in moved[131_072]] == ["73.2", "43.1", "94.3"]


def test_parameter_counts_of_the_presets() -> None:
    assert R1.num_parameters() / 1e9 == pytest.approx(671, abs=0.1)
    assert QWEN3.num_parameters() / 1e9 == pytest.approx(235, abs=0.2)
    assert M1.num_parameters() == 456_089_655_296


def test_training_flops_of_a_known_model() -> None:
    """SmolLM2-135M at 262 tokens: 0.807 + 0.027 GFLOP per token."""
    config = ModelConfig(
        vocab_size=49_152, hidden_size=576, num_layers=30, num_heads=9, num_kv_heads=3, head_dim=64, mixers="S",
        mlps="D", num_experts=0, intermediate_size=1536, residual="plain", tied_head=True, rotary_dim=64,
    )  # fmt: skip
    assert 6 * touched_weights(config) / 1e9 == pytest.approx(0.807, abs=5e-4)
    per_token = training_flops(config, [262]) / 262 / 1e9
    assert per_token == pytest.approx(0.834, abs=5e-4)
    assert training_flops(config, [100, 162]) < training_flops(config, [262])
    halved, full = (
        training_flops(config, [4096], is_halved=h) - 4096 * 6 * touched_weights(config) for h in (True, False)
    )
    assert full == 2 * halved
    assert mfu(989e12, seconds=2.0, num_gpus=2) == 0.25


def test_linear_layers_are_those_that_torch_counts() -> None:
    """An independent count of one token through a dense model: everything but the attention products."""
    config = ModelConfig(
        vocab_size=64, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16, mixers="S", mlps="D",
        num_experts=0, intermediate_size=24, residual="plain",
    )  # fmt: skip
    model = Model(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, dtype=torch.int64))
    counted = {str(op): flops for op, flops in counter.get_flop_counts()["Global"].items()}
    assert sum(flops for op, flops in counted.items() if "attention" not in op) == pytest.approx(
        2 * touched_weights(config), abs=2 * 2 * 2 * 16 * 2
    )


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["flops", "--convention", "paper", "--lengths", "65536", "--out", str(tmp_path / "f.json"),
              "--picture", str(tmp_path / "f.png")])  # fmt: skip
    assert "m1_456b" in capsys.readouterr().out
    rows = json.loads((tmp_path / "f.json").read_text())["rows"]
    assert {row["model"]: row["flops"] for row in rows} == {
        name: generation_cost(SHAPES[name], "paper").flops(65_536) for name in ("m1_456b", "deepseek_r1", "qwen3_235b")
    }
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    config = PRESETS["tiny"].replace(num_layers=2, hidden_size=16, head_dim=8, intermediate_size=8)
    save_model(Model(config), tmp_path / "mine")
    cli.main(["flops", str(tmp_path / "mine"), "--lengths", "100", "--out", str(tmp_path / "g.json")])
    (row,) = json.loads((tmp_path / "g.json").read_text())["rows"]
    assert row["flops"] == generation_cost(config).flops(100)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nowhere"], "models='nowhere'; allowed: a checkpoint's folder, or tiny"),
        (["tiny", "--convention", "paper"], "convention='paper' for another shape; allowed: m1_456b"),
        (["tiny", "--lengths", "0"], "lengths from 1"),
        (["tiny", "--picture", "a.gif"], "allowed: a name that ends in .png or .svg"),
    ],
)
def test_bad_input(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["flops", *argv])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
