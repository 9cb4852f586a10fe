"""Math path: agreement with all fillings under Python's own arithmetic, and the public verifier's holes."""

import itertools
import random
import re
from fractions import Fraction

import pytest

from fulmen.envs.logic.math_path import MathPath
from fulmen.types import Task
from tests.envs.logic import trials


def task_of(template: str, value: int) -> Task:
    return Task(task_id="x", env="math_path", prompt=(), gold="", meta={"template": template, "value": value})


def holds(left: str, value: int) -> bool:
    """The rules once more: products are folded first, then what is left is summed."""
    if any(len(number) > 1 and number[0] == "0" for number in re.findall(r"\d+", left)):
        return False
    total = Fraction(0)
    for term in re.findall(r"[+-]?[^+-]+", left):
        result = Fraction(1)
        for operator, number in re.findall(r"([*/%]?)(\d+)", term.lstrip("+-")):
            if operator in ("/", "%") and int(number) == 0:
                return False
            if operator == "%":
                result = result % int(number)
            else:
                result = result / int(number) if operator == "/" else result * int(number)
            if result.denominator != 1:
                return False
        total += -result if term[0] == "-" else result
    return total == value


@pytest.mark.parametrize(
    ("template", "value"),
    [("?*?+2", 14), ("?/?-?", 2), ("?%?*?", 4), ("1?-?/2", 9), ("??%?", 3), ("?-?*?", -5), ("8/?/?", 2), ("9%?%?", 1)],
)
def test_agrees_with_all_fillings(template: str, value: int) -> None:
    env, task = MathPath(), task_of(template, value)
    num_right = 0
    with trials.unchecked_types():
        for digits in itertools.product("0123456789", repeat=template.count("?")):
            left = template
            for digit in digits:
                left = left.replace("?", digit, 1)
            right = holds(left, value)
            num_right += right
            assert (env.check(task, f"{left}={value}").value == 1.0) == right, left
    assert num_right > 0


def test_only_the_printed_equation_is_read() -> None:
    # The public verifier hands the string to an interpreter.
    task = task_of("?*?+?", 14)
    bad = ("1*1+1=14or(list)", "1*1+1=14", "14", "7*2+0=7*2+0", "7*2+0=14=14", "12+2+0=14", "2*7+00=14", "7*2=14")
    bad += ("7*2-0=14", "?*?+?=14", "7*2+?=14", "7*٢+0=14", "7*2+0 or 6*2+2", "7*2+0=014", "7**2+0", "2*7+0=14.0")
    assert trials.values(MathPath(), task, *bad) == [0.0] * len(bad)
    good = (
        "7*2+0=14",
        "7 * 2 + 0 = 14",
        "7*2+0",
        "3×4+2=14",
        r"3\times 4+2=14",
        "６*２+２=14",
        "0*0+2=14"[:5] + "2=14",
    )
    assert trials.values(MathPath(), task, *good) == [1, 1, 1, 1, 1, 1, 0]


def test_negative_values_and_percent_signs() -> None:
    task = task_of("?-?%?", -2)
    assert trials.values(MathPath(), task, "1-3%4=-2", "1−3%4=−2", r"1-3\%4=-2", "1-3%0=-2", "1-3%3=-2") == [
        1,
        1,
        1,
        0,
        0,
    ]


def test_puzzles_keep_their_settings_and_changed_digits_are_judged_by_the_rules() -> None:
    for level in range(1, 6):
        env = MathPath.at_level(level)
        for task in trials.draw(env, 15):
            template, value = task.meta["template"], task.meta["value"]
            numbers = re.findall("[0-9?]+", template)
            assert len(numbers) == env.num_numbers
            assert max(map(len, numbers)) <= env.max_digits
            assert set(re.sub("[0-9?]", "", template)) <= set(env.operators)
            assert f"{template}={value}" in task.prompt[0].content
            for place, character in enumerate(template):
                for digit in "05":
                    left = task.gold[:place] + digit + task.gold[place + 1 : len(template)]
                    right = character in ("?", digit) and holds(left, value) if character in "?05" else False
                    assert (env.check(task, left).value == 1.0) == right


def test_every_choice_of_operators_makes_true_equations() -> None:
    for size in range(1, 6):
        for operators in map("".join, itertools.permutations("/*%-+", size)):
            env = MathPath(num_numbers=6, max_digits=3, operators=operators)
            with trials.unchecked_types():
                puzzle = env.draw(random.Random(operators))
            left, value = puzzle.gold.split("=")
            assert holds(left, int(value)), puzzle.gold
            assert set(re.sub("[0-9]", "", left)) <= set(operators)


def test_worked_searches_are_mostly_there_and_true() -> None:
    for level, least in ((1, 38), (2, 20)):
        env = MathPath.at_level(level)
        texts = [env.solve_aloud(task, random.Random(0)) for task in trials.draw(env, 40)]
        assert sum(text != "" for text in texts) >= least
        for text in filter(None, texts):
            *tries, last = text.split("\n")
            left, value = last.split("=")
            assert holds(left, int(value))
            assert tries[-1].endswith(", yes")
            assert not any(line.endswith(", yes") for line in tries[:-1])


def test_common() -> None:
    trials.gold_scores_one_everywhere(MathPath, is_worked=False)
    trials.forms_hold(MathPath)
    trials.wrappers_change_nothing(MathPath)
    trials.streams_are_rich(MathPath)
    trials.phrases_are_complete(MathPath)


def test_attacks() -> None:
    trials.attacks_score_zero(MathPath)


def test_settings() -> None:
    bad = {"num_numbers": (1, 17), "max_digits": (0, 4), "operators": ("", "^"), "hidden_percent": (0, 101)}
    trials.settings_are_bounded(MathPath, **bad)
