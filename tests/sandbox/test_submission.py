"""Many tests of one submission in one sandbox."""

import shutil
from pathlib import Path

import pytest

from fulmen.errors import DataError
from fulmen.sandbox import ExecResult, Limits, Sandbox, Submission, TestInput

SHORT = Limits(cpu_s=1.0, wall_s=4.0)
SQUARE = "n = int(input())\nprint(n * n)\n"


def _python(source: str, function: str = "") -> Submission:
    return Submission(language="python", source=source, function=function)


def _one(sandbox: Sandbox, source: str, limits: Limits = SHORT) -> ExecResult:
    (result,) = sandbox.run_tests(_python(source), [TestInput()], limits=limits)
    return result


def test_program_reads_stdin(sandbox: Sandbox) -> None:
    """Each test sees its own input, in order."""
    results = sandbox.run_tests(_python(SQUARE), [TestInput(stdin=b"%d\n" % i) for i in range(20)], limits=SHORT)
    assert [result.stdout for result in results] == [b"%d\n" % (i * i) for i in range(20)]
    assert {result.status for result in results} == {"ok"}


@pytest.mark.parametrize(
    "source", ["def f(a, b):\n return [a, b]", "class Solution:\n def f(self, a, b):\n  return [a, b]"]
)
def test_function_is_called(sandbox: Sandbox, source: str) -> None:
    """A function or a method of Solution gets the arguments; what it prints is not its result."""
    noisy = "print('loud')\n" + source
    (result,) = sandbox.run_tests(_python(noisy, "f"), [TestInput(arguments='[{"k": 1}, "é"]')], limits=SHORT)
    assert (result.status, result.stdout, result.stderr) == ("ok", b'[{"k": 1}, "\\u00e9"]', b"loud\n")


def test_tests_share_nothing(sandbox: Sandbox) -> None:
    """Neither globals, nor files, nor processes of one test are there for the next."""
    source = (
        "import os, pathlib\n"
        "print(len(os.listdir('.')), len(os.listdir('/tmp')), len(os.listdir('/dev/shm')), "
        "sum(name.isdecimal() for name in os.listdir('/proc')))\n"
        "for folder in ('.', '/tmp', '/dev/shm'): pathlib.Path(folder, 'left').write_text('x')\n"
        "if os.fork() == 0:\n  import time; os.setsid(); time.sleep(60)\n"
    )
    results = sandbox.run_tests(_python(source), [TestInput()] * 3, limits=SHORT)
    assert [result.stdout for result in results] == [b"0 1 0 2\n"] * 3, results


def test_stop_early(sandbox: Sandbox) -> None:
    """The remaining tests are left out."""
    seen = []

    def stop(index: int, result: ExecResult) -> bool:
        seen.append((index, result.stdout))
        return index == 1

    results = sandbox.run_tests(_python("print(input())"), [TestInput(stdin=b"a")] * 4, limits=SHORT, stop_early=stop)
    assert len(results) == 2
    assert seen == [(0, b"a\n"), (1, b"a\n")]


@pytest.mark.parametrize(
    ("source", "returncode"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('bye')", 1),
        ("import sys; sys.exit()", 0),
        ("1 / 0", 1),
        ("import threading, time; threading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()", 0),
        ("import atexit; atexit.register(lambda: print('late'))", 0),
        ("import os; os.abort()", -6),
    ],
)
def test_ends_as_the_interpreter_would(sandbox: Sandbox, source: str, returncode: int) -> None:
    """Exit codes, threads and exit functions."""
    result = _one(sandbox, source)
    assert result.returncode == returncode, result
    assert result.stdout == (b"late\n" if "late" in source else b"")


def test_traceback_shows_the_submission_alone(sandbox: Sandbox) -> None:
    """A model that sees it is not shown our frames."""
    assert _one(sandbox, "x = 1\n1 / 0").stderr.splitlines()[:2] == [
        b"Traceback (most recent call last):",
        b'  File "solution.py", line 2, in <module>',
    ]


@pytest.mark.parametrize("source", ["def (", "\0", "x = " + "(" * 5000, "x = " + "-" * 200_000 + "1"])
def test_source_that_does_not_compile(sandbox: Sandbox, source: str) -> None:
    """Fails every test, and is the submission's fault."""
    results = sandbox.run_tests(_python(source), [TestInput()] * 2, limits=SHORT)
    assert [result.status in ("nonzero", "killed") for result in results] == [True] * 2, results


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_cpp(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled once; a second time it comes from the store; errors are told."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = "#include <iostream>\nint main() { long n; std::cin >> n; std::cout << n * n << '\\n'; return n == 3; }"
    submission = Submission(language="cpp", source=source)
    inputs = [TestInput(stdin=b"%d" % i) for i in range(4)]
    for _ in range(2):
        results = sandbox.run_tests(submission, inputs, limits=SHORT)
        assert [result.stdout for result in results] == [b"0\n", b"1\n", b"4\n", b"9\n"], results
        assert [result.returncode for result in results] == [0, 0, 0, 1]
        assert len(list(tmp_path.rglob("cpp/*"))) == 1
    (result,) = sandbox.run_tests(Submission(language="cpp", source="int main() { no }"), inputs[:1])
    assert (result.status, result.info) == ("nonzero", "does not compile")
    assert b"'no' was not declared" in result.stderr.replace("\u2018".encode(), b"'").replace("\u2019".encode(), b"'")


def test_refuses_what_makes_no_sense() -> None:
    """The message names the field."""
    with pytest.raises(DataError, match=r"submission\.function"):
        Submission(language="cpp", source="", function="f")
    with pytest.raises(DataError, match=r"submission\.function: 'a b'"):
        Submission(language="python", source="", function="a b")


def test_refuses_arguments_that_are_not_a_list(sandbox: Sandbox) -> None:
    """Before anything is run."""
    with pytest.raises(DataError, match=r"test\.arguments"):
        sandbox.run_tests(_python("def f(): pass", "f"), [TestInput(arguments="{}")])
