"""Numbrix against all paths through small boards."""

import functools
import itertools
import random

import pytest

from fulmen.envs.logic.numbrix import Numbrix, random_path
from fulmen.errors import TaskError
from tests.envs.logic import grid_checks as checks

Board = tuple[tuple[int, ...], ...]


def extend(size: int, path: list[tuple[int, int]]) -> list[Board]:
    if len(path) == size * size:
        number = {cell: step for step, cell in enumerate(path, 1)}
        return [tuple(tuple(number[row, column] for column in range(size)) for row in range(size))]
    row, column = path[-1]
    steps = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    inside = [(r, c) for r, c in steps if 0 <= r < size and 0 <= c < size and (r, c) not in path]
    return [board for cell in inside for board in extend(size, [*path, cell])]


@functools.cache
def boards(size: int) -> list[Board]:
    return [board for cell in itertools.product(range(size), repeat=2) for board in extend(size, [cell])]


def keeps(board: Board, givens: list[list[int]]) -> bool:
    return all(g in (0, n) for row, given in zip(board, givens, strict=True) for n, g in zip(row, given, strict=True))


def test_one_solution_and_the_verdict_of_brute_force() -> None:
    assert (len(boards(3)), len(boards(4))) == (40, 552)
    for env in (Numbrix.at_level(1), Numbrix(size=4, given_percent=10), Numbrix(size=3, given_percent=10)):
        for task in checks.make(env, 8):
            right = [board for board in boards(env.size) if keeps(board, task.meta["givens"])]
            assert [checks.show(board) for board in right] == [task.gold]
            for board in boards(env.size)[::20]:
                assert checks.is_right(env, task, board) == (board in right)


def test_any_path_that_keeps_the_givens_is_right() -> None:
    env = Numbrix(size=4)
    givens = [[1, 0, 0, 0], [0] * 4, [0, 0, 0, 0], [0, 0, 0, 0]]
    task = checks.by_hand(env, givens=givens)
    verdicts = [(keeps(board, givens), checks.is_right(env, task, board)) for board in boards(4)[::3]]
    assert 10 < sum(right for right, _ in verdicts) < 100
    assert all(right == found for right, found in verdicts)


def test_by_hand() -> None:
    env = Numbrix(size=3)
    task = checks.by_hand(env, givens=[[1, 0, 3], [0, 0, 0], [0, 0, 0]])
    assert env.check(task, "1 2 3\n6 5 4\n7 8 9").value == 1.0
    assert env.check(task, "1 2 3\n8 9 4\n7 6 5").value == 1.0
    assert env.check(task, "1 2 3\n4 5 6\n7 8 9").info == "3 and 4 do not touch"
    assert env.check(task, "3 2 1\n4 5 6\n9 8 7").info == "r1c1 is 3, but 1 is given"
    assert env.check(task, "1 2 3\n6 5 4\n7 8 8").info == "8 comes twice"
    # From the end of one row to the start of the next is no step, nor is a diagonal.
    empty = checks.by_hand(env, givens=[[0] * 3] * 3)
    assert env.check(empty, "1 2 3\n5 4 6\n7 8 9").info == "3 and 4 do not touch"
    assert env.check(empty, "1 2 3\n6 5 4\n7 8 10").status == "policy_error"


def test_every_changed_number_and_swap_is_wrong() -> None:
    for level, num in ((1, 4), (2, 2)):
        env = Numbrix.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, [*map(str, range(0, env.size**2 + 2, 3)), "_"]):
                assert not checks.is_right(env, task, changed)
            places = list(itertools.product(range(env.size), repeat=2))
            for (a, b), (c, d) in list(itertools.combinations(places, 2))[::2]:
                swapped = [row.copy() for row in rows]
                swapped[a][b], swapped[c][d] = rows[c][d], rows[a][b]
                assert not checks.is_right(env, task, swapped)
            backwards = [[str(env.size**2 + 1 - int(cell)) for cell in row] for row in rows]
            assert not checks.is_right(env, task, backwards)


def test_random_paths_are_paths_and_differ() -> None:
    rng = random.Random(0)
    for size in (3, 6, 9):
        paths = [random_path(size, rng) for _ in range(20)]
        for path in paths:
            assert sorted(path) == list(range(size * size))
            for one, other in itertools.pairwise(path):
                rows, columns = abs(one // size - other // size), abs(one % size - other % size)
                assert rows + columns == 1
        assert len({tuple(path) for path in paths}) > 10


def test_prompt_shows_the_board_and_enough_is_given() -> None:
    for language in ("en", "zh"):
        env = Numbrix(language=language)
        for task in checks.make(env, 10):
            givens = task.meta["givens"]
            assert (
                "\n" + checks.show([[number or "_" for number in row] for row in givens]) + "\n"
                in task.prompt[0].content
            )
            assert 12 <= sum(number > 0 for row in givens for number in row) < 30


def test_worked_lines_are_true() -> None:
    for level in (1, 2, 3):
        env = Numbrix.at_level(level)
        for task in checks.make(env, 6):
            rows = checks.rows_of(task.gold)
            where = {rows[r][c]: f"r{r + 1}c{c + 1}" for r in range(env.size) for c in range(env.size)}
            text = env.solve_aloud(task, random.Random(0))
            for line in text.split("\n") if "try" not in text else ():
                number, rest = line.split(": ")
                seen, found = rest.split(" -> ")
                assert where[number] == found
                assert all(where[part.split(" at ")[0]] == part.split(" at ")[1] for part in seen.split(", "))


def test_gold_and_work() -> None:
    checks.check_gold(Numbrix)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Numbrix)
    checks.check_many(Numbrix)
    checks.check_forms(Numbrix(), is_digits=False)
    checks.check_hostile(Numbrix())
    task = checks.make(Numbrix(), 1)[0]
    assert not checks.is_right(Numbrix(), task, task.meta["givens"])


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(Numbrix, [{"size": 2}, {"size": 13}, {"given_percent": 9}, {"given_percent": 96}])
    for givens in ([[1, 2]], [[1, 1], [0, 0]], [[5, 0], [0, 0]], [], [[-1, 0], [0, 0]]):
        with pytest.raises(TaskError, match="givens"):
            Numbrix().check(checks.by_hand(Numbrix(), givens=givens), "1 2\n4 3")
