"""What a sandbox promises: limits, outcomes, submissions, and the `Sandbox` protocol.

A sandbox runs programs; it never judges them. Expected outputs stay with the caller.
Left out: persistent workspaces for many-step work, and network access.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, Protocol, runtime_checkable

from fulmen.errors import ConfigError, DataError

Status = Literal["ok", "nonzero", "timeout_cpu", "timeout_wall", "oom", "output_limit", "killed", "infra"]
Language = Literal["python", "cpp"]

MAX_FILES = 200
"""Most files one run may bring."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run (or, in `run_tests`, one test) may use."""

    cpu_s: float = 10.0
    """Processor seconds of all its processes together; this is what time is judged by."""
    wall_s: float = 20.0
    """Seconds on the clock, so that a sleeper ends."""
    memory_bytes: int = 128 << 20
    """Memory of all its processes together, files in its folders included."""
    num_processes: int = 32
    """Processes and threads alive at once."""
    file_bytes: int = 16 << 20
    """Largest file it may write."""
    disk_bytes: int = 64 << 20
    """All its files together; they lie in memory and count there too."""
    output_bytes: int = 64 << 10
    """Most of stdout, and of stderr, that is kept; one byte more ends the run."""
    stack_bytes: int = 64 << 20
    """Stack of the main thread."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a limit that is not positive."""
        for entry in fields(self):
            value = self.__dict__[entry.name]
            if not value > 0:
                raise ConfigError(f"limits.{entry.name}: {value}; allowed: above 0")


@dataclass(frozen=True, kw_only=True)
class ExecResult:
    """How a run ended. `infra` alone says nothing about the program: the run is to be repeated."""

    status: Status
    """`timeout_wall`: it slept. `infra`: the machine was too busy, or the sandbox failed."""
    returncode: int | None
    """Exit code, or minus the signal that ended it; None if it never ended by itself."""
    stdout: bytes
    """At most `output_bytes`; the JSON result where a function was called."""
    stderr: bytes
    cpu_s: float
    wall_s: float
    info: str = ""
    """Why, in a few words."""


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One program that a model wrote."""

    language: Language
    source: str
    function: str = ""
    """Empty: a program that reads stdin and writes stdout; else the function, or method of `Solution`, to call."""

    def __post_init__(self) -> None:
        """Raises DataError where the language cannot do what is asked."""
        if self.language not in ("python", "cpp"):
            raise DataError(f"submission.language: {self.language!r}; allowed: python, cpp")
        if self.function and self.language != "python":
            raise DataError(f"submission.function: {self.function!r} in {self.language}; allowed: python only")
        if self.function and not self.function.isidentifier():
            raise DataError(f"submission.function: {self.function!r}; allowed: an identifier")


@dataclass(frozen=True, kw_only=True)
class TestInput:
    """What one test feeds to a submission; what it expects is not the sandbox's business."""

    __test__ = False  # its name looks like a test class to pytest

    stdin: bytes = b""
    arguments: str = ""
    """JSON list of positional arguments, where a function is called."""


StopEarly = Callable[[int, ExecResult], bool]
"""Called with a test's index and result; true leaves the remaining tests out."""


@runtime_checkable
class Sandbox(Protocol):
    """Runs programs apart from this machine, as far as `guarantees` says."""

    @property
    def name(self) -> str:
        """The backend, in a word or two."""
        ...

    @property
    def guarantees(self) -> tuple[str, ...]:
        """What holds, in a few words each."""
        ...

    def run(
        self, argv: Sequence[str], *, files: Mapping[str, bytes] = ..., stdin: bytes = b"", limits: Limits = ...
    ) -> ExecResult:
        """Returns how one program ended; `files` lie in its working folder. Blocks; may be called from any thread."""
        ...

    async def exec(
        self, argv: Sequence[str], *, files: Mapping[str, bytes] = ..., stdin: bytes = b"", limits: Limits = ...
    ) -> ExecResult:
        """Returns what `run` does, through a pool of as many threads as there are cores."""
        ...

    def run_tests(
        self,
        submission: Submission,
        inputs: Sequence[TestInput],
        *,
        limits: Limits = ...,
        stop_early: StopEarly | None = None,
    ) -> list[ExecResult]:
        """Returns one result per input, in their order, fewer where `stop_early` said so."""
        ...


def check_files(files: Mapping[str, bytes]) -> None:
    """Raises DataError for a name that would leave the working folder."""
    if len(files) > MAX_FILES:
        raise DataError(f"files: {len(files)}; allowed: up to {MAX_FILES}")
    for name in files:
        parts = name.split("/")
        if "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise DataError(f"files: name {name!r}; allowed: a relative path without '.', '..' or empty parts")


def check_argv(argv: Sequence[str]) -> None:
    """Raises DataError for a command that cannot be started at all."""
    if not argv or isinstance(argv, str) or not argv[0] or any("\0" in word for word in argv):
        raise DataError(f"argv: {argv!r}; allowed: a program and its arguments, without NUL bytes")


def check_arguments(arguments: str) -> None:
    """Raises DataError unless the text is a JSON list."""
    try:
        found = json.loads(arguments)
    except ValueError as error:
        raise DataError(f"test.arguments: {arguments[:80]!r} ({error}); allowed: a JSON list") from None
    if not isinstance(found, list):
        raise DataError(f"test.arguments: {arguments[:80]!r}; allowed: a JSON list")
