"""One program in a sandbox: every way it can end, and what it is given."""

import asyncio

import pytest

from fulmen.errors import ConfigError, DataError
from fulmen.sandbox import Limits, Sandbox

PYTHON = ("python3", "-I", "-S", "-c")
SHORT = Limits(cpu_s=1.0, wall_s=4.0)

ENDS = {
    "ok": "print('fine')",
    "nonzero": "raise SystemExit(7)",
    "timeout_cpu": "while True: pass",
    "timeout_wall": "import time; time.sleep(60)",
    "oom": "x = 'a' * (1 << 29)",
    "output_limit": "while True: print('a' * 1000)",
    "killed": "import os; os.kill(os.getpid(), 11)",
}


@pytest.mark.parametrize("status", ENDS)
def test_each_status(sandbox: Sandbox, status: str) -> None:
    """Each kind of end is told from all others."""
    limits = Limits(cpu_s=0.5, wall_s=1.0 if status == "timeout_wall" else 10.0)
    result = sandbox.run([*PYTHON, ENDS[status]], limits=limits)
    assert result.status == status, result
    assert result.info or status == "ok"


def test_gives_stdin_and_files_and_keeps_streams_apart(sandbox: Sandbox) -> None:
    """Files lie in the working folder, stdin is read to its end, stdout and stderr do not mix."""
    source = b"import sys; print(open('deep/data').read() + sys.stdin.read()); print('err', file=sys.stderr)"
    result = sandbox.run(["python3", "-I", "-S", "main.py"], files={"main.py": source, "deep/data": b"A"}, stdin=b"B")
    assert (result.status, result.stdout, result.stderr) == ("ok", b"AB\n", b"err\n")


def test_large_stdin_arrives_whole(sandbox: Sandbox) -> None:
    """More than a pipe holds."""
    stdin = b"0123456789" * 300_000
    result = sandbox.run([*PYTHON, "import sys; print(len(sys.stdin.buffer.read()))"], stdin=stdin, limits=SHORT)
    assert result.stdout == b"3000000\n", result


def test_output_is_cut_at_the_limit(sandbox: Sandbox) -> None:
    """Exactly the limit is fine, a byte more is not, and never more than the limit is kept."""
    limits = Limits(cpu_s=1.0, wall_s=4.0, output_bytes=1000)
    fits = sandbox.run([*PYTHON, "print('a' * 1000, end='')"], limits=limits)
    over = sandbox.run([*PYTHON, "print('a' * 1001, end='')"], limits=limits)
    assert (fits.status, len(fits.stdout)) == ("ok", 1000)
    assert (over.status, len(over.stdout)) == ("output_limit", 1000)


def test_returncode_is_the_signal(sandbox: Sandbox) -> None:
    """As in `subprocess`: minus the signal, or the exit code."""
    assert sandbox.run([*PYTHON, "import os; os.kill(os.getpid(), 6)"], limits=SHORT).returncode == -6
    assert sandbox.run([*PYTHON, "raise SystemExit(3)"], limits=SHORT).returncode == 3


def test_cpu_of_children_counts(sandbox: Sandbox) -> None:
    """Two children of 0.4 s each are over 0.6 s together, though neither is by itself."""
    work = (
        "import os, time\n"
        "for _ in range(2):\n"
        "  if os.fork() == 0:\n"
        "    while time.process_time() < 0.4: pass\n"
        "    os._exit(0)\n"
        "os.wait(); os.wait()"
    )
    result = sandbox.run([*PYTHON, work], limits=Limits(cpu_s=0.6, wall_s=10.0))
    assert result.status == "timeout_cpu", result


def test_exec_runs_many_at_once(sandbox: Sandbox) -> None:
    """Results come back in the order of the calls."""

    async def run_all() -> list[bytes]:
        calls = (sandbox.exec([*PYTHON, f"print({i})"], limits=SHORT) for i in range(6))
        return [result.stdout for result in await asyncio.gather(*calls)]

    assert asyncio.run(run_all()) == [b"%d\n" % i for i in range(6)]


def test_a_program_that_is_not_there(sandbox: Sandbox) -> None:
    """It is the caller's command that failed, not the sandbox."""
    result = sandbox.run(["no-such-program"], limits=SHORT)
    assert (result.status, result.returncode) == ("nonzero", 127)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a//b", "a/./b", "", "a\0b"])
def test_refuses_files_outside_the_folder(sandbox: Sandbox, name: str) -> None:
    """A name cannot leave the working folder."""
    with pytest.raises(DataError, match="files: name"):
        sandbox.run(["true"], files={name: b""})


def test_refuses_bad_commands_and_limits(sandbox: Sandbox) -> None:
    """The message names the field."""
    with pytest.raises(DataError, match="argv"):
        sandbox.run([])
    with pytest.raises(DataError, match="argv"):
        sandbox.run(["a\0b"])
    with pytest.raises(ConfigError, match=r"limits\.wall_s: 0\.0; allowed: above 0"):
        Limits(wall_s=0.0)
