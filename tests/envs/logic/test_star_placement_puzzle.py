import itertools
import random

import pytest

from fulmen.envs.logic.star_placement_puzzle import (
    StarPlacementPuzzle,
    grow_regions,
    is_connected,
    place_stars,
    solve_stars,
)
from fulmen.types import Task
from tests.envs.logic import every_puzzle as every

NAME = "star_placement_puzzle"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=4 if level < 4 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME, num=60, least=58)
    every.check_bounds(NAME, {"size": 3}, {"size": 13}, {"num_stars": 3}, {"size": 7, "num_stars": 2})


def is_right(grid: list[str], stars: list[tuple[int, int]]) -> bool:
    size = len(grid)
    lines = [[r for r, _ in stars], [c for _, c in stars], [grid[r][c] for r, c in stars]]
    return (
        all(len(line) == size == len(set(line)) for line in lines)
        and not any(max(abs(a - c), abs(b - d)) == 1 for (a, b), (c, d) in itertools.combinations(stars, 2))
    )  # fmt: skip


def test_all_placements_on_squares_of_five() -> None:
    num_unique = 0
    for env, task in every.make(NAME, 1, 8):
        grid, num_right = task.meta["grid"], 0
        for columns in itertools.product(range(5), repeat=5):
            stars = list(enumerate(columns))
            right = is_right(grid, stars)
            num_right += right
            # A few of the wrong ones, and all of the right ones, go through the verifier.
            if right or sum(columns) % 97 == columns[0]:
                assert env.check(task, ", ".join(f"({r + 1},{c + 1})" for r, c in stars)).value == float(right)
        assert num_right >= 1
        num_unique += num_right == 1
    assert num_unique >= 5


def test_moved_missing_and_added_stars_score_zero() -> None:
    for level in (2, 4):
        (env, task), *_ = every.make(NAME, level, 1)
        size = len(task.meta["grid"])
        stars = [tuple(map(int, part.strip("()").split(","))) for part in task.gold.split(", ")]
        cells = [(r, c) for r in range(1, size + 1) for c in range(1, size + 1)]
        for at in range(len(stars)):
            rest = stars[:at] + stars[at + 1 :]
            assert env.check(task, str(rest)).value == 0.0
            for cell in cells:
                if cell not in stars:
                    assert env.check(task, str([*rest, cell])).value == 0.0
                    assert env.check(task, str([*stars, cell])).value == 0.0
        assert env.check(task, str(stars[::-1])).value == 1.0
        assert env.check(task, "\n".join(f"r{r}c{c}" for r, c in stars)).value == 1.0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("(1,2), (2,4), (3,1), (4,3)", ""),
        ("(1,3), (2,1), (3,4), (4,2)", "region C"),
        ("(1,2), (2,3), (3,1), (4,4)", "touch"),
        ("(1,2), (2,4), (3,1)", "column 3"),
        ("(1,2), (2,4), (4,1), (4,3)", "row 3"),
        ("(1,1), (2,4), (3,1), (4,3)", "column 1"),
    ],
)
def test_rules_by_hand(text: str, fault: str) -> None:
    meta = {"grid": ["AABB", "ABBB", "CCDD", "CDDD"], "num_stars": 1}
    if not fault:
        assert solve_stars(meta["grid"], 1, "en").ones == 0b0100_0001_1000_0010
    score = StarPlacementPuzzle().check(Task(task_id="t", env=NAME, prompt=(), gold="", meta=meta), text)
    assert score.value == float(not fault)
    assert fault in score.info


def test_regions_hang_together_and_have_their_stars() -> None:
    for level, num in ((1, 10), (3, 5), (5, 2)):
        for _, task in every.make(NAME, level, num):
            grid, size = task.meta["grid"], len(task.meta["grid"])
            assert sorted(set("".join(grid))) == list("ABCDEFGHIJKL"[:size])
            for letter in set("".join(grid)):
                cells = {(r, c) for r in range(size) for c in range(size) if grid[r][c] == letter}
                reached = [min(cells)]
                for r, c in reached:
                    reached += [s for s in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)) if s in cells - {*reached}]
                assert set(reached) == cells
    assert not is_connected(0b100_000_001, 3)
    assert not is_connected(0b001_100, 3)
    assert is_connected(0b001_001, 3)


@pytest.mark.parametrize(("size", "num_stars"), [(4, 1), (8, 2), (12, 2)])
def test_small_and_large_sizes_have_room(size: int, num_stars: int) -> None:
    rng = random.Random(0)
    grown = [grow_regions(rng, place_stars(rng, size, num_stars), size, num_stars) for _ in range(20)]
    assert any(grown)
    for regions in grown:
        assert regions is None or sum(regions) == (1 << size * size) - 1
