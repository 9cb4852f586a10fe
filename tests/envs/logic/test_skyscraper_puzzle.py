"""Skyscrapers against all Latin squares, with towers counted one by one."""

import pytest

from fulmen.envs.logic.skyscraper_puzzle import SkyscraperPuzzle, num_seen
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks
from tests.envs.logic.grid_checks import Rows, keeps_givens, latin_squares


def count_from(line: list[int]) -> int:
    return sum(all(nearer < height for nearer in line[:at]) for at, height in enumerate(line))


def allowed(task: Task, rows: Rows) -> bool:
    columns = [list(column) for column in zip(*rows, strict=True)]
    views = (
        columns,
        [column[::-1] for column in columns],
        [list(row) for row in rows],
        [list(row)[::-1] for row in rows],
    )
    return keeps_givens(task, rows) and all(
        clue in (0, count_from(line))
        for clues, lines in zip(task.meta["clues"], views, strict=True)
        for clue, line in zip(clues, lines, strict=True)
    )


@pytest.mark.parametrize("level", [1, 2])
def test_one_solution_and_the_verdict_of_brute_force(level: int) -> None:
    env = SkyscraperPuzzle.at_level(level)
    squares = latin_squares(env.size)
    for task in checks.make(env, 12):
        right = [rows for rows in squares if allowed(task, rows)]
        assert [checks.show(rows) for rows in right] == [task.gold]
        for rows in squares[:: env.size]:
            assert checks.is_right(env, task, rows) == (rows in right)


def test_any_board_that_keeps_the_rules_is_right() -> None:
    env = SkyscraperPuzzle(size=4)
    clues = [[2, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    task = checks.by_hand(env, givens=[[0] * 4 for _ in range(4)], clues=clues)
    verdicts = [(allowed(task, rows), checks.is_right(env, task, rows)) for rows in latin_squares(4)]
    assert 5 < sum(right for right, _ in verdicts) < 200
    assert all(right == found for right, found in verdicts)


def test_seen_by_hand() -> None:
    assert [num_seen(line) for line in ([1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 4, 3], [1, 4, 2, 3])] == [4, 1, 2, 2]
    env = SkyscraperPuzzle(size=3)
    # 1 2 3 / 3 1 2 / 2 3 1, seen from top 2 2 1, bottom 2 1 3, left 3 1 2, right 1 2 2.
    clues = [[2, 2, 1], [2, 1, 3], [3, 1, 2], [1, 2, 2]]
    task = checks.by_hand(env, givens=[[0] * 3 for _ in range(3)], clues=clues)
    assert env.check(task, "1 2 3\n3 1 2\n2 3 1").value == 1.0
    assert env.check(task, "1 2 3\n2 3 1\n3 1 2").info == "top 1: 3 seen, not 2"
    for side in range(4):
        for at in range(3):
            other = [
                [clue % 3 + 1 if (s, i) == (side, at) else clue for i, clue in enumerate(row)]
                for s, row in enumerate(clues)
            ]
            wrong = checks.by_hand(env, givens=task.meta["givens"], clues=other)
            assert env.check(wrong, "1 2 3\n3 1 2\n2 3 1").info.startswith(("top", "bottom", "left", "right")[side])


def test_every_changed_height_and_swapped_line_is_wrong() -> None:
    for level, num in ((1, 4), (3, 3), (5, 1)):
        env = SkyscraperPuzzle.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, "01234567"):
                assert not checks.is_right(env, task, changed)
            for at in range(1, env.size):
                assert not checks.is_right(env, task, rows[at:] + rows[:at])
                assert not checks.is_right(env, task, [row[at:] + row[:at] for row in rows])


def test_prompt_shows_board_and_clues() -> None:
    for language, colon in (("en", ": "), ("zh", "：")):
        env = SkyscraperPuzzle(language=language)
        for task in checks.make(env, 12):
            prompt = task.prompt[0].content
            assert "\n" + checks.show([[digit or "_" for digit in row] for row in task.meta["givens"]]) + "\n" in prompt
            shown = [
                line.split(colon)[1].split() for line in prompt.split("\n") if line[:4] in SIDES or line[:2] in SIDES
            ]
            assert shown == [[str(clue or "_") for clue in side] for side in task.meta["clues"]]
            assert sum(clue > 0 for side in task.meta["clues"] for clue in side) == env.num_clues


SIDES = ("Top,", "Bott", "Left", "Righ", "上边", "下边", "左边", "右边")


def test_gold_and_work() -> None:
    checks.check_gold(SkyscraperPuzzle)


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(SkyscraperPuzzle)
    checks.check_many(SkyscraperPuzzle)
    checks.check_forms(SkyscraperPuzzle())
    checks.check_hostile(SkyscraperPuzzle())


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(
        SkyscraperPuzzle, [{"size": 2}, {"size": 7}, {"num_clues": 21}, {"num_givens": 25}, {"num_clues": 0}]
    )
    good = {"givens": [[0] * 3] * 3, "clues": [[0] * 3] * 4}
    for meta in (
        {**good, "clues": [[0] * 3] * 3},
        {**good, "clues": [[4] * 3] * 4},
        {**good, "givens": [[0] * 7] * 7},
        {},
    ):
        with pytest.raises(TaskError, match="meta"):
            SkyscraperPuzzle().check(checks.by_hand(SkyscraperPuzzle(), **meta), "1 2 3\n3 1 2\n2 3 1")
