"""Stopping anywhere loses nothing: a resumed run ends with the same bytes as an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fulmen.recipes import demo
from fulmen.run import Run, Stopped

SMALL = ["--preset", "tiny", "--sft-steps", "6", "--rl-steps", "3", "--num-groups", "3", "--num-updates", "3",
         "--eval-tasks", "2", "--eval-samples", "2", "--window", "24", "--threads", "1"]  # fmt: skip
LINES = ("rollouts.jsonl", "heldout.jsonl")


def small_args(folder: Path, **changes: object) -> demo.Args:
    settings: dict[str, object] = {
        "run": folder, "sft_steps": 6, "rl_steps": 3, "num_groups": 3, "num_updates": 3, "eval_tasks": 2,
        "eval_samples": 2, "window": 24, "threads": 1, **changes,
    }  # fmt: skip
    return demo.Args(**settings)  # type: ignore[arg-type]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Returns weights, optimizer state and line files of a finished run."""
    checkpoints = folder / "checkpoints"
    names = ("model.safetensors", "optimizer.safetensors")
    found = {
        f"{phase}/{name}": next(checkpoints.glob(f"{phase}-*")).joinpath(name).read_bytes()
        for phase in ("sft", "rl")
        for name in names
    }
    return found | {name: (folder / name).read_bytes() for name in LINES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    demo.main(small_args(folder), Console(quiet=True))
    return bytes_of(folder)


def test_stopping_at_every_step_boundary_gives_the_same_bytes(
    tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every session does one step and is stopped: the harshest schedule of Ctrl-C."""
    save_clock = Run.save_clock

    def stop_after_saving(run: Run) -> None:
        save_clock(run)
        run.stop_requested = True

    monkeypatch.setattr(Run, "save_clock", stop_after_saving)
    monkeypatch.setattr("fulmen.recipes.sft.SftSettings.save_every", 1)
    sessions = 0
    while True:
        sessions += 1
        try:
            demo.main(small_args(tmp_path / "run"), Console(quiet=True))
            break
        except Stopped:
            assert sessions < 30, "a session that makes no progress"
    assert sessions > 5
    assert bytes_of(tmp_path / "run") == undisturbed


@pytest.mark.slow
def test_kill_at_random_moments_gives_the_same_bytes(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    """SIGKILL between any two lines, again and again, until a session gets through."""
    rng = random.Random(0)
    command = [sys.executable, "-m", "fulmen.cli", "demo", "--run", str(tmp_path / "run"), *SMALL]
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 4.0 + rng.random() * 6.0 + kills
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0, process.communicate()[1].decode()
        process.communicate()
        break
    assert kills > 0
    assert bytes_of(tmp_path / "run") == undisturbed


def test_a_finished_run_says_so_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    args = small_args(folder, sft_steps=1, rl_steps=1)
    demo.main(args, Console(quiet=True))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    console = Console(record=True, width=200)
    demo.main(args, console)
    assert "already done" in console.export_text()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
