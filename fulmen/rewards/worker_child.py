"""The process at the other end of a `WorkerPool`: reads requests, calls functions, writes answers.

It is started as a script by its path and imports the standard library alone, so that a worker costs what the functions
it calls cost. A frame is four bytes of length, most significant first, and JSON.
"""

import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

# Made before it is needed: where memory has run out, there may be none to make it.
_OUT_OF_MEMORY = b'{"error": "memory"}'
ORPHAN_S = 5.0
"""A call ends by itself so long after its time limit, in case that the parent died and cannot end it."""


def main() -> None:
    """Serves requests until the parent closes the pipe."""
    requests, answers = _private_pipes()
    hello = _read_frame(requests)
    if hello is None:
        return
    settings = json.loads(hello)
    sys.path[:] = settings["sys_path"]
    _limit_memory(settings["memory_bytes"])
    _write_frame(answers, b'{"result": null}')
    functions: dict[str, Callable[..., Any]] = {}
    while (frame := _read_frame(requests)) is not None:
        _write_frame(answers, _answer(frame, functions))


def _answer(frame: bytes, functions: dict[str, Callable[..., Any]]) -> bytes:
    """Returns the frame that answers a request: a result, or what was raised."""
    try:
        request = json.loads(frame)
        path = request["function"]
        if path not in functions:
            functions[path] = _find(path)
        if "args" not in request:
            return b'{"result": null}'
        _set_alarms(wall_s=request["timeout_s"] + ORPHAN_S, cpu_s=request["cpu_s"])
        return json.dumps({"result": functions[path](*request["args"])}).encode()
    except MemoryError:
        return _OUT_OF_MEMORY
    # SystemExit and KeyboardInterrupt too: a function that raises them has raised, and the worker goes on.
    except BaseException as error:
        return json.dumps({"error": "raised", "kind": type(error).__name__, "text": str(error)[:2000]}).encode()
    finally:
        _set_alarms(wall_s=0.0, cpu_s=0.0)


def _find(path: str) -> Callable[..., Any]:
    """Returns the function that a `module:name` names."""
    module, _, name = path.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _set_alarms(*, wall_s: float, cpu_s: float) -> None:
    """Has the kernel end this process after so many seconds, even inside C code that holds the lock; 0 is never."""
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)


def _limit_memory(memory_bytes: int) -> None:
    """Bounds the address space, and writes no core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _private_pipes() -> tuple[int, int]:
    """Returns copies of standard input and output, and points these to nothing: functions may print."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, answers


def _read_frame(pipe: int) -> bytes | None:
    """Returns the next frame, or None where the pipe has ended."""
    head = _read_exactly(pipe, 4)
    return None if head is None else _read_exactly(pipe, int.from_bytes(head, "big"))


def _read_exactly(pipe: int, num_bytes: int) -> bytes | None:
    """Returns so many bytes, or None where the pipe ended before."""
    content = bytearray()
    while len(content) < num_bytes:
        piece = os.read(pipe, num_bytes - len(content))
        if not piece:
            return None
        content += piece
    return bytes(content)


def _write_frame(pipe: int, content: bytes) -> None:
    """Writes a frame."""
    view = memoryview(len(content).to_bytes(4, "big") + content)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main()
