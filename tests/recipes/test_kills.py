"""`kill -9` at any instant, and SIGTERM: the same command goes on, and ends with the bytes of an undisturbed run."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.kills import POINTS

KILLED = -9
GROUP_SIZE = 4


def run_plans(num_steps: int, plans: dict[Path, list[object]], *, timeout_s: float = 280.0) -> list[list[int]]:
    """Returns the exit statuses of the sessions of each plan; see `tests.recipes.kills`."""
    arguments = [
        text
        for folder, sessions in plans.items()
        for text in (str(folder), json.dumps({"num_steps": num_steps, "sessions": sessions}))
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.recipes.kills", *arguments],
        capture_output=True, text=True, timeout=timeout_s, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    assert not any(status in (2, 70) for statuses in found for status in statuses), done.stderr
    return found


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not name.endswith("_s") and name != "line_sizes"}


def outcome(folder: Path) -> dict[str, object]:
    """Returns everything of a finished run but its times."""
    (last,) = (folder / "checkpoints").iterdir()  # one whole checkpoint and nothing beside it
    found: dict[str, object] = {
        name: (last / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")
    }
    found |= {name: (folder / name).read_bytes() for name in ("rollouts.jsonl", "heldout.jsonl")}
    found["metrics.jsonl"] = [without_times(record) for record in lines(folder / "metrics.jsonl")]
    found["cursor"] = without_times(json.loads((last / "cursor.json").read_text()))
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same(folder: Path, undisturbed: Path) -> None:
    found, expected = outcome(folder), outcome(undisturbed)
    assert [name for name in expected if found[name] != expected[name]] == []


def assert_each_prompt_once(folder: Path) -> None:
    """No prompt is lost or doubled: the tasks before the cursor, each with all its attempts, in order of steps."""
    (last,) = (folder / "checkpoints").iterdir()
    cursor = json.loads((last / "cursor.json").read_text())["tasks"]
    ids = [line["task_id"] for line in lines(folder / "rollouts.jsonl")]
    assert Counter(ids) == {f"countdown-train-0-{index}": GROUP_SIZE for index in range(cursor)}
    assert list(dict.fromkeys(ids)) == [f"countdown-train-0-{index}" for index in range(cursor)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of three runs: one undisturbed, one killed where it hurts, one asked to end."""
    folder = tmp_path_factory.mktemp("kills")
    plans: dict[Path, list[object]] = {
        folder / "undisturbed": [None],
        folder / "killed": ["rollout+2", "lines+2", "checkpoint+1", "update+1", None],
        folder / "asked": ["TERM", None],
    }
    statuses = run_plans(3, plans)
    assert statuses == [[0], [KILLED] * 4 + [0], [128 + 15, 0]]
    return folder


def test_a_run_killed_amid_rollout_line_checkpoint_and_update_ends_with_the_same_bytes(folder: Path) -> None:
    assert len(outcome(folder / "undisturbed")["optimizer.safetensors"]) > 100_000  # type: ignore[arg-type]
    assert_same(folder / "killed", folder / "undisturbed")
    assert_each_prompt_once(folder / "killed")


def test_sigterm_finishes_the_step_saves_and_exits_with_143(folder: Path) -> None:
    assert_same(folder / "asked", folder / "undisturbed")
    assert_each_prompt_once(folder / "asked")


@pytest.mark.slow
def test_kills_at_random_places_and_moments_end_with_the_same_bytes(tmp_path: Path) -> None:
    rng = random.Random(0)
    plans: dict[Path, list[object]] = {tmp_path / "undisturbed": [None]}
    for index in range(3):
        places: list[object] = [f"{name}+{rng.randrange(3)}" for name in POINTS]
        moments: list[object] = [round(0.1 + rng.random(), 3) for _ in range(6)]
        plans[tmp_path / f"killed-{index}"] = [*rng.sample([*places, *moments], 12), None]
    (_, *killed) = run_plans(10, plans, timeout_s=3000.0)
    num_kills = [statuses.count(KILLED) for statuses in killed]
    assert sum(num_kills) >= 20
    assert min(num_kills) >= 4
    for folder in list(plans)[1:]:
        assert_same(folder, tmp_path / "undisturbed")
        assert_each_prompt_once(folder)
