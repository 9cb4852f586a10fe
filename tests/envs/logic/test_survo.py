"""Survo against all orders of its numbers."""

import itertools
import random

import pytest

from fulmen.envs.logic.survo import Survo
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks


def fill(task: Task, numbers: tuple[int, ...]) -> list[list[int]]:
    left = iter(numbers)
    return [[value or next(left) for value in row] for row in task.meta["board"]]


def allowed(task: Task, rows: list[list[int]]) -> bool:
    return [sum(row) for row in rows] == task.meta["row_sums"] and [
        sum(row[column] for row in rows) for column in range(len(rows))
    ] == task.meta["column_sums"]


@pytest.mark.parametrize("level", [1, 2])
def test_one_solution_and_the_verdict_of_brute_force(level: int) -> None:
    env = Survo.at_level(level)
    for task in checks.make(env, 15):
        tables = [fill(task, numbers) for numbers in sorted(set(itertools.permutations(task.meta["numbers"])))]
        right = [rows for rows in tables if allowed(task, rows)]
        assert [checks.show(rows) for rows in right] == [task.gold]
        for rows in tables[::3]:
            assert checks.is_right(env, task, rows) == (rows in right)


def test_any_order_with_the_right_sums_is_right() -> None:
    env = Survo(size=3, num_hidden=9, max_value=9)
    numbers = list(range(1, 10))
    task = checks.by_hand(env, board=[[0] * 3] * 3, row_sums=[15] * 3, column_sums=[15] * 3, numbers=numbers)
    tables = [fill(task, order) for order in itertools.permutations(numbers) if sum(order[:3]) == sum(order[3:6]) == 15]
    tables = [rows for at, rows in enumerate(tables) if at % 40 == 0 or allowed(task, rows)]
    verdicts = [(allowed(task, rows), checks.is_right(env, task, rows)) for rows in tables]
    assert sum(right for right, _ in verdicts) == 72
    assert all(right == found for right, found in verdicts)


def test_by_hand() -> None:
    env = Survo(size=2, num_hidden=2)
    meta = {"board": [[0, 5], [4, 0]], "row_sums": [12, 13], "column_sums": [11, 14], "numbers": [7, 9]}
    task = checks.by_hand(env, **meta)
    assert env.check(task, "7 5\n4 9").value == 1.0
    assert env.check(task, "7 5\n9 4").info == "r2c1 is 9, but 4 is given"
    assert env.check(task, "9 5\n4 7").info == "row 1 adds up to 14, not 12"
    assert env.check(task, "7 5\n4 7").info == "fills in [7, 7], not [7, 9]"
    twisted = checks.by_hand(env, **{**meta, "row_sums": [12, 13], "column_sums": [12, 13]})
    assert env.check(twisted, "7 5\n4 9").info == "column 1 adds up to 11, not 12"
    assert env.check(task, "7 5\n4 90").status == "policy_error"
    # Right sums by numbers that were not given.
    square = checks.by_hand(env, board=[[0, 0], [0, 0]], row_sums=[5, 5], column_sums=[5, 5], numbers=[1, 4, 4, 1])
    assert env.check(square, "1 4\n4 1").value == env.check(square, "4 1\n1 4").value == 1.0
    assert env.check(square, "14\n41").value == 1.0


def test_every_changed_number_and_swap_is_wrong() -> None:
    for level, num in ((1, 4), (2, 3), (3, 1)):
        env = Survo.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, ["0", "_", *map(str, task.meta["numbers"])]):
                assert not checks.is_right(env, task, changed)
            places = list(itertools.product(range(env.size), repeat=2))
            for (a, b), (c, d) in itertools.combinations(places, 2):
                swapped = [row.copy() for row in rows]
                swapped[a][b], swapped[c][d] = rows[c][d], rows[a][b]
                assert checks.is_right(env, task, swapped) == (rows[a][b] == rows[c][d])


def test_prompt_shows_table_sums_and_numbers() -> None:
    for language in ("en", "zh"):
        for task in checks.make(Survo(language=language), 12):
            prompt, meta = task.prompt[0].content, task.meta
            lines = [
                f"{' '.join(str(v or '_') for v in row)} | {total}"
                for row, total in zip(meta["board"], meta["row_sums"], strict=True)
            ]
            table = "\n".join([*lines, " ".join(map(str, meta["column_sums"]))])
            assert f"\n{table}\n" in prompt
            assert ", ".join(map(str, meta["numbers"])) in prompt
            hidden = [
                int(v)
                for row, given in zip(task.gold.split("\n"), meta["board"], strict=True)
                for v, g in zip(row.split(), given, strict=True)
                if not g
            ]
            assert sorted(hidden) == meta["numbers"]


def test_the_table_with_its_sums_is_another_form() -> None:
    task = checks.make(Survo(), 1)[0]
    rows = checks.rows_of(task.gold)
    with_sums = [[*row, str(total)] for row, total in zip(rows, task.meta["row_sums"], strict=True)]
    assert Survo().check(task, checks.show(with_sums)).status == "policy_error"


def test_worked_lines_are_true() -> None:
    for level in (1, 2, 3):
        env = Survo.at_level(level)
        for index, task in enumerate(checks.make(env, 15)):
            rows = checks.rows_of(task.gold)
            text = env.solve_aloud(task, random.Random(index))
            if "try" in text:
                continue
            for word in text.replace(":", "=").split():
                if word.startswith("r") and "c" in word and "=" in word:
                    where, values = word.split("=")
                    row, column = where[1:].split("c")
                    assert rows[int(row) - 1][int(column) - 1] in values.split(",")


def test_gold_and_work() -> None:
    checks.check_gold(Survo)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Survo)
    checks.check_many(Survo)
    checks.check_forms(Survo(), is_digits=False)
    checks.check_forms(Survo(max_value=9))
    checks.check_hostile(Survo())
    task = checks.make(Survo(), 1)[0]
    assert not checks.is_right(Survo(), task, task.meta["board"])


def test_settings_and_broken_tasks() -> None:
    bad = [{"size": 1}, {"size": 9}, {"num_hidden": 0}, {"num_hidden": 17}, {"min_value": 0}, {"max_value": 1000}]
    checks.check_knobs(Survo, bad)
    checks.check_knobs(Survo, [{"min_value": 31}])
    good = {"board": [[0, 5], [4, 0]], "row_sums": [12, 13], "column_sums": [11, 14], "numbers": [7, 9]}
    for change in ({"board": [[0, 5]]}, {"row_sums": [1]}, {"numbers": [7]}, {"numbers": ["7", 9]}, {"board": None}):
        with pytest.raises(TaskError, match="meta"):
            Survo().check(checks.by_hand(Survo(), **{**good, **change}), "7 5\n4 9")
