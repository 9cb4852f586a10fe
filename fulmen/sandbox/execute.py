"""`LaunchedSandbox`: a `Sandbox` made of a launcher."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from types import MappingProxyType

from fulmen.errors import SandboxError
from fulmen.sandbox.base import (
    ExecResult,
    Limits,
    StopEarly,
    Submission,
    TestInput,
    check_argv,
    check_files,
)
from fulmen.sandbox.cpp import compile_cpp
from fulmen.sandbox.launch import WORK, Launcher, Process, Watched, classify, failed, memory_files, reported_exit, watch
from fulmen.sandbox.submission import run_submission

NO_FILES: Mapping[str, bytes] = MappingProxyType({})
DEFAULT_LIMITS = Limits()


class LaunchedSandbox:
    """Runs programs through a launcher."""

    def __init__(self, launcher: Launcher, *, name: str, guarantees: tuple[str, ...]) -> None:
        """Keeps what it is given; starts nothing."""
        self.launcher = launcher
        self.name = name
        self.guarantees = guarantees

    def run(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes] = NO_FILES,
        stdin: bytes = b"",
        limits: Limits = DEFAULT_LIMITS,
    ) -> ExecResult:
        """Returns how one program ended; see `Sandbox.run`."""
        check_argv(argv)
        check_files(files)
        inside = {f"{WORK}/{name}": content for name, content in files.items()}
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        process: Process | None = None
        try:
            with memory_files([stdin]) as (stdin_fd,):
                stdio = (stdin_fd, out_write, err_write)
                process = self.launcher.start(argv, files=inside, limits=limits, stdio=stdio)
            os.close(out_write)
            os.close(err_write)
            out_write = err_write = -1
            watched = watch(process, stdout=out_read, stderr=err_read, limits=limits)
            return _result(process, watched, limits)
        except SandboxError as error:
            return failed(str(error), stderr=_peek(err_read))
        finally:
            if process is not None:
                process.close()
            for handle in (out_read, err_read, out_write, err_write):
                if handle >= 0:
                    os.close(handle)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes] = NO_FILES,
        stdin: bytes = b"",
        limits: Limits = DEFAULT_LIMITS,
    ) -> ExecResult:
        """Returns what `run` does, through a pool of as many threads as there are cores."""
        call = partial(self.run, argv, files=files, stdin=stdin, limits=limits)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def run_tests(
        self,
        submission: Submission,
        inputs: Sequence[TestInput],
        *,
        limits: Limits = DEFAULT_LIMITS,
        stop_early: StopEarly | None = None,
    ) -> list[ExecResult]:
        """Returns one result per input; see `Sandbox.run_tests`."""
        program = compile_cpp(self, submission.source) if submission.language == "cpp" else b""
        return run_submission(self.launcher, submission, inputs, program=program, limits=limits, stop_early=stop_early)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="sandbox")


def _result(process: Process, watched: Watched, limits: Limits) -> ExecResult:
    """Returns the result of a program that was watched to its end."""
    returncode: int | None = process.popen.returncode
    if process.status_fd is not None:
        returncode = reported_exit(process)
        if returncode is None and watched.stderr.startswith(b"bwrap: execvp "):
            returncode = 127
        if returncode is None and watched.ending == "exit" and not _num_oom_kills(process):
            return failed("sandbox: the launcher ended before the program was started", stderr=bytes(watched.stderr))
        if returncode is not None and 0 < returncode - 128 < signal.NSIG:
            returncode = 128 - returncode
    status, info = classify(
        watched.ending,
        returncode=returncode,
        cpu_s=watched.cpu_s,
        wall_s=watched.wall_s,
        wait_s=watched.wait_s,
        is_oom=_num_oom_kills(process) > 0,
        limits=limits,
    )
    if process.group is not None and (num_refused := process.group.num_refused_forks()):
        info = f"{info}; {num_refused} forks refused" if info else f"{num_refused} forks refused"
    return ExecResult(
        status=status,
        returncode=returncode if watched.ending == "exit" else None,
        stdout=bytes(watched.stdout),
        stderr=bytes(watched.stderr),
        cpu_s=watched.cpu_s,
        wall_s=watched.wall_s,
        info=info,
    )


def _num_oom_kills(process: Process) -> int:
    return process.group.num_oom_kills() if process.group is not None else 0


def _peek(handle: int) -> bytes:
    """Returns what a pipe holds."""
    os.set_blocking(handle, False)
    try:
        return os.read(handle, 1 << 16)
    except BlockingIOError:
        return b""
