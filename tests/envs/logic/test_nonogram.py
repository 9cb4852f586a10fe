import itertools

import pytest

from fulmen.envs.logic.nonogram import Nonogram, clues_of, solve_by_lines
from fulmen.envs.solve.lines import force, patterns, runs_of
from tests.envs.logic import every_puzzle as every


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold("nonogram", level=level, num=8 if level < 5 else 2)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold("nonogram", level=level, num=50)


def test_common() -> None:
    every.check_attacks("nonogram")
    every.check_prompts("nonogram")
    every.check_variety("nonogram")
    every.check_bounds("nonogram", {"num_rows": 2}, {"num_columns": 16}, {"density": 0.2}, {"density": float("nan")})


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_patterns_are_all_lines_with_those_runs(length: int) -> None:
    by_runs: dict[tuple[int, ...], set[int]] = {}
    for cells in itertools.product((0, 1), repeat=length):
        runs = tuple(len(part) for part in "".join(map(str, cells)).split("0") if part)
        assert runs_of(cells) == runs
        by_runs.setdefault(runs, set()).add(sum(cell << at for at, cell in enumerate(cells)))
    for runs, masks in by_runs.items():
        assert set(patterns(length, runs)) == masks
        assert len(patterns(length, runs)) == len(masks)


def test_force_by_hand() -> None:
    assert force(5, (4,), ones=0, zeros=0) == (0b01110, 0)
    assert force(5, (2, 2), ones=0, zeros=0) == (0b11011, 0b00100)
    assert force(5, (1,), ones=0b00100, zeros=0) == (0b00100, 0b11011)
    assert force(5, (3,), ones=1, zeros=0b10) is None
    assert force(3, (), ones=0, zeros=0) == (0, 0b111)


def test_the_gold_is_the_only_grid_and_every_other_is_refused() -> None:
    """All 65,536 grids of 4x4 against two puzzles, by text splitting rather than `runs_of`."""
    for env, task in every.make("nonogram", 1, 2):
        right = []
        for bits in itertools.product("01", repeat=16):
            rows = ["".join(bits[start : start + 4]) for start in range(0, 16, 4)]
            columns = ["".join(column) for column in zip(*rows, strict=True)]
            lines = [[[len(run) for run in line.split("0") if run] for line in side] for side in (rows, columns)]
            if lines == [task.meta["rows"], task.meta["columns"]]:
                right.append(rows)
        assert [" ".join(row) for row in right[0]] == task.gold.split("\n")
        assert len(right) == 1
        for at in range(len(task.gold)):
            if task.gold[at] in "01":
                flipped = task.gold[:at] + "10"[int(task.gold[at])] + task.gold[at + 1 :]
                assert env.check(task, flipped).value == 0.0


def test_any_grid_with_the_runs_counts() -> None:
    env, task = Nonogram(num_rows=3, num_columns=3), every.make("nonogram", 1, 1)[0][1]
    meta = {"rows": [[1], [1], []], "columns": [[1], [1], []]}
    task = type(task)(task_id="t", env="nonogram", prompt=task.prompt, gold="", meta=meta)
    assert env.check(task, "100/010/000").value == 1.0
    assert env.check(task, "[[0,1,0],[1,0,0],[0,0,0]]").value == 1.0
    assert env.check(task, "1 0 0\n1 0 0\n0 0 0").value == 0.0
    assert "row 2" in env.check(task, "1 0 0\n1 1 0\n0 0 0").info


def test_forms_that_a_person_would_accept() -> None:
    for env, task in every.make("nonogram", 2, 5):
        rows = [row.split() for row in task.gold.split("\n")]
        joined = ["".join(row) for row in rows]
        for text in (
            "\n".join(joined),
            "/".join(joined),
            "[" + ", ".join("[" + ", ".join(row) + "]" for row in rows) + "]",
            "\n".join(", ".join(row) for row in rows),
            "\r\n".join(joined),
            f"```\n{task.gold}\n```",
            f"$\\boxed{{{'/'.join(joined)}}}$",
            task.gold.translate({ord("0"): "０", ord("1"): "１"}),
        ):
            assert env.check(task, text).value == 1.0, text
        assert env.check(task, "\n".join(joined[:-1])).value == 0.0
        assert env.check(task, "\n".join("_" * len(row) for row in rows)).value == 0.0


def test_steps_are_true_and_fill_the_grid() -> None:
    for _, task in every.make("nonogram", 3, 20):
        grid = [[int(cell) for cell in row.split()] for row in task.gold.split("\n")]
        known, steps = solve_by_lines(*clues_of(grid))
        assert known == ["".join(map(str, row)) for row in grid]
        for step in steps:
            line = grid[step.index] if step.is_row else [row[step.index] for row in grid]
            assert all(cell in ("_", str(true)) for cell, true in zip(step.after, line, strict=True))
            assert step.before != step.after
    assert solve_by_lines([(1,), (1,)], [(1,), (1,)])[0] == ["__", "__"]
