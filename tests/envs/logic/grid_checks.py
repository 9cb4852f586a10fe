"""What holds for every task whose answer is a board: gold and worked solutions, other spellings, hostile text."""

import itertools
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from fulmen.envs.puzzle import LEVELS, PuzzleEnv
from fulmen.types import Task

Rows = tuple[tuple[int, ...], ...]
ATTACKS = (
    "",
    " ",
    "\n\n",
    "[]",
    "[[]]",
    "0",
    "1",
    "_",
    "yes",
    "None",
    "I do not know",
    "９" * 40,
    "١ ٢\n٢ ١",
    "² ³\n³ ²",
    "Ⅰ Ⅱ\nⅡ Ⅰ",
    "9" * 4000,
    "1e9 1e9\n1e9 1e9",
    "-1 -1\n-1 -1",
    "[" * 4096,
    "[" * 2000 + "1" + "]" * 2000,
    "1 " * 2048,
    "1\n" * 2048,
    "/" * 4096,
    "x" * 1_000_000,
    "__import__('os').system('true')",
    "\x00",
    "\ud800",
)


def make(env: PuzzleEnv, num: int, *, seed: int = 3) -> list[Task]:
    return [env.task("train", seed=seed, index=index) for index in range(num)]


def by_hand(env: PuzzleEnv, **meta: object) -> Task:
    return Task(task_id="hand", env=env.name, prompt=(), gold="", meta=meta)


def rows_of(text: str) -> list[list[str]]:
    return [row.split() for row in text.split("\n")]


def show(rows: Sequence[Sequence[object]]) -> str:
    return "\n".join(" ".join(map(str, row)) for row in rows)


def is_right(env: PuzzleEnv, task: Task, rows: Sequence[Sequence[object]] | str) -> bool:
    return env.check(task, rows if isinstance(rows, str) else show(rows)).value == 1.0


def changes(rows: Sequence[Sequence[str]], values: Sequence[str]) -> Iterator[list[list[str]]]:
    """Yields the boards that differ in one cell."""
    for i, j in itertools.product(range(len(rows)), range(len(rows[0]))):
        for value in values:
            if value != rows[i][j]:
                yield [
                    [value if (r, c) == (i, j) else cell for c, cell in enumerate(row)] for r, row in enumerate(rows)
                ]


def latin_squares(size: int) -> list[Rows]:
    rows = list(itertools.permutations(range(1, size + 1)))
    squares: list[Rows] = [()]
    for _ in range(size):
        squares = [
            (*s, row) for s in squares for row in rows if all(a != b for r in s for a, b in zip(r, row, strict=True))
        ]
    return squares


def keeps_givens(task: Task, rows: Rows) -> bool:
    return all(
        given in (0, digit)
        for row, givens in zip(rows, task.meta["givens"], strict=True)
        for digit, given in zip(row, givens, strict=True)
    )


def check_gold(kind: type[PuzzleEnv], *, nums: Sequence[int] = (30, 12, 5, 1, 1), must_think: bool = True) -> None:
    """Gold and worked solutions score 1 at every level, in both languages and splits; so many tasks a level."""
    for level, num in enumerate(nums, 1):
        for language, split in itertools.product(("en", "zh"), ("train", "heldout")):
            env = kind.at_level(level, language=language)
            for index in range(num):
                task = env.task(split, seed=1, index=index)  # type: ignore[arg-type]
                score = env.check(task, task.gold)
                assert (score.value, score.info) == (1.0, "right"), (level, task)
                message = env.worked_solution(task, random.Random(index))
                if message is not None:
                    assert env.check(task, message).value == 1.0
                    assert message.thinking == message.thinking.strip() != ""
                assert message is not None or not must_think, (level, task)


def check_prompts(kind: type[PuzzleEnv]) -> None:
    """Each template comes, whole; a task is the same whatever the wording."""
    for language in ("en", "zh"):
        env = kind.at_level(1, language=language)
        prompts = [task.prompt[0].content for task in make(env, 60)]
        assert len(env.phrases[language]) >= {"en": 3, "zh": 2}[language]  # type: ignore[index]
        assert len({prompt[:12] for prompt in prompts}) == len(env.phrases[language])  # type: ignore[index]
        assert not any("{" in prompt or "}" in prompt for prompt in prompts)
    one, other = (kind.at_level(level).task("train", seed=0, index=0) for level in (1, LEVELS[0]))
    assert one == other
    assert json.loads(json.dumps(one.to_json())) == one.to_json()


def check_many(kind: type[PuzzleEnv], *, num: int = 1000) -> None:
    """Draws at level 1 meet few puzzles twice: there are more than 3,000."""
    env = kind.at_level(1)
    rng = random.Random(7)
    keys = {json.dumps(env.draw(rng).key) for _ in range(num)}
    # Of n draws from N puzzles about n * n / 2N come twice; half as many again are allowed.
    assert len(keys) > num - 1.5 * num * num / 6000


def check_forms(env: PuzzleEnv, *, is_digits: bool = True) -> None:
    """Other spellings of the right board are right."""
    forms: dict[str, Callable[[list[list[str]]], str]] = {
        "spaces": lambda rows: " \n" + show(rows) + " \n",
        "commas": lambda rows: "\n".join(", ".join(row) for row in rows),
        "slashes": lambda rows: "/".join(" ".join(row) for row in rows),
        "json": lambda rows: json.dumps([[int(c) if c.isdigit() else c for c in row] for row in rows]),
        "json of texts": lambda rows: json.dumps(rows, indent=1),
        "fenced": lambda rows: f"```\n{show(rows)}\n```",
        "dollars": lambda rows: f"${show(rows)}$",
        "boxed": lambda rows: rf"\boxed{{{show(rows)}}}",
        "full width": lambda rows: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in show(rows)),
        "windows": lambda rows: show(rows).replace("\n", "\r\n"),
        "period": lambda rows: show(rows) + "。",
    }
    if is_digits:
        forms["tight"] = lambda rows: "\n".join("".join(row) for row in rows)
    for task in make(env, 5):
        for name, form in forms.items():
            score = env.check(task, form(rows_of(task.gold)))
            assert score.value == 1.0, (name, form(rows_of(task.gold)), score)


def check_hostile(env: PuzzleEnv) -> None:
    """Nothing but an answer scores, nothing raises, all is fast."""
    tasks = make(env, 4)
    for task in tasks:
        golds = [other.gold for other in tasks if other.gold != task.gold]
        lists = [
            task.gold * 2,
            f"{task.gold}\n{task.gold}",
            f"{task.gold} or {golds[0]}",
            "\n\n".join([task.gold, *golds]),
        ]
        prose = [f"The answer is {task.gold}", f"{task.gold}\nI am sure", task.prompt[0].content, task.gold[:-1]]
        for text in (*ATTACKS, *lists, *prose):
            start = time.process_time()
            score = env.check(task, text)
            assert score.value == 0.0, text[:80]
            assert time.process_time() - start < 0.05, text[:80]
        assert env.check(task, "").status == "policy_error"


def check_knobs(kind: type[PuzzleEnv], bad: Sequence[dict[str, int | str]]) -> None:
    """Each of the settings is refused by its name."""
    from fulmen.errors import ConfigError

    for knobs in bad:
        with pytest.raises(ConfigError, match=rf"({'|'.join(knobs)}).*allowed: "):
            kind.at_level(3, **knobs)
    assert kind() == kind.at_level(3)
