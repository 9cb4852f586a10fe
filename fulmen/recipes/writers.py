"""TensorBoard and Weights & Biases, fed with the records of metrics.jsonl and heldout.jsonl, which stay the truth.

Both are extras, imported when they are asked for. A run that was killed goes on in the same curves: steps that are
taken again replace what was shown of them (TensorBoard), or are not shown twice (W&B). Without a network, W&B writes
beside the run under WANDB_MODE=offline, for `wandb sync`.
"""

import importlib
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fulmen.errors import ConfigError
from fulmen.run import MetricWriter, Run
from fulmen.types import content_hash

WriterName = Literal["tensorboard", "wandb"]
STATE = "wandb.json"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What of a record can be drawn."""

    scalars: dict[str, float]
    histograms: dict[str, tuple[list[float], list[float]]]
    """Counts, and one more edges than these."""


def flatten(record: Mapping[str, Any]) -> Shown:
    """Returns the numbers of a record by name, with the inner names of mappings and places of lists after a slash.

    `x_hist` beside `x_edges` is a histogram; text and None are left out.
    """
    edges = {name: record[f"{name}_edges"] for name in _histograms(record)}
    histograms = {name: (list(map(float, record[f"{name}_hist"])), list(map(float, edges[name]))) for name in edges}
    scalars: dict[str, float] = {}
    for name, value in record.items():
        if name.removesuffix("_hist") not in edges and name.removesuffix("_edges") not in edges:
            _collect(name, value, scalars)
    return Shown(scalars=scalars, histograms=histograms)


def _histograms(record: Mapping[str, Any]) -> list[str]:
    return [
        name.removesuffix("_hist") for name in record
        if name.endswith("_hist") and f"{name.removesuffix('_hist')}_edges" in record
    ]  # fmt: skip


def _collect(name: str, value: object, scalars: dict[str, float]) -> None:
    if isinstance(value, bool | int | float):
        scalars[name] = float(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _collect(f"{name}/{key}", inner, scalars)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _collect(f"{name}/{place}", inner, scalars)


def _series(name: str, record: Mapping[str, Any]) -> str:
    """Returns which curve a record goes on: those of a phase's steps and of its looks at held-out tasks differ."""
    return str(record["phase"]) if name == "metrics.jsonl" else f"{record['phase']}-{Path(name).stem}"


def _drawn(record: Mapping[str, Any]) -> Shown:
    """Returns what is drawn of a record over its step; the lines of a task bear its name."""
    prefix = f"{record['task']}/" if "task" in record else ""
    rest = {name: value for name, value in record.items() if name not in ("phase", "step", "task")}
    shown = flatten(rest)
    return Shown(
        scalars={prefix + name: value for name, value in shown.scalars.items()},
        histograms={prefix + name: value for name, value in shown.histograms.items()},
    )


class TensorBoard:
    """Event files below `<run>/tensorboard`, one folder per phase."""

    def __init__(self, folder: Path) -> None:
        """Takes the run's folder. Raises: ConfigError without the extra."""
        self._module = _load("torch.utils.tensorboard", extra="tensorboard")
        self._folder = folder / "tensorboard"
        self._files: dict[str, Any] = {}

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Draws a record; the first of a session hides what an earlier one has drawn from this step on."""
        series, step = _series(name, record), int(record["step"])
        if series not in self._files:
            self._files[series] = self._module.SummaryWriter(str(self._folder / series), purge_step=step)
        file, shown = self._files[series], _drawn(record)
        for tag, value in shown.scalars.items():
            file.add_scalar(tag, value, step)
        for tag, (counts, edges) in shown.histograms.items():
            _add_histogram(file, tag, counts, edges, step)
        # A killed run must have shown all that its checkpoint has behind it.
        file.flush()

    def close(self) -> None:
        """Ends the event files."""
        for file in self._files.values():
            file.close()


def _add_histogram(file: Any, tag: str, counts: Sequence[float], edges: Sequence[float], step: int) -> None:
    """Draws a histogram of which only the counts are known: each value is taken to lie in the middle of its bin."""
    filled = [index for index, count in enumerate(counts) if count] or [0]
    middles = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    file.add_histogram_raw(
        tag, min=edges[filled[0]], max=edges[filled[-1] + 1], num=sum(counts),
        sum=sum(c * m for c, m in zip(counts, middles, strict=True)),
        sum_squares=sum(c * m * m for c, m in zip(counts, middles, strict=True)),
        bucket_limits=list(edges[1:]), bucket_counts=list(counts), global_step=step,
    )  # fmt: skip


class WandB:
    """One run of Weights & Biases, whose name and last step are kept in the run's folder."""

    def __init__(self, run: Run, *, project: str) -> None:
        """Begins the run, or goes on with it. Raises: ConfigError without the extra."""
        self._module = _load("wandb", extra="wandb")
        self._run = run
        self._state = run.read_json(STATE) or {"id": content_hash(run.config), "project": project, "last": {}}
        run.write_json(STATE, self._state)
        self._session = self._module.init(
            project=self._state["project"], id=self._state["id"], name=run.config["name"], config=run.config["args"],
            dir=str(run.folder), resume="allow",
        )  # fmt: skip

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Draws a record, unless an earlier session has drawn it."""
        series, step = _series(name, record), int(record["step"])
        key = f"{series}/{record['task']}" if "task" in record else series
        if step <= self._state["last"].get(key, -1):
            return
        shown = _drawn(record)
        self._session.define_metric(f"{series}/*", step_metric=f"{series}/step")
        drawn: dict[str, Any] = {f"{series}/{tag}": value for tag, value in shown.scalars.items()}
        for tag, (counts, edges) in shown.histograms.items():
            drawn[f"{series}/{tag}"] = self._module.Histogram(np_histogram=(counts, edges))
        self._session.log({f"{series}/step": step, **drawn})
        self._state["last"][key] = step
        self._run.write_json(STATE, self._state)

    def close(self) -> None:
        """Sends what is left."""
        self._session.finish()


def open_writers(run: Run, names: Sequence[WriterName], *, project: str = "fulmen") -> None:
    """Has a run's records shown by these writers too; one that cannot begin is named and left out.

    Raises: ConfigError for a writer whose extra is not installed.
    """
    for name in names:
        try:
            writer: MetricWriter = TensorBoard(run.folder) if name == "tensorboard" else WandB(run, project=project)
        except ConfigError:
            raise
        except Exception as error:
            print(f"fulmen: {name} cannot begin ({error}) and is left out; metrics.jsonl goes on", file=sys.stderr)
        else:
            run.writers.append(writer)


def require_writers(names: Sequence[WriterName]) -> None:
    """Returns if these writers can be opened. Raises: ConfigError for one whose extra is not installed."""
    for name in names:
        _load("torch.utils.tensorboard" if name == "tensorboard" else name, extra=name)


def _load(module: str, *, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"writers: {extra} ({error}); allowed: after `pip install 'fulmen[{extra}]'`") from error
