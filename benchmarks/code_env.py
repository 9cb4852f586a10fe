"""How many programs the code environment judges per second, on the bundled problems.

    python -m benchmarks.code_env [--rounds 3] [--difficulty all]

Each round scores one reply per problem through `Code.score`, all at once, as a trainer does: right programs in Python,
right programs in C++ (compilers included, caches warm from the second round on), and wrong programs in Python that end
in a wrong answer at the first test that refuses them. Baseline, in the same rounds: the right Python programs, one
sandbox per test and one test after another. Limit: processor seconds that the programs themselves take, on all cores.
"""

import argparse
import asyncio
import datetime
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.common import RESULTS, hardware
from fulmen.envs.code import Code
from fulmen.envs.code.bundled import SUITES, authored, bundled_problems
from fulmen.envs.code.record import CodeProblem
from fulmen.rewards.code import make_input
from fulmen.sandbox import Sandbox, Submission, open_sandbox
from fulmen.types import Completion, Episode, Message, Task

Reply = tuple[CodeProblem, str, float]
"""Problem, what the model says, and what it is worth."""


def replies(problems: Sequence[CodeProblem]) -> dict[str, list[Reply]]:
    """Returns right and wrong replies by kind."""
    found: dict[str, list[Reply]] = {"python": [], "cpp": [], "python_wrong": []}
    for problem in problems:
        written = authored()[problem.name]
        found["python"].append((problem, f"```python\n{written.solution}\n```", 1.0))
        if written.cpp:
            found["cpp"].append((problem, f"```cpp\n{written.cpp}\n```", 1.0))
        refused = json.loads((SUITES / f"{problem.name}.json").read_text(encoding="utf-8"))["report"]["refused"]
        wrong = next((name for name in written.wrong if refused[name] == "wrong_answer"), None)
        if wrong is not None:
            found["python_wrong"].append((problem, f"```python\n{written.wrong[wrong]}\n```", 0.0))
    return found


def score_all(env: Code, batch: Sequence[Reply]) -> None:
    """Scores a batch at once and checks every score."""

    async def run() -> list[float | None]:
        tasks = [_task(env, problem) for problem, _, _ in batch]
        scores = await asyncio.gather(
            *(env.score(task, _episode(reply)) for task, (_, reply, _) in zip(tasks, batch, strict=True))
        )
        return [score.value for score in scores]

    values = asyncio.run(run())
    assert values == [worth for _, _, worth in batch], "a reply was judged wrongly"


def one_by_one(sandbox: Sandbox, batch: Sequence[Reply]) -> float:
    """Runs the right programs with a sandbox for each test; returns the processor seconds that they took."""
    cpu_s = 0.0
    for problem, _, _ in batch:
        submission = Submission(language="python", source=problem.solution, function=problem.function)
        for case in problem.trial.cases:
            test = make_input(case.given, problem.function)
            (result,) = sandbox.run_tests(submission, [test], limits=problem.trial.limits)
            assert result.status == "ok", result
            cpu_s += result.cpu_s
    return cpu_s


def _task(env: Code, problem: CodeProblem) -> Task:
    return Task(task_id=problem.name, env=env.name, prompt=(), gold="", meta={"problem": problem.name})


def _episode(reply: str) -> Episode:
    empty = np.zeros(0, dtype=np.int64)
    message = Message(role="assistant", content=reply)
    completion = Completion(
        prompt_ids=empty,
        token_ids=empty,
        logprobs=np.zeros(0, np.float32),
        stop_reason="stop",
        message=message,
    )
    return Episode(completions=(completion,))


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _rates(num: int, seconds: Sequence[float]) -> dict[str, float]:
    return {
        "submissions": num,
        "per_s_median": num / statistics.median(seconds),
        "per_s_min": num / max(seconds),
        "per_s_max": num / min(seconds),
    }


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--difficulty", default="all")
    args = parser.parse_args()
    env, sandbox = Code(difficulty=args.difficulty), open_sandbox()
    problems = [p for p in bundled_problems() if args.difficulty in ("all", p.level)]
    tests = [len(problem.trial.cases) for problem in problems]
    batches = replies(problems)
    load_before = os.getloadavg()[0]
    score_all(env, batches["cpp"])
    seconds: dict[str, list[float]] = {name: [] for name in (*batches, "one_by_one")}
    program_cpu_s = 0.0
    for _ in range(args.rounds):
        for name, batch in batches.items():
            seconds[name].append(_timed(lambda batch=batch: score_all(env, batch)))

        def baseline() -> None:
            nonlocal program_cpu_s
            program_cpu_s = one_by_one(sandbox, batches["python"])

        seconds["one_by_one"].append(_timed(baseline))
    content = {
        "problems": len(problems),
        "tests_per_problem_mean": statistics.mean(tests),
        "tests_total": sum(tests),
        "rounds": args.rounds,
        "sandbox": {"name": sandbox.name, "guarantees": sandbox.guarantees},
        "load_average": {"before": load_before, "after": os.getloadavg()[0]},
        "rates": {name: _rates(len(batches.get(name, batches["python"])), values) for name, values in seconds.items()},
        "programs_cpu_s_per_round": program_cpu_s,
        "limit_submissions_per_s": len(batches["python"]) / program_cpu_s * (os.cpu_count() or 1),
    }
    date = datetime.date.today().isoformat()
    path = RESULTS / f"code_env_{os.cpu_count()}cpu_{date}.json"
    path.write_text(
        json.dumps({"benchmark": "code_env", "date": date, "hardware": hardware(), **content}, indent=1) + "\n"
    )
    print(json.dumps(content, indent=1))
    print(path)


if __name__ == "__main__":
    main()
