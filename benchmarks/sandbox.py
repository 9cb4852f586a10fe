"""Speed of the sandbox: isolated programs per second, and tests per second within a submission.

`python -m benchmarks.sandbox` prints a table and writes it. Baseline: the same program as a plain subprocess, without
any isolation, in the same run. Variants take turns, so that noise meets all alike. Besides the rate on the clock each
row has the processor time of one run, ours and the kernel's included, which a busy machine distorts less; it bounds
the rate at (processors x 1000 / that).
"""

import argparse
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.common import write_result
from fulmen.errors import SandboxError
from fulmen.sandbox import Limits, Submission, TestInput, open_sandbox
from fulmen.sandbox.bubblewrap import ENVIRONMENT, Bubblewrap
from fulmen.sandbox.execute import LaunchedSandbox

PROGRAM = ("/usr/bin/python3", "-I", "-S", "-c", "pass")
SQUARE_PYTHON = Submission(language="python", source="n = int(input())\nprint(n * n)\n")
SQUARE_CPP = Submission(
    language="cpp", source="#include <iostream>\nint main() { long n; std::cin >> n; std::cout << n * n << '\\n'; }\n"
)
LIMITS = Limits(wall_s=60.0)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the table."""

    name: str
    run: Callable[[], object]
    """Does `num_runs` runs."""
    num_runs: int


def many(action: Callable[[], object], *, num_runs: int, num_workers: int) -> None:
    """Runs an action so many times on so many threads."""
    with ThreadPoolExecutor(num_workers) as pool:
        for done in [pool.submit(action) for _ in range(num_runs)]:
            done.result()


def run_plain() -> None:
    """Runs the program without isolation."""
    subprocess.run(PROGRAM, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, check=True)


def run_isolated(sandbox: LaunchedSandbox) -> None:
    """Runs the program in a sandbox."""
    result = sandbox.run(PROGRAM, limits=LIMITS)
    if result.status != "ok":
        raise SandboxError(f"{sandbox.name}: {result}")


def run_submission(sandbox: LaunchedSandbox, submission: Submission, *, num_tests: int) -> None:
    """Runs the tests of one submission."""
    inputs = [TestInput(stdin=b"%d" % i) for i in range(num_tests)]
    results = sandbox.run_tests(submission, inputs, limits=LIMITS)
    if [result.stdout for result in results] != [b"%d\n" % (i * i) for i in range(num_tests)]:
        raise SandboxError(f"{sandbox.name}: {results[0]}")


def variants(sandbox: LaunchedSandbox, *, num_runs: int, num_tests: int) -> list[Variant]:
    """Returns the rows to be measured."""
    found = []

    def add(name: str, action: Callable[[], object], num_workers: int) -> None:
        run = partial(many, action, num_runs=num_runs, num_workers=num_workers)
        found.append(Variant(name=f"{name}, {num_workers} at once", run=run, num_runs=num_runs))

    for num_workers in (1, 2, 4):
        add("plain subprocess", run_plain, num_workers)
        add(sandbox.name, partial(run_isolated, sandbox), num_workers)
    for name, weaker in weakened(sandbox).items():
        add(name, partial(run_isolated, weaker), 2)
    for submission in (SQUARE_PYTHON, SQUARE_CPP):
        action = partial(run_submission, sandbox, submission, num_tests=num_tests)
        name = f"tests of one {submission.language} submission"
        found.append(Variant(name=name, run=action, num_runs=num_tests))
        both = partial(many, action, num_runs=2, num_workers=2)
        found.append(Variant(name=f"{name}, 2 at once", run=both, num_runs=2 * num_tests))
        short = partial(run_submission, sandbox, submission, num_tests=10)
        found.append(Variant(name=f"{name} with 10 tests", run=short, num_runs=10))
    return found


def weakened(sandbox: LaunchedSandbox) -> dict[str, LaunchedSandbox]:
    """Returns the sandbox without one of its layers, which shows what the layer costs."""
    launcher = sandbox.launcher
    if not isinstance(launcher, Bubblewrap):
        return {}
    changes: dict[str, dict[str, Any]] = {"without control groups": {"hierarchy": None}}
    if launcher.drops_user:
        changes["without a user of its own"] = {"drops_user": False}
    return {
        f"{sandbox.name} {name}": LaunchedSandbox(replace(launcher, **change), name=name, guarantees=())
        for name, change in changes.items()
    }


def cpu_s() -> float:
    """Returns processor seconds of this process and of all children it has reaped."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(rows: list[Variant], *, repeats: int) -> dict[str, dict[str, float]]:
    """Returns the rate of each row (median and spread over repeats) and the processor time of one run."""
    rates: dict[str, list[float]] = {row.name: [] for row in rows}
    costs: dict[str, list[float]] = {row.name: [] for row in rows}
    for repeat in range(repeats + 1):
        for row in rows:
            started, used = time.perf_counter(), cpu_s()
            row.run()
            # The first turn warms up.
            if repeat:
                rates[row.name].append(row.num_runs / (time.perf_counter() - started))
                costs[row.name].append(1000 * (cpu_s() - used) / row.num_runs)
    return {
        name: {
            "median_per_s": round(statistics.median(values), 1),
            "min_per_s": round(min(values), 1),
            "max_per_s": round(max(values), 1),
            "cpu_ms": round(statistics.median(costs[name]), 3),
        }
        for name, values in rates.items()
    }


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="programs per turn")
    parser.add_argument("--tests", type=int, default=400, help="tests per submission")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each row, after one to warm up")
    args = parser.parse_args()
    sandbox = open_sandbox()
    if not isinstance(sandbox, LaunchedSandbox):
        raise SandboxError(f"{sandbox.name}: cannot be measured here")
    load_before = os.getloadavg()[0]
    table = measure(variants(sandbox, num_runs=args.runs, num_tests=args.tests), repeats=args.repeats)
    for name, row in table.items():
        rate = f"{row['median_per_s']:8.1f} /s ({row['min_per_s']:.1f} to {row['max_per_s']:.1f})"
        print(f"{name:56} {rate:36} {row['cpu_ms']:7.2f} ms of processor time")
    settings = {"program": PROGRAM, "runs": args.runs, "tests": args.tests, "repeats": args.repeats, "warmup": 1}
    content = {"sandbox": sandbox.name, "guarantees": sandbox.guarantees, "settings": settings, "results": table}
    load = {"load_before": round(load_before, 2), "load_after": round(os.getloadavg()[0], 2)}
    print(write_result("sandbox", {**content, **load}))


if __name__ == "__main__":
    main()
