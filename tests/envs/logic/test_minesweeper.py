import itertools
import random

import pytest

from fulmen.envs.logic.minesweeper import Minesweeper, sums_of, sure_mines
from fulmen.errors import ConfigError, DataError
from fulmen.rewards.places import read_places
from fulmen.types import Task
from tests.envs.logic import every_puzzle as every


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold("minesweeper", level=level, num=6 if level < 4 else 2)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold("minesweeper", level=level, num=50)


def test_common() -> None:
    every.check_attacks("minesweeper")
    every.check_prompts("minesweeper")
    every.check_variety("minesweeper")
    every.check_bounds(
        "minesweeper",
        {"num_rows": 2},
        {"num_columns": 17},
        {"mine_frac": 0.6},
        {"revealed_frac": 0.0},
        {"min_answers": 0},
    )
    with pytest.raises(ConfigError, match="min_answers"):
        Minesweeper(num_rows=3, num_columns=3, min_answers=9).task("train", seed=0, index=0)


def brute_force(grid: list[str]) -> list[tuple[int, int]]:
    """All arrangements of mines on the hidden cells, none shared with the solver."""
    height, width = len(grid), len(grid[0])
    hidden = [(r, c) for r in range(height) for c in range(width) if grid[r][c] == "?"]
    sure = None
    for bits in itertools.product((0, 1), repeat=len(hidden)):
        mines = {cell for cell, bit in zip(hidden, bits, strict=True) if bit}
        if all(
            grid[r][c] == "?" or int(grid[r][c]) == sum(max(abs(r - a), abs(c - b)) == 1 for a, b in mines)
            for r in range(height)
            for c in range(width)
        ):
            sure = mines if sure is None else sure & mines
    return sorted(sure or set())


def test_sure_mines_are_those_of_all_arrangements() -> None:
    env = Minesweeper(num_rows=4, num_columns=4, mine_frac=0.3, revealed_frac=0.4, min_answers=1)
    rng = random.Random(0)
    sizes = []
    for _ in range(25):
        grid, mines = env._bury(rng)
        sure = sure_mines(grid, mines)
        expected = brute_force(grid)
        assert [(cell // 4, cell % 4) for cell in range(16) if sure >> cell & 1] == expected
        sizes.append(len(expected))
    assert len(set(sizes)) > 2
    for index in range(5):
        task = env.task("train", seed=0, index=index)
        assert [(r + 1, c + 1) for r, c in brute_force(task.meta["grid"])] == [tuple(m) for m in task.meta["mines"]]


def test_every_other_set_is_refused() -> None:
    (env, task), *_ = every.make("minesweeper", 1, 1)
    places = [(r, c) for r in range(1, 5) for c in range(1, 5)]
    gold = {tuple(mine) for mine in task.meta["mines"]}
    for size in range(1, 4):
        for chosen in itertools.combinations(places, size):
            value = env.check(task, ", ".join(f"({r},{c})" for r, c in chosen)).value
            assert value == float(set(chosen) == gold)


def board(grid: list[str], mines: list[list[int]]) -> Task:
    return Task(task_id="t", env="minesweeper", prompt=(), gold="", meta={"grid": grid, "mines": mines})


def test_by_hand() -> None:
    # The corner 1 has one hidden neighbour; the 1 beside it is then served, so the rest is free.
    grid = ["1?", "11"]
    assert sure_mines(grid, 0b0010) == 0b0010
    # 1-1 along a wall: one of the two under each; nothing is sure.
    assert sure_mines(["11", "??"], 0b0100) == 0
    # 1-2-1: the outer two.
    assert sure_mines(["121", "???"], 0b101000) == 0b101000
    problem, known = sums_of(["121", "???"], "en")
    assert problem.deduce(known) is None
    assert known.ones == 0b101000
    env, task = Minesweeper(), board(["121", "???"], [[2, 1], [2, 3]])
    assert env.check(task, "(2,3), (2,1)").value == 1.0
    assert "is open" in env.check(task, "(2,1), (1,3)").info
    assert "can be free" in env.check(task, "(2,1), (2,2), (2,3)").info
    assert "1 sure" in env.check(task, "(2,1)").info
    for text in (
        "[[2,1],[2,3]]",
        "r2c1 r2c3",
        "2,1\n2,3",
        "{(2, 1); (2, 3)}",
        "（2，1）、（2，3）。",
        "(2 1) (2 3)",
        "2 1; 2 3",
    ):
        assert env.check(task, text).value == 1.0, text
    for text in (
        "(2,1), (2,3), (2,1)",
        "(2,1,2,3",
        "2,1,2",
        "(0,1)",
        "(2,4)",
        "(002,1)",
        "(2,1) or (2,3)",
        "(2,1)(2,3)(3,1)",
    ):
        assert env.check(task, text).value == 0.0, text


def test_places() -> None:
    assert read_places("R1C2, r10c3", num_rows=10, num_columns=3) == [(1, 2), (10, 3)]
    for text in ("", "()", "(1,2),,(3,4)", "(1,-2)", "1.5,2", "((1,2),,", "none", "(1,2)" * 2, "(٣,1)", "(100,1)"):
        with pytest.raises(DataError):
            read_places(text, num_rows=10, num_columns=10)
