"""What the tests of the logic tasks ask of each, in one place: gold answers, attacks, settings, streams."""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, get_args

import jaxtyping
import pytest

from fulmen.envs.puzzle import Language, PuzzleEnv
from fulmen.errors import ConfigError
from fulmen.rewards.answer import AnswerForm
from fulmen.types import Split, Task

WRAPPERS: dict[str, Callable[[str], str]] = {
    "spaces": lambda text: f" \n{text} \t",
    "dollars": lambda text: f"${text}$",
    "boxed": lambda text: rf"\boxed{{{text}}}",
    "boxed text": lambda text: rf"$\boxed{{\text{{{text}}}}}$.",
    "period": lambda text: f"{text}.",
    "ideographic period": lambda text: f"{text}。",
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "code block": lambda text: f"```\n{text}\n```",
}
ATTACKS = (
    "",
    " ",
    ".",
    "$$",
    r"\boxed{}",
    "[]",
    "{}",
    "()",
    "yes",
    "valid",
    "invalid",
    "I do not know",
    "any answer",
    "*",
    "?",
    "x" * 4096,
    "9" * 4096,
    "9" * 1_000_000,
    "(" * 4096,
    "[" * 2048 + "]" * 2048,
    "1+" * 2047 + "1",
    "9**9**9**9",
    "1, " * 1300,
    "A=1, " * 800,
    "a " * 2000,
    "__import__('os').system('true')",
    "[].__class__",
    '{"a": ' * 600,
    "１２３²³",
    "٣٤",
    "\x00",
    "\ud800",
    "nan",
    "inf",
    "1e9",
    "None",
    "null",
    "<answer></answer>",
)
"""Texts that are right for no task, save where a test says so."""
MAX_CHECK_S = 0.02
NUM_GOLD = 50


@contextlib.contextmanager
def unchecked_types() -> Iterator[None]:
    """Runs in bulk as production does; the first tasks of every kind run with types checked at every call."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def draw(env: PuzzleEnv, num: int, *, split: Split = "train", seed: int = 0) -> list[Task]:
    return [env.task(split, seed=seed, index=index) for index in range(num)]


def values(env: PuzzleEnv, task: Task, *texts: str) -> list[float | None]:
    return [env.check(task, text).value for text in texts]


def gold_scores_one_everywhere(
    kind: type[PuzzleEnv], *, is_worked: bool = True, languages: tuple[Language, ...] = get_args(Language)
) -> None:
    """At every level, in both languages and splits; worked solutions too; tasks survive JSON."""
    for level in range(1, 6):
        for language in languages:
            env = kind.at_level(level, language=language)
            _gold_scores_one(env, env.task("train", seed=9, index=level), is_worked=is_worked)
            with unchecked_types():
                for split in get_args(Split):
                    for task in draw(env, NUM_GOLD, split=split):
                        _gold_scores_one(env, task, is_worked=is_worked)


def _gold_scores_one(env: PuzzleEnv, task: Task, *, is_worked: bool) -> None:
    assert env.check(task, task.gold).value == 1.0, (task.prompt, task.gold)
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    message = env.worked_solution(task, random.Random(1))
    assert (message is not None) or not is_worked
    if message is not None:
        assert message.thinking == message.thinking.strip() != ""
        assert env.check(task, message).value == 1.0
        assert env.worked_solution(again, random.Random(1)) == message


def forms_hold(kind: type[PuzzleEnv], *, num: int = 20) -> None:
    """Replies with tags or a box score like bare ones, and not without them."""
    for form in get_args(AnswerForm):
        env = kind.at_level(2, answer_form=form)
        for task in draw(env, num):
            assert env.check(task, env.write_answer(task.gold)).value == 1.0
            assert (env.check(task, task.gold).value == 1.0) == (form == "bare")


def wrappers_change_nothing(kind: type[PuzzleEnv], *, without: tuple[str, ...] = (), num: int = 20) -> None:
    env = kind.at_level(2)
    for task in draw(env, num):
        for name, wrap in WRAPPERS.items():
            if name not in without:
                assert env.check(task, wrap(task.gold)).value == 1.0, (name, wrap(task.gold))


def attacks_score_zero(kind: type[PuzzleEnv], *extra: str, num: int = 5, without: tuple[str, ...] = ()) -> None:
    """Foreign texts, echoes, lists of answers: none scores, none raises, none takes long."""
    for level in (1, 3, 5):
        env = kind.at_level(level)
        tasks = draw(env, num)
        for task in tasks:
            prompt = task.prompt[0].content
            others = [f"{other.gold} or {task.gold}" for other in tasks]
            own = (prompt, prompt + task.gold, f"{task.gold} {task.gold}", f"The answer is {task.gold}")
            twice = () if task.gold == "0" else (task.gold * 2,)
            with unchecked_types():
                for text in (*ATTACKS, *extra, *own, *twice, *others, f"{task.gold}, or else"):
                    if text.lower() == task.gold.lower() or text in without:
                        continue
                    start = time.thread_time()
                    assert env.check(task, text).value == 0.0, text[:200]
                    assert time.thread_time() - start < MAX_CHECK_S, text[:40]


def settings_are_bounded(kind: type[PuzzleEnv], **bad: tuple[Any, ...]) -> None:
    for knob, outside in bad.items():
        for value in outside:
            with unchecked_types(), pytest.raises(ConfigError, match=f"{knob}: .*allowed: "):
                kind(**{knob: value})


def streams_are_rich(kind: type[PuzzleEnv], *, space: int = 3000) -> None:
    """1,000 draws at level 1 meet so many different puzzles that at least `space` must exist; levels differ."""
    env = kind.at_level(1)
    rng = random.Random(3)
    num = 1000
    with unchecked_types():
        seen = {json.dumps(env.draw(rng).key) for _ in range(num)}
    assert len(seen) > space * (1 - (1 - 1 / space) ** num)
    firsts = [kind.at_level(level).task("train", seed=5, index=7) for level in range(1, 6)]
    assert len({task.prompt[0].content for task in firsts}) == 5
    assert firsts[4] == kind.at_level("expert").task("train", seed=5, index=7)


def phrases_are_complete(kind: type[PuzzleEnv]) -> None:
    assert len(set(kind.phrases["en"])) >= 3
    assert len(set(kind.phrases["zh"])) >= 2
    for language in get_args(Language):
        with unchecked_types():
            prompts = [task.prompt[0].content for task in draw(kind.at_level(2, language=language), 30)]
        assert len({prompt[:12] for prompt in prompts}) >= len(kind.phrases[language]) - 1
        assert all((max(text) > "\u4e00") == (language == "zh") for text in prompts)
