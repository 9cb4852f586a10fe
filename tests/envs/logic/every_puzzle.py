"""What every logic task must do, as functions that their tests call."""

import json
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest

from fulmen.envs import load
from fulmen.envs.puzzle import PuzzleEnv
from fulmen.errors import ConfigError
from fulmen.types import Split, Task

SPLITS: tuple[Split, ...] = ("train", "heldout")
ATTACKS = (
    "",
    " ",
    "()",
    "0",
    "none",
    "[" * 2000 + "]" * 2000,
    "{" * 2000,
    "(" * 4096,
    "9" * 4000,
    "1e999",
    "²³①",
    "٣٤٥",
    "\x00",
    "\ud800",
    "nan",
    "a" * 1_000_000,
    "1 " * 2000,
    "\n" * 4000,
    ": " * 2000,
    "x:" * 1300,
    "__import__('os').system('true')",
    "{{0.__class__}}",
)


def make(name: str, level: int, num: int, *, split: Split = "train", **knobs: Any) -> list[tuple[PuzzleEnv, Task]]:
    """Returns tasks of a level with their environment."""
    env = load(name, level=level, **knobs)
    assert isinstance(env, PuzzleEnv)
    return [(env, env.task(split, seed=3, index=index)) for index in range(num)]


def check_gold(name: str, *, level: int, num: int, is_taught: bool = True, splits: Sequence[Split] = SPLITS) -> None:
    """Gold and worked solutions score 1 in both languages and splits; tasks survive JSON; the same place, the same."""
    for language in ("en", "zh"):
        for split in splits:
            # A held-out task costs eight draws.
            tasks = make(name, level, num if split == "train" else num // 4 + 1, split=split, language=language)
            for env, task in tasks:
                assert env.check(task, task.gold).value == 1.0, (task.prompt[0].content, task.gold)
                assert env.check(task, task.gold + "。").value == 1.0
                assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
                worked = env.worked_solution(task, random.Random(1))
                assert (worked is not None) or not is_taught
                if worked is not None:
                    assert worked.thinking == worked.thinking.strip()
                    assert env.check(task, worked).value == 1.0
            assert tasks[0][0].task(split, seed=3, index=0) == tasks[0][1]


def check_some_gold(name: str, *, level: int, num: int, is_taught: bool = True) -> None:
    """As `check_gold`; few tasks, and none held out at the levels whose puzzles take long to draw."""
    check_gold(name, level=level, num=num, is_taught=is_taught, splits=SPLITS if level < 4 else ("train",))


def check_attacks(name: str) -> None:
    """Junk, echoes and lists of answers score 0, fast, and raise nothing; other answer forms work."""
    for level in (1, 3, 5):
        (env, task), (_, other) = make(name, level, 2)
        start = time.process_time()
        texts = [*ATTACKS, task.prompt[0].content, f"{task.gold} or {other.gold}", f"{task.gold}\n\n{task.gold}"]
        for text in [*texts, f"The answer is {task.gold}", task.gold + " __import__('os')", task.gold[:-1]]:
            assert env.check(task, text).value == 0.0, text[:200]
        assert time.process_time() - start < 0.02 * len(texts)
    for form in ("tags", "boxed"):
        (env, task), *_ = make(name, 2, 1, answer_form=form)
        assert env.check(task, f"Thus {env.write_answer(task.gold)}").value == 1.0
        assert env.check(task, task.gold).value == 0.0


def check_prompts(name: str) -> None:
    """Every template is drawn and says something of its own; the prompt of a puzzle has no unfilled field."""
    for language, least in (("en", 3), ("zh", 2)):
        env = load(name, level=1, language=language)
        assert isinstance(env, PuzzleEnv)
        assert len(env.phrases[language]) >= least
        openings = {env.task("train", seed=1, index=index).prompt[0].content[:12] for index in range(60)}
        assert len(openings) >= least


def check_variety(name: str, *, num: int = 300, least: int = 280) -> None:
    """So many tasks of level 1 are different puzzles."""
    assert len({task.content_hash for _, task in make(name, 1, num)}) >= least


def check_bounds(name: str, *bad: dict[str, Any]) -> None:
    """Each of these settings is refused with its name."""
    for knobs in bad:
        with pytest.raises(ConfigError, match=next(iter(knobs))):
            load(name, **knobs)
    load(name)
