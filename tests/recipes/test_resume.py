"""Stopping anywhere loses nothing: a resumed run ends with the same bytes as an undisturbed one."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fulmen.run import Run, Stopped
from tests.recipes.toy import run_toy_demo

WEIGHTS = ("model.safetensors", "optimizer.safetensors")
LINES = ("rollouts.jsonl", "heldout.jsonl")


def outcome(folder: Path) -> dict[str, object]:
    """Returns everything of a finished run that must not depend on how often it was stopped."""
    found: dict[str, object] = {
        f"{phase}/{name}": next((folder / "checkpoints").glob(f"{phase}-*")).joinpath(name).read_bytes()
        for phase in ("sft", "rl")
        for name in WEIGHTS
    }
    found |= {name: (folder / name).read_bytes() for name in LINES}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found["steps"] = [(line["phase"], line["step"], line.get("loss")) for line in lines]
    found["tasks"] = json.loads((folder / "summary.json").read_text())["tasks"]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run_toy_demo(folder)
    found = outcome(folder)
    assert len(str(found["rl/optimizer.safetensors"])) > 10_000, "no RL update happened: the test would prove nothing"
    return found


def assert_same(found: dict[str, object], expected: dict[str, object]) -> None:
    assert [name for name in expected if found[name] != expected[name]] == []


def test_stopping_after_every_save_gives_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every session is asked to stop as soon as it has saved anything: the harshest schedule of Ctrl-C."""
    save_clock = Run.save_clock

    def stop_after_saving(run: Run) -> None:
        save_clock(run)
        run.stop_requested = True

    monkeypatch.setattr(Run, "save_clock", stop_after_saving)
    sessions = 0
    while True:
        sessions += 1
        try:
            run_toy_demo(tmp_path / "run")
            break
        except Stopped:
            assert sessions < 40, "a session that makes no progress"
    assert sessions > 8
    assert_same(outcome(tmp_path / "run"), undisturbed)


@pytest.mark.slow  # the RL loop alone is killed in test_kills.py by default
def test_kill_at_random_moments_gives_the_same_bytes(tmp_path: Path, undisturbed: dict[str, object]) -> None:
    """SIGKILL after a random time, again and again, until a session gets through."""
    rng = random.Random(0)
    folder = tmp_path / "run"
    kills = 0
    while not (folder / "report.html").exists():
        process = subprocess.Popen([sys.executable, "-m", "tests.recipes.toy", str(folder)], stderr=subprocess.PIPE)
        started = time.monotonic()
        while process.poll() is None and not (folder / "config.json").exists():
            time.sleep(0.01)
        limit = time.monotonic() - started + 0.2 + 1.5 * rng.random() + 0.3 * kills
        while process.poll() is None and time.monotonic() - started < limit:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert kills > 1
    assert_same(outcome(folder), undisturbed)


def test_a_finished_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    run_toy_demo(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    run_toy_demo(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
