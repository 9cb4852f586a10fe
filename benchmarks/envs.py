"""Speed of the environments: tasks made and replies checked per second, one core, at levels 1, 3 and 5.

    python -m benchmarks.envs [--docs]

Baseline: reasoning-gym's generator of the same puzzle in the same run, at its own default settings, where it has one
(13 of the 35 public tasks). A task is made whole: puzzle, proof of uniqueness, prompt, split; processor time, so that
other work on the machine shows little. `--docs` also writes the table of docs/environments.md.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import reasoning_gym
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.common import write_result
from fulmen.envs import PuzzleEnv, SingleTurnEnv, load, names
from fulmen.envs.catalogue import env_class
from fulmen.envs.conformance import gold_reply
from fulmen.recipes.envs import settings_line

LEVELS = (1, 3, 5)
BUDGET_S, MIN_RUNS = 0.6, 3
"""Processor seconds of each measurement, and the fewest runs it takes."""
GYM = {
    "arc_agi": "rearc", "cryptarithm": "cryptarithm", "futoshiki": "futoshiki", "game_of_24": "puzzle24",
    "kukurasu": "kakurasu", "object_counting": "leg_counting", "sudoku": "sudoku", "survo": "survo",
    "time_sequence": "time_intervals", "web_of_lies": "knights_knaves", "word_sorting": "word_sorting",
    "knights_and_knaves": "knights_knaves", "boolean_expressions": "propositional_logic",
    "zebra_puzzle": "zebra_puzzles",
}  # fmt: skip
"""Our task to reasoning-gym's nearest."""
DOCS = Path(__file__).parents[1] / "docs" / "environments.md"
BEGIN, END = "<!-- table begins -->", "<!-- table ends -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One environment at one level."""

    env: str
    level: int | None
    tasks_per_s: float
    checks_per_s: float
    prompt_chars: float
    """Median."""
    gym: str = ""
    gym_tasks_per_s: float | None = None


def rate(action: Callable[[int], object]) -> float:
    """Returns runs per processor second of an action that is told the number of the run."""
    action(0)
    started, runs = time.process_time(), 0
    for runs in itertools.count(1):
        action(runs)
        if runs >= MIN_RUNS and time.process_time() - started >= BUDGET_S:
            break
    return runs / (time.process_time() - started)


def measure(name: str, level: int | None) -> Row:
    """Returns the speed of an environment."""
    env = load(name) if level is None else load(name, level=level)
    assert isinstance(env, SingleTurnEnv), "environments of several turns have no check to time"
    made = rate(lambda run: env.task("train", seed=1, index=run))
    tasks = [env.task("train", seed=0, index=index) for index in range(20 if made > 20 else 4)]
    replies = [gold_reply(env, task) for task in tasks]
    checked = rate(lambda run: env.check(tasks[run % len(tasks)], replies[run % len(tasks)]))
    gym, gym_rate = (GYM.get(name, ""), None) if level in (3, None) else ("", None)
    if gym:
        dataset = reasoning_gym.create_dataset(gym, seed=0, size=100_000)
        gym_rate = rate(lambda run: dataset[run])
    return Row(
        env=name, level=level, tasks_per_s=made, checks_per_s=checked, gym=gym, gym_tasks_per_s=gym_rate,
        prompt_chars=statistics.median(len(task.prompt[-1].content) for task in tasks),
    )  # fmt: skip


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", action="store_true", help="write the table of docs/environments.md")
    args = parser.parse_args()
    console = Console()
    rows = []
    for name in names():
        levels = LEVELS if issubclass(env_class(name), PuzzleEnv) else (None,)
        if name == "code":
            continue  # benchmarks/code_env.py
        for level in levels:
            with console.status(f"{name} {level or ''}"):
                rows.append(measure(name, level))
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("environment", "level", "tasks/s", "checks/s", "prompt", "reasoning-gym", "its tasks/s"):
        table.add_column(column, justify="left" if column in ("environment", "reasoning-gym") else "right")
    for row in rows:
        gym = "" if row.gym_tasks_per_s is None else f"{row.gym_tasks_per_s:,.0f}"
        table.add_row(row.env, str(row.level or ""), f"{row.tasks_per_s:,.0f}", f"{row.checks_per_s:,.0f}",
                      f"{row.prompt_chars:.0f}", row.gym, gym)  # fmt: skip
    console.print(table)
    console.print(write_result("envs", {"rows": [asdict(row) for row in rows]}))
    if args.docs:
        write_docs(rows)


def write_docs(rows: list[Row]) -> None:
    """Replaces the table between the marks of docs/environments.md."""
    text = DOCS.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    lines = ["", "| environment | rule | settings at level 3 | kind | tasks/s at levels 1, 3, 5 | checks/s |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for name in dict.fromkeys(row.env for row in rows):
        own = [row for row in rows if row.env == name]
        found: Any = env_class(name)
        is_puzzle = issubclass(found, PuzzleEnv)
        rule = found.rule if is_puzzle else (found.__doc__ or "").split("\n")[0]
        settings = settings_line(load(name), between=", ")
        rates = ", ".join(f"{row.tasks_per_s:,.0f}" for row in own)
        kind = found.verifier if is_puzzle else ""
        lines.append(f"| {name} | {rule} | {settings} | {kind} | {rates} | {own[len(own) // 2].checks_per_s:,.0f} |")
    DOCS.write_text(f"{head}{BEGIN}\n" + "\n".join(lines[1:]) + f"\n\n{END}{tail}")


if __name__ == "__main__":
    main()
