"""Kukurasu against all boards of 16 cells."""

import functools
import itertools

import pytest

from fulmen.envs.logic.kukurasu import Kukurasu, weigh
from fulmen.errors import ConfigError, TaskError
from tests.envs.logic import grid_checks as checks

Sums = tuple[int, ...]


@functools.cache
def boards_by_sums() -> dict[tuple[Sums, Sums], list[str]]:
    found: dict[tuple[Sums, Sums], list[str]] = {}
    for rows in itertools.product(itertools.product((0, 1), repeat=4), repeat=4):
        row_sums = tuple(1 * a + 2 * b + 3 * c + 4 * d for a, b, c, d in rows)
        column_sums = tuple(a + 2 * b + 3 * c + 4 * d for a, b, c, d in zip(*rows, strict=True))
        found.setdefault((row_sums, column_sums), []).append(checks.show(rows))
    return found


def test_one_solution_and_the_verdict_of_brute_force() -> None:
    env = Kukurasu.at_level(1)
    boards = boards_by_sums()
    everything = [board for found in boards.values() for board in found]
    for task in checks.make(env, 15):
        right = boards[tuple(task.meta["row_sums"]), tuple(task.meta["column_sums"])]
        assert right == [task.gold]
        for board in everything[::7001]:
            assert checks.is_right(env, task, board) == (board in right)


def test_any_board_with_the_sums_is_right() -> None:
    env = Kukurasu.at_level(1)
    several = [(sums, found) for sums, found in boards_by_sums().items() if len(found) > 1]
    assert len(several) > 500
    for (row_sums, column_sums), found in several[::50]:
        task = checks.by_hand(env, row_sums=list(row_sums), column_sums=list(column_sums))
        assert all(checks.is_right(env, task, board) for board in found)


def test_by_hand() -> None:
    env = Kukurasu(num_rows=3, num_columns=4)
    # . X . X = 2+4 / . . . . = 0 / X . . X = 1+4; columns: 3, 1, 0, 1+3.
    task = checks.by_hand(env, row_sums=[6, 0, 5], column_sums=[3, 1, 0, 4])
    assert env.check(task, "0 1 0 1\n0 0 0 0\n1 0 0 1").value == 1.0
    assert env.check(task, "0 1 0 1\n0 0 0 0\n0 1 1 0").info == "column 1 has the sum 0, not 3"
    assert env.check(task, "1 0 1 0\n0 0 0 0\n1 0 0 1").info == "row 1 has the sum 4, not 6"
    assert env.check(task, "0 1 1\n0 0 0\n1 0 0").status == "policy_error"
    assert [weigh(line) for line in ([1, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 1, 1])] == [6, 0, 3, 8]


def test_every_changed_cell_is_wrong() -> None:
    for level, num in ((1, 6), (3, 4), (5, 1)):
        env = Kukurasu.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, ["0", "1", "2", "_"]):
                assert not checks.is_right(env, task, changed)
            negative = [["10"[int(cell)] for cell in row] for row in rows]
            for board in (negative, rows[::-1], [row[::-1] for row in rows]):
                assert not checks.is_right(env, task, board) or board == rows


def test_prompt_shows_the_sums_and_shape() -> None:
    for language in ("en", "zh"):
        env = Kukurasu(language=language, num_rows=3, num_columns=5)
        for task in checks.make(env, 12):
            prompt = task.prompt[0].content
            rows = [list(map(int, row)) for row in checks.rows_of(task.gold)]
            assert (len(rows), len(rows[0])) == (3, 5)
            for lines in (rows, list(zip(*rows, strict=True))):
                sums = [sum((at + 1) * mark for at, mark in enumerate(line)) for line in lines]
                assert ", ".join(map(str, sums)) in prompt


def test_gold_and_work() -> None:
    checks.check_gold(Kukurasu)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Kukurasu)
    checks.check_many(Kukurasu)
    checks.check_forms(Kukurasu())
    checks.check_hostile(Kukurasu())


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(Kukurasu, [{"num_rows": 1}, {"num_columns": 11}, {"marked_percent": 9}, {"marked_percent": 91}])
    for meta in (
        {},
        {"row_sums": [1], "column_sums": []},
        {"row_sums": [7, 0], "column_sums": [1, 1]},
        {"row_sums": ["1"], "column_sums": [1]},
    ):
        with pytest.raises(TaskError, match="meta"):
            Kukurasu().check(checks.by_hand(Kukurasu(), **meta), "1")


def test_settings_without_a_unique_board_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fulmen.envs.logic.kukurasu.is_unique", lambda *args, **knobs: False)
    with pytest.raises(ConfigError, match=r"marked_percent: 40; allowed: "):
        Kukurasu.at_level(1).task("train", seed=0, index=0)
