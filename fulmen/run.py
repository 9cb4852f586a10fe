"""A run's folder: what was asked, what was measured, and where it can go on.

    config.json        resolved settings, seed, git commit, versions
    metrics.jsonl      one object per step; rollouts.jsonl, heldout.jsonl likewise
    checkpoints/       complete folders only (written aside, then renamed)

Text files written whole are replaced atomically. Line files only grow; a checkpoint notes their sizes, and going on
from it cuts them back, so that a killed run and an undisturbed one leave the same lines.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fulmen.errors import RunError

CONFIG = "config.json"
CLOCK = "clock.json"
LINE_FILES = ("metrics.jsonl", "heldout.jsonl", "rollouts.jsonl", "quarantine.jsonl")


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """The user asked to stop (Ctrl-C); everything up to the last step is saved."""


class Run:
    """A run's folder, open for writing by this process alone."""

    def __init__(self, folder: Path, config: Mapping[str, Any], lock: int) -> None:
        self.folder, self.config, self._lock = folder, config, lock
        self.stop_requested = False
        self._started = time.monotonic()
        self._earlier_s = float((self.read_json(CLOCK) or {}).get("wall_s", 0.0))

    @classmethod
    def open(cls, folder: Path | str, *, recipe: str, args: Mapping[str, Any], seed: int) -> "Run":
        """Creates a run's folder, or continues the one that is there.

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
            return cls(folder, config, _lock(folder))
        if folder.exists() and any(entry.name != ".lock" for entry in folder.iterdir()):
            raise RunError(f"{folder}: not empty and not a run's folder ({CONFIG} is missing); allowed: another --run")
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder)
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
        write_json(path, config)
        return cls(folder, config, lock)

    def close(self) -> None:
        """Gives the folder free for other processes."""
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
        """Adds lines to one of the line files."""
        assert name in LINE_FILES, f"{name} is not one of {LINE_FILES}: it would not be cut back on resume"
        with (self.folder / name).open("a") as file:
            file.write("".join(json.dumps(record) + "\n" for record in records))

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """Returns the objects of a line file; none if it is not there."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def line_sizes(self) -> dict[str, int]:
        """Returns the size of each line file in bytes, for a checkpoint to keep."""
        return {name: (self.folder / name).stat().st_size for name in LINE_FILES if (self.folder / name).exists()}

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

    def prune_checkpoints(self, phase: str, *, keep: int = 1) -> None:
        """Removes all but the newest checkpoints of a phase."""
        for path in self.checkpoints(phase)[:-keep]:
            shutil.rmtree(path)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turns the first Ctrl-C into `stop_requested`, to be met at the next step; a second one stops at once."""

        def request_stop(signum: int, frame: FrameType | None) -> None:
            if self.stop_requested:
                raise KeyboardInterrupt
            self.stop_requested = True

        previous = signal.signal(signal.SIGINT, request_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def check_stop(self, *_: object) -> None:
        """Raises Stopped if the user asked to stop. Takes and ignores arguments, to serve as a callback."""
        if self.stop_requested:
            raise Stopped


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically: to a temporary file, synced, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def progress_bar(console: Console) -> Progress:
    """Returns a progress bar with count, time taken and time left."""
    return Progress(
        TextColumn("{task.description:<18}"), BarColumn(bar_width=28), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        console=console,
    )  # fmt: skip


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise RunError(f"{folder} is in use by another process; allowed: wait for it, or another --run") from error
    return descriptor


def _git_commit() -> str | None:
    try:
        found = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
