"""Files of tasks: so many of each environment at each difficulty, no problem twice, the same on every machine."""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.envs import Env, SingleTurnEnv, load
from fulmen.envs.catalogue import env_class, logic_names
from fulmen.envs.puzzle import LEVELS, Language, PuzzleEnv
from fulmen.errors import ConfigError
from fulmen.rewards.answer import AnswerForm
from fulmen.run import progress_bar
from fulmen.types import Message, Split, Task, stable_seed

CHUNK = 64
"""Most tasks that a worker makes at a time."""
MAX_STALE = 512
"""Tasks in a row without a new problem after which a level counts as used up."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen data logic: write tasks as JSONL, with the shares and levels asked for."""

    what: Annotated[Literal["logic"], tyro.conf.Positional]
    """logic: the logic tasks."""
    out: Path
    """File to write; it appears when it is whole."""
    num: int = 1000
    """Tasks in all."""
    tasks: tuple[str, ...] = ()
    """NAME or NAME=SHARE each; none: all, in equal shares."""
    difficulty: tuple[str, ...] = ("medium",)
    """LEVEL or LEVEL=SHARE each, of intro, easy, medium, hard, expert (or 1 to 5)."""
    split: Split = "train"
    seed: int = 0
    language: Language = "en"
    answer_form: AnswerForm = "tags"
    """Where the answer stands in a reply: bare (it is all of it), tags or boxed."""
    solutions: bool = False
    """Also write a worked solution as the assistant's turn, where the task has one."""
    workers: int = os.cpu_count() or 1
    """Processes."""


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Tasks of one environment at one level."""

    name: str
    level: str
    num: int


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    portions = plan(args)
    started, lines, counts = time.perf_counter(), 0, Counter[tuple[str, str]]()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(f".{args.out.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file, progress_bar(console) as bar:
            progress = bar.add_task("tasks", total=args.num, note="")
            for portion, records in make_all(args, portions):
                file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
                counts[portion.name, portion.level] += len(records)
                lines += len(records)
                bar.update(progress, completed=lines, note=f"{portion.name} {portion.level}")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(args.out)
    finally:
        partial.unlink(missing_ok=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("environment", *LEVELS):
        table.add_column(column, justify="left" if column == "environment" else "right")
    for name in dict.fromkeys(portion.name for portion in portions):
        table.add_row(name, *(str(counts[name, level] or "") for level in LEVELS))
    console.print(table)
    console.print(f"{args.out}: {lines} tasks, {lines / (time.perf_counter() - started):.0f} a second")


def plan(args: Args) -> list[Portion]:
    """Returns how many tasks of which environment and level make the file.

    Raises: ConfigError for unknown names, levels or shares.
    """
    if args.num < 1 or args.workers < 1:
        raise ConfigError(f"num={args.num}, workers={args.workers}; allowed: at least 1")
    tasks = read_shares("tasks", args.tasks or logic_names())
    for name in tasks:
        if not issubclass(env_class(name), PuzzleEnv):
            raise ConfigError(f"tasks: {name}; allowed: {', '.join(logic_names())}")
    levels: dict[str, float] = {}
    for level, share in read_shares("difficulty", args.difficulty).items():
        name = LEVELS[int(level) - 1] if level.isdecimal() and 1 <= int(level) <= len(LEVELS) else level
        if name not in LEVELS:
            raise ConfigError(f"difficulty: {level!r}; allowed: {', '.join(LEVELS)}, or 1 to {len(LEVELS)}")
        levels[name] = levels.get(name, 0.0) + share
    shares = {(task, level): tasks[task] * levels[level] for task in tasks for level in levels}
    nums = apportion(list(shares.values()), args.num)
    return [Portion(name=task, level=level, num=num) for (task, level), num in zip(shares, nums, strict=True) if num]


def read_shares(field_name: str, texts: Sequence[str]) -> dict[str, float]:
    """Returns the shares of a list of NAME or NAME=SHARE; they are not normalised. Raises: ConfigError."""
    shares: dict[str, float] = {}
    for text in texts:
        name, equals, share = text.partition("=")
        try:
            value = float(share) if equals else 1.0
        except ValueError:
            value = -1.0
        if name in shares or not 0 <= value < float("inf"):
            raise ConfigError(f"{field_name}: {text!r}; allowed: each name once, with a share of 0 or more")
        shares[name] = value
    if not sum(shares.values()) > 0:
        raise ConfigError(f"{field_name}: no share above 0; allowed: at least one")
    return shares


def apportion(shares: Sequence[float], num: int) -> list[int]:
    """Returns whole numbers that sum to `num`, each within one of its share (the largest remainders are rounded up)."""
    exact = [share / sum(shares) * num for share in shares]
    nums = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: nums[i] - exact[i])
    for i in by_remainder[: num - sum(nums)]:
        nums[i] += 1
    return nums


def make_all(args: Args, portions: Sequence[Portion]) -> Iterator[tuple[Portion, list[dict[str, object]]]]:
    """Yields the records of each portion, piece by piece, in an order that does not depend on the workers."""
    with ProcessPoolExecutor(args.workers) as pool:
        for portion in portions:
            seen: set[str] = set()
            start, num_stale = 0, 0
            while (missing := portion.num - len(seen)) > 0:
                size = min(CHUNK, -(-missing // args.workers))
                starts = [start + size * i for i in range(args.workers)]
                start += size * args.workers
                for records in pool.map(partial(make_chunk, args, portion, size), starts):
                    fresh = {str(record["content_hash"]): record for record in records}
                    fresh = {key: record for key, record in fresh.items() if key not in seen}
                    kept = list(fresh.items())[: portion.num - len(seen)]
                    seen.update(key for key, _ in kept)
                    num_stale = 0 if fresh else num_stale + size
                    yield portion, [record for _, record in kept]
                if num_stale >= MAX_STALE and len(seen) < portion.num:
                    raise ConfigError(f"num: {portion.name} {portion.level} has only about {len(seen)} problems")


def make_chunk(args: Args, portion: Portion, size: int, start: int) -> list[dict[str, object]]:
    """Returns the records of `size` places of a stream, each with the messages of a chat."""
    label = f"{portion.name}@{portion.level}"
    env = load(portion.name, level=portion.level, name=label, language=args.language, answer_form=args.answer_form)
    return [to_record(env, env.task(args.split, seed=args.seed, index=start + i), args) for i in range(size)]


def to_record(env: Env, task: Task, args: Args) -> dict[str, object]:
    """Returns a task as a line of the file."""
    messages = list(task.prompt)
    if args.solutions and isinstance(env, SingleTurnEnv):
        solution: Message | None = env.worked_solution(task, random_of(task))
        messages += [] if solution is None else [solution]
    return {**task.to_json(), "messages": [message.to_json() for message in messages]}


def random_of(task: Task) -> random.Random:
    """Returns the generator that a task's worked solution is drawn with."""
    return random.Random(stable_seed("worked solution", task.task_id))
