"""Runs inside a sandbox: compiles a submission once, then forks a child for each test.

It is the sandbox's process 1, which no signal from inside can kill or stop, and it cannot be looked into: it is not
dumpable. A child gets its test's input and output as descriptors 0 to 2 and nothing else. Results leave on the control
socket, each framed with a nonce that is read from the socket after the child was forked, so that no child's memory has
ever held it. Nothing here decides whether an output is right.

Only the standard library, and none of fulmen: this file travels alone.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import json
import math
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

NONCE_BYTES = 16
PROGRAM = "run/program"
"""Where a compiled program lies, below the root."""
_LENGTH = struct.Struct(">I")
_CHUNK = 1 << 16
_TICK_S = 0.1
_MAX_LEFTOVERS = 200
"""Files a test may leave behind before its sandbox counts as spent."""
_MAX_LEFTOVER_PATH = 1000
_PR_SET_DUMPABLE = 4
_RESULT_FD = 3
_LIBC = ctypes.CDLL(None)
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def process_cpu_s(pid: int) -> float:
    """Returns processor seconds of a live process and its reaped children, 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            numbers = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, numbers[11:15])) / _TICKS_PER_S


def max_wait_s(pids: Iterable[int]) -> float:
    """Returns how long the thread that waited longest was ready to run without a processor."""
    longest = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                    longest = max(longest, int(file.read().split()[1]))
        except OSError:
            continue
    return longest / 1e9


def send_frame(channel: socket.socket, header: dict[str, Any], *bodies: bytes, nonce: bytes = b"") -> None:
    """Sends a JSON header and byte strings."""
    text = json.dumps(header | {"sizes": [len(body) for body in bodies]}).encode()
    channel.sendall(b"".join((nonce, _LENGTH.pack(len(text)), text, *bodies)))


def read_exactly(channel: socket.socket, size: int) -> bytes:
    """Returns the next bytes, never reading ahead.

    Raises:
        EOFError: the other side is gone.
    """
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), _CHUNK))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def read_frame(channel: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """Returns a header and the byte strings that follow it.

    Raises:
        EOFError: the other side is gone.
    """
    (size,) = _LENGTH.unpack(read_exactly(channel, _LENGTH.size))
    header = json.loads(read_exactly(channel, size))
    return header, [read_exactly(channel, body) for body in header["sizes"]]


class _Job(NamedTuple):
    """The submission, ready to be run."""

    code: types.CodeType | None
    """None: a compiled program."""
    function: str
    limits: dict[str, Any]
    folder: str
    """Where each test gets a fresh working folder."""
    program: str
    """Absolute path of the compiled program, if there is one."""
    is_init: bool
    """This process is number 1 of its own process namespace."""


class _Watched(NamedTuple):
    """How a child ended."""

    ending: str
    outputs: list[bytes]


def main() -> None:
    """Serves tests until the control socket closes."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    folder, is_init = os.path.abspath(sys.argv[2]), os.getpid() == 1
    channel.set_inheritable(False)
    # The default of a script would be a folder that submissions import from.
    sys.path.pop(0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _set_dumpable(0)
    send_frame(channel, {"ready": True})
    try:
        header, bodies = read_frame(channel)
        job = _prepare(header, bodies, folder=folder, is_init=is_init)
        send_frame(channel, {"error": job if isinstance(job, str) else ""})
        if isinstance(job, str):
            return
        gc.collect()
        gc.freeze()
        while True:
            _serve_test(channel, job)
    except EOFError:
        return


def _prepare(header: dict[str, Any], bodies: list[bytes], *, folder: str, is_init: bool) -> "_Job | str":
    """Returns the job, or what is wrong with its source."""
    code = None
    if header["language"] == "python":
        for name in header["preload"]:
            __import__(name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = compile(bodies[0], "solution.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
            return "".join(traceback.format_exception_only(error))
    job = _Job(
        code=code,
        function=header["function"],
        limits=header["limits"],
        folder=folder,
        program=os.path.abspath(PROGRAM),
        is_init=is_init,
    )
    _clean(job)
    return job


def _serve_test(channel: socket.socket, job: _Job) -> None:
    """Runs one test and sends its result."""
    header, (stdin,) = read_frame(channel)
    work = os.path.join(job.folder, "work")
    os.mkdir(work)
    source = os.memfd_create("stdin")
    _write_all(source, stdin)
    os.lseek(source, 0, os.SEEK_SET)
    pipes = [os.pipe(), os.pipe()]
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _become_test(job, source, [write for _, write in pipes], work=work, arguments=header["arguments"])
    nonce = read_exactly(channel, NONCE_BYTES)
    for handle in (source, *(write for _, write in pipes)):
        os.close(handle)
    watched = _watch(child, [read for read, _ in pipes], job, deadline=started + job.limits["wall_s"])
    wait_s = max_wait_s(_others()) if watched.ending == "wall" and job.is_init else 0.0
    wall_s = time.monotonic() - started
    status, cpu_s = _end(child, is_init=job.is_init)
    outputs = _drain([read for read, _ in pipes], watched.outputs, limit=job.limits["output_bytes"])
    is_flood = any(len(output) > job.limits["output_bytes"] for output in outputs)
    is_clean = _clean(job)
    result = {
        "returncode": os.waitstatus_to_exitcode(status),
        "ending": "output" if is_flood and watched.ending == "exit" else watched.ending,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "wait_s": wait_s,
        "is_clean": is_clean,
    }
    outputs = [output[: job.limits["output_bytes"]] for output in outputs]
    send_frame(channel, result, *outputs, nonce=nonce)


def _watch(child: int, reads: list[int], job: _Job, *, deadline: float) -> _Watched:
    """Returns once the child's main process ended or a limit was met; kills nothing."""
    limits, outputs = job.limits, [b"" for _ in reads]
    pidfd = os.pidfd_open(child)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    for handle in reads:
        os.set_blocking(handle, False)
        poller.register(handle, select.POLLIN)
    cpu_check_at = time.monotonic() + limits["cpu_s"]
    ending = ""
    while not ending:
        now = time.monotonic()
        if now >= deadline:
            ending = "wall"
        elif now >= cpu_check_at and sum(process_cpu_s(pid) for pid in _others() or [child]) > limits["cpu_s"]:
            ending = "cpu"
        for handle, _ in poller.poll(1000 * max(0.0, min(_TICK_S, deadline - now))) if not ending else ():
            if handle == pidfd:
                ending = ending or "exit"
            elif part := os.read(handle, _CHUNK):
                outputs[reads.index(handle)] += part
                ending = "output" if len(outputs[reads.index(handle)]) > limits["output_bytes"] else ending
            else:
                poller.unregister(handle)
    os.close(pidfd)
    return _Watched(ending=ending, outputs=outputs)


def _end(child: int, *, is_init: bool) -> tuple[int, float]:
    """Kills and reaps every process of a test; returns the child's wait status and the processor seconds of all."""
    if is_init:
        # Reaches all of the namespace but this process. Anywhere else it would reach all of the machine.
        assert os.getpid() == 1, f"process {os.getpid()} is not 1"
        _ignore_missing(lambda: os.kill(-1, signal.SIGKILL))
    else:
        _ignore_missing(lambda: os.killpg(child, signal.SIGKILL))
        _ignore_missing(lambda: os.kill(child, signal.SIGKILL))
    status, cpu_s = 0, 0.0
    while True:
        try:
            pid, one_status, usage = os.wait4(-1 if is_init else child, 0)
        except ChildProcessError:
            return status, cpu_s
        cpu_s += usage.ru_utime + usage.ru_stime
        status = one_status if pid == child else status


def _drain(reads: list[int], outputs: list[bytes], *, limit: int) -> list[bytes]:
    """Returns the outputs with what is left in the pipes, up to one byte over the limit, and closes the pipes."""
    for i, handle in enumerate(reads):
        while len(outputs[i]) <= limit:
            try:
                part = os.read(handle, _CHUNK)
            except BlockingIOError:
                break
            if not part:
                break
            outputs[i] += part
        os.close(handle)
    return outputs


def _clean(job: _Job) -> bool:
    """Removes what a test left in the writable folders; returns False if that was too much or did not work."""
    folders = [job.folder, "/dev/shm"] if job.is_init else [job.folder]
    try:
        # Nearly every test leaves just its empty working folder.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(job.folder, "work"))
        return all(not os.listdir(folder) or _clear(folder) for folder in folders)
    except (OSError, RecursionError):
        return False


def _clear(folder: str) -> bool:
    """Removes what is in a folder; returns False if there is too much, or it lies too deep."""
    # Here because it brings many modules along, which make every fork slower.
    import shutil

    num_left = _MAX_LEFTOVERS
    for root, names, files in os.walk(folder):
        num_left -= len(names) + len(files)
        if num_left < 0 or len(root) > _MAX_LEFTOVER_PATH:
            return False
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    return True


def _become_test(job: _Job, source: int, writes: list[int], *, work: str, arguments: str) -> None:
    """Turns a forked child into the program under test; never returns."""
    code = 1
    try:
        os.setsid()
        # First out of the way of 0 to 3, then into place.
        stdin, stdout, stderr = (_move_up(handle) for handle in (source, *writes))
        # Where a function is called, its result takes stdout's place and what it prints goes with stderr.
        kept = [stdin, stderr, stderr, stdout] if job.function else [stdin, stdout, stderr]
        for number, handle in enumerate(kept):
            os.dup2(handle, number)
        os.closerange(len(kept), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        os.chdir(work)
        _limit_self(job)
        code = _run(job, arguments)
    except BaseException:
        _ignore_missing(traceback.print_exc)
    finally:
        os._exit(code)


def _limit_self(job: _Job) -> None:
    """Sets this process's limits, and makes it the first to go when memory runs out."""
    # A backstop: the watcher is more exact.
    seconds = math.ceil(job.limits["cpu_s"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if job.limits["address_bytes"]:
        resource.setrlimit(resource.RLIMIT_AS, (job.limits["address_bytes"],) * 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _set_dumpable(1)
    if job.is_init:
        handle = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(handle, b"1000")
        os.close(handle)


def _run(job: _Job, arguments: str) -> int:
    """Runs the submission in this process and returns its exit code; a compiled one takes the process over."""
    if job.code is None:
        # The interpreter ignores them, and an ignored signal stays so across execve.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.execve(job.program, ["program"], dict(os.environ))
    module = types.ModuleType("solution" if job.function else "__main__")
    sys.modules[module.__name__] = module
    sys.argv = ["solution.py"]
    code = _exit_code(lambda: _execute(job, module, arguments))
    return max(code, _exit_code(_finish))


def _execute(job: _Job, module: types.ModuleType, arguments: str) -> None:
    # The text is a model's; the sandbox around this process is what makes running it safe.
    assert job.code is not None, "a compiled program took the process over"
    exec(job.code, module.__dict__)
    if job.function:
        _write_all(_RESULT_FD, json.dumps(_find(module, job.function)(*json.loads(arguments))).encode())


def _find(module: types.ModuleType, name: str) -> Callable[..., Any]:
    """Returns the module's function, or the method of a fresh `Solution`."""
    found = module.__dict__.get(name)
    if found is None and "Solution" in module.__dict__:
        found = getattr(module.__dict__["Solution"](), name, None)
    if not callable(found):
        raise NameError(f"no function {name!r}, and no method of that name in class Solution")
    return found


def _exit_code(action: Callable[[], None]) -> int:
    """Returns the exit code that the interpreter would give for how the action ends."""
    try:
        action()
    except SystemExit as leaving:
        if leaving.code is None:
            return 0
        if isinstance(leaving.code, int):
            return leaving.code & 0xFF
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException as error:
        # Without the frames of this file.
        place = error.__traceback__
        while place is not None and place.tb_frame.f_code.co_filename == __file__:
            place = place.tb_next
        traceback.print_exception(error.with_traceback(place))
        return 1
    return 0


def _finish() -> None:
    """Does what the interpreter does at its end: waits for threads, runs exit functions, flushes."""
    if threading := sys.modules.get("threading"):
        threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()


def _others() -> list[int]:
    """Returns the other processes of this namespace."""
    return (
        [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != 1] if os.getpid() == 1 else []
    )


def _move_up(handle: int) -> int:
    return fcntl.fcntl(handle, fcntl.F_DUPFD, 10)


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _set_dumpable(value: int) -> None:
    if _LIBC.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        raise OSError(f"prctl(PR_SET_DUMPABLE, {value}) failed")


def _ignore_missing(action: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):
        action()


if __name__ == "__main__":
    main()
