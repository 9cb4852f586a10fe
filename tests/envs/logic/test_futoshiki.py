"""Futoshiki against all Latin squares."""

import itertools
import random

import pytest

from fulmen.envs.logic.futoshiki import Futoshiki
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks
from tests.envs.logic.grid_checks import keeps_givens, latin_squares


def allowed(task: Task, square: tuple[tuple[int, ...], ...]) -> bool:
    size = len(square)
    return keeps_givens(task, square) and all(
        square[low // size][low % size] < square[high // size][high % size] for low, high in task.meta["smaller"]
    )


@pytest.mark.parametrize("level", [1, 2])
def test_one_solution_and_the_verdict_of_brute_force(level: int) -> None:
    env = Futoshiki.at_level(level)
    squares = latin_squares(env.size)
    assert len(squares) == {3: 12, 4: 576}[env.size]
    for task in checks.make(env, 12):
        right = [square for square in squares if allowed(task, square)]
        assert [checks.show(square) for square in right] == [task.gold]
        for square in squares[:: env.size]:
            assert checks.is_right(env, task, square) == (square in right)


def test_any_square_that_keeps_the_rules_is_right() -> None:
    env = Futoshiki(size=4)
    task = checks.by_hand(env, givens=[[0, 0, 0, 0], [0, 2, 0, 0], [0] * 4, [0] * 4], smaller=[[0, 1], [9, 5]])
    verdicts = [(allowed(task, square), checks.is_right(env, task, square)) for square in latin_squares(4)]
    assert 10 < sum(right for right, _ in verdicts) < 200
    assert all(right == found for right, found in verdicts)


def test_every_changed_digit_and_swapped_line_is_wrong() -> None:
    for level, num in ((1, 4), (3, 3), (5, 1)):
        env = Futoshiki.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, "0123456789"):
                assert not checks.is_right(env, task, changed)
            # A Latin square still: only a given or a sign can tell.
            for one, other in itertools.combinations(range(env.size), 2):
                swapped = rows.copy()
                swapped[one], swapped[other] = rows[other], rows[one]
                assert not checks.is_right(env, task, swapped)


def test_by_hand() -> None:
    # 1 2 3 / 2 3 1 / 3 1 2: r1c1 < r1c2, r3c1 > r3c2.
    env = Futoshiki(size=3)
    task = checks.by_hand(env, givens=[[1, 0, 0], [0, 3, 0], [0, 0, 0]], smaller=[[0, 1], [7, 6]])
    assert env.check(task, "1 2 3\n2 3 1\n3 1 2").value == 1.0
    assert env.check(task, "1 2 3\n2 3 1\n3 2 1").info == "column 2 repeats a digit"
    assert env.check(task, "2 1 3\n1 3 2\n3 2 1").info == "r1c1 is 2, but 1 is given"
    reverse = checks.by_hand(env, givens=task.meta["givens"], smaller=[[1, 0]])
    assert env.check(reverse, "1 2 3\n2 3 1\n3 1 2").info == "r1c2 is 2, not less than 1 at r1c1"


def test_prompt_shows_the_board_and_every_sign() -> None:
    for language in ("en", "zh"):
        env = Futoshiki(language=language)
        for task in checks.make(env, 20):
            prompt = task.prompt[0].content
            board = checks.show([[digit or "_" for digit in row] for row in task.meta["givens"]])
            assert f"\n{board}\n" in prompt
            shown = set()
            for line in prompt.split("\n"):
                if len(parts := line.split()) == 3 and parts[1] in "<>":
                    shown.add((parts[0], parts[2]) if parts[1] == "<" else (parts[2], parts[0]))
            name = [f"r{cell // 5 + 1}c{cell % 5 + 1}" for cell in range(25)]
            assert shown == {(name[low], name[high]) for low, high in task.meta["smaller"]}
            assert len(shown) == env.num_inequalities


def test_gold_and_work() -> None:
    checks.check_gold(Futoshiki)


def test_draws() -> None:
    checks.check_prompts(Futoshiki)
    checks.check_many(Futoshiki)
    rng = random.Random(0)
    assert min(sum(digit > 0 for row in Futoshiki().draw(rng).meta["givens"] for digit in row) for _ in range(60)) == 4


def test_forms_and_attacks() -> None:
    checks.check_forms(Futoshiki())
    checks.check_hostile(Futoshiki())
    board = checks.make(Futoshiki(), 1)[0].meta["givens"]
    assert not checks.is_right(Futoshiki(), checks.make(Futoshiki(), 1)[0], board)


def test_settings_and_broken_tasks() -> None:
    bad = [
        {"size": 2},
        {"size": 10},
        {"num_inequalities": 0},
        {"num_inequalities": 41},
        {"num_givens": 25},
        {"num_givens": -1},
    ]
    checks.check_knobs(Futoshiki, bad)
    for meta in (
        {},
        {"givens": [[1]], "smaller": [[0]]},
        {"givens": [[9, 0], [0, 0]], "smaller": []},
        {"givens": [[1, 2]], "smaller": []},
    ):
        with pytest.raises(TaskError, match="meta"):
            Futoshiki().check(checks.by_hand(Futoshiki(), **meta), "1")
