"""A started sandbox: released, watched, killed and reaped.

`Process` is what a backend starts; `watch` feeds nothing and waits for the end of it, of its output, or of its limits.
"""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from fulmen.errors import SandboxError
from fulmen.sandbox.base import ExecResult, Limits, Status
from fulmen.sandbox.cgroup import LAUNCHER_PROCESSES, Group, parent
from fulmen.sandbox.zygote import max_wait_s, process_cpu_s

WORK = "tmp/work"
"""Working folder, below the root that programs see."""
TICK_S = 0.05
"""How often usage is looked at."""
START_WITHIN_S = 30.0
"""A launcher that takes longer to set up a sandbox has failed."""
EMPTY_WITHIN_S = 10.0
"""A sandbox whose processes do not die in so long keeps them in the kernel; they go when it lets them."""
STARVED_FRAC = 0.5
"""A run that waited for a processor longer than so much of its time on the clock met a busy machine."""
CPU_SLACK_S = 0.02
"""Processor time that the launcher itself uses inside the sandbox."""
_CHUNK = 1 << 16

Ending = Literal["exit", "cpu", "wall", "output", "memory", "processes"]


@dataclass(kw_only=True)
class Process:
    """A sandbox that runs; its owner calls `close` in the end."""

    popen: "subprocess.Popen[bytes]"
    """The launcher outside."""
    pid: int
    """First process inside, in this machine's numbers; its death ends all the others."""
    pidfd: int
    group: Group | None = None
    status_fd: int | None = None
    """Where the launcher says how the program ended; None if the program is started without one."""
    by_session: bool = False
    """There is no process namespace: the whole session is killed, and what left it may live on."""
    status_text: bytes = b""
    folder: Path | None = None
    """Removed in the end."""

    def enter(self, report: dict[str, int]) -> None:
        """Takes the first process inside for the one to kill, as the launcher's report names it.

        Raises:
            SandboxError: the launcher ended without a report.
        """
        if "child-pid" not in report:
            raise SandboxError("sandbox: the launcher ended before the sandbox was there")
        try:
            inside_fd = os.pidfd_open(report["child-pid"])
        except ProcessLookupError:
            return  # it has ended already
        if parent(report["child-pid"]) != self.popen.pid:
            os.close(inside_fd)
            return  # it has ended already, and the number is another's
        os.close(self.pidfd)
        self.pid, self.pidfd = report["child-pid"], inside_fd

    def kill(self) -> None:
        """Kills everything inside."""
        try:
            if self.by_session:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def pids(self) -> list[int]:
        """Returns the live processes inside."""
        return self.group.pids() if self.group else list(_tree(self.pid))

    def cpu_s(self) -> float:
        """Returns processor seconds used so far; without a group, those of live processes and reaped children."""
        if self.group is not None and (used := self.group.cpu_s()) is not None:
            return used
        return sum(process_cpu_s(pid) for pid in self.pids())

    def wait_empty(self) -> None:
        """Waits, after `kill`, until every process inside is gone; the launcher may end before them."""
        if self.pidfd >= 0 and not self.by_session:
            poller = select.poll()
            poller.register(self.pidfd, select.POLLIN)
            poller.poll(1000 * EMPTY_WITHIN_S)

    def close(self) -> None:
        """Kills, reaps and removes whatever there is; may be called twice."""
        self.kill()
        self.popen.wait()
        self.wait_empty()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self.status_fd is not None:
            os.close(self.status_fd)
            self.status_fd = None
        if self.group is not None:
            self.group.remove()
            self.group = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


@runtime_checkable
class Launcher(Protocol):
    """What a backend is: a way to start programs."""

    @property
    def python(self) -> Path:
        """Interpreter inside."""
        ...

    def start(
        self,
        argv: Sequence[str],
        *,
        files: Mapping[str, bytes],
        limits: Limits,
        stdio: tuple[int, int, int],
        pass_fds: Sequence[int] = (),
        is_service: bool = False,
    ) -> Process:
        """Returns a running sandbox; `files` are paths below its root, where a service starts."""
        ...

    def address_bytes(self, limits: Limits) -> int:
        """Returns the bound on one process's address space, 0 where memory is bounded as a whole."""
        ...


@dataclass(kw_only=True)
class Watched:
    """How a watched process ended, and what it wrote."""

    ending: Ending
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    wait_s: float = 0.0
    """How long its unluckiest thread waited for a processor, where its time on the clock ran out."""


@contextmanager
def memory_files(contents: "list[bytes]") -> Iterator[list[int]]:
    """Yields descriptors of read-only files in memory; they are closed in the end."""
    handles: list[int] = []
    try:
        for content in contents:
            handles.append(_memory_file(content))
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def read_status(process: Process, *, within_s: float = START_WITHIN_S) -> dict[str, int]:
    """Returns the launcher's first report, {} if it ended without one."""
    assert process.status_fd is not None, "started without a launcher"
    deadline = time.monotonic() + within_s
    poller = select.poll()
    poller.register(process.status_fd, select.POLLIN)
    while b"\n" not in process.status_text:
        is_ready = poller.poll(1000 * max(0.0, deadline - time.monotonic()))
        part = os.read(process.status_fd, 4096) if is_ready else b""
        if not part:
            return {}
        process.status_text += part
    return dict(json.loads(process.status_text.split(b"\n")[0]))


def reported_exit(process: Process) -> int | None:
    """Returns the exit code in the launcher's last report; None if the program was never started, or was killed."""
    assert process.status_fd is not None, "started without a launcher"
    while part := os.read(process.status_fd, 4096):
        process.status_text += part
    for line in process.status_text.splitlines()[1:]:
        if "exit-code" in (report := json.loads(line)):
            return int(report["exit-code"])
    return None


def watch(process: Process, *, stdout: int, stderr: int, limits: Limits) -> Watched:
    """Waits until the process ends or meets a limit, kills it then, and returns what it wrote."""
    watched = Watched(ending="exit")
    buffers = {stdout: watched.stdout, stderr: watched.stderr}
    exit_fd = os.pidfd_open(process.popen.pid)
    started = time.monotonic()
    try:
        watched.ending = _await_end(process, buffers, exit_fd=exit_fd, limits=limits, started=started)
        watched.wall_s = time.monotonic() - started
        if watched.ending == "wall":
            watched.wait_s = max_wait_s(process.pids())
        if watched.ending != "exit":
            watched.cpu_s = process.cpu_s()
        process.kill()
        _collect(process, watched, buffers, limits=limits)
    finally:
        os.close(exit_fd)
    return watched


def classify(
    ending: str, *, returncode: int | None, cpu_s: float, wall_s: float, wait_s: float, is_oom: bool, limits: Limits
) -> tuple[Status, str]:
    """Returns the status of an ended run and why."""
    if ending == "output":
        return "output_limit", f"more than {limits.output_bytes} bytes of output"
    if ending == "cpu" or cpu_s > limits.cpu_s:
        return "timeout_cpu", f"{cpu_s:.2f} s of processor time; allowed: {limits.cpu_s:g}"
    if ending == "wall":
        if wait_s > STARVED_FRAC * wall_s:
            return "infra", f"waited {wait_s:.1f} of {wall_s:.1f} s for a processor: the machine is overloaded"
        return "timeout_wall", f"{wall_s:.1f} s on the clock with {cpu_s:.2f} s of processor time"
    if ending in ("memory", "processes") or (is_oom and returncode != 0):
        what = f"{limits.num_processes} processes" if ending == "processes" else f"{limits.memory_bytes} bytes"
        return ("killed" if ending == "processes" else "oom"), f"more than {what}"
    if returncode == 0:
        return "ok", "some of its processes ran out of memory" if is_oom else ""
    if returncode is None:
        return "killed", "ended without an exit code"
    if returncode < 0:
        return "killed", f"ended by signal {_signal_name(-returncode)}"
    return "nonzero", f"exit code {returncode}"


def failed(info: str, *, stderr: bytes = b"") -> ExecResult:
    """Returns the result of a run that says nothing about the program."""
    return ExecResult(status="infra", returncode=None, stdout=b"", stderr=stderr, cpu_s=0.0, wall_s=0.0, info=info)


def _await_end(
    process: Process, buffers: dict[int, bytearray], *, exit_fd: int, limits: Limits, started: float
) -> Ending:
    """Returns what came first: the end of the process, or of a limit."""
    poller = select.poll()
    for handle in (exit_fd, *buffers):
        poller.register(handle, select.POLLIN)
    check_at = started + TICK_S
    while True:
        now = time.monotonic()
        if now >= started + limits.wall_s:
            return "wall"
        if now >= check_at:
            check_at = now + TICK_S
            if over := over_limit(process, limits):
                return over
        for handle, _ in poller.poll(1000 * max(0.0, min(check_at, started + limits.wall_s) - now)):
            if handle == exit_fd:
                return "exit"
            if part := os.read(handle, _CHUNK):
                buffers[handle] += part
            else:
                poller.unregister(handle)
            if len(buffers[handle]) > limits.output_bytes:
                return "output"


def over_limit(process: Process, limits: Limits, *, cpu_before_s: float = 0.0) -> Ending | None:
    """Returns which limit the processes inside have passed together, if any; memory only where no group holds it."""
    if process.cpu_s() - cpu_before_s > limits.cpu_s + CPU_SLACK_S:
        return "cpu"
    if process.group is None:
        pids = process.pids()
        if sum(map(_memory_bytes, pids)) > limits.memory_bytes:
            return "memory"
        if len(pids) > limits.num_processes + LAUNCHER_PROCESSES:
            return "processes"
    return None


def _collect(process: Process, watched: Watched, buffers: dict[int, bytearray], *, limits: Limits) -> None:
    """Reaps the launcher, adds what is left in the pipes and the usage, and cuts the output to its limit."""
    _, status, usage = os.wait4(process.popen.pid, 0)
    process.popen.returncode = os.waitstatus_to_exitcode(status)
    process.wait_empty()
    used = process.group.cpu_s() if process.group is not None else None
    # The launcher's own count lacks those whom it did not wait for.
    watched.cpu_s = max(watched.cpu_s, usage.ru_utime + usage.ru_stime) if used is None else used
    for handle, buffer in buffers.items():
        os.set_blocking(handle, False)
        while len(buffer) <= limits.output_bytes:
            try:
                part = os.read(handle, _CHUNK)
            except BlockingIOError:
                break
            if not part:
                break
            buffer += part
        if len(buffer) > limits.output_bytes:
            watched.ending = "output" if watched.ending == "exit" else watched.ending
            del buffer[limits.output_bytes :]


def _memory_bytes(pid: int) -> int:
    """Returns the memory of a process, pages that it shares divided among the sharers; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def _tree(pid: int) -> Iterator[int]:
    """Yields a process and all its descendants."""
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        children = [Path(f"/proc/{pid}/task/{thread}/children").read_text() for thread in threads]
    except OSError:
        return
    for child in " ".join(children).split():
        yield from _tree(int(child))


def _memory_file(content: bytes) -> int:
    """Returns a descriptor that reads `content` from its beginning and cannot write."""
    writable = os.memfd_create("fulmen")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(writable, view) :]
        os.fchmod(writable, 0o444)
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
