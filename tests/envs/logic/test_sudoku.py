"""Sudoku against brute force and a plain count of every unit."""

import random

import pytest

from fulmen.envs.logic.sudoku import Sudoku
from fulmen.errors import TaskError
from tests.envs.logic import grid_checks as checks

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}


def fits(board: list[list[int]], row: int, column: int, digit: int) -> bool:
    size = len(board)
    high, wide = BOXES[size]
    top, left = row // high * high, column // wide * wide
    return (
        digit not in board[row]
        and all(board[r][column] != digit for r in range(size))
        and all(board[r][c] != digit for r in range(top, top + high) for c in range(left, left + wide))
    )


def fillings(board: list[list[int]], limit: int) -> list[list[list[int]]]:
    """Returns up to `limit` solutions by plain backtracking over the first blank with the fewest digits."""
    size, best = len(board), None
    for row in range(size):
        for column in range(size):
            if board[row][column] == 0:
                options = [digit for digit in range(1, size + 1) if fits(board, row, column, digit)]
                if best is None or len(options) < len(best[2]):
                    best = (row, column, options)
    if best is None:
        return [[row.copy() for row in board]]
    row, column, options = best
    found: list[list[list[int]]] = []
    for digit in options:
        board[row][column] = digit
        found += fillings(board, limit - len(found))
        board[row][column] = 0
        if len(found) >= limit:
            break
    return found


@pytest.mark.parametrize(("level", "num"), [(1, 20), (2, 10), (3, 4), (4, 3), (5, 1)])
def test_one_solution_by_plain_backtracking(level: int, num: int) -> None:
    env = Sudoku.at_level(level)
    for task in checks.make(env, num):
        found = fillings([row.copy() for row in task.meta["givens"]], 2)
        assert [checks.show(rows) for rows in found] == [task.gold]
        assert sum(digit == 0 for row in task.meta["givens"] for digit in row) <= env.num_blanks


def test_any_filling_that_keeps_the_rules_is_right() -> None:
    env = Sudoku(size=4, num_blanks=8)
    givens = [[1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]]
    found = fillings([row.copy() for row in givens], 999)
    everything = fillings([[0] * 4 for _ in range(4)], 999)
    assert (len(everything), 1 < len(found) < 40) == (288, True)
    task = checks.by_hand(env, givens=givens)
    assert all(checks.is_right(env, task, rows) == (rows in found) for rows in everything)
    # A Latin square whose boxes repeat digits.
    assert (
        env.check(checks.by_hand(env, givens=[[0] * 4] * 4), "1 2 3 4\n2 1 4 3\n3 4 1 2\n4 3 2 1").info
        == "box 1 repeats a digit"
    )


def test_boxes_of_six_are_two_rows_high() -> None:
    env = Sudoku(size=6, num_blanks=20)
    rows = ["1 2 3 4 5 6", "4 5 6 1 2 3", "2 3 4 5 6 1", "5 6 1 2 3 4", "3 4 5 6 1 2", "6 1 2 3 4 5"]
    empty = checks.by_hand(env, givens=[[0] * 6] * 6)
    assert env.check(empty, "\n".join(rows)).value == 1.0
    assert env.check(empty, "\n".join(rows[0::2] + rows[1::2])).info == "box 1 repeats a digit"
    assert env.check(empty, "\n".join([rows[0], rows[1], rows[3], rows[2], rows[5], rows[4]])).value == 1.0


def test_every_changed_digit_is_wrong() -> None:
    for level, num in ((1, 5), (2, 3), (3, 1)):
        env = Sudoku.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, "0123456789"):
                assert not checks.is_right(env, task, changed)
            for at in range(1, env.size):
                assert not checks.is_right(env, task, rows[at:] + rows[:at])


def test_techniques_are_enough_and_needed() -> None:
    lines = []
    for technique in ("naked", "hidden", "search"):
        env = Sudoku(size=9, num_blanks=64, technique=technique)
        task = checks.make(env, 1)[0]
        text = env.solve_aloud(task, random.Random(0))
        lines.append((" sees " in text, " only at " in text, "try " in text))
    assert lines[0] == (True, False, False)
    assert lines[1] == (True, True, False)
    hard = [checks.make(Sudoku(num_blanks=64, technique="search"), 4, seed=seed) for seed in (0, 1)]
    aloud = [Sudoku().solve_aloud(task, random.Random(0)) for tasks in hard for task in tasks]
    assert any("try " in text and "not " in text for text in aloud)


def test_worked_lines_are_true() -> None:
    for level in (1, 2, 3):
        env = Sudoku.at_level(level)
        for task in checks.make(env, 5):
            board = [row.copy() for row in task.meta["givens"]]
            for line in env.solve_aloud(task, random.Random(0)).split("\n"):
                where, digit = line.split(" -> ")[1].split("=")
                row, column = (int(part) - 1 for part in where[1:].split("c"))
                assert board[row][column] == 0
                assert fits(board, row, column, int(digit))
                if " sees " in line:
                    seen = {d for d in range(1, env.size + 1) if not fits(board, row, column, d)}
                    assert set(map(int, line.split()[2])) == seen
                board[row][column] = int(digit)
            assert checks.show(board) == task.gold


def test_prompt_shows_the_board() -> None:
    for language in ("en", "zh"):
        for task in checks.make(Sudoku(language=language), 5):
            board = checks.show([[digit or "_" for digit in row] for row in task.meta["givens"]])
            assert f"\n{board}\n" in task.prompt[0].content


def test_gold_and_work() -> None:
    checks.check_gold(Sudoku)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Sudoku)
    checks.check_many(Sudoku)
    checks.check_forms(Sudoku())
    checks.check_hostile(Sudoku())
    task = checks.make(Sudoku(), 1)[0]
    assert not checks.is_right(Sudoku(), task, task.meta["givens"])


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(Sudoku, [{"size": 5}, {"size": 8}, {"num_blanks": 0}, {"num_blanks": 82}])
    for givens in ([[1, 2], [2, 1]], [[5, 0, 0, 0]] * 4, [[0] * 4] * 3, "1234", [[None] * 4] * 4):
        with pytest.raises(TaskError, match="givens"):
            Sudoku().check(checks.by_hand(Sudoku(), givens=givens), "1 2 3 4")
