"""Cryptarithm: agreement with a search over all assignments, commuted solutions, leading zeros."""

import itertools
import json
import random
import re

import pytest

from fulmen.envs.logic.cryptarithm import Cryptarithm
from fulmen.envs.puzzle import Language
from fulmen.errors import ConfigError
from fulmen.types import Task
from tests.envs.logic import trials


def task_of(equation: str, given: dict[str, int] | None = None) -> Task:
    meta = {"equation": equation, "given": given or {}}
    return Task(task_id="x", env="cryptarithm", prompt=(), gold="", meta=meta)


def is_solution(equation: str, digits: dict[str, int]) -> bool:
    """The rules once more, over Python's own arithmetic of a text made of digits and operators."""
    text = "".join(str(digits.get(c, c)) for c in equation)
    left, right = text.split(" = ")
    if any(len(number) > 1 and number[0] == "0" for number in re.findall(r"\d+", text)):
        return False
    tokens = left.split()
    while "*" in tokens:
        at = tokens.index("*")
        tokens[at - 1 : at + 2] = [str(int(tokens[at - 1]) * int(tokens[at + 1]))]
    value = int(tokens[0])
    for operator, number in zip(tokens[1::2], tokens[2::2], strict=True):
        value += int(number) if operator == "+" else -int(number)
    return value == int(right)


@pytest.mark.parametrize("equation", ["AB + A = BC", "A * B = CA", "AB - C = A", "A + B * C = AA"])
def test_agrees_with_all_assignments(equation: str) -> None:
    env, task = Cryptarithm(), task_of(equation)
    letters = sorted({c for c in equation if c.isalpha()})
    num_right = 0
    with trials.unchecked_types():
        for digits in itertools.product(range(10), repeat=len(letters)):
            assignment = dict(zip(letters, digits, strict=True))
            right = len(set(digits)) == len(digits) and is_solution(equation, assignment)
            num_right += right
            text = ", ".join(f"{letter}={digit}" for letter, digit in assignment.items())
            assert (env.check(task, text).value == 1.0) == right, text
    assert num_right > 0


def test_commuted_solutions_count() -> None:
    task = task_of("A + B = C")
    assert trials.values(Cryptarithm(), task, "A=1, B=2, C=3", "A=2, B=1, C=3", "A=0, B=4, C=4") == [1, 1, 0]


def test_a_known_puzzle() -> None:
    task = task_of("SEND + MORE = MONEY")
    right = "S=9, E=5, N=6, D=7, M=1, O=0, R=8, Y=2"
    forms = (right, right.replace(",", ""), json.dumps(dict(p.split("=") for p in right.split(", "))))
    forms += (right.replace(", ", "\n"), right.replace("=", ": ").lower(), f"{{{right}}}", right.replace("=", " -> "))
    assert trials.values(Cryptarithm(), task, *forms) == [1.0] * len(forms)
    wrong = (right.replace("Y=2", "Y=3"), right.replace(", Y=2", ""), right + ", Z=4", right + ", Y=2")
    wrong += (right.replace("M=1", "M=0").replace("O=0", "O=1"), right.replace("O=0", "O=１0"), "9567 + 1085 = 10652")
    assert trials.values(Cryptarithm(), task, *wrong) == [0.0] * len(wrong)


def test_given_digits_stay() -> None:
    task = task_of("A + B = C", {"A": 1})
    assert trials.values(Cryptarithm(), task, "A=1, B=2, C=3", "A=2, B=1, C=3") == [1, 0]
    assert "1 was given" in Cryptarithm().check(task, "A=2, B=1, C=3").info


def test_swapped_digits_hold_only_where_the_equation_does() -> None:
    for level in (1, 3, 5):
        env = Cryptarithm.at_level(level)
        for task in trials.draw(env, 15):
            gold = {pair[0]: int(pair[2]) for pair in task.gold.split(", ")}
            assert len(gold) == env.num_letters
            assert all(len(run) <= env.max_digits for run in re.findall("[A-Z]+", task.meta["equation"].split("=")[0]))
            for one, two in itertools.combinations(gold, 2):
                swapped = {**gold, one: gold[two], two: gold[one]}
                given = task.meta["given"]
                right = is_solution(task.meta["equation"], swapped) and all(swapped[k] == given[k] for k in given)
                text = ", ".join(f"{letter}={digit}" for letter, digit in swapped.items())
                assert (env.check(task, text).value == 1.0) == right
            assert f"{task.meta['equation']}" in task.prompt[0].content
            assert all(f"{letter}={digit}" in task.prompt[0].content for letter, digit in task.meta["given"].items())


def test_renamed_letters_are_the_same_problem() -> None:
    rng = random.Random(0)
    env = Cryptarithm(num_letters=3, operators="+", max_digits=1)
    found: dict[str, set[str]] = {}
    for _ in range(300):
        puzzle = env.draw(rng)
        found.setdefault(json.dumps(puzzle.key), set()).add(puzzle.meta["equation"])
    assert len(found['["A + B = C", []]']) > 100
    assert len(found) < 7


def test_worked_searches_are_true() -> None:
    env = Cryptarithm.at_level(1)
    for task in trials.draw(env, 40):
        head, *tries, last = env.solve_aloud(task, random.Random(0)).split("\n")
        assert head.startswith("given ")
        assert env.check(task, last).value == 1.0
        assert [line.endswith(": yes") for line in tries] == [False] * (len(tries) - 1) + [True]
        for line in tries:
            equation, verdict = line.split(": ")
            assert is_solution(equation, {}) == (verdict == "yes")
            assert verdict != "starts with 0" or re.search(r"\b0\d", equation)


def test_worked_columns_are_true() -> None:
    env = Cryptarithm.at_level(2)
    texts = [(task, env.solve_aloud(task, random.Random(0))) for task in trials.draw(env, 60)]
    assert sum(text != "" for _, text in texts) > 20
    for task, text in texts:
        if text:
            *lines, last = text.split("\n")
            assert env.check(task, last).value == 1.0
            for line in lines:
                if match := re.fullmatch(r"column \d: (.*) = (\d+), [A-Z]=(\d)", line):
                    assert sum(map(int, re.findall(r"\d+", match[1]))) == int(match[2])
                    assert int(match[2]) % 10 == int(match[3])
    assert Cryptarithm().solve_aloud(task_of("AB * CDE = FGHJ"), random.Random(0)) == ""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_gold(language: Language) -> None:
    trials.gold_scores_one_everywhere(Cryptarithm, is_worked=False, languages=(language,))


def test_common() -> None:
    trials.forms_hold(Cryptarithm)
    trials.wrappers_change_nothing(Cryptarithm)
    trials.streams_are_rich(Cryptarithm)
    trials.phrases_are_complete(Cryptarithm)


def test_attacks() -> None:
    trials.attacks_score_zero(Cryptarithm)


def test_settings() -> None:
    bad = {"num_letters": (2, 11), "num_operators": (0, 5), "operators": ("", "/", "+/"), "max_digits": (0, 7)}
    trials.settings_are_bounded(Cryptarithm, **bad, num_given=(-1, 7))
    with pytest.raises(ConfigError, match="num_letters: 10; allowed: what the other settings can reach"):
        Cryptarithm(num_letters=10, max_digits=1).draw(random.Random(0))
