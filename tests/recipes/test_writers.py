"""TensorBoard and W&B: what they are told, how a resumed run goes on in them, and what happens without them."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fulmen.errors import ConfigError
from fulmen.recipes.writers import flatten, open_writers
from fulmen.run import Run


def open_run(folder: Path) -> Run:
    return Run.open(folder, recipe="rl", args={"lr": 1.0}, seed=0)


def record(step: int, reward: float = 0.0) -> dict[str, Any]:
    return {
        "phase": "rl", "step": step, "reward": reward, "ratio_q": [0.5, 1.5], "weight_hist": [1, 0, 3],
        "weight_edges": [0.0, 1.0, 2.0, 4.0], "note": "x", "nothing": None,
    }  # fmt: skip


def heldout(step: int, task: str) -> dict[str, Any]:
    return {"phase": "rl", "step": step, "task": task, "pass@1": step / 10}


def test_flatten_names_every_number_once() -> None:
    shown = flatten(
        {
            "a": 1, "b": True, "text": "x", "none": None, "c": {"d": 2.5, "e": {"f": 3}}, "g": [4, 5.0, {"h": 6}],
            "w_hist": [1, 2], "w_edges": [0, 1, 2], "lone_hist": [7],
        }
    )  # fmt: skip
    assert shown.scalars == {
        "a": 1.0, "b": 1.0, "c/d": 2.5, "c/e/f": 3.0, "g/0": 4.0, "g/1": 5.0, "g/2/h": 6.0, "lone_hist/0": 7.0,
    }  # fmt: skip
    assert shown.histograms == {"w": ([1.0, 2.0], [0.0, 1.0, 2.0])}


def run_and_go_on(folder: Path, *names: Any) -> None:
    """Takes steps 0 to 4, is killed, and goes on from the checkpoint after step 2 with other rewards."""
    run = open_run(folder)
    open_writers(run, names)
    run.append("heldout.jsonl", heldout(0, "sums"), heldout(0, "words"))
    for step in range(5):
        run.append("metrics.jsonl", record(step, reward=float(step)))
        if step == 2:
            run.append("heldout.jsonl", heldout(3, "sums"))
    # No close: killed.
    run.writers.clear()
    run.close()
    with open_run(folder) as run:
        open_writers(run, names)
        for step in range(3, 7):
            run.append("metrics.jsonl", record(step, reward=10.0 + step))
        run.append("heldout.jsonl", heldout(6, "sums"))


class FakeFile:
    """A SummaryWriter that keeps what it is told."""

    made: list["FakeFile"] = []  # noqa: RUF012

    def __init__(self, log_dir: str, *, purge_step: int) -> None:
        self.name, self.purge_step = Path(log_dir).name, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.histograms: list[tuple[str, int, dict[str, Any]]] = []
        self.unflushed, self.is_closed = 0, False
        FakeFile.made.append(self)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Notes it."""
        self.scalars.append((tag, value, step))
        self.unflushed += 1

    def add_histogram_raw(self, tag: str, *, global_step: int, **numbers: Any) -> None:
        """Notes it."""
        self.histograms.append((tag, global_step, numbers))
        self.unflushed += 1

    def flush(self) -> None:
        """Notes it."""
        self.unflushed = 0

    def close(self) -> None:
        """Notes it."""
        self.is_closed = True


def test_tensorboard_is_told_all_numbers_and_where_a_resumed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = FakeFile  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(FakeFile, "made", [])
    run_and_go_on(tmp_path / "r", "tensorboard")
    assert [(file.name, file.purge_step) for file in FakeFile.made] == [
        ("rl-heldout", 0), ("rl", 0), ("rl", 3), ("rl-heldout", 6),
    ]  # fmt: skip
    looks, first, second, _ = FakeFile.made
    assert looks.scalars == [("sums/pass@1", 0.0, 0), ("words/pass@1", 0.0, 0), ("sums/pass@1", 0.3, 3)]
    assert second.scalars[:3] == [("reward", 13.0, 3), ("ratio_q/0", 0.5, 3), ("ratio_q/1", 1.5, 3)]
    tag, step, numbers = first.histograms[0]
    assert (tag, step) == ("weight", 0)
    assert numbers == {
        "min": 0.0, "max": 4.0, "num": 4.0, "sum": 0.5 + 9.0, "sum_squares": 0.25 + 27.0,
        "bucket_limits": [1.0, 2.0, 4.0], "bucket_counts": [1.0, 0.0, 3.0],
    }  # fmt: skip
    assert all(file.unflushed == 0 for file in FakeFile.made), "a kill would lose what was not flushed"
    assert (first.is_closed, second.is_closed) == (False, True)


class FakeWandB(ModuleType):
    """A W&B that keeps what it is told, or has no network."""

    def __init__(self, *, is_down: bool = False) -> None:
        super().__init__("wandb")
        self.is_down = is_down
        self.sessions: list[dict[str, Any]] = []
        self.logged: list[dict[str, Any]] = []
        self.step_metrics: dict[str, str] = {}
        self.num_finished = 0

    def init(self, **settings: Any) -> "FakeWandB":
        """Begins a session."""
        if self.is_down:
            raise ConnectionError("no network")
        self.sessions.append(settings)
        return self

    def define_metric(self, name: str, *, step_metric: str) -> None:
        """Notes it."""
        self.step_metrics[name] = step_metric

    def log(self, numbers: Mapping[str, Any]) -> None:
        """Notes it."""
        self.logged.append(dict(numbers))

    def finish(self) -> None:
        """Notes it."""
        self.num_finished += 1

    def Histogram(self, *, np_histogram: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
        """Returns what it was made of."""
        return np_histogram


def test_wandb_goes_on_in_the_same_run_and_draws_no_step_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = FakeWandB()
    monkeypatch.setitem(sys.modules, "wandb", module)
    run_and_go_on(tmp_path / "r", "wandb")
    first, second = module.sessions
    assert first == second
    assert (first["resume"], first["name"], first["config"], first["project"]) == ("allow", "r", {"lr": 1.0}, "fulmen")
    assert [(n["rl/step"], n["rl/reward"]) for n in module.logged if "rl/step" in n] == [
        (0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (5, 15.0), (6, 16.0),
    ]  # fmt: skip
    assert [n for n in module.logged if "rl-heldout/step" in n] == [
        {"rl-heldout/step": 0, "rl-heldout/sums/pass@1": 0.0},
        {"rl-heldout/step": 0, "rl-heldout/words/pass@1": 0.0},
        {"rl-heldout/step": 3, "rl-heldout/sums/pass@1": 0.3},
        {"rl-heldout/step": 6, "rl-heldout/sums/pass@1": 0.6},
    ]
    assert module.logged[2]["rl/weight"] == ([1.0, 0.0, 3.0], [0.0, 1.0, 2.0, 4.0])
    assert module.step_metrics == {"rl/*": "rl/step", "rl-heldout/*": "rl-heldout/step"}
    assert module.num_finished == 1
    with open_run(tmp_path / "other") as run:
        open_writers(run, ["wandb"])
    assert module.sessions[2]["id"] != first["id"]


def test_a_writer_that_cannot_begin_is_named_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", FakeWandB(is_down=True))
    with open_run(tmp_path / "r") as run:
        open_writers(run, ["wandb"])
        assert not run.writers
    assert capsys.readouterr().err == "fulmen: wandb cannot begin (no network) and is left out; metrics.jsonl goes on\n"


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: Any, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with (
        open_run(tmp_path / "r") as run,
        pytest.raises(ConfigError, match=rf"writers: {name} .*allowed: after `pip install 'fulmen\[{name}\]'`"),
    ):
        open_writers(run, [name])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_itself_shows_each_step_once(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_and_go_on(tmp_path / "r", "tensorboard")
    found = accumulators.EventAccumulator(str(tmp_path / "r" / "tensorboard" / "rl"), {"histograms": 0}).Reload()
    assert [(event.step, event.value) for event in found.Scalars("reward")] == [
        (0, 0.0), (1, 1.0), (2, 2.0), (3, 13.0), (4, 14.0), (5, 15.0), (6, 16.0),
    ]  # fmt: skip
    assert [event.step for event in found.Histograms("weight")] == list(range(7))
    looks = accumulators.EventAccumulator(str(tmp_path / "r" / "tensorboard" / "rl-heldout")).Reload()
    assert [event.step for event in looks.Scalars("sums/pass@1")] == [0, 3, 6]


@pytest.mark.filterwarnings("ignore")
def test_wandb_itself_writes_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with open_run(tmp_path / "r") as run:
        open_writers(run, ["wandb"])
        (writer,) = run.writers
        run.append("metrics.jsonl", record(0, reward=0.5))
        assert run.writers == [writer], "it failed"
    (written,) = (tmp_path / "r" / "wandb").glob("offline-run-*/run-*.wandb")
    # Its own process ends a moment after the session.
    deadline = time.monotonic() + 20.0
    while b"rl/reward" not in written.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert b"rl/reward" in written.read_bytes()
    assert run.read_json("wandb.json")["last"] == {"rl": 0}
