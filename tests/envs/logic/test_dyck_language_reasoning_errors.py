"""Dyck language reasoning errors: the printed trace is read back and judged by deletion of pairs."""

import itertools
import random
import re

from fulmen.envs.logic.dyck_language_reasoning_errors import DyckLanguageReasoningErrors
from fulmen.types import Task
from tests.envs.logic import trials
from tests.envs.logic.test_dyck_language_errors import rest


def task_of(text: str, shown: list[str]) -> Task:
    meta = {"text": text, "shown": shown}
    return Task(task_id="x", env="dyck_language_reasoning_errors", prompt=(), gold="", meta=meta)


def wrong_in_prompt(task: Task) -> tuple[list[int], int]:
    """The wrong steps and the number of steps, by the prompt's text alone."""
    prompt = task.prompt[0].content
    steps = re.findall(r"^(\d+)\. ([^ ]) {2}([^ ]+)$", prompt, re.MULTILINE)
    text = "".join(bracket for _, bracket, _ in steps)
    assert f" {text}" in prompt or f"：{text}" in prompt
    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    shown = [stack.replace("-", "") for _, _, stack in steps]
    return [k for k in range(1, len(text) + 1) if rest(text[:k]) != shown[k - 1]], len(steps)


def test_agrees_with_the_printed_trace() -> None:
    for level in range(1, 6):
        env = DyckLanguageReasoningErrors.at_level(level)
        num_wrong = set()
        for task in trials.draw(env, 25):
            wrong, length = wrong_in_prompt(task)
            num_wrong.add(len(wrong))
            assert length == env.length
            assert task.gold == (", ".join(map(str, wrong)) or "none")
            for step in range(1, length + 1):
                changed = sorted({step} ^ set(wrong))
                assert env.check(task, ", ".join(map(str, changed)) or "none").value == 0.0
        assert 0 in num_wrong
        assert len(num_wrong) >= min(env.max_mistakes + 1, 5)


def test_every_set_of_steps_on_a_small_trace() -> None:
    env = DyckLanguageReasoningErrors()
    # Step 2 forgets the outer bracket, step 3 keeps an inner one.
    task = task_of("([])", ["(", "[", "([", ""])
    with trials.unchecked_types():
        for size in range(5):
            for steps in itertools.permutations((1, 2, 3, 4), size):
                text = ", ".join(map(str, steps)) or "none"
                assert (env.check(task, text).value == 1.0) == (set(steps) == {2, 3}), text


def test_a_step_that_follows_from_a_wrong_one_is_wrong() -> None:
    env = DyckLanguageReasoningErrors()
    task = task_of("(()())", ["(", "([", "([(", "([", "", ""])
    assert trials.values(env, task, "2, 3, 4, 5", "2, 3, 4", "2") == [1, 0, 0]


def test_forms() -> None:
    env = DyckLanguageReasoningErrors()
    task = task_of("([])", ["(", "[", "([", ""])
    good = ("2,3", "3, 2", "2 3", "[2, 3]", "$2, 3$", r"\boxed{\text{2, 3}}", "２，３", "2、3", "2; 3", '["2", "3"]')
    assert trials.values(env, task, *good) == [1.0] * len(good)
    bad = ("2, 3, 3", "2", "2, 3, 9", "none", "2-3", "02, 3", "2, 3, none", "", "all", "²，3", "step 2 and step 3")
    assert trials.values(env, task, *bad) == [0.0] * len(bad)
    task = task_of("()", ["(", ""])
    assert trials.values(env, task, "none", "None.", "无", "1", "0", "[]", "none, none") == [1, 1, 1, 0, 0, 0, 0]


def test_worked_traces_are_true() -> None:
    for task in trials.draw(DyckLanguageReasoningErrors.at_level(2), 20):
        *lines, last = DyckLanguageReasoningErrors().solve_aloud(task, random.Random(0)).split("\n")
        assert last == task.gold
        assert [int(line.split()[0]) for line in lines if line.endswith("wrong")] == wrong_in_prompt(task)[0]
        text = task.meta["text"]
        assert [line.split()[2] for line in lines] == [rest(text[:k]) or "-" for k in range(1, len(text) + 1)]


def test_common() -> None:
    trials.gold_scores_one_everywhere(DyckLanguageReasoningErrors)
    trials.forms_hold(DyckLanguageReasoningErrors)
    trials.wrappers_change_nothing(DyckLanguageReasoningErrors)
    trials.streams_are_rich(DyckLanguageReasoningErrors)
    trials.phrases_are_complete(DyckLanguageReasoningErrors)


def test_attacks() -> None:
    every = ", ".join(map(str, range(1, 17)))
    trials.attacks_score_zero(DyckLanguageReasoningErrors, every, "all", "0", "-1")


def test_settings() -> None:
    bad = {
        "length": (3, 17, 202),
        "num_types": (1, 5),
        "max_depth": (1, 17),
        "max_mistakes": (0, 5),
        "max_carried": (-1, 6),
    }
    trials.settings_are_bounded(DyckLanguageReasoningErrors, **bad)
