"""The run folder: what it refuses, what survives a kill, what a resume cuts back, which checkpoints it keeps."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fulmen.errors import ConfigError, RunError
from fulmen.run import CheckpointSettings, Run, Stopped, write_json


def open_run(folder: Path, **args: object) -> Run:
    return Run.open(folder, recipe="demo", args={"lr": 1.0, **args}, seed=0)


def test_same_settings_continue_and_other_settings_are_refused(tmp_path: Path) -> None:
    open_run(tmp_path / "r").close()
    open_run(tmp_path / "r").close()
    before = sorted(path.name for path in (tmp_path / "r").iterdir())
    with pytest.raises(RunError, match=r"lr=1\.0, not 2\.0"):
        open_run(tmp_path / "r", lr=2.0)
    with pytest.raises(RunError, match="is a run of 'demo'"):
        Run.open(tmp_path / "r", recipe="rl", args={"lr": 1.0}, seed=0)
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == before


def test_a_foreign_folder_and_a_file_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty and not a run's folder"):
        open_run(tmp_path)
    with pytest.raises(RunError, match="a file"):
        open_run(tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"config\.json: not a run's config"):
        open_run(tmp_path)


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    with open_run(tmp_path / "r"), pytest.raises(RunError, match="in use by another process"):
        open_run(tmp_path / "r")
    open_run(tmp_path / "r").close()


def test_rewind_cuts_lines_written_after_the_checkpoint(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        run.append("metrics.jsonl", {"step": 0})
        sizes = run.line_sizes()
        run.append("metrics.jsonl", {"step": 1})
        run.append("heldout.jsonl", {"step": 1})
        run.rewind(sizes)
        assert run.read_lines("metrics.jsonl") == [{"step": 0}]
        assert run.read_lines("heldout.jsonl") == []


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}


def test_first_interrupt_asks_and_second_one_stops(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run, run.interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        assert run.stop_requested
        with pytest.raises(Stopped):
            run.check_stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_time_adds_up_over_sessions(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        run.write_json("clock.json", {"wall_s": 100.0})
    with open_run(tmp_path / "r") as run:
        assert 100.0 <= run.wall_s < 160.0


@pytest.mark.parametrize(("signum", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_says_which_signal_asked_for_it(tmp_path: Path, signum: signal.Signals, exit_code: int) -> None:
    with open_run(tmp_path / "r") as run, run.interruptible():
        os.kill(os.getpid(), signum)
        # Batch systems send it again and again.
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped) as stop:
            run.check_stop()
    assert stop.value.exit_code == exit_code
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def make_checkpoints(run: Run, *steps: int) -> None:
    for step in steps:
        run.checkpoint("rl", step).mkdir(parents=True)
        (run.checkpoint("rl", step) / "manifest.json").write_text("{}")


def kept(run: Run) -> list[int]:
    return [int(path.name[-6:]) for path in run.checkpoints("rl")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (CheckpointSettings(), [12]),
        (CheckpointSettings(keep_last=3), [8, 10, 12]),
        (CheckpointSettings(keep_last=20), [0, 2, 4, 6, 8, 10, 12]),
        (CheckpointSettings(keep_every=4), [4, 8, 12]),
        (CheckpointSettings(keep_best="reward"), [6, 12]),
        (CheckpointSettings(keep_last=2, keep_every=4, keep_best="reward"), [4, 6, 8, 10, 12]),
        (CheckpointSettings(keep_best="no_such_metric"), [12]),
    ],
)
def test_the_newest_the_milestones_and_the_best_are_kept(
    tmp_path: Path, settings: CheckpointSettings, expected: list[int]
) -> None:
    with open_run(tmp_path / "r") as run:
        make_checkpoints(run, 0, 2, 4, 6, 8, 10, 12)
        (tmp_path / "r" / "checkpoints" / "sft-000001").mkdir()
        rewards = {0: 0.1, 1: float("nan"), 2: 0.99, 5: 0.8, 7: 0.8, 11: 0.2}
        run.append("metrics.jsonl", {"phase": "sft", "step": 3, "reward": 1.0}, {"phase": "rl", "step": 9})
        run.append("metrics.jsonl", *({"phase": "rl", "step": step, "reward": r} for step, r in rewards.items()))
        run.prune_checkpoints("rl", settings)
        # Step 2 has the highest reward, but no checkpoint; of equals the first one counts.
        assert kept(run) == expected
        assert (tmp_path / "r" / "checkpoints" / "sft-000001").exists()
        assert not list((tmp_path / "r" / "checkpoints").glob(".*"))


@pytest.mark.parametrize("name", ["every", "keep_last", "keep_every"])
def test_checkpoint_settings_are_checked(name: str) -> None:
    least = 0 if name == "keep_every" else 1
    with pytest.raises(ConfigError, match=f"{name}={least - 1}; allowed: at least {least}"):
        CheckpointSettings(**{name: least - 1})  # type: ignore[arg-type]
    assert [step for step in range(7) if CheckpointSettings(every=3).is_due(step)] == [0, 3, 6]


def test_what_killed_writes_left_aside_is_removed_and_a_replaced_checkpoint_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "r" / "checkpoints"
    with open_run(tmp_path / "r") as run:
        make_checkpoints(run, 1, 2)
        run.write_json("eval/rl.json", {})
    # Killed while writing step 3, while removing step 0, between the renames of step 2, and while replacing JSON.
    (folder / ".rl-000003.k3x_9" / "new").mkdir(parents=True)
    (folder / ".rl-000003.k3x_9" / "new" / "model.safetensors").write_text("half")
    (folder / ".rl-000000.removed").mkdir()
    (folder / ".rl-000002.abc" / "new").mkdir(parents=True)
    (folder / "rl-000002").rename(folder / ".rl-000002.abc" / "old")
    for path in (tmp_path / "r" / ".clock.json.tmp", tmp_path / "r" / "eval" / ".rl.json.tmp"):
        path.write_text("{")
    with open_run(tmp_path / "r") as run:
        assert sorted(path.name for path in folder.iterdir()) == ["rl-000001", "rl-000002"]
        assert (run.checkpoint("rl", 2) / "manifest.json").read_text() == "{}"
    left = sorted(path.relative_to(tmp_path / "r").as_posix() for path in (tmp_path / "r").rglob("*.tmp"))
    assert left == []


def test_a_run_killed_while_it_wrote_its_first_file_can_begin_again(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    for name in (".lock", ".config.json.tmp"):
        (tmp_path / "r" / name).write_text("{")
    with open_run(tmp_path / "r") as run:
        assert run.config["args"] == {"lr": 1.0}
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [".lock", "config.json"]


def test_an_error_that_ends_a_run_names_step_and_checkpoint_and_keeps_its_class(tmp_path: Path) -> None:
    class PausedError(RunError):
        pass

    with open_run(tmp_path / "r") as run:
        with pytest.raises(RunError, match=r"^rl, step 7: odd; last complete checkpoint: none$"), run.names("rl", 7):
            raise RunError("odd")
        make_checkpoints(run, 4)
        with pytest.raises(PausedError, match=r"^rl, step 7: odd; last .*rl-000004$"), run.names("rl", 7):
            raise PausedError("odd")
        with pytest.raises(ValueError, match=r"^other$"), run.names("rl", 7):
            raise ValueError("other")


class Listener:
    """A writer that keeps what it is told, and fails at one step."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.seen: list[tuple[str, int]] = []
        self.fails_at, self.is_closed = fails_at, False

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Notes the record."""
        if record["step"] == self.fails_at:
            raise ConnectionError("no network")
        self.seen.append((name, record["step"]))

    def close(self) -> None:
        """Fails, when a writer was to fail at all and had no occasion."""
        self.is_closed = True
        if self.fails_at is not None:
            raise ConnectionError("still no network")


def test_a_writer_that_fails_is_named_once_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, late = Listener(), Listener(fails_at=1), Listener(fails_at=99)
    with open_run(tmp_path / "r") as run:
        run.writers += [bad, good, late]
        for step in range(4):
            run.append("metrics.jsonl", {"step": step})
            run.append("rollouts.jsonl", {"step": step})
        run.append("heldout.jsonl", {"step": 4})
        assert [record["step"] for record in run.read_lines("metrics.jsonl")] == [0, 1, 2, 3]
    assert good.seen == [("metrics.jsonl", step) for step in range(4)] + [("heldout.jsonl", 4)]
    assert bad.seen == [("metrics.jsonl", 0)]
    assert (good.is_closed, bad.is_closed, late.is_closed) == (True, False, True)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "fulmen: Listener failed (no network) and is left out; metrics.jsonl goes on",
        "fulmen: Listener failed (still no network) and is left out; metrics.jsonl goes on",
    ]
