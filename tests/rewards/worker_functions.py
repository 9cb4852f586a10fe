"""Functions that `test_worker.py` has workers call, good and bad."""

import os
import subprocess
import sys
import time
from typing import Any


def add(left: int, right: int) -> int:
    return left + right


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def spin_in_python() -> None:
    while True:
        pass


def spin_in_c() -> int:
    # One long operation that never lets another thread run.
    return pow(3, 10**9) % 7


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def eat_memory() -> int:
    return len([bytearray(1 << 20) for _ in range(100_000)])


def leave(code: int) -> None:
    os._exit(code)


def kill_itself() -> None:
    os.kill(os.getpid(), 9)


def fail(text: str) -> None:
    raise KeyError(text)


def leave_politely() -> None:
    sys.exit(3)


def unserialisable() -> object:
    return {1, 2}


def talk() -> str:
    print('\x00\x00\x00\x05"no!"', flush=True)
    os.write(1, b"\x00\x00\x00\x01x")
    return sys.stdin.read()


def modules() -> list[str]:
    return sorted(sys.modules)


def leave_child_behind() -> int:
    return subprocess.Popen(["sleep", "600"]).pid


def environment() -> dict[str, str]:
    return dict(os.environ)
