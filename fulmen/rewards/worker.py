"""A pool of processes for functions that may hang, eat memory or crash; whatever they do, the caller goes on.

Each worker is a fresh interpreter (nothing of the caller's memory, threads or environment), limited in address space,
leader of its own process group, and killed with that group when its time is up; the next call gets a new one. Modules
are imported once per worker, before a call's time begins. A pool may be used from any thread (from asyncio through
`asyncio.to_thread`) and after a fork, where it starts its own workers.
Left out: files and network are not shut off. This contains accidents, not attackers: `sandbox` is for foreign code.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from fulmen.errors import ConfigError, DataError, FulmenError

MIB = 1 << 20
MAX_FRAME_BYTES = 64 * MIB
"""Largest arguments or result, as JSON."""
_CHILD = str(Path(__file__).with_name("worker_child.py"))
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
# One hash seed, so that a verdict never depends on which worker gave it.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class WorkerError(FulmenError):
    """A call that gave no result; its subclasses say why."""


class WorkerStartError(WorkerError):
    """No worker could be started, or it could not import within its time: the machine's fault, not the call's."""


class WorkerTimeoutError(WorkerError):
    """The call took longer than it was given, and was killed."""

    def __init__(self, message: str, *, is_cpu: bool) -> None:
        super().__init__(message)
        self.is_cpu = is_cpu
        """Whether it used up processor time; else it may be that the machine was busy."""


class WorkerMemoryError(WorkerError):
    """The call needed more memory than a worker has."""


class WorkerCrashError(WorkerError):
    """The worker's process ended during the call, or could not be started."""


class WorkerRaisedError(WorkerError):
    """The function raised an exception, could not be imported, or returned what is not JSON."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind
        """Name of the exception's type."""


class WorkerPool:
    """Runs functions in worker processes, at most `num_workers` at a time; further calls wait their turn.

    >>> with WorkerPool(num_workers=1) as pool:
    ...     pool.call("math:gcd", 12, 18, timeout_s=5.0)
    6
    """

    def __init__(
        self,
        *,
        num_workers: int = 1,
        memory_bytes: int = 1024 * MIB,
        start_timeout_s: float = 60.0,
        max_calls: int = 10_000,
    ) -> None:
        """Starts nothing yet: a worker starts with the first call that finds none idle.

        Args:
            num_workers: Most processes at a time.
            memory_bytes: Address space of each; an interpreter with numpy or sympy takes about 200 MiB of it.
            start_timeout_s: Longest start of a worker, and longest import of a module.
            max_calls: Calls after which a worker is replaced, so that nothing grows forever.

        Raises:
            ConfigError: a setting is out of range.
        """
        for name, value, low in (
            ("num_workers", num_workers, 1),
            ("memory_bytes", memory_bytes, 64 * MIB),
            ("start_timeout_s", start_timeout_s, 0.1),
            ("max_calls", max_calls, 1),
        ):
            if value < low:
                raise ConfigError(f"{name}: {value}; allowed: {low} or more")
        self.num_workers = num_workers
        self.memory_bytes = memory_bytes
        self.start_timeout_s = start_timeout_s
        self.max_calls = max_calls
        self._is_closed = False
        self._all: set[_Worker] = set()
        self._make_locks()
        _POOLS.add(self)
        # Runs when the pool is no longer referred to, and at exit.
        weakref.finalize(self, _kill_all, self._all)

    def call(self, function_path: str, *args: Any, timeout_s: float, cpu_s: float | None = None) -> Any:
        """Returns what the function returns for these JSON values, itself as a JSON value.

        Args:
            function_path: `module:name`; the module is imported in the worker.
            args: Positional arguments.
            timeout_s: Seconds the call may take, from when a worker has it.
            cpu_s: Processor seconds it may take; a bound that a busy machine does not change.

        Raises:
            WorkerError: `WorkerTimeoutError`, `WorkerMemoryError`, `WorkerCrashError`, `WorkerRaisedError`, or
                `WorkerStartError` where the call never began.
            DataError: the arguments are not JSON values.
            ConfigError: the path has no colon, a limit is not positive, or the pool is closed.
        """
        if ":" not in function_path:
            raise ConfigError(f"function_path: {function_path!r}; allowed: 'module:name'")
        if timeout_s <= 0 or (cpu_s is not None and cpu_s <= 0):
            raise ConfigError(f"timeout_s, cpu_s: {timeout_s}, {cpu_s}; allowed: above 0")
        request = _encode({"function": function_path, "args": args, "timeout_s": timeout_s, "cpu_s": cpu_s or 0.0})
        with self._slots:
            worker = self._take()
            try:
                self._import(worker, function_path)
                return worker.ask(request, timeout_s, what=function_path)
            finally:
                self._give_back(worker)

    def warm_up(self, function_path: str) -> None:
        """Starts all workers and imports a function in each, so that no later call waits for that."""
        with self._warming, contextlib.ExitStack() as stack:
            for _ in range(self.num_workers):
                stack.enter_context(self._slots)
                worker = self._take()
                stack.callback(self._give_back, worker)
                self._import(worker, function_path)

    def close(self) -> None:
        """Kills every worker; calls that run raise `WorkerCrashError`, later ones `ConfigError`."""
        with self._lock:
            self._is_closed = True
            idle = list(self._idle)
            self._idle.clear()
            busy = self._all.difference(idle)
        for worker in idle:
            self._drop(worker)
        for worker in busy:
            worker.kill()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> "_Worker":
        """Returns an idle worker, or a new one."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> "_Worker":
        """Returns a new worker that is ready."""
        with self._lock:
            if self._is_closed:
                raise ConfigError("WorkerPool: closed; allowed: calls before close()")
            worker = _Worker()
            self._all.add(worker)
        hello = {"sys_path": [path or os.getcwd() for path in sys.path], "memory_bytes": self.memory_bytes}
        try:
            worker.ask(_encode(hello), self.start_timeout_s, what="start")
        except WorkerError as error:
            self._drop(worker)
            raise WorkerStartError(str(error)) from error
        return worker

    def _import(self, worker: "_Worker", function_path: str) -> None:
        """Has the worker import a function that it does not know yet."""
        if function_path not in worker.imported:
            try:
                worker.ask(_encode({"function": function_path}), self.start_timeout_s, what=f"import {function_path}")
            except (WorkerTimeoutError, WorkerCrashError) as error:
                raise WorkerStartError(str(error)) from error
            worker.imported.add(function_path)

    def _give_back(self, worker: "_Worker") -> None:
        """Keeps a worker for the next call if it is still good for one."""
        with self._lock:
            is_good = not (worker.is_dead or self._is_closed or worker.num_calls >= self.max_calls)
            if is_good:
                self._idle.append(worker)
        if not is_good:
            self._drop(worker)

    def _drop(self, worker: "_Worker") -> None:
        """Ends a worker that no other thread uses."""
        worker.kill()
        worker.close_pipes()
        with self._lock:
            self._all.discard(worker)

    def _make_locks(self) -> None:
        """Makes the pool as if it had started nothing."""
        self._lock = threading.Lock()
        self._warming = threading.Lock()
        self._slots = threading.BoundedSemaphore(self.num_workers)
        self._idle: list[_Worker] = []

    def start_over_in_fork(self) -> None:
        """Leaves the workers to the process that started them and closes this one's copies of the pipes."""
        for worker in self._all:
            worker.disown()
        self._all.clear()
        self._make_locks()


class _Worker:
    """One process and its two pipes; used by one thread at a time, killed from any."""

    def __init__(self) -> None:
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self.process = subprocess.Popen(
                # -s -P and this environment are what -I does, which would ignore the hash seed.
                [sys.executable, "-s", "-P", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=passed_on | _ENVIRONMENT,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise WorkerStartError(f"worker: cannot start ({error}); allowed: a free process") from error
        assert self.process.stdin is not None, "a pipe was asked for"
        assert self.process.stdout is not None, "a pipe was asked for"
        self.requests, self.answers = self.process.stdin, self.process.stdout
        os.set_blocking(self.requests.fileno(), False)
        self.imported: set[str] = set()
        self.num_calls = 0
        self.is_dead = False
        self._kill_lock = threading.Lock()

    def ask(self, request: bytes, timeout_s: float, *, what: str) -> Any:
        """Returns the result that answers a request; where there is none, kills the process unless it only raised."""
        deadline = time.monotonic() + timeout_s
        self.num_calls += 1
        try:
            self._write(request, deadline)
            answer = json.loads(self._read(deadline))
        except TimeoutError as error:
            self.kill()
            raise WorkerTimeoutError(f"{what}: no result within {timeout_s:g} s", is_cpu=False) from error
        except (OSError, ValueError, EOFError) as error:
            raise self._crash(what) from error
        except BaseException:
            self.kill()
            raise
        if "result" in answer:
            return answer["result"]
        if answer["error"] == "memory":
            self.kill()
            raise WorkerMemoryError(f"{what}: more memory than a worker has")
        raise WorkerRaisedError(f"{what}: {answer['kind']}: {answer['text']}", kind=answer["kind"])

    def kill(self) -> None:
        """Kills the process group and waits for its leader; harmless when done before."""
        with self._kill_lock:
            if self.is_dead:
                return
            self.is_dead = True
            # The leader is not reaped yet, so its number is still its own, and so is the group's.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def disown(self) -> None:
        """Forgets the process without ending it."""
        self.is_dead = True
        self.process.returncode = 0
        self.close_pipes()

    def close_pipes(self) -> None:
        """Closes this process's ends."""
        self.requests.close()
        self.answers.close()

    def _crash(self, what: str) -> WorkerError:
        """Returns the error that says how the process ended."""
        # It may have closed the pipe and not ended yet. It is not reaped here: see kill.
        deadline = time.monotonic() + 1.0
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(0.001)
        self.kill()
        code = self.process.returncode
        if code in (-signal.SIGPROF, -signal.SIGALRM):
            return WorkerTimeoutError(f"{what}: no result within its processor time", is_cpu=True)
        return WorkerCrashError(f"{what}: the worker ended with {code}")

    def _has_ended(self) -> bool:
        """Returns whether the process has ended."""
        if self.is_dead:
            return True
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _write(self, content: bytes, deadline: float) -> None:
        """Writes a frame; a worker that has stopped reading does not block for longer than the deadline."""
        view = memoryview(len(content).to_bytes(4, "big") + content)
        while view:
            _wait(self.requests.fileno(), selectors.EVENT_WRITE, deadline)
            view = view[os.write(self.requests.fileno(), view) :]

    def _read(self, deadline: float) -> bytes:
        """Returns the next frame."""
        num_bytes = int.from_bytes(self._read_exactly(4, deadline), "big")
        if num_bytes > MAX_FRAME_BYTES:
            raise EOFError
        return self._read_exactly(num_bytes, deadline)

    def _read_exactly(self, num_bytes: int, deadline: float) -> bytes:
        """Returns so many bytes."""
        content = bytearray()
        while len(content) < num_bytes:
            _wait(self.answers.fileno(), selectors.EVENT_READ, deadline)
            piece = os.read(self.answers.fileno(), num_bytes - len(content))
            if not piece:
                raise EOFError
            content += piece
        return bytes(content)


def _wait(pipe: int, event: int, deadline: float) -> None:
    """Returns when a pipe is ready.

    Raises:
        TimeoutError: it is not by the deadline.
    """
    with selectors.PollSelector() as selector:
        selector.register(pipe, event)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError


def _encode(content: Any) -> bytes:
    """Returns a JSON value as bytes."""
    try:
        encoded = json.dumps(content).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"args: {error}; allowed: JSON values") from error
    if len(encoded) > MAX_FRAME_BYTES:
        raise DataError(f"args: {len(encoded)} bytes; allowed: up to {MAX_FRAME_BYTES}")
    return encoded


_POOLS: "weakref.WeakSet[WorkerPool]" = weakref.WeakSet()


def _kill_all(workers: set[_Worker]) -> None:
    for worker in list(workers):
        worker.kill()
        worker.close_pipes()


def _start_over_in_fork() -> None:
    for pool in list(_POOLS):
        pool.start_over_in_fork()


os.register_at_fork(after_in_child=_start_over_in_fork)
