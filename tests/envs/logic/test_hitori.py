"""Hitori against all patterns on small boards."""

import functools
import itertools
import random

import pytest

from fulmen.envs.logic.hitori import Hitori, random_pattern
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks

Cell = tuple[int, int]


def is_one_piece(cells: set[Cell]) -> bool:
    """Returns whether cells hang together, by merging labels until none changes."""
    labels = {cell: number for number, cell in enumerate(sorted(cells))}
    while True:
        merged = {
            (r, c): min(
                labels[r + d, c + e] for d, e in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)) if (r + d, c + e) in cells
            )
            for r, c in cells
        }
        if merged == labels:
            return len(set(labels.values())) == 1
        labels = merged


@functools.cache
def patterns(size: int) -> list[frozenset[Cell]]:
    """Returns the sets of shaded cells that do not touch and leave the rest in one piece."""
    cells = list(itertools.product(range(size), repeat=2))
    found: list[frozenset[Cell]] = [frozenset()]
    for r, c in cells:
        found += [shaded | {(r, c)} for shaded in found if (r - 1, c) not in shaded and (r, c - 1) not in shaded]
    return [shaded for shaded in found if is_one_piece(set(cells) - shaded)]


def allowed(task: Task, shaded: frozenset[Cell]) -> bool:
    numbers = task.meta["numbers"]
    left = [(r, c, n) for r, row in enumerate(numbers) for c, n in enumerate(row) if (r, c) not in shaded]
    return all(a[2] != b[2] for a, b in itertools.combinations(left, 2) if a[0] == b[0] or a[1] == b[1])


def board(shaded: frozenset[Cell], size: int) -> str:
    return checks.show([[int((r, c) in shaded) for c in range(size)] for r in range(size)])


def test_one_solution_and_the_verdict_of_brute_force() -> None:
    env = Hitori.at_level(1)
    rng = random.Random(0)
    assert 500 < len(patterns(4)) < 1234
    for task in checks.make(env, 25):
        right = [board(shaded, 4) for shaded in patterns(4) if allowed(task, shaded)]
        assert right == [task.gold]
        for _ in range(10):
            shaded = frozenset(cell for cell in itertools.product(range(4), repeat=2) if rng.random() < 0.3)
            assert checks.is_right(env, task, board(shaded, 4)) == (board(shaded, 4) in right)


def test_any_pattern_that_keeps_the_rules_is_right() -> None:
    env = Hitori.at_level(1)
    numbers = [[1, 2, 3, 4], [2, 1, 4, 3], [3, 4, 1, 2], [4, 3, 2, 1]]
    task = checks.by_hand(env, numbers=numbers)
    assert all(checks.is_right(env, task, board(shaded, 4)) for shaded in patterns(4)[::20])
    numbers[0] = [1, 1, 3, 4]
    task = checks.by_hand(env, numbers=numbers)
    verdicts = [(allowed(task, shaded), checks.is_right(env, task, board(shaded, 4))) for shaded in patterns(4)[::5]]
    assert {right for right, _ in verdicts} == {True, False}
    assert all(right == found for right, found in verdicts)


def test_by_hand() -> None:
    env = Hitori(size=4)
    # The 2 in row 1, the 3 in row 3 and one 1 of row 4 are double.
    task = checks.by_hand(env, numbers=[[2, 2, 3, 4], [3, 4, 2, 1], [4, 3, 1, 3], [1, 1, 4, 2]])
    assert env.check(task, "1 0 0 0\n0 0 0 0\n0 0 0 1\n1 0 0 0").value == 1.0
    assert (
        env.check(task, "0 0 0 0\n0 0 0 0\n0 0 0 1\n1 0 0 0").info
        == "row 1 has a number twice among its unshaded cells"
    )
    assert env.check(task, "0 1 0 0\n0 0 0 0\n0 1 0 0\n0 1 0 0").info == "r3c2 and r4c2 are both shaded and touch"
    assert env.check(task, "1 0 0 0\n0 1 0 0\n1 0 0 1\n0 1 0 0").info == "the unshaded cells are in 3 parts"
    column = checks.by_hand(env, numbers=[[1, 2, 3, 4], [1, 3, 4, 2], [3, 4, 2, 1], [4, 1, 1, 3]])
    assert (
        env.check(column, "0 0 0 0\n0 0 0 0\n0 0 0 0\n0 0 1 0").info
        == "column 1 has a number twice among its unshaded cells"
    )
    assert env.check(column, "0 0 0 0\n1 0 0 0\n0 0 0 0\n0 0 1 0").value == 1.0


def test_every_changed_cell_is_wrong() -> None:
    for level, num in ((1, 10), (3, 4), (5, 2)):
        env = Hitori.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, ["0", "1", "2", "_"]):
                assert not checks.is_right(env, task, changed)
            for wrong in (["0" * env.size] * env.size, ["1" * env.size] * env.size, task.meta["numbers"]):
                assert not checks.is_right(env, task, wrong)


def test_patterns_have_no_room_left() -> None:
    rng = random.Random(1)
    for size in (4, 5):
        for _ in range(10):
            shaded = frozenset(divmod(cell, size) for cell in random_pattern(size, rng))
            cells = set(itertools.product(range(size), repeat=2))
            assert is_one_piece(cells - shaded)
            for r, c in cells - shaded:
                touches = {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)} & shaded
                assert touches or not is_one_piece(cells - shaded - {(r, c)})


def test_worked_lines_are_true() -> None:
    for level in (1, 2, 3, 4):
        env = Hitori.at_level(level)
        for task in checks.make(env, 8):
            rows, text = checks.rows_of(task.gold), env.solve_aloud(task, random.Random(0))
            settled = {}
            for line in text.split("\n") if "try" not in text else ():
                for word in line.split(" -> ")[1].split():
                    where, mark = word.split("=")
                    row, column = where[1:].split("c")
                    settled[where] = mark
                    assert rows[int(row) - 1][int(column) - 1] == mark
            assert len(settled) in (0, env.size**2)


def test_prompt_shows_the_board() -> None:
    for language in ("en", "zh"):
        for task in checks.make(Hitori(language=language), 8):
            assert f"\n{checks.show(task.meta['numbers'])}\n" in task.prompt[0].content


def test_gold_and_work() -> None:
    checks.check_gold(Hitori)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Hitori)
    checks.check_many(Hitori)
    checks.check_forms(Hitori())
    checks.check_hostile(Hitori())


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(Hitori, [{"size": 3}, {"size": 10}])
    for numbers in ([[1, 2]], [[0, 1], [1, 2]], [[3, 1], [1, 2]], None):
        with pytest.raises(TaskError, match="numbers"):
            Hitori().check(checks.by_hand(Hitori(), numbers=numbers), "0 0\n0 0")
