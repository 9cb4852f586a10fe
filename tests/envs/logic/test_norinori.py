"""Norinori against all sets of dominoes on small boards."""

import functools
import itertools
import random

import pytest

from fulmen.envs.logic.norinori import Norinori, random_dominoes, random_regions
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks

Cell = tuple[int, int]


@functools.cache
def domino_sets(size: int) -> list[frozenset[Cell]]:
    """Returns the shaded cells of all sets of dominoes that keep apart."""
    cells = list(itertools.product(range(size), repeat=2))
    dominoes = [((r, c), (r + dr, c + dc)) for r, c in cells for dr, dc in ((0, 1), (1, 0)) if r + dr < size > c + dc]
    found: list[frozenset[Cell]] = [frozenset()]
    for one, other in dominoes:
        reach = {(r + dr, c + dc) for r, c in (one, other) for dr, dc in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))}
        found += [shaded | {one, other} for shaded in found if not shaded & reach]
    return found


def allowed(task: Task, shaded: frozenset[Cell]) -> bool:
    regions = task.meta["regions"]
    held = sorted(regions[r][c] for r, c in shaded)
    return held == sorted(2 * sorted({region for row in regions for region in row}))


def board(shaded: frozenset[Cell], size: int) -> str:
    return checks.show([[int((r, c) in shaded) for c in range(size)] for r in range(size)])


@pytest.mark.parametrize(("size", "num"), [(4, 12), (5, 5)])
def test_one_solution_and_the_verdict_of_brute_force(size: int, num: int) -> None:
    env = Norinori(size=size, num_regions={4: 4, 5: 6}[size])
    sets = domino_sets(env.size)
    assert len(set(sets)) == len(sets)
    rng = random.Random(0)
    for task in checks.make(env, num):
        right = [board(shaded, env.size) for shaded in sets if allowed(task, shaded)]
        assert right == [task.gold]
        for shaded in rng.sample(sets, 15):
            assert checks.is_right(env, task, board(shaded, env.size)) == (board(shaded, env.size) in right)


def test_any_dominoes_that_keep_the_rules_are_right_and_no_other_pattern() -> None:
    env = Norinori(size=4, num_regions=4)
    task = checks.by_hand(env, regions=[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    sets = domino_sets(4)
    right = {shaded for shaded in sets if allowed(task, shaded)}
    assert 10 < len(right) < 200
    cells = list(itertools.product(range(4), repeat=2))
    patterns = [frozenset(four) for four in itertools.combinations(cells, 4)]
    assert right <= set(patterns)
    for shaded in patterns[::4]:
        assert checks.is_right(env, task, board(shaded, 4)) == (shaded in right)


def test_each_rule_by_hand() -> None:
    env = Norinori(size=4, num_regions=4)
    task = checks.by_hand(env, regions=[[0, 0, 0, 1], [0, 2, 2, 1], [2, 2, 2, 1], [2, 2, 1, 1]])
    info = {
        "0 0 0 0\n0 0 0 0\n0 0 0 0\n0 0 0 0": "region A has 0 shaded cells, not 2",
        "1 1 0 0\n0 0 0 0\n0 0 0 0\n0 0 1 1": "region C has 0 shaded cells, not 2",
        "1 1 0 1\n0 0 0 1\n0 1 1 0\n1 0 0 0": "region C has 3 shaded cells, not 2",
        "1 1 0 1\n0 0 0 1\n1 0 0 0\n0 1 0 0": "r3c1 has 0 shaded neighbours, not 1",
        "1 1 0 1\n0 1 1 1\n0 0 0 0\n0 0 0 0": "r1c2 has 2 shaded neighbours, not 1",
    }
    for text, fault in info.items():
        assert (env.check(task, text).value, env.check(task, text).info) == (0.0, fault)
    assert env.check(task, "1 1 0 1\n0 0 0 1\n0 1 1 0\n0 0 0 0").value == 1.0
    # Dominoes across borders: r1c1 with r1c2 in A and B, r3c1 with r3c2.
    across = checks.by_hand(env, regions=[[0, 1, 1, 1]] * 4)
    assert env.check(across, "1 1 0 0\n0 0 0 0\n1 1 0 0\n0 0 0 0").value == 1.0
    assert env.check(across, "1 1 0 0\n0 0 1 0\n1 1 0 0\n0 0 0 0").value == 0.0


def test_empty_and_half_solved_boards_are_wrong() -> None:
    for level, num in ((1, 6), (2, 3)):
        env = Norinori.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            regions = task.meta["regions"]
            for region in range(env.num_regions):
                half = [
                    [mark if r != region else "0" for mark, r in zip(*pair, strict=True)]
                    for pair in zip(rows, regions, strict=True)
                ]
                assert not checks.is_right(env, task, half)
            for wrong in ("0", "1"):
                assert not checks.is_right(env, task, [[wrong] * env.size] * env.size)


def test_every_changed_cell_is_wrong() -> None:
    for level, num in ((1, 6), (2, 3)):
        env = Norinori.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, ["0", "1", "2", "_", "A"]):
                assert not checks.is_right(env, task, changed)
            for at in range(1, env.size):
                assert not checks.is_right(env, task, rows[at:] + rows[:at])


def test_regions_are_connected_and_hold_two() -> None:
    rng = random.Random(0)
    for _ in range(20):
        dominoes = random_dominoes(6, 7, rng)
        regions = random_regions(dominoes, 6, rng)
        assert len(set(regions)) == 7
        assert sorted(regions[cell] for domino in dominoes for cell in domino) == sorted(2 * sorted(set(regions)))
    for task in checks.make(Norinori(size=6, num_regions=9), 6):
        rows = task.meta["regions"]
        for region in range(9):
            cells = {(r, c) for r in range(6) for c in range(6) if rows[r][c] == region}
            reached = {min(cells)}
            while more := {
                cell
                for r, c in reached
                for cell in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1))
                if cell in cells - reached
            }:
                reached |= more
            assert reached == cells


def test_regions_are_named_as_they_come() -> None:
    for language in ("en", "zh"):
        for task in checks.make(Norinori.at_level(1, language=language), 6):
            rows = task.meta["regions"]
            assert (
                "\n" + checks.show([["ABCDEF"[region] for region in row] for row in rows]) + "\n"
                in task.prompt[0].content
            )
            assert list(dict.fromkeys(itertools.chain(*rows))) == list(range(6))


def test_worked_lines_are_true() -> None:
    for level in (1, 2):
        env = Norinori.at_level(level)
        for task in checks.make(env, 8):
            rows, text = checks.rows_of(task.gold), env.solve_aloud(task, random.Random(0))
            for line in text.split("\n") if "try" not in text else ():
                for word in line.split(" -> ")[1].split():
                    where, mark = word.split("=")
                    row, column = where[1:].split("c")
                    assert rows[int(row) - 1][int(column) - 1] == mark


def test_gold_and_work() -> None:
    checks.check_gold(Norinori, nums=(8, 3, 1, 0, 0))


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(Norinori)
    checks.check_many(Norinori, num=300)
    checks.check_forms(Norinori.at_level(1))
    checks.check_hostile(Norinori.at_level(2))


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(Norinori, [{"size": 3}, {"size": 11}, {"num_regions": 1}, {"num_regions": 13}])
    for regions in ([[0, 1]], [[0, 2], [2, 0]], [[-1, 0], [0, 0]], None):
        with pytest.raises(TaskError, match="regions"):
            Norinori().check(checks.by_hand(Norinori(), regions=regions), "1 1\n0 0")
