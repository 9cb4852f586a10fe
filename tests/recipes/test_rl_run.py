"""`train_rl` with every part switched on: the same bytes when it is stopped after each step; pauses; what it prints."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from fulmen.envs import Mixture
from fulmen.errors import RunError, RunPaused
from fulmen.recipes.rl import train_rl
from fulmen.recipes.rl_settings import RlSettings
from fulmen.rl import LossSettings
from fulmen.rl.monitors import MonitorSettings
from fulmen.run import Run, Stopped
from fulmen.train import LossOutput, Trainer
from tests.rl.examples import TOKENIZER, Lengths
from tests.train.examples import tiny_model

SETTINGS = RlSettings(
    num_steps=3, num_groups=3, group_size=3, num_updates=2, max_rounds=2, window=6, lr=1e-2, warmup_steps=0,
    num_slots=5, heldout_every=2, heldout_tasks=2, checkpoint_every=2,
)  # fmt: skip
WHOLE = dataclasses.replace(
    SETTINGS, loss=LossSettings(name="ppo"), value_lr=1e-2, max_staleness=1, windows=(9,), stage_clip_norm=(0.5,),
    perplexity_change_max=10.0, perplexity_steps=1, num_evaluations=1, evaluate_every=1, length_p99_frac=0.1,
)  # fmt: skip
CLOCKS = ("rollout_s", "learn_s", "wall_s", "tokens_per_s", "learner_tokens_per_s")


def train(folder: Path, settings: RlSettings, *, console: Console | None = None, **more: Any) -> None:
    model = tiny_model(vocab_size=TOKENIZER.vocab_size)
    with Run.open(folder, recipe="rl", args={}, seed=0) as run:
        train_rl(
            run, model, TOKENIZER, Mixture([Lengths()]), settings, seed=0, console=console or Console(quiet=True),
            **more,
        )  # fmt: skip


def outcome(folder: Path) -> dict[str, Any]:
    """Returns all of a run that must not depend on how often it was stopped."""
    checkpoint = folder / "checkpoints" / "rl-000003"
    found: dict[str, Any] = {
        path.name: path.read_bytes() for path in checkpoint.iterdir() if path.suffix == ".safetensors"
    }
    for name in ("rollouts.jsonl", "heldout.jsonl", "windows.jsonl"):
        path = folder / name
        found[name] = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = [json.dumps({key: value for key, value in line.items() if key not in CLOCKS}) for line in lines]
    return found


@pytest.mark.parametrize("settings", [SETTINGS, WHOLE], ids=["default", "whole"])
def test_a_run_that_is_stopped_after_each_step_ends_with_the_same_bytes(
    settings: RlSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "undisturbed", settings)
    expected = outcome(tmp_path / "undisturbed")
    assert len(expected["metrics"]) == 3
    if settings is WHOLE:
        assert "value.safetensors" in expected
        assert '"verdict": "advance"' in expected["windows.jsonl"]
        assert json.loads(expected["metrics"][-1])["window/tokens"] == 9.0
    append = Run.append

    def stop_after_a_step(run: Run, name: str, *records: Any) -> None:
        append(run, name, *records)
        run.stop_requested = run.stop_requested or name == "rollouts.jsonl"

    monkeypatch.setattr(Run, "append", stop_after_a_step)
    for _ in range(3):
        with pytest.raises(Stopped):
            train(tmp_path / "stopped", settings)
    train(tmp_path / "stopped", settings)
    found = outcome(tmp_path / "stopped")
    assert [name for name in expected if found[name] != expected[name]] == []


def test_a_paused_run_is_written_down_and_goes_on(tmp_path: Path) -> None:
    # Rounding alone keeps the correlation below 1, so every step is beyond the bound.
    strict = dataclasses.replace(SETTINGS, monitors=MonitorSettings(pearson_min=1.0, patience=1), num_steps=2)
    for num_steps in (1, 2):
        with pytest.raises(RunPaused, match=r"logprob_pearson_ema=.*, below pearson_min=1\.0"):
            train(tmp_path / "run", strict)
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == num_steps
        assert "logprob_pearson_ema" in json.loads(lines[-1])
        assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("rl-*")] == [f"rl-{num_steps:06d}"]
    train(tmp_path / "run", strict)


@pytest.mark.parametrize("where", ["loss", "logprobs"])
def test_numbers_that_are_not_finite_move_nothing_are_recorded_and_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    forward = Trainer._forward

    def poisoned(trainer: Trainer, *args: Any, **kwargs: Any) -> tuple[LossOutput, Any, Any]:
        output, quantities, encoded = forward(trainer, *args, **kwargs)
        if where == "logprobs":
            quantities = {name: x * float("nan") if x.dtype.is_floating_point else x for name, x in quantities.items()}
        return dataclasses.replace(output, loss=output.loss * float("nan")), quantities, encoded

    monkeypatch.setattr(Trainer, "_forward", poisoned)
    plain = dataclasses.replace(SETTINGS, checkpoint_every=1)
    with pytest.raises(
        RunError,
        match=r"^rl, step 1: 3 optimizer steps in a row .*not finite.*; last complete checkpoint: .*rl-000001$",
    ):
        train(tmp_path / "run", plain)
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert (json.loads(line)["skipped"], json.loads(line)["num_updates"]) == (2.0, 2)
    records = [json.loads(line) for line in (tmp_path / "run" / "quarantine.jsonl").read_text().splitlines()]
    assert [record["status"] for record in records] == ["skipped"] * 3
    trained = [task_id for record in records[:2] for task_id in record["task_ids"]]
    seen = [json.loads(line)["task_id"] for line in (tmp_path / "run" / "rollouts.jsonl").read_text().splitlines()]
    assert len(trained) == json.loads(line)["num_groups"]
    assert set(trained) <= set(seen)
    # The weights are those that the run began with, and the optimizer has not begun.
    checkpoint = tmp_path / "run" / "checkpoints" / "rl-000001"
    weights = load_file(checkpoint / "model.safetensors")
    model = tiny_model(vocab_size=TOKENIZER.vocab_size)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not load_file(checkpoint / "optimizer.safetensors")
    # Without the trouble, the same command goes on.
    monkeypatch.setattr(Trainer, "_forward", forward)
    train(tmp_path / "run", plain)
    assert (tmp_path / "run" / "checkpoints" / "rl-000003").exists()


def test_without_a_terminal_there_is_a_plain_line_per_step(tmp_path: Path) -> None:
    text = io.StringIO()
    settings = dataclasses.replace(SETTINGS, num_steps=1, num_updates=1)
    train(tmp_path / "run", settings, console=Console(file=text, width=200), has_lines=True)
    first, step, warning, last = text.getvalue().splitlines()
    assert first.startswith("  held out: lengths 0.")
    assert step.startswith("step 1/1  reward 0.")
    assert all(word in step for word in ("length ", "entropy ", " tokens/s", "rollouts ", "updates "))
    assert warning.startswith("warning: r = 1 on every token of this step")
    assert last.startswith("  held out: lengths 0.")


def test_a_kl_term_refers_to_the_first_weights(tmp_path: Path) -> None:
    moved = []
    for index, kl_coefficient in enumerate((None, 1e4)):
        settings = dataclasses.replace(SETTINGS, loss=LossSettings(name="grpo", kl_coefficient=kl_coefficient))
        reference = tiny_model(vocab_size=TOKENIZER.vocab_size) if settings.loss.needs_reference else None
        train(tmp_path / f"{index}", settings, reference=reference)
        lines = [json.loads(line) for line in (tmp_path / f"{index}" / "metrics.jsonl").read_text().splitlines()]
        moved.append([line["grad_norm"] for line in lines])
    # r = 1 and KL = 0, with gradient 0, in the first mini-batch alone; the term then outweighs all else.
    assert moved[1][0] > 100 * moved[0][0]
