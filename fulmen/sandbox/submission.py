"""All tests of one submission in one sandbox: our side of `zygote.py`.

Whatever goes wrong after the submission's own code had a chance to run is the submission's doing, not `infra`; the
next test then gets a fresh sandbox.
"""

import os
import secrets
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fulmen.errors import SandboxError
from fulmen.sandbox import zygote
from fulmen.sandbox.base import ExecResult, Limits, StopEarly, Submission, TestInput, check_arguments
from fulmen.sandbox.cpp import does_not_compile
from fulmen.sandbox.launch import TICK_S, Launcher, Process, classify, failed, over_limit

GRACE_S = 10.0
"""Beyond a test's own time: how long the zygote may take to answer."""
COMPILE_WITHIN_S = 30.0
PRELOADED = ("math", "itertools", "functools", "collections", "heapq", "bisect", "re", "string", "random", "typing")
"""Modules imported once per submission, because nearly every solution imports them."""
_ZYGOTE = Path(zygote.__file__)
_SERVICE_MEMORY_BYTES = 32 << 20
"""The zygote's own memory, on top of a test's."""


def run_submission(
    launcher: Launcher,
    submission: Submission,
    inputs: Sequence[TestInput],
    *,
    program: bytes | ExecResult,
    limits: Limits,
    stop_early: StopEarly | None,
) -> list[ExecResult]:
    """Returns one result per input, in order; a test after which the sandbox is spent is followed by a fresh one.

    `program` is what a compiler made of the submission, or how that failed; empty where there is no compiler.
    """
    for test in inputs:
        if submission.function:
            check_arguments(test.arguments)
    results: list[ExecResult] = []
    session: _Session | None = None
    try:
        for i, test in enumerate(inputs):
            if session is None:
                session = _Session(launcher, submission, limits=limits, program=program)
            results.append(session.run(test))
            if stop_early is not None and stop_early(i, results[-1]):
                break
            if session.is_spent:
                session.close()
                session = None
    finally:
        if session is not None:
            session.close()
    return results


class _BrokenError(Exception):
    """The zygote did not answer as it should."""


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What the zygote said of one test."""

    header: dict[str, Any]
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """Where clock and counters stood when something was asked of the zygote."""

    at_s: float
    cpu_s: float
    """Of all processes inside."""
    wait_s: float
    """How long the zygote itself had waited for a processor."""


class _Session:
    """One sandbox with a zygote in it. After `is_spent` it can run nothing more."""

    def __init__(
        self, launcher: Launcher, submission: Submission, *, limits: Limits, program: bytes | ExecResult
    ) -> None:
        """Starts the sandbox and has the submission compiled; failures are kept for `run` to tell."""
        self._launcher = launcher
        self._limits = limits
        self._inside = replace(limits, memory_bytes=limits.memory_bytes + _SERVICE_MEMORY_BYTES)
        self._is_function = bool(submission.function)
        self._process: Process | None = None
        self._diagnosis = -1
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(GRACE_S)
        self._failure: ExecResult | None = None
        self._num_oom_kills = 0
        self.is_spent = False
        try:
            if isinstance(program, ExecResult):
                self._fail(program)
                return
            self._start(theirs, program)
            self._load(submission)
        except SandboxError as error:
            self._fail(failed(str(error)))
        finally:
            theirs.close()

    def run(self, test: TestInput) -> ExecResult:
        """Returns the result of one test."""
        if self._failure is not None:
            return self._failure
        assert self._process is not None, "a session without failure has a process"
        nonce = secrets.token_bytes(zygote.NONCE_BYTES)
        begun = self._begin()
        try:
            zygote.send_frame(self._channel, {"arguments": test.arguments}, test.stdin)
            self._channel.sendall(nonce)
            answer = self._await_answer(nonce, begun)
        except (_BrokenError, EOFError, OSError) as error:
            self.is_spent = True
            return self._silence(error, begun)
        self.is_spent = not answer.header["is_clean"]
        return self._result(answer)

    def close(self) -> None:
        """Ends the sandbox."""
        self._channel.close()
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._diagnosis >= 0:
            os.close(self._diagnosis)
            self._diagnosis = -1

    def _start(self, theirs: socket.socket, program: bytes) -> None:
        """Starts the zygote; raises SandboxError unless it says that it is ready."""
        files = {"run/zygote.py": _ZYGOTE.read_bytes()}
        if program:
            files[zygote.PROGRAM] = program
        words = [str(self._launcher.python), "-s", "-S", "-B", "run/zygote.py", str(theirs.fileno()), "tmp"]
        self._diagnosis, their_end = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            self._process = self._launcher.start(
                words,
                files=files,
                limits=self._inside,
                stdio=(null, their_end, their_end),
                pass_fds=(theirs.fileno(),),
                is_service=True,
            )
        finally:
            os.close(null)
            os.close(their_end)
        theirs.close()
        try:
            self._wait_readable(self._begin(), within_s=COMPILE_WITHIN_S)
            zygote.read_frame(self._channel)
        except (_BrokenError, EOFError, OSError) as error:
            raise SandboxError(f"sandbox: no zygote ({str(error) or 'it ended'}): {self._last_words()!r}") from None

    def _load(self, submission: Submission) -> None:
        """Sends the submission; what happens from here on is its own doing."""
        source = b"" if submission.language == "cpp" else submission.source.encode("utf-8", "surrogatepass")
        limits = asdict(self._limits) | {"address_bytes": self._launcher.address_bytes(self._limits)}
        header = {
            "language": submission.language,
            "function": submission.function,
            "limits": limits,
            "preload": PRELOADED,
        }
        begun = self._begin()
        try:
            zygote.send_frame(self._channel, header, source)
            self._wait_readable(begun, within_s=COMPILE_WITHIN_S)
            answer, _ = zygote.read_frame(self._channel)
        except (_BrokenError, EOFError, OSError) as error:
            self._fail(self._silence(error, begun))
            return
        if answer["error"]:
            wall_s = time.monotonic() - begun.at_s
            self._fail(does_not_compile(answer["error"].encode("utf-8", "replace"), wall_s=wall_s))

    def _fail(self, result: ExecResult) -> None:
        self._failure = result

    def _begin(self) -> _Begun:
        assert self._process is not None, "nobody to begin with"
        wait_s = zygote.max_wait_s([self._process.pid])
        return _Begun(at_s=time.monotonic(), cpu_s=self._process.cpu_s(), wait_s=wait_s)

    def _await_answer(self, nonce: bytes, begun: _Begun) -> _Answer:
        """Returns the zygote's answer; raises `_BrokenError` if there is none in time, or one without the nonce."""
        self._wait_readable(begun, within_s=self._limits.wall_s + GRACE_S)
        if not secrets.compare_digest(zygote.read_exactly(self._channel, len(nonce)), nonce):
            raise _BrokenError("an answer without the nonce")
        header, (stdout, stderr) = zygote.read_frame(self._channel)
        return _Answer(header=header, stdout=stdout, stderr=stderr)

    def _wait_readable(self, begun: _Begun, *, within_s: float) -> None:
        """Waits for the zygote; raises `_BrokenError` where the processes inside pass a limit by far."""
        assert self._process is not None, "waiting for nobody"
        # The zygote watches too, and more closely: it goes first.
        limits = replace(self._inside, cpu_s=self._limits.cpu_s + 1.0)
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        while not poller.poll(1000 * TICK_S):
            if (over := over_limit(self._process, limits, cpu_before_s=begun.cpu_s)) is not None:
                raise _BrokenError(over)
            if time.monotonic() > begun.at_s + within_s:
                raise _BrokenError("wall")

    def _silence(self, error: Exception, begun: _Begun) -> ExecResult:
        """Returns the result of a test during which the zygote went silent: never a success.

        It is `infra` only if the zygote itself waited for a processor most of the time.
        """
        assert self._process is not None, "nobody to be silent"
        why = str(error) or "it ended"
        wall_s = time.monotonic() - begun.at_s
        wait_s = zygote.max_wait_s([self._process.pid]) - begun.wait_s
        cpu_s = max(0.0, self._process.cpu_s() - begun.cpu_s)
        self._process.kill()
        status, info = classify(
            why,
            returncode=None,
            cpu_s=cpu_s,
            wall_s=wall_s,
            wait_s=wait_s,
            is_oom=self._has_new_oom(),
            limits=self._limits,
        )
        return ExecResult(
            status=status,
            returncode=None,
            stdout=b"",
            stderr=self._last_words(),
            cpu_s=cpu_s,
            wall_s=wall_s,
            info=f"the watching process was disturbed ({why}): {info}",
        )

    def _result(self, answer: _Answer) -> ExecResult:
        header, is_oom = answer.header, self._has_new_oom()
        status, info = classify(
            header["ending"],
            returncode=header["returncode"],
            cpu_s=header["cpu_s"],
            wall_s=header["wall_s"],
            wait_s=header["wait_s"],
            is_oom=is_oom,
            limits=self._limits,
        )
        if self._is_function and status == "ok" and not answer.stdout:
            status, info = "nonzero", "ended without a result"
        return ExecResult(
            status=status,
            returncode=header["returncode"] if header["ending"] == "exit" else None,
            stdout=answer.stdout,
            stderr=answer.stderr,
            cpu_s=header["cpu_s"],
            wall_s=header["wall_s"],
            info=info,
        )

    def _has_new_oom(self) -> bool:
        """Returns whether memory ran out since this was last asked."""
        if self._process is None or self._process.group is None:
            return False
        before, self._num_oom_kills = self._num_oom_kills, self._process.group.num_oom_kills()
        return self._num_oom_kills > before

    def _last_words(self) -> bytes:
        """Returns what the zygote wrote before it ended."""
        os.set_blocking(self._diagnosis, False)
        try:
            return os.read(self._diagnosis, 1 << 12)
        except BlockingIOError:
            return b""
