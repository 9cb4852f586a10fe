"""4x4 sudoku against brute force."""

import random
import re
from itertools import pairwise

import pytest

from fulmen.envs import Sudoku
from fulmen.errors import ConfigError, DataError
from fulmen.types import Task

UNITS = (
    [[4 * row + column for column in range(4)] for row in range(4)]
    + [[4 * row + column for row in range(4)] for column in range(4)]
    + [[4 * (top + i) + left + j for i in (0, 1) for j in (0, 1)] for top in (0, 2) for left in (0, 2)]
)


def is_consistent(grid: str) -> bool:
    values = [[grid[cell] for cell in unit if grid[cell] != "_"] for unit in UNITS]
    return all(len(set(unit)) == len(unit) for unit in values)


def all_solutions(givens: str) -> list[str]:
    if "_" not in givens:
        return [givens]
    options = (givens.replace("_", digit, 1) for digit in "1234")
    return [solution for option in options if is_consistent(option) for solution in all_solutions(option)]


def make(num: int, env: Sudoku | None = None) -> list[Task]:
    env = env or Sudoku()
    return [env.task("train", seed=5, index=index) for index in range(num)]


def by_hand(givens: str) -> Task:
    return Task(task_id="x", env="sudoku", prompt=(), gold="", meta={"givens": givens})


@pytest.mark.parametrize("env", [Sudoku(), Sudoku(min_blanks=1, max_blanks=2), Sudoku(min_blanks=11, max_blanks=11)])
def test_unique_by_brute_force_and_within_settings(env: Sudoku) -> None:
    blanks = set()
    for task in make(80, env):
        givens = task.meta["givens"]
        assert all_solutions(givens) == [task.gold.replace("/", "")]
        assert re.fullmatch(r"Fill [1-4_]{4}(/[1-4_]{4}){3}", task.prompt[0].content)
        assert task.prompt[0].content[5:].replace("/", "") == givens
        blanks.add(givens.count("_"))
    assert blanks == set(range(env.min_blanks, env.max_blanks + 1))


def test_any_grid_by_the_rules_is_right_where_several_are() -> None:
    solutions = all_solutions("_" * 16)
    assert len(solutions) == 288
    assert all(Sudoku().check(by_hand("_" * 16), solution).value == 1.0 for solution in solutions)
    solutions = all_solutions("1234" + "_" * 12)
    assert len(solutions) == 12
    for grid in all_solutions("_" * 16)[::5]:
        assert Sudoku().check(by_hand("1234" + "_" * 12), grid).value == float(grid in solutions)


def test_single_changes_score_zero() -> None:
    for task in make(20):
        grid = task.gold.replace("/", "")
        for cell in range(16):
            for digit in "1234":
                changed = grid[:cell] + digit + grid[cell + 1 :]
                expected = changed in all_solutions(task.meta["givens"])
                assert Sudoku().check(task, changed).value == float(expected)


def test_another_puzzles_solution_scores_zero() -> None:
    tasks = make(40)
    for task, other in pairwise(tasks):
        assert Sudoku().check(task, other.gold).value == float(other.gold == task.gold)


def test_row_separators_and_statuses() -> None:
    task = by_hand("1_34/34_2/_143/432_".replace("/", ""))
    env = Sudoku()
    for text in ("1234/3412/2143/4321", "1234 3412 2143 4321", "1234\n3412\n2143\n4321", "1234341221434321"):
        assert env.check(task, text).value == 1.0
    for text in ("1234/3412/2143/432", "1234/3412/2143/43211", "1234/3412/2143/432_", "1234/3412/2143/4325"):
        assert env.check(task, text).status == "policy_error"
    assert env.check(task, "2143/3412/1234/4321").info == "changes the given at 11"
    assert (env.check(task, "1234/3412/2143/4323").value, env.check(task, "1234/3412/2143/4323").status) == (0.0, "ok")


def test_worked_lines_are_true_when_they_are_written() -> None:
    for index, task in enumerate(make(150)):
        message = Sudoku().worked_solution(task, random.Random(index))
        grid = task.meta["givens"]
        for line in message.thinking.split("\n"):
            row, column, seen, digit = re.fullmatch(r"([1-4])([1-4]):([1-4]{3})>([1-4])", line).groups()  # type: ignore[union-attr]
            cell = 4 * (int(row) - 1) + int(column) - 1
            peers = {grid[other] for unit in UNITS if cell in unit for other in unit if other != cell} - {"_"}
            assert grid[cell] == "_"
            assert "".join(sorted(peers)) == seen
            assert digit not in peers
            grid = grid[:cell] + digit + grid[cell + 1 :]
        assert message.content == task.gold
        assert grid == task.gold.replace("/", "")
    task = make(1)[0]
    orders = {Sudoku().worked_solution(task, random.Random(seed)).thinking for seed in range(20)}
    assert len(orders) > 1


@pytest.mark.parametrize(("low", "high"), [(0, 5), (5, 12), (9, 8)])
def test_bad_settings(low: int, high: int) -> None:
    with pytest.raises(ConfigError, match=r"blanks: .*; allowed: "):
        Sudoku(min_blanks=low, max_blanks=high)


def test_bad_tasks_are_not_the_policys_fault() -> None:
    with pytest.raises(DataError, match="givens"):
        Sudoku().check(by_hand("12"), "1234/3412/2143/4321")
    with pytest.raises(DataError, match="naked singles"):
        Sudoku().worked_solution(by_hand("_" * 16), random.Random(0))
