"""Verdicts and latency of the math checker beside Math-Verify, on the tables of pairs that the tests use.

    python -m benchmarks.math_checker

Both judge every pair of every table, in turns, in the same run: the checker as users call it (a round trip to its
worker where arithmetic does not decide), Math-Verify in this process without its time limits, except for pairs of the
audit that cost it seconds, which it judges with its default limits. Best of `--repeats` for each pair, then median, 95th
percentile and maximum over the pairs; the first round is a warm-up and also gives the latency with empty caches.
"""

import argparse
import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable
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
    wrong: dict[str, list[tuple[str, str, bool]]] = {name: [] for name in judges}
    for pair in pairs:
        for name, judge in judges.items():
            times, verdict = [], False
            for _ in range(repeats):
                started = time.perf_counter()
                verdict = judge(pair.answer, pair.gold)
                times.append(time.perf_counter() - started)
                if times[-1] > 1.0:
                    break
            first[name].append(times[0])
            best[name].append(min(times))
            if verdict != pair.is_equal:
                wrong[name].append((pair.gold, pair.answer, verdict))
    return {name: summary(pairs, first[name], best[name], wrong[name]) for name in judges}


def summary(
    pairs: tuple[Pair, ...], first: list[float], best: list[float], wrong: list[tuple[str, str, bool]]
) -> dict[str, Any]:
    """Returns what one judge's numbers say."""
    return {
        "num_pairs": len(pairs),
        "accuracy": 1 - len(wrong) / len(pairs),
        "false_positives": sum(verdict for _, _, verdict in wrong),
        "false_negatives": sum(not verdict for _, _, verdict in wrong),
        "best_s": percentiles(best),
        "first_s": percentiles(first),
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
    print(
        f"{'table':8} {'judge':12} {'pairs':>5} {'right':>7} {'false+':>6} {'false-':>6} {'median':>9} {'p95':>9} {'max':>10}"
    )
    for table, found in tables.items():
        for name, row in found.items():
            times = " ".join(f"{row['best_s'][key] * 1e3:7.2f}ms" for key in ("median", "p95", "max"))
            counts = (
                f"{row['num_pairs']:5} {row['accuracy']:7.1%} {row['false_positives']:6} {row['false_negatives']:6}"
            )
            print(f"{table:8} {name:12} {counts} {times}")
    content = {"command": "python -m benchmarks.math_checker", "repeats": args.repeats, "tables": tables}
    date = datetime.date.today().isoformat()
    cpu = "".join(letter if letter.isalnum() else "_" for letter in hardware()["cpu"].lower()).strip("_")
    path = RESULTS / f"math_checker_{cpu}_{date}.json"
    head = {"benchmark": "math_checker", "date": date, "hardware": hardware(), "machine": platform.machine()}
    path.write_text(json.dumps({**head, **content}, indent=1, ensure_ascii=False) + "\n")
    print(path)


if __name__ == "__main__":
    main()
