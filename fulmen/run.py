"""A run's folder: what was asked, what was measured, and where it can go on.

    config.json        resolved settings, seed, git commit, versions
    metrics.jsonl      one object per step; the other line files likewise
    checkpoints/       complete folders only (written aside, then renamed)

Text files written whole are replaced atomically. Line files only grow; a checkpoint notes their sizes, and going on
from it cuts them back, so that a killed run and an undisturbed one leave the same lines. What a killed write left
aside is removed when the run is opened again. A full disk is a `DiskFullError`, and leaves no half of anything.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fulmen.errors import ConfigError, RunError

CONFIG = "config.json"
CLOCK = "clock.json"
LINE_FILES = ("metrics.jsonl", "heldout.jsonl", "rollouts.jsonl", "quarantine.jsonl", "windows.jsonl")
SHOWN_FILES = ("metrics.jsonl", "heldout.jsonl")
"""Line files whose records writers get too."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """The user (Ctrl-C) or the machine (SIGTERM) asked to stop; everything up to the last checkpoint is saved."""

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum
        """As a shell reports a process that the signal ended: 130 or 143."""


class DiskFullError(RunError):
    """The disk, a quota or a limit on file sizes takes no more; what was complete still is."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """When a phase is saved, and which of its checkpoints are kept."""

    every: int = 1
    """Steps between checkpoints; the last step and a stop save too."""
    keep_last: int = 1
    """Newest checkpoints to keep."""
    keep_every: int = 0
    """Keeps those after each so many steps for good; 0 keeps none."""
    keep_best: str = ""
    """Metric of metrics.jsonl whose highest value keeps its checkpoint; empty keeps none."""

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("keep_last", 1), ("keep_every", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least {least}")

    def is_due(self, step: int) -> bool:
        """Returns whether a phase is saved after so many steps."""
        return step % self.every == 0


@runtime_checkable
class MetricWriter(Protocol):
    """Shows a run's records elsewhere, beside its line files."""

    def write(self, name: str, record: Mapping[str, Any]) -> None:
        """Takes a record of one of `SHOWN_FILES`; after a resume, records may come that came before."""
        ...

    def close(self) -> None:
        """Hands over what is left."""
        ...


class Run:
    """A run's folder, open for writing by this process alone."""

    def __init__(self, folder: Path, config: Mapping[str, Any], lock: int) -> None:
        self.folder, self.config, self._lock = folder, config, lock
        self.stop_requested = False
        self.writers: list[MetricWriter] = []
        """Get the records of `SHOWN_FILES`; one that fails is named once and dropped."""
        self._stop_signal: int = signal.SIGINT
        self._started = time.monotonic()
        self._earlier_s = float((self.read_json(CLOCK) or {}).get("wall_s", 0.0))

    @classmethod
    def open(cls, folder: Path | str, *, recipe: str, args: Mapping[str, Any], seed: int) -> "Run":
        """Creates a run's folder, or continues the one that is there.

        What an interrupted write of an earlier session left aside is removed.

        Raises: RunError when the folder holds something else, a run of other settings, or a run in progress; nothing
        is changed then.
        """
        folder = Path(folder)
        args = json.loads(json.dumps(args))
        path = folder / CONFIG
        if folder.exists() and not folder.is_dir():
            raise RunError(f"{folder}: a file; allowed: a run's folder or a free name")
        if path.exists():
            try:
                config = json.loads(path.read_text())
                known_recipe, known_args = config["recipe"], config["args"]
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(f"{path}: not a run's config ({error}); allowed: another --run") from error
            if known_recipe != recipe:
                raise RunError(f"{folder} is a run of '{known_recipe}'; allowed: '{known_recipe}', or another --run")
            for name in sorted(set(args) | set(known_args)):
                if args.get(name) != known_args.get(name):
                    raise RunError(
                        f"{folder} was started with {name}={known_args.get(name)!r}, not {args.get(name)!r}; "
                        "allowed: the same settings, or another --run"
                    )
            with _locked(folder) as lock:
                _remove_leftovers(folder)
                return cls(folder, config, lock)
        # A first session that was killed at once leaves these two.
        begun = {".lock", f".{CONFIG}.tmp"}
        if folder.exists() and any(entry.name not in begun for entry in folder.iterdir()):
            raise RunError(f"{folder}: not empty and not a run's folder ({CONFIG} is missing); allowed: another --run")
        with guard_space(folder, num_bytes=0):
            folder.mkdir(parents=True, exist_ok=True)
        config = {
            "recipe": recipe,
            "name": folder.name,
            "seed": seed,
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "git_commit": _git_commit(),
            "python": sys.version.split()[0],
            "num_cpus": os.cpu_count(),
            "args": args,
        }
        with _locked(folder) as lock:
            write_json(path, config)
            return cls(folder, config, lock)

    def close(self) -> None:
        """Gives the folder free for other processes."""
        for writer in list(self.writers):
            try:
                writer.close()
            except Exception as error:
                self._drop(writer, error)
        os.close(self._lock)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def wall_s(self) -> float:
        """Seconds this run has taken, over all sessions; time after the last save of a killed session is not in it."""
        return self._earlier_s + time.monotonic() - self._started

    def save_clock(self) -> None:
        """Writes down the time taken so far."""
        self.write_json(CLOCK, {"wall_s": self.wall_s})

    def read_json(self, name: str) -> Any:
        """Returns a file's content, or None if it is not there.

        Raises: RunError when it is not JSON.
        """
        path = self.folder / name
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise RunError(f"{path}: not JSON ({error}); allowed: remove it, or another --run") from error

    def write_json(self, name: str, content: Any) -> None:
        """Replaces a file's content atomically."""
        write_json(self.folder / name, content)

    def append(self, name: str, *records: Mapping[str, Any]) -> None:
        """Adds lines to one of the line files: all of them, or on a full disk none."""
        assert name in LINE_FILES, f"{name} is not one of {LINE_FILES}: it would not be cut back on resume"
        content = "".join(json.dumps(record) + "\n" for record in records).encode()
        with guard_space(self.folder / name, num_bytes=len(content)):
            _append(self.folder / name, content)
        if name in SHOWN_FILES:
            self._show(name, records)

    def _show(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        for writer in list(self.writers):
            try:
                for record in records:
                    writer.write(name, record)
            except Exception as error:
                self._drop(writer, error)

    def _drop(self, writer: MetricWriter, error: Exception) -> None:
        """Goes on without a writer: a run does not end because its numbers cannot be shown elsewhere."""
        self.writers.remove(writer)
        message = f"fulmen: {type(writer).__name__} failed ({error}) and is left out; metrics.jsonl goes on"
        print(message, file=sys.stderr, flush=True)

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """Returns the objects of a line file; none if it is not there."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def line_sizes(self) -> dict[str, int]:
        """Returns the size of each line file in bytes, for a checkpoint to keep; so much of it is on the disk then."""
        sizes = {}
        for path in (self.folder / name for name in LINE_FILES):
            if path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    sizes[path.name] = os.fstat(file.fileno()).st_size
        return sizes

    def rewind(self, sizes: Mapping[str, int]) -> None:
        """Cuts the line files back to the sizes a checkpoint kept: later lines are written again."""
        for name in LINE_FILES:
            path = self.folder / name
            if path.exists():
                with path.open("r+b") as file:
                    file.truncate(min(sizes.get(name, 0), path.stat().st_size))

    def checkpoint(self, phase: str, step: int) -> Path:
        """Returns the folder of a phase's checkpoint after `step` steps."""
        return self.folder / "checkpoints" / f"{phase}-{step:06d}"

    def checkpoints(self, phase: str) -> list[Path]:
        """Returns the complete checkpoints of a phase, oldest first."""
        return sorted((self.folder / "checkpoints").glob(f"{phase}-[0-9]*"))

    def prune_checkpoints(self, phase: str, settings: CheckpointSettings | None = None) -> None:
        """Removes the checkpoints of a phase that the settings do not keep. Call it when the new one is complete."""
        settings = settings or CheckpointSettings()
        paths = self.checkpoints(phase)
        best = self._best_step(phase, settings.keep_best, {_step_of(path) for path in paths})
        for path in paths[: -settings.keep_last]:
            step = _step_of(path)
            is_milestone = settings.keep_every > 0 and step > 0 and step % settings.keep_every == 0
            if not is_milestone and step != best:
                # Under a hidden name first: one that is half removed must not look complete.
                hidden = path.with_name(f".{path.name}.removed")
                path.rename(hidden)
                shutil.rmtree(hidden)

    def _best_step(self, phase: str, metric: str, steps: set[int]) -> int | None:
        """Returns which of the steps has the highest value of a metric, the first of equals; None without a value."""
        if not metric:
            return None
        # The line of step i was written before the checkpoint that counts i + 1 steps.
        values = {
            line["step"] + 1: float(line[metric])
            for line in self.read_lines("metrics.jsonl")
            if line.get("phase") == phase and line["step"] + 1 in steps and math.isfinite(line.get(metric, math.nan))
        }
        return max(sorted(values), key=lambda step: values[step], default=None)

    @contextlib.contextmanager
    def names(self, phase: str, step: int) -> Iterator[None]:
        """Adds where a run stood, and what it can go on from, to an error that ends it."""
        try:
            yield
        except RunError as error:
            complete = self.checkpoints(phase)
            last = complete[-1] if complete else "none"
            error.args = (f"{phase}, step {step}: {error}; last complete checkpoint: {last}",)
            raise

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turns Ctrl-C and SIGTERM into `stop_requested`, to be met at the next step; a second Ctrl-C stops at once."""

        def request_stop(signum: int, frame: FrameType | None) -> None:
            if self.stop_requested and signum == signal.SIGINT:
                raise KeyboardInterrupt
            if not self.stop_requested:
                self._stop_signal = signum
            self.stop_requested = True

        previous = {signum: signal.signal(signum, request_stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in previous.items():
                signal.signal(signum, handler)

    def check_stop(self, *_: object) -> None:
        """Raises Stopped if the user asked to stop. Takes and ignores arguments, to serve as a callback."""
        if self.stop_requested:
            raise Stopped(self._stop_signal)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically: to a temporary file, synced, then renamed.

    Raises: DiskFullError; the file is as it was then.
    """
    text = json.dumps(content, indent=1).encode()
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with guard_space(path, num_bytes=len(text)):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            _append(temporary, text, sync=True)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_space(path: Path, *, num_bytes: int) -> None:
    """Returns if the disk that holds `path` has so much free.

    Raises: DiskFullError.
    """
    if _free_bytes(path) < num_bytes:
        raise _disk_full(path, num_bytes, "not begun")


@contextlib.contextmanager
def guard_space(path: Path, *, num_bytes: int) -> Iterator[None]:
    """Turns the refusal of a disk to take more into a DiskFullError that names the file and what it needs."""
    try:
        yield
    except Exception as error:
        if not _is_full(error):
            raise
        raise _disk_full(path, num_bytes, str(error)) from error


def progress_bar(console: Console) -> Progress:
    """Returns a progress bar with count, time taken and time left."""
    return Progress(
        TextColumn("{task.description:<18}"), BarColumn(bar_width=28), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        console=console,
    )  # fmt: skip


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Yields a lock on the folder, which stays unless an error comes out of the block."""
    with guard_space(folder, num_bytes=0):
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RunError(f"{folder} is in use by another process; allowed: wait for it, or another --run") from error
    try:
        yield descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _remove_leftovers(folder: Path) -> None:
    """Removes what writes that were killed left aside; a checkpoint that was moved away and not replaced comes back."""
    for path in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
        path.unlink()
    for holder in (folder / "checkpoints").glob(".*"):
        old, name = holder / "old", holder.name[1:].rsplit(".", 1)[0]
        if old.exists() and not (holder.parent / name).exists():
            old.rename(holder.parent / name)
        shutil.rmtree(holder)


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _append(path: Path, content: bytes, *, sync: bool = False) -> None:
    """Adds all of the bytes to a file; whatever fails leaves it as long as it was."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    size = os.fstat(descriptor).st_size
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        if sync:
            os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, size)
        raise
    finally:
        os.close(descriptor)


def _free_bytes(path: Path) -> int:
    """Returns what is free for us where a path is, or would be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _is_full(error: BaseException | None) -> bool:
    """Returns whether an error, or what it came of, is a disk, quota or limit that takes no more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        # safetensors writes in Rust, whose errors say the number in their text alone.
        found = re.search(r"os error (\d+)", str(error))
        if found and int(found[1]) in _FULL:
            return True
        error = error.__cause__
    return False


def _disk_full(path: Path, num_bytes: int, why: str) -> DiskFullError:
    return DiskFullError(
        f"{path}: no room ({why}): {num_bytes:,} bytes needed, {_free_bytes(path):,} free; complete checkpoints are "
        "untouched; allowed: make room and give the same command again"
    )


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
