"""Dyck language errors: all short texts against a definition by prefixes; substrings of verdicts score nothing."""

import itertools
import random

from fulmen.envs.logic.dyck_language_errors import DyckLanguageErrors
from fulmen.types import Task
from tests.envs.logic import trials

CLOSED_BY = {"(": ")", "[": "]", "{": "}", "<": ">"}


def task_of(text: str) -> Task:
    return Task(task_id="x", env="dyck_language_errors", prompt=(), gold="", meta={"text": text})


def rest(text: str) -> str:
    """What deleting adjacent pairs leaves; a closing bracket in it means that the text cannot be continued."""
    shorter = text
    for opening, closing in CLOSED_BY.items():
        shorter = shorter.replace(opening + closing, "")
    return text if shorter == text else rest(shorter)


def place_of_error(text: str) -> int:
    for place in range(1, len(text) + 1):
        if set(rest(text[:place])) & set(CLOSED_BY.values()):
            return place
    return len(text) + 1 if rest(text) else -1


def test_agrees_with_the_definition_by_prefixes() -> None:
    env = DyckLanguageErrors()
    with trials.unchecked_types():
        for text in map("".join, itertools.product("()[]", repeat=5)):
            right = place_of_error(text)
            for number in range(-2, 8):
                assert (env.check(task_of(text), str(number)).value == 1.0) == (number == right), text


def test_by_hand() -> None:
    env = DyckLanguageErrors()
    for text, right in (("()", -1), ("(()", 4), (")", 1), ("(]", 2), ("([)]", 3), ("(){}<", 6), ("{<>}]()", 5)):
        assert env.check(task_of(text), str(right)).value == 1.0
        assert env.check(task_of(text), str(right + 1)).value == 0.0


def test_verdicts_in_words_score_nothing() -> None:
    # A public verifier looks for "valid" in the reply and finds it in "invalid".
    env = DyckLanguageErrors()
    bad = ("valid", "this is invalid at 7", "invalid", "it is valid: -1", "-1 or 3", "3 or -1", "−", "- 1", "-1.0", "1")
    assert trials.values(env, task_of("(())"), *bad) == [0.0] * len(bad)
    good = ("-1", "−1", "$-1$", r"\boxed{-1}", "－１", " -1 ", "-1.")
    assert trials.values(env, task_of("(())"), *good) == [1.0] * len(good)


def test_outcomes_are_mixed_and_told_in_the_prompt() -> None:
    for level in range(1, 6):
        env = DyckLanguageErrors.at_level(level)
        with trials.unchecked_types():
            tasks = trials.draw(env, 200)
        kinds = {"valid": 0, "unclosed": 0, "mismatch": 0}
        for task in tasks:
            text, gold = task.meta["text"], int(task.gold)
            assert gold == place_of_error(text)
            assert env.min_length <= len(text) <= env.max_length
            assert text in task.prompt[0].content
            assert str(len(text) + 1) in task.prompt[0].content
            kinds["valid" if gold < 0 else "unclosed" if gold > len(text) else "mismatch"] += 1
        assert min(kinds["valid"], kinds["unclosed"]) > 20
        assert kinds["mismatch"] > 90


def test_worked_stacks_are_true() -> None:
    for task in trials.draw(DyckLanguageErrors.at_level(2), 40):
        text = task.meta["text"]
        *lines, verdict, last = DyckLanguageErrors().solve_aloud(task, random.Random(0)).split("\n")
        assert last == task.gold
        for place, line in enumerate(lines, 1):
            assert line == f"{place} {text[place - 1]} {rest(text[:place]) or '-'}"
        assert verdict.startswith("end: " if int(last) in (-1, len(text) + 1) else f"{last} ")


def test_common() -> None:
    trials.gold_scores_one_everywhere(DyckLanguageErrors)
    trials.forms_hold(DyckLanguageErrors)
    trials.wrappers_change_nothing(DyckLanguageErrors)
    trials.streams_are_rich(DyckLanguageErrors)
    trials.phrases_are_complete(DyckLanguageErrors)


def test_attacks() -> None:
    trials.attacks_score_zero(DyckLanguageErrors, "-1, 1, 2, 3", "0", "1e1")


def test_settings() -> None:
    bad = {"min_length": (2, 401), "max_length": (16, 401), "num_types": (1, 5), "max_depth": (1, 17)}
    trials.settings_are_bounded(DyckLanguageErrors, **bad)
