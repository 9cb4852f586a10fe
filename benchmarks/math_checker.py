"""Verdicts and latency of the math checker beside Math-Verify, on the tables of pairs that the tests use.

    python -m benchmarks.math_checker

Both judge every pair of every table, in turns, in the same run: the checker as users call it (a round trip to its
worker where arithmetic does not decide), Math-Verify in this process with its own time limits of 5 s. For each pair the
best of `--repeats` rounds, then median, 95th percentile and maximum over the pairs; `first_s` is the first round, with
empty caches. `cpu_s` is processor time of this process and its children, which a busy machine hardly changes.
"""

import argparse
import contextlib
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, hardware
from fulmen.rewards.math import MathChecker
from tests.rewards.math_tables import Pair, read_table

TABLES = ("audit", "pairs", "hostile")
Judge = Callable[[str, str], bool]


def math_verify_judge() -> Judge:
    """Returns Math-Verify as a function of an extracted answer and a reference."""
    import math_verify

    def judge(answer: str, gold: str) -> bool:
        try:
            sides = [math_verify.parse(rf"\boxed{{{text}}}") for text in (gold, answer)]
            return bool(math_verify.verify(sides[0], sides[1]))
        # What it raises on hostile text counts as "different", as its own grader has it.
        except Exception:
            return False

    return judge


def measure(pairs: tuple[Pair, ...], judges: dict[str, Judge], *, repeats: int) -> dict[str, dict[str, Any]]:
    """Returns verdicts and times of every judge."""
    first: dict[str, list[float]] = {name: [] for name in judges}
    best: dict[str, list[float]] = {name: [] for name in judges}
    cpu: dict[str, list[float]] = {name: [] for name in judges}
    wrong: dict[str, list[tuple[str, str, bool]]] = {name: [] for name in judges}
    for pair in pairs:
        for name, judge in judges.items():
            times, verdict = [], False
            for _ in range(repeats):
                started = cpu_clock(), time.perf_counter()
                verdict = judge(pair.answer, pair.gold)
                times.append((time.perf_counter() - started[1], cpu_clock() - started[0]))
                if times[-1][0] > 1.0:
                    break
            first[name].append(times[0][0])
            best[name].append(min(wall for wall, _ in times))
            cpu[name].append(min(used for _, used in times))
            if verdict != pair.is_equal:
                wrong[name].append((pair.gold, pair.answer, verdict))
    return {
        name: {**verdicts(pairs, wrong[name]), "best_s": percentiles(best[name]), "cpu_s": percentiles(cpu[name]),
               "first_s": percentiles(first[name])}
        for name in judges
    }  # fmt: skip


def cpu_clock() -> float:
    """Returns the processor seconds that this process and its living children have used."""
    used = time.process_time()
    for child in Path("/proc/self/task").glob("*/children"):
        for pid in child.read_text().split():
            with contextlib.suppress(OSError):
                used += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return used


def verdicts(pairs: tuple[Pair, ...], wrong: list[tuple[str, str, bool]]) -> dict[str, Any]:
    """Returns how often one judge was right, and where it was not."""
    return {
        "num_pairs": len(pairs),
        "accuracy": 1 - len(wrong) / len(pairs),
        "false_positives": sum(verdict for _, _, verdict in wrong),
        "false_negatives": sum(not verdict for _, _, verdict in wrong),
        "wrong": [{"gold": gold, "answer": answer, "said_equal": verdict} for gold, answer, verdict in wrong],
    }


def percentiles(times: list[float]) -> dict[str, float]:
    """Returns median, 95th percentile and maximum."""
    return {"median": statistics.median(times), "p95": statistics.quantiles(times, n=20)[-1], "max": max(times)}


def main() -> None:
    """Measures, prints a table and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    checker = MathChecker()
    checker.warm_up()
    judges: dict[str, Judge] = {
        "fulmen": lambda answer, gold: checker.check(answer, gold).is_equal,
        "math-verify": math_verify_judge(),
    }
    for judge in judges.values():
        judge(r"\sqrt{8}", r"2\sqrt{2}")
    tables = {name: measure(read_table(name), judges, repeats=args.repeats) for name in TABLES}
    checker.close()
    print("table    judge        pairs   right false+ false-     wall: median     p95       max   cpu: median     p95")
    for table, found in tables.items():
        for name, row in found.items():
            faults = f"{row['false_positives']:6} {row['false_negatives']:6}"
            wall = " ".join(f"{row['best_s'][key] * 1e3:7.2f}ms" for key in ("median", "p95", "max"))
            cpu = " ".join(f"{row['cpu_s'][key] * 1e3:7.2f}ms" for key in ("median", "p95"))
            print(f"{table:8} {name:12} {row['num_pairs']:5} {row['accuracy']:7.1%} {faults}       {wall}     {cpu}")
    content = {"command": "python -m benchmarks.math_checker", "repeats": args.repeats, "tables": tables}
    date = datetime.date.today().isoformat()
    cpu = "".join(letter if letter.isalnum() else "_" for letter in hardware()["cpu"].lower()).strip("_")
    path = RESULTS / f"math_checker_{cpu}_{date}.json"
    head = {"benchmark": "math_checker", "date": date, "hardware": hardware(), "machine": platform.machine()}
    path.write_text(json.dumps({**head, **content}, indent=1, ensure_ascii=False) + "\n")
    print(path)


if __name__ == "__main__":
    main()
