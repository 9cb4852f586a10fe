"""The run folder: what it refuses, what survives a kill, what a resume cuts back."""

import json
import os
import signal
from pathlib import Path

import pytest

from fulmen.errors import RunError
from fulmen.run import Run, Stopped, write_json


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
