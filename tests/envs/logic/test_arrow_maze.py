import itertools

import pytest

from fulmen.envs.logic.arrow_maze import ArrowMaze
from fulmen.envs.solve.rays import STEPS, STRAIGHT, deduce, ray
from fulmen.types import Task
from tests.envs.logic import every_puzzle as every

NAME = "arrow_maze"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=6, is_taught=level < 4)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50, is_taught=level < 4)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME)
    every.check_bounds(NAME, {"num_rows": 2}, {"num_columns": 13}, {"shown_frac": 0.95}, {"shown_frac": -0.1})


def is_right(grid: list[list[str]]) -> bool:
    """The rules as the second template says them: walk back from each arrow, and count what arrives at each number."""
    arrived: dict[tuple[int, int], int] = {}
    for r, c in itertools.product(range(len(grid)), range(len(grid[0]))):
        if grid[r][c] not in STEPS:
            continue
        (down, right), y, x = STEPS[grid[r][c]], r, c
        while 0 <= y < len(grid) and 0 <= x < len(grid[0]) and grid[y][x] == grid[r][c]:
            y, x = y - down, x - right
        if not (0 <= y < len(grid) and 0 <= x < len(grid[0])) or not grid[y][x].isdigit():
            return False
        arrived[y, x] = arrived.get((y, x), 0) + 1
    return all(
        arrived.get((r, c), 0) == int(cell)
        for r, row in enumerate(grid)
        for c, cell in enumerate(row)
        if cell.isdigit()
    )


@pytest.mark.parametrize("has_diagonals", [False, True])
def test_all_fillings_of_small_grids(has_diagonals: bool) -> None:
    env = ArrowMaze(
        num_rows=3,
        num_columns=3,
        shown_frac=0.6 if has_diagonals else 0.3,
        has_diagonals=has_diagonals,
        is_deducible=False,
    )
    for index in range(3):
        task = env.task("train", seed=0, index=index)
        blanks = [(r, c) for r in range(3) for c in range(3) if task.meta["grid"][r][c] == "_"]
        num_right = 0
        for arrows in itertools.product(STEPS if has_diagonals else STRAIGHT, repeat=len(blanks)):
            grid = [list(row) for row in task.meta["grid"]]
            for (r, c), arrow in zip(blanks, arrows, strict=True):
                grid[r][c] = arrow
            right = is_right(grid)
            assert env.check(task, "\n".join(map(" ".join, grid))).value == float(right), grid
            num_right += right
        assert num_right >= 1


def maze(grid: list[str], has_diagonals: bool = True) -> Task:
    meta = {"grid": [row.split() for row in grid], "has_diagonals": has_diagonals}
    return Task(task_id="t", env=NAME, prompt=(), gold="", meta=meta)


@pytest.mark.parametrize(
    ("task", "text", "fault"),
    [
        (maze(["2 _ _"]), "2 → →", ""),
        (maze(["2 _ _"]), "2→→", ""),
        (maze(["2 _ _"]), "2 → ←", "has 1 arrows"),
        (maze(["2 _ _"]), "1 → →", "allowed"),
        (maze(["2 _ 1", "_ _ _"]), "2 → 1\n↓ ↘ ↓", "has 3"),
        (maze(["3 _ 1", "_ _ _"]), "3 → 1\n↓ ↘ ↓", ""),
        (maze(["3 _ 1", "_ _ _"], False), "3 → 1\n↓ ↘ ↓", "allowed"),
        (maze(["1 _ 1 _"]), "1 → 1 →", ""),
        # The second arrow points on, but its line comes from the other number.
        (maze(["2 _ 0 _"]), "2 → 0 →", "has 1"),
        (maze(["2 _ _", "_ 1 _"]), "2 → →\n← 1 →", "has 2"),
        (maze(["2 _ _", "_ 2 _"]), "2 → →\n← 2 →", ""),
        (maze(["2 _ _ _"]), "2 → → ←", "in no ray"),
        (maze(["2 → _"]), "2 ← →", "changed"),
        (maze(["2 _ _"]), "2 2 →", "no arrow"),
        (maze(["2 _ _"]), "2 _ _", "allowed"),
        (maze(["2 _ _"]), "2 → → →", "cells"),
    ],
)
def test_rules_by_hand(task: Task, text: str, fault: str) -> None:
    score = ArrowMaze().check(task, text)
    assert score.value == float(not fault), score
    assert fault in score.info


def test_the_unsolved_grid_and_changed_cells_score_zero() -> None:
    for level in (1, 3):
        for env, task in every.make(NAME, level, 2):
            assert env.check(task, "\n".join(map(" ".join, task.meta["grid"]))).value == 0.0
            rows = [row.split() for row in task.gold.split("\n")]
            for r, c in itertools.product(range(len(rows)), range(len(rows[0]))):
                for other in [*STEPS, "1", "_"]:
                    if other == rows[r][c]:
                        continue
                    grid = [list(row) for row in rows]
                    grid[r][c] = other
                    is_shown = task.meta["grid"][r][c] != "_"
                    expected = not is_shown and other in STEPS and is_right(grid) and (level > 1 or other in STRAIGHT)
                    assert env.check(task, "\n".join(map(" ".join, grid))).value == float(expected)


def test_forms_that_a_person_would_accept() -> None:
    for env, task in every.make(NAME, 3, 5):
        rows = [row.split() for row in task.gold.split("\n")]
        for text in (
            "\n".join(map(", ".join, rows)),
            " / ".join(map(" ".join, rows)),
            str(rows),
            "\n".join("  ".join(cell + "\ufe0f" if cell in STEPS else cell for cell in row) for row in rows),
            f"```\n{task.gold}\n```",
        ):
            assert env.check(task, text).value == 1.0, text


def test_examples_in_prompts_and_zeros() -> None:
    # The form shown in every prompt is no answer by the rules, so that nobody learns it as one.
    assert not is_right([["2", "→", "→"], ["1", "→", "↑"]])
    for level in range(1, 6):
        for _, task in every.make(NAME, level, 3):
            assert not any(cell == "0" for row in task.meta["grid"] for cell in row)
    assert ray([["3", "→", "→", "←"]], (0, 0), "→") == [(0, 1), (0, 2)]


def test_deductions_hold_in_every_solution() -> None:
    env = ArrowMaze(num_rows=3, num_columns=3, shown_frac=0.2, has_diagonals=False, is_deducible=False)
    num_filled = 0
    for index in range(8):
        grid = [list(row) for row in env.task("train", seed=1, index=index).meta["grid"]]
        blanks = [(r, c) for r in range(3) for c in range(3) if grid[r][c] == "_"]
        known = [list(row) for row in grid]
        steps = deduce(known, list(STRAIGHT))
        assert sum(len(step.cells) for step in steps) == sum(row.count("_") for row in grid) - sum(
            row.count("_") for row in known
        )
        for arrows in itertools.product(STRAIGHT, repeat=len(blanks)):
            for (r, c), arrow in zip(blanks, arrows, strict=True):
                grid[r][c] = arrow
            if is_right(grid):
                assert all(known[r][c] in ("_", grid[r][c]) for r, c in blanks)
        num_filled += not any("_" in row for row in known)
    assert num_filled > 2


def test_each_inference_by_hand() -> None:
    for rows, expected in (
        (["3 _ _ →"], [("back", (0, 3), [(0, 2), (0, 1)], "→")]),
        (["2 _ _"], [("number", (0, 0), [(0, 1), (0, 2)], "→")]),
        # Three of four cells: at least one on either side, and a second one somewhere.
        (["_ _ 3 _ _"], [("number", (0, 2), [(0, 3)], "→"), ("number", (0, 2), [(0, 1)], "←")]),
        (["0 _ 1 ←"], []),
    ):
        steps = deduce([row.split() for row in rows], list(STRAIGHT))
        assert [(step.reason, step.place, list(step.cells), step.arrow) for step in steps[: len(expected)]] == expected
    (only, *_) = deduce([row.split() for row in ["2 _ 0", "_ 1 _"]], ["→", "↓"])
    assert only.reason in ("number", "only")
