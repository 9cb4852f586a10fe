"""What the tests of the tasks that tell stories check of each of them; not a test file itself."""

import json
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fulmen.envs import PuzzleEnv, load
from fulmen.errors import ConfigError
from fulmen.types import Split, Task

LANGUAGES = ("en", "zh")
SPLITS: tuple[Split, ...] = ("train", "heldout")
LONG = ("9" * 4_000, "(" * 4_000, "[" * 2_000 + "]" * 2_000, "a:" * 2_000, "a," * 2_000, "1/" * 2_000, "{" * 4_000)
ATTACKS = (
    *(
        "",
        " ",
        "\n",
        "$$",
        ".",
        ",",
        ":",
        "/",
        "[]",
        "{}",
        "[[]]",
        "()",
        "null",
        "yes",
        "None",
        "true",
        "\x00",
        "\ud800",
    ),
    *("I do not know", "__import__('os').system('id')", "9**9**9", "{0.__class__}", "1e999", "nan", "-1", "١٢", "²"),
    *LONG,
    *("x" * 1_000_000, "[" * 1_000_000, "9" * 1_000_000),
)


def make(name: str, *, level: int = 3, num: int = 20, split: Split = "train", **knobs: Any) -> list[Task]:
    env = load(name, level=level, **knobs)
    return [env.task(split, seed=5, index=index) for index in range(num)]


def every_setting(name: str, num: int) -> Iterator[tuple[PuzzleEnv, Task]]:
    """Yields tasks of every level, language and split; half as many of the two long levels."""
    for level in range(1, 6):
        for language in LANGUAGES:
            env = load(name, level=level, language=language)
            assert isinstance(env, PuzzleEnv)
            for split in SPLITS:
                for index in range(num if level < 4 else (num + 1) // 2):
                    yield env, env.task(split, seed=level, index=index)


def check_gold_everywhere(name: str, *, num: int = 4, is_aloud: bool = True) -> None:
    """Gold and worked solutions score 1, also after a round trip through JSON; prompts keep to their language."""
    for number, (env, task) in enumerate(every_setting(name, num)):
        copy = Task.from_json(json.loads(json.dumps(task.to_json())))
        assert copy == task
        score = env.check(copy, task.gold)
        assert score.value == 1.0, (task.prompt[0].content, task.gold, score)
        message = env.worked_solution(copy, random.Random(number))
        assert (message is not None) == is_aloud
        if message is not None:
            assert env.check(task, message).value == 1.0
            assert message.content == task.gold
            assert message.thinking == message.thinking.strip()
        prompt = task.prompt[0].content
        assert "{" not in prompt.replace('{"', "")
        if env.language == "en":
            assert prompt.isascii()
        else:
            assert not re.search(r"[A-Za-z]{4}", prompt), prompt
        assert len(env.phrases["en"]) >= 3
        assert len(env.phrases["zh"]) >= 2


def check_attacks(name: str, *, levels: tuple[int, ...] = (1, 3, 5)) -> None:
    """Nothing but an answer scores, and nothing takes long."""
    for level in levels:
        env = load(name, level=level)
        for index in range(3):
            task = env.task("train", seed=9, index=index)
            others = [env.task("train", seed=10, index=other).gold for other in range(3)]
            prompt = task.prompt[0].content
            texts = [*ATTACKS, prompt, prompt[:4000], f"{prompt[:2000]} {task.gold}", task.gold * 2]
            texts += [f"{task.gold} {task.gold}", f"{task.gold}, {task.gold}", f"{task.gold}\n{task.gold}"]
            texts += [" or ".join([task.gold, *others]), f"The answer is {task.gold}", f"not {task.gold}"]
            for text in texts:
                start = time.process_time()
                assert env.check(task, text).value == 0.0, (task.gold, text[:200])
                assert time.process_time() - start < 0.25, text[:40]


def check_wrappers(name: str, *, levels: tuple[int, ...] = (1, 4)) -> None:
    """The usual wrappers around an answer change nothing."""
    for level in levels:
        for language in LANGUAGES:
            env = load(name, level=level, language=language)
            for index in range(10):
                task = env.task("train", seed=3, index=index)
                full = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in task.gold)
                forms = (
                    f" \n{task.gold}\t",
                    f"${task.gold}$",
                    rf"\boxed{{\text{{{task.gold}}}}}",
                    f"{task.gold}。",
                    full,
                )
                for text in forms:
                    assert env.check(task, text).value == 1.0, text


def check_stream(name: str, *, num: int = 500, at_least: int = 460) -> None:
    """Same seed, same task; both languages tell the same problem; enough puzzles at level 1, no split in the other."""
    env = load(name, level=1)
    train = [env.task("train", seed=0, index=index).content_hash for index in range(num)]
    heldout = {env.task("heldout", seed=1, index=index).content_hash for index in range(num // 10)}
    assert len(set(train)) >= at_least
    assert not set(train) & heldout
    for level in range(1, 6):
        by_language = [load(name, level=level, language=language) for language in LANGUAGES]
        assert by_language[0].task("train", seed=1, index=7) == by_language[0].task("train", seed=1, index=7)
        for seed in range(4):
            english, chinese = (env.draw(random.Random(seed)) for env in by_language if isinstance(env, PuzzleEnv))
            assert english.key == chinese.key
            assert english.prompt != chinese.prompt


def check_bounds(name: str, bad: dict[str, tuple[Any, ...]]) -> None:
    """Each value out of bounds raises `ConfigError` and names the setting."""
    for knob, values in bad.items():
        for value in values:
            with pytest.raises(ConfigError, match=knob):
                load(name, level=3, **{knob: value})
