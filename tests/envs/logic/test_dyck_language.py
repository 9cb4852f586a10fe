"""Dyck language: agreement with deletion of adjacent pairs over all fillings, braces in boxes."""

import itertools
import random

import pytest

from fulmen.envs.logic.dyck_language import DyckLanguage
from fulmen.errors import ConfigError
from fulmen.types import Task
from tests.envs.logic import trials


def task_of(template: str, num_types: int = 2) -> Task:
    meta = {"template": template, "num_types": num_types}
    return Task(task_id="x", env="dyck_language", prompt=(), gold="", meta=meta)


def is_nested(text: str) -> bool:
    while any(pair in text for pair in ("()", "[]", "{}", "<>")):
        for pair in ("()", "[]", "{}", "<>"):
            text = text.replace(pair, "")
    return not text


@pytest.mark.parametrize("template", ["____", "(_[_]_", "_(_)_]", "[(_)__", "([__)_"])
def test_agrees_with_deletion_of_pairs(template: str) -> None:
    env, task = DyckLanguage(), task_of(template)
    num_right = 0
    with trials.unchecked_types():
        for brackets in itertools.product("()[]", repeat=template.count("_")):
            filled = template
            for bracket in brackets:
                filled = filled.replace("_", bracket, 1)
            num_right += is_nested(filled)
            assert (env.check(task, "".join(brackets)).value == 1.0) == is_nested(filled), filled
    assert num_right > 0


def test_any_filling_counts_and_nothing_longer() -> None:
    env = DyckLanguage()
    task = task_of("__(_")
    assert trials.values(env, task, "():", "())", "[])", "[ ] )", "`[])`", "[],)", "［］）") == [0, 1, 1, 1, 1, 1, 1]
    bad = ("([)", "())()", "()", "", "<>)", "{})", "()()", "())\n[])", "__)", "ok ())")
    assert trials.values(env, task, *bad) == [0.0] * len(bad)


def test_braces_survive_every_form() -> None:
    task = task_of("{{__", 4)
    assert DyckLanguage().check(task, "}}").value == 1.0
    boxed = DyckLanguage(answer_form="boxed")
    assert boxed.write_answer("}}") == r"\boxed{\}\}}"
    assert trials.values(boxed, task, r"So \boxed{\}\}}.", r"\boxed{\}}", "}}") == [1, 0, 0]
    assert r"write \{ and \}" in boxed.task("train", seed=0, index=0).prompt[0].content
    tags = DyckLanguage(answer_form="tags")
    task = task_of("<{<___", 4)
    assert trials.values(tags, task, "<answer>>}></answer>", "<answer> > } > </answer>", "<answer>>>></answer>") == [
        1,
        1,
        0,
    ]


def test_each_changed_bracket_is_judged_by_the_rules() -> None:
    for level in range(1, 6):
        env = DyckLanguage.at_level(level)
        for task in trials.draw(env, 12):
            template, gold = task.meta["template"], task.gold
            assert env.min_length <= len(template) <= env.max_length
            assert template.endswith("_")
            assert len(gold) == template.count("_") <= env.max_gaps + env.max_missing_end
            for place, bracket in itertools.product(range(len(gold)), "()[]{}<>"[: 2 * env.num_types]):
                changed = gold[:place] + bracket + gold[place + 1 :]
                filled = template
                for piece in changed:
                    filled = filled.replace("_", piece, 1)
                assert (env.check(task, changed).value == 1.0) == is_nested(filled)
            assert env.check(task, gold[:-1]).value == env.check(task, gold + gold[-1]).value == 0.0


def test_worked_searches_end_in_a_right_answer() -> None:
    for level in (1, 3, 5):
        env = DyckLanguage.at_level(level)
        for task in trials.draw(env, 20):
            _, *lines, last = env.solve_aloud(task, random.Random(0)).split("\n")
            assert env.check(task, last).value == 1.0
            tried = [line[-1] for line in lines if ", try " in line]
            assert level != 1 or "".join(tried) == last
            assert len(lines) <= 62


def test_common() -> None:
    trials.gold_scores_one_everywhere(DyckLanguage)
    trials.forms_hold(DyckLanguage)
    trials.wrappers_change_nothing(DyckLanguage)
    trials.streams_are_rich(DyckLanguage)
    trials.phrases_are_complete(DyckLanguage)


def test_attacks() -> None:
    trials.attacks_score_zero(DyckLanguage, "_", "]" * 4096, "([{<>}])" * 9, without=("[]", "{}", "()"))


def test_settings() -> None:
    bad = {"min_length": (3, 401), "max_length": (20, 401), "num_types": (1, 5), "max_missing_end": (0, 11)}
    trials.settings_are_bounded(DyckLanguage, **bad, max_gaps=(-1, 7, 13), max_depth=(1, 17))
    with pytest.raises(ConfigError, match="max_gaps: 9; allowed"):
        DyckLanguage(max_gaps=9)
