"""The comparison with TRL is of equal things: sizes, reward, tokenizers, counts of steps, and when it stops."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.rl_speed import faults, write_weights
from benchmarks.rl_speed_fulmen import parity, run_fulmen
from benchmarks.rl_speed_meter import Iteration, Meter, Plan
from benchmarks.rl_speed_workload import (
    SMOLLM2_135M,
    TINY,
    Workload,
    fulmen_tokenizer,
    reward,
    sum_at,
    transformers_tokenizer,
)
from fulmen.model import ModelConfig
from fulmen.model.flops import training_flops

SMALL = Workload(model=TINY, num_prompts=4, group_size=2, num_new=6, micro_batch=8, updates=(1, 4))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_weights(SMALL, folder)
    return folder


def plan(*, num_warm: int = 3, least_warm: int = 1, share_s: float = 1e3, left_s: float = 1e3) -> Plan:
    now = time.perf_counter()
    return Plan(num_warm=num_warm, least_warm=least_warm, share_ends_at=now + share_s, ends_at=now + left_s)


def test_workload_has_the_stated_tokens_and_flops() -> None:
    workload = Workload(model=SMOLLM2_135M)
    assert workload.num_generated == 65_536
    assert sum(workload.lengths) == 67_040
    shape = ModelConfig(
        vocab_size=49_152, hidden_size=576, num_layers=30, num_heads=9, num_kv_heads=3, head_dim=64,
        intermediate_size=1536, mixers="S", rotary_dim=64, residual="plain", mlps="D", num_experts=0, tied_head=True,
    )  # fmt: skip
    assert training_flops(shape, workload.lengths) / sum(workload.lengths) == pytest.approx(0.834e9, rel=1e-3)
    assert (workload.micro(1), workload.micro(16)) == (64, 16)


@pytest.mark.parametrize(("text", "value"), [("46", 1.0), ("so 46!", 1.0), ("-46", 0.1), ("465", 0.1), ("none", 0.0)])
def test_reward(text: str, value: float) -> None:
    assert reward(text, 46) == value


def test_tokenizers_of_both_sides_agree_and_only_fulmen_could_draw_its_end() -> None:
    own, peer = fulmen_tokenizer(2048), transformers_tokenizer(2048)
    prompt = sum_at(3).prompt
    assert own.encode(prompt) == peer(prompt)["input_ids"]
    assert len(own.encode(prompt)) == len(prompt)
    drawn = [i for i in range(2048) if i != peer.pad_token_id]
    assert own.decode(drawn) == peer.decode(drawn, skip_special_tokens=True)
    assert own.vocab_size == 2048
    assert peer.eos_token_id == 2048


@pytest.mark.parametrize(
    ("settings", "iterations"),
    [
        ({}, 4),  # a cold one, and as many as are wanted
        ({"share_s": -1.0}, 2),  # the share is spent
        ({"share_s": -1.0, "least_warm": 3}, 4),
        ({"left_s": -1.0, "least_warm": 3}, 2),  # all time is spent: one warm iteration is still made
    ],
)
def test_meter_stops(settings: dict[str, Any], iterations: int) -> None:
    meter = Meter(plan(**settings), device="cpu")
    meter.begin()
    count = 1
    while meter.end_iteration():
        count += 1
    assert count == iterations


def test_row_leaves_out_the_cold_iteration_and_takes_generation_and_reward_from_learning() -> None:
    meter = Meter(plan(), device="cpu")
    meter.iterations = [
        Iteration(wall_s=w, generation_s=1.0, reward_s=0.5) for w in (100.0, 3.5, 2.5, 9.5)
    ]  # fmt: skip
    meter.num_steps = 8
    row = meter.row(num_generated=10, num_trained=12, flops=989e12)
    assert row["iterations_per_hour"] == pytest.approx(3600 / 3.5)
    assert row["optimizer_steps_per_hour"] == pytest.approx(2 * 3600 / 3.5)
    assert row["rollout_tok_per_s"] == pytest.approx(10.0)
    assert row["learner_tok_per_s"] == pytest.approx(6.0)
    assert row["learner_mfu"] == pytest.approx(0.5)
    assert (row["warm_iterations"], row["cold_iteration_s"]) == (3, 100.0)


@pytest.mark.slow
@pytest.mark.parametrize("updates", [1, 4])
def test_fulmen_side_does_what_it_claims(weights: Path, updates: int) -> None:
    meter = Meter(plan(num_warm=1), device="cpu")
    checks = run_fulmen("fp32", SMALL, updates=updates, weights=weights, meter=meter)
    row: dict[str, Any] = {"impl": "fulmen", "setting": "fp32", "updates": updates, "checks": checks}
    assert faults({}, [row]) == []
    assert meter.num_steps == 2 * updates
    assert faults({}, [row | {"updates": 3}]) == [f"fulmen fp32 3: steps_per_iteration={float(updates)}"]


@pytest.mark.slow
def test_parity_with_transformers(weights: Path) -> None:
    found = parity(SMALL, weights, dtype=torch.float32, device="cpu")
    assert found["abs_diff_max"] < 1e-5
    assert faults({"parity_fp32": found}, []) == []


def test_faults_of_the_checks_before_the_run() -> None:
    good = {"prompt_ids_equal": True, "texts_equal": True, "parity_fp32": {"abs_diff_mean": 1e-4}}
    assert faults(good, []) == []
    assert faults(good | {"texts_equal": False}, []) == ["texts_equal"]
    assert faults(good | {"parity_fp32": {"abs_diff_mean": 2e-3}}, []) == ["parity_fp32"]
    assert faults(good | {"parity_fp32": {"error": "out of memory"}}, []) == ["parity_fp32"]
    failed = {"impl": "trl", "setting": "bf16", "updates": 1, "error": "ImportError: trl"}
    assert faults(good, [failed]) == ["trl bf16 1: ImportError: trl"]
