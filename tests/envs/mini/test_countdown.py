"""Countdown against a brute-force solver and Python's parser."""

import ast
import random
import re
from fractions import Fraction
from itertools import permutations

import pytest

from fulmen.envs import Countdown
from fulmen.errors import ConfigError
from fulmen.types import Task

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def combine(left: Fraction, operator: str, right: Fraction) -> Fraction | None:
    if operator == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def all_solutions(numbers: list[int], target: int) -> set[str]:
    """Every fully parenthesised expression of the numbers with the target's value."""

    def grow(items: tuple[tuple[Fraction, str], ...]) -> set[str]:
        if len(items) == 1:
            return {items[0][1]} if items[0][0] == target else set()
        found: set[str] = set()
        for i, j in permutations(range(len(items)), 2):
            rest = tuple(item for k, item in enumerate(items) if k not in (i, j))
            for operator in "+-*/":
                value = combine(items[i][0], operator, items[j][0])
                if value is not None:
                    found |= grow((*rest, (value, f"({items[i][1]}{operator}{items[j][1]})")))
        return found

    return grow(tuple((Fraction(number), str(number)) for number in numbers))


def is_right(text: str, numbers: list[int], target: int) -> bool:
    """Whether Python's grammar reads the text as four operations on exactly the numbers, worth the target."""
    used: list[int] = []

    def walk(node: ast.AST) -> Fraction:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            value = combine(walk(node.left), OPERATORS[type(node.op)], walk(node.right))
            if value is not None:
                return value
        if isinstance(node, ast.Constant) and type(node.value) is int:
            used.append(node.value)
            return Fraction(node.value)
        raise ValueError

    try:
        value = walk(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError):
        return False
    return value == target and sorted(used) == sorted(numbers) and not re.search(r"(?<![0-9])0[0-9]", text)


def make(num: int, env: Countdown | None = None) -> list[Task]:
    env = env or Countdown()
    return [env.task("train", seed=3, index=index) for index in range(num)]


def test_prompt_and_gold_by_hand() -> None:
    task = make(1)[0]
    numbers, target = task.meta["numbers"], task.meta["target"]
    assert task.prompt[0].content == f"Use {' '.join(map(str, numbers))} once each to make {target}."
    assert not re.fullmatch(r"\(.*\)", task.gold) or is_right(task.gold, numbers, target)


@pytest.mark.parametrize("env", [Countdown(), Countdown(num_numbers=5, max_number=50, max_target=199)])
def test_gold_is_right_by_oracle_and_within_settings(env: Countdown) -> None:
    for task in make(200, env):
        numbers = task.meta["numbers"]
        assert is_right(task.gold, numbers, task.meta["target"])
        assert len(numbers) == env.num_numbers
        assert all(1 <= number <= env.max_number for number in numbers)
        assert 1 <= task.meta["target"] <= env.max_target
        assert task.gold.count("(") == env.num_numbers - 2  # every composite but the outermost


def test_every_other_solution_is_accepted() -> None:
    num_others = 0
    for task in make(30):
        solutions = all_solutions(task.meta["numbers"], task.meta["target"])
        assert f"({task.gold})" in solutions
        for solution in solutions:
            assert Countdown().check(task, solution).value == 1.0
        num_others += len(solutions) - 1
    assert num_others > 100


def test_fractions_and_negatives_on_the_way_are_accepted() -> None:
    task = Task(task_id="x", env="countdown", prompt=(), gold="", meta={"numbers": [8, 3, 8, 3], "target": 24})
    assert Countdown().check(task, "8/(3-8/3)").value == 1.0
    assert Countdown().check(task, "8/3-8/3").value == 0.0
    task = Task(task_id="x", env="countdown", prompt=(), gold="", meta={"numbers": [2, 5, 9], "target": 6})
    assert Countdown().check(task, "(2-5)+9").value == 1.0


def test_numbers_count_as_often_as_they_are_given() -> None:
    task = Task(task_id="x", env="countdown", prompt=(), gold="", meta={"numbers": [3, 3, 8], "target": 24})
    assert Countdown().check(task, "8*(3*3)/3").value == 0.0
    assert Countdown().check(task, "3*8").value == 0.0
    assert Countdown().check(task, "3*8*3/3").value == 0.0
    assert Countdown().check(task, "(3+3)*8/2").value == 0.0
    task = Task(task_id="x", env="countdown", prompt=(), gold="", meta={"numbers": [3, 3, 8], "target": 14})
    assert Countdown().check(task, "3+8+3").value == 1.0


def test_single_changes_score_what_the_oracle_says() -> None:
    rights = wrongs = 0
    for task in make(12):
        for at in range(len(task.gold)):
            for character in ("", *"0123456789+-*/()"):
                changed = task.gold[:at] + character + task.gold[at + 1 :]
                expected = is_right(changed, task.meta["numbers"], task.meta["target"])
                assert Countdown().check(task, changed).value == float(expected), changed
                rights, wrongs = rights + expected, wrongs + (not expected)
    assert rights > 70
    assert wrongs > 1000


def test_statuses() -> None:
    task = Task(task_id="x", env="countdown", prompt=(), gold="", meta={"numbers": [3, 7, 9], "target": 30})
    env = Countdown()
    assert env.check(task, "3*7+9").status == "ok"
    assert (env.check(task, "3+7+9").value, env.check(task, "3+7+9").status) == (0.0, "ok")
    assert (env.check(task, "30").value, env.check(task, "30").status) == (0.0, "ok")
    assert (env.check(task, "3*7+9=30").value, env.check(task, "3*7+9=30").status) == (0.0, "policy_error")


@pytest.mark.parametrize("num_numbers", [2, 3, 4])
def test_worked_steps_are_true_and_detours_fail(num_numbers: int) -> None:
    env = Countdown(num_numbers=num_numbers)
    counts = set()
    for index, task in enumerate(make(150, env)):
        message = env.worked_solution(task, random.Random(index))
        *detours, last = message.thinking.split("\n")
        counts.add(len(detours))
        assert len(set(detours)) == len(detours)
        for line in (*detours, last):
            steps, verdict = line.rsplit(" ", 1)
            pool = list(task.meta["numbers"])
            for step in steps.split(","):
                left, operator, right, result = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", step).groups()  # type: ignore[union-attr]
                pool.remove(int(left))
                pool.remove(int(right))
                assert combine(Fraction(left), operator, Fraction(right)) == int(result) <= 199
                pool.append(int(result))
            assert len(pool) == 1
            assert (pool[0] == task.meta["target"]) == (line is last)
            assert verdict == ("yes" if line is last else "no")
        assert message.content == task.gold
    assert counts == {0, 1, 2, 3}


def test_no_detours_when_none_are_allowed() -> None:
    env = Countdown(max_detours=0)
    assert all("\n" not in env.worked_solution(task, random.Random(0)).thinking for task in make(20, env))


def test_order_of_numbers_is_not_another_puzzle() -> None:
    hashes: dict[tuple[object, ...], set[str]] = {}
    orders: dict[tuple[object, ...], set[tuple[int, ...]]] = {}
    env = Countdown(max_number=4, max_target=12)
    for index in range(300):
        task = env.task("train", seed=0, index=index)
        key = (*sorted(task.meta["numbers"]), task.meta["target"])
        hashes.setdefault(key, set()).add(task.content_hash)
        orders.setdefault(key, set()).add(tuple(task.meta["numbers"]))
    assert all(len(found) == 1 for found in hashes.values())
    assert any(len(found) > 1 for found in orders.values())


@pytest.mark.parametrize(
    "settings", [{"num_numbers": 1}, {"num_numbers": 7}, {"max_number": 0}, {"max_target": 200}, {"max_detours": -1}]
)
def test_bad_settings(settings: dict[str, int]) -> None:
    ((field, value),) = settings.items()
    with pytest.raises(ConfigError, match=f"{field}: {value}; allowed: an integer from"):
        Countdown(**settings)  # type: ignore[arg-type]
