"""A stand-in for the sandbox, for trusted programs only: same results, no isolation."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fulmen.sandbox import ExecResult, Limits, Submission, TestInput

_CALL = """
import importlib.util, json, os, sys
result = os.dup(1)
os.dup2(2, 1)
spec = importlib.util.spec_from_file_location("solution", "solution.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
name, arguments = sys.argv[1], json.loads(sys.stdin.read())
found = getattr(module, name, None) or getattr(module.Solution(), name)
os.write(result, json.dumps(found(*arguments)).encode())
"""


class BareSandbox:
    """Runs each test as a plain process."""

    name = "bare"
    guarantees = ()

    def run(self, argv: Sequence[str], **_: object) -> ExecResult:
        raise NotImplementedError

    async def exec(self, argv: Sequence[str], **_: object) -> ExecResult:
        raise NotImplementedError

    def __init__(self) -> None:
        self.num_runs = 0

    def run_tests(
        self,
        submission: Submission,
        inputs: Sequence[TestInput],
        *,
        limits: Limits = Limits(),  # noqa: B008
        stop_early: Callable[[int, ExecResult], bool] | None = None,
    ) -> list[ExecResult]:
        results: list[ExecResult] = []
        with tempfile.TemporaryDirectory() as folder:
            words, error = _compile(submission, Path(folder))
            for index, test in enumerate(inputs):
                self.num_runs += 1
                results.append(error or _run(words, test, Path(folder), limits))
                if stop_early and stop_early(index, results[-1]):
                    break
        return results


def result_of(status: str, *, stdout: bytes = b"", stderr: bytes = b"", info: str = "") -> ExecResult:
    """Returns a result such as a sandbox would report."""
    code = 0 if status == "ok" else 1
    return ExecResult(
        status=status,  # type: ignore[arg-type]
        returncode=code,
        stdout=stdout,
        stderr=stderr,
        cpu_s=0.0,
        wall_s=0.0,
        info=info,
    )


def _compile(submission: Submission, folder: Path) -> tuple[list[str], ExecResult | None]:
    if submission.language == "cpp":
        (folder / "solution.cpp").write_text(submission.source)
        command = ["g++", "-O2", "-std=c++20", "-o", "solution", "solution.cpp"]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        failed = result_of("nonzero", stderr=done.stderr, info="does not compile") if done.returncode else None
        return [str(folder / "solution")], failed
    (folder / "solution.py").write_text(submission.source)
    try:
        compile(submission.source, "solution.py", "exec")
    except SyntaxError as error:
        return [], result_of("nonzero", stderr=str(error).encode(), info="does not compile")
    call = ["-c", _CALL, submission.function] if submission.function else ["solution.py"]
    return [sys.executable, "-I", *call], None


def _run(words: list[str], test: TestInput, folder: Path, limits: Limits) -> ExecResult:
    def limit() -> None:
        seconds = int(limits.cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    started = time.monotonic()
    stdin = test.arguments.encode() or test.stdin
    done = subprocess.run(words, cwd=folder, input=stdin, capture_output=True, preexec_fn=limit, check=False)
    status = "ok" if done.returncode == 0 else "timeout_cpu" if done.returncode in (-24, -9) else "nonzero"
    if len(done.stdout) > limits.output_bytes:
        status = "output_limit"
    wall_s = time.monotonic() - started
    return ExecResult(
        status=status,  # type: ignore[arg-type]
        returncode=done.returncode,
        stdout=done.stdout[: limits.output_bytes],
        stderr=done.stderr[: limits.output_bytes],
        cpu_s=wall_s,
        wall_s=wall_s,
    )


__all__ = ["BareSandbox", "result_of"]
