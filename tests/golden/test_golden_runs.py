"""A few steps of each recipe at toy size in float64: bit-equal twice, and equal to the committed numbers.

A refactor leaves them untouched. After an intended change, write them anew: FULMEN_WRITE_GOLDEN=1 pytest tests/golden
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fulmen.envs import Mixture
from fulmen.model import Model
from fulmen.model.config import preset
from fulmen.recipes.common import fresh_model
from fulmen.recipes.rl import RlSettings, train_rl
from fulmen.recipes.sft import SftSettings, train_sft
from fulmen.run import Run
from fulmen.text import Tokenizer
from tests.recipes.toy import even_length_mixture

GOLDEN = Path(__file__).parent / "golden.json"
NAMES = ("loss", "grad_norm", "reward", "entropy", "length_mean", "accept_frac", "balance_loss")


def toy() -> tuple[Model, Tokenizer, Mixture]:
    env = even_length_mixture()
    config = preset("tiny").replace(
        hidden_size=16, num_layers=2, mixers="LS", num_heads=2, num_kv_heads=1, head_dim=8, intermediate_size=8
    )
    model, tokenizer = fresh_model(config, env, seed=0)
    return model.double(), tokenizer, env


def record(folder: Path) -> list[dict[str, float]]:
    model, tokenizer, env = toy()
    console = Console(quiet=True)
    with Run.open(folder, recipe="golden", args={}, seed=0) as run:
        sft = SftSettings(num_steps=4, batch_size=3, warmup_steps=2)
        train_sft(run, model, tokenizer, env, sft, seed=0, console=console)
        rl = RlSettings(num_steps=2, num_groups=3, group_size=4, num_updates=3, window=12, heldout_tasks=2, num_slots=5)
        train_rl(run, model, tokenizer, env, rl, seed=0, console=console)
        lines: list[dict[str, Any]] = run.read_lines("metrics.jsonl")
    return [{name: line[name] for name in NAMES if name in line} for line in lines]


def test_recipes_reproduce_the_committed_numbers(tmp_path: Path) -> None:
    first, second = record(tmp_path / "a"), record(tmp_path / "b")
    assert first == second
    if os.environ.get("FULMEN_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(first, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert len(first) == len(golden) == 6
    for found, expected in zip(first, golden, strict=True):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
