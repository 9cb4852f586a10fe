"""Every kind of hostile program, once; and many of them, after which nothing is left."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fulmen.sandbox import ExecResult, Limits, Sandbox
from fulmen.sandbox.cgroup import find_hierarchy, sweep
from tests.sandbox.hostile import CANARY, CONTAINED, HOSTILE, PRELUDE, Hostile

LIMITS = Limits(cpu_s=1.0, wall_s=8.0, memory_bytes=96 << 20)
SLEEPER = replace(LIMITS, wall_s=0.7)
BUSY = replace(LIMITS, cpu_s=0.4)
NUM_RUNS = 1000


@pytest.fixture(autouse=True)
def _canary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CANARY, "1")


def _attack(sandbox: Sandbox, hostile: Hostile) -> ExecResult:
    limits = {("timeout_wall",): SLEEPER, ("timeout_cpu",): BUSY}.get(hostile.ends, LIMITS)
    argv = ["python3", "-I", "-S", "-c", PRELUDE + hostile.source]
    result = sandbox.run(argv, limits=limits)
    # Twice, as every caller would: the machine may have been too busy to start it.
    return sandbox.run(argv, limits=limits) if result.status == "infra" else result


def _check(hostile: Hostile, result: ExecResult) -> None:
    assert result.status in hostile.ends, f"{hostile.name}: {result}"
    assert result.status != "ok" or result.stdout == CONTAINED, f"{hostile.name}: {result}"


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_is_contained(sandbox: Sandbox, hostile: Hostile) -> None:
    """Ends as foreseen, and nothing gave way."""
    _check(hostile, _attack(sandbox, hostile))


def test_names_are_unique_and_enough() -> None:
    """At least 40 kinds."""
    names = [hostile.name for hostile in HOSTILE]
    assert len(set(names)) == len(names) >= 40


@pytest.fixture
def _listeners() -> Iterator[tuple[int, str]]:
    """Yields a TCP port and an abstract unix name on which this machine listens."""
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        name = f"fulmen-test-{os.getpid()}-{threading.get_ident()}"
        unix.bind("\0" + name)
        unix.listen()
        yield tcp.getsockname()[1], name


def test_cannot_reach_what_listens_here(sandbox: Sandbox, _listeners: tuple[int, str]) -> None:  # noqa: PT019
    """Loopback and abstract unix sockets are the sandbox's own; from outside both can be reached."""
    port, name = _listeners
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    source = (
        f"fails(socket.create_connection, ('127.0.0.1', {port}), timeout=1)\n"
        f"s = socket.socket(socket.AF_UNIX); fails(s.connect, '\\0{name}'); contained()"
    )
    _check(Hostile(name="listeners", source=source), _attack(sandbox, Hostile(name="listeners", source=source)))


def test_cannot_see_a_file_of_ours(sandbox: Sandbox, tmp_path: Path) -> None:
    """By its path, or by any descriptor."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o666)
    with secret.open() as _held:
        source = f"fails(open, {str(secret)!r}); fails(open, '/proc/1/root{secret}'); contained()"
        _check(Hostile(name="file", source=source), _attack(sandbox, Hostile(name="file", source=source)))


@pytest.mark.slow
def test_nothing_is_left_after_many(sandbox: Sandbox) -> None:
    """A thousand attacks, several at once: no process, mount, control group or descriptor remains."""
    before = _remains()
    quick = [hostile for hostile in HOSTILE if hostile.ends != ("timeout_wall",)]
    chosen = [quick[i % len(quick)] for i in range(NUM_RUNS - len(HOSTILE))] + list(HOSTILE)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for hostile, result in zip(chosen, pool.map(lambda one: _attack(sandbox, one), chosen), strict=True):
            # A machine that is busy otherwise is not what is tested here.
            if result.status != "infra":
                _check(hostile, result)
    assert _remains() == before


def _remains() -> dict[str, object]:
    """Returns what a run could leave behind."""
    return {
        "control groups": _groups_of(os.getpid()),
        "processes": _processes_of(os.getpid()),
        "children": Path(f"/proc/self/task/{os.getpid()}/children").read_text().split(),
        "mounts": Path("/proc/self/mounts").read_text(),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


def _groups_of(owner: int) -> list[Path]:
    """Returns the control groups that a process made."""
    found = Path("/sys/fs/cgroup").rglob(f"fulmen-*-{owner}-*")
    return sorted(path for path in found if path.is_dir())


def _processes_of(owner: int) -> list[str]:
    """Returns the processes in control groups that a process made, be they removed or not."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if re.search(rf"/fulmen-\d+-{owner}-", file.read_text()):
                found.append(file.parent.name)
    return found


@pytest.mark.parametrize("call", ["run(['sleep', '60'])", "run_tests(SLEEPER, [TestInput()])"])
def test_dies_with_its_owner(call: str) -> None:
    """A process that is killed takes its sandboxes along; what is left of them is swept up by the next."""
    if (hierarchy := find_hierarchy()) is None:
        pytest.skip("needs control groups to find what is left")
    program = (
        "from fulmen.sandbox import Submission, TestInput, open_sandbox\n"
        "SLEEPER = Submission(language='python', source='import time; time.sleep(60)')\n"
        f"sandbox = open_sandbox(); print(flush=True); sandbox.{call}\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert owner.stdout is not None
    owner.stdout.readline()
    _wait_until(lambda: len(_processes_of(owner.pid)) >= 3)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    _wait_until(lambda: not _processes_of(owner.pid))
    assert _groups_of(owner.pid)
    sweep(hierarchy)
    assert not _groups_of(owner.pid)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
