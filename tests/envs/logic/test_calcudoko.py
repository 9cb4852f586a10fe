"""Calcudoko against all Latin squares, with the operations written out again."""

import functools
import operator

import pytest

from fulmen.envs.logic.calcudoko import Calcudoko, gives
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks
from tests.envs.logic.grid_checks import Rows, latin_squares

SIZE_3 = [("=", 1, [0]), ("-", 1, [1, 2]), ("/", 2, [3, 6]), ("+", 4, [4, 5]), ("*", 3, [7, 8])]


def result(operation: str, digits: list[int]) -> float:
    first, *rest = sorted(digits, reverse=True)
    functions = {"+": operator.add, "*": operator.mul, "-": operator.sub, "/": operator.truediv, "=": operator.add}
    return functools.reduce(functions[operation], rest, float(first))


def allowed(task: Task, rows: Rows) -> bool:
    size = len(rows)
    return all(
        result(cage["operation"], [rows[cell // size][cell % size] for cell in cage["cells"]]) == cage["target"]
        for cage in task.meta["cages"]
    )


def of_cages(env: Calcudoko, size: int, cages: list[tuple[str, int, list[int]]]) -> Task:
    listed = [{"operation": operation, "target": target, "cells": cells} for operation, target, cells in cages]
    return checks.by_hand(env, size=size, cages=listed)


@pytest.mark.parametrize("level", [1, 2])
def test_one_solution_and_the_verdict_of_brute_force(level: int) -> None:
    env = Calcudoko.at_level(level)
    squares = latin_squares(env.size)
    for task in checks.make(env, 12):
        right = [rows for rows in squares if allowed(task, rows)]
        assert [checks.show(rows) for rows in right] == [task.gold]
        for rows in squares[:: env.size]:
            assert checks.is_right(env, task, rows) == (rows in right)


def test_any_board_that_keeps_the_rules_is_right() -> None:
    env = Calcudoko(size=4)
    pairs = [("+", 5, [0, 4]), ("*", 4, [1, 5]), ("-", 1, [2, 3]), ("/", 2, [6, 7]), ("+", 20, list(range(8, 16)))]
    task = of_cages(env, 4, pairs)
    verdicts = [(allowed(task, rows), checks.is_right(env, task, rows)) for rows in latin_squares(4)]
    assert 1 < sum(right for right, _ in verdicts) < 60
    assert all(right == found for right, found in verdicts)


def test_by_hand() -> None:
    env = Calcudoko(size=3)
    task = of_cages(env, 3, SIZE_3)
    # 1 | 3-2 / 2/1 down / 1+3 / 1*3.
    assert env.check(task, "1 3 2\n2 1 3\n3 2 1").info == "2 / r2c1 r3c1: not true of 2 3"
    cages = [*SIZE_3[:2], ("/", 1, [3]), ("=", 3, [6]), *SIZE_3[3:]]
    cages[2], cages[-1] = ("=", 2, [3]), ("*", 2, [7, 8])
    assert env.check(of_cages(env, 3, cages), "1 3 2\n2 1 3\n3 2 1").value == 1.0
    assert env.check(of_cages(env, 3, cages), "1 2 3\n2 3 1\n3 1 2").value == 1.0
    assert env.check(of_cages(env, 3, cages), "1 3 2\n2 1 3\n3 1 2").info == "column 2 repeats a digit"
    assert [
        gives(o, t, d) for o, t, d in (("-", 2, [1, 3]), ("/", 2, [2, 5]), ("/", 3, [3, 1]), ("*", 6, [1, 2, 3]))
    ] == [
        True,
        False,
        True,
        True,
    ]
    assert not gives("+", 6, [1, 2, 2])
    for operation, target, digits in (
        ("-", 2, [2, 3]),
        ("-", 2, [5, 2]),
        ("*", 6, [2, 2]),
        ("*", 6, [2, 4]),
        ("/", 2, [6, 2]),
    ):
        assert not gives(operation, target, digits)


def test_every_operation_comes_and_cages_keep_to_the_settings() -> None:
    env = Calcudoko(size=5, max_cage=4, num_givens=2)
    tasks = checks.make(env, 30)
    cages = [cage for task in tasks for cage in task.meta["cages"]]
    assert {cage["operation"] for cage in cages} == set("=+-*/")
    assert max(len(cage["cells"]) for cage in cages) == 4
    for task in tasks:
        assert sum(cage["operation"] == "=" for cage in task.meta["cages"]) >= 2
        for cage in task.meta["cages"]:
            names = " ".join(f"r{cell // 5 + 1}c{cell % 5 + 1}" for cell in cage["cells"])
            assert f"\n{cage['target']} {cage['operation']} {names}\n" in task.prompt[0].content
            assert (len(cage["cells"]) == 1) == (cage["operation"] == "=")
            assert len(cage["cells"]) == 2 or cage["operation"] not in "-/"


def test_every_changed_digit_and_swapped_line_is_wrong() -> None:
    for level, num in ((1, 4), (3, 3), (5, 1)):
        env = Calcudoko.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, "012345678"):
                assert not checks.is_right(env, task, changed)
            for at in range(1, env.size):
                assert not checks.is_right(env, task, rows[at:] + rows[:at])
                assert not checks.is_right(env, task, [row[at:] + row[:at] for row in rows])


def test_gold_and_work() -> None:
    checks.check_gold(Calcudoko)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Calcudoko)
    checks.check_many(Calcudoko)
    checks.check_forms(Calcudoko())
    checks.check_hostile(Calcudoko())


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(Calcudoko, [{"size": 2}, {"size": 9}, {"max_cage": 1}, {"max_cage": 6}, {"num_givens": 25}])
    env = Calcudoko()
    twice = of_cages(env, 3, [*SIZE_3, ("=", 1, [0])])
    unknown = of_cages(env, 3, [*SIZE_3[1:], ("^", 1, [0])])
    for task in (
        twice,
        unknown,
        of_cages(env, 3, SIZE_3[1:]),
        checks.by_hand(env, size=3, cages=[7]),
        checks.by_hand(env),
    ):
        with pytest.raises(TaskError, match="meta"):
            env.check(task, "1 3 2\n2 1 3\n3 2 1")
