"""Nonogram: fill a grid from the lengths of the runs in its rows and columns.

Every puzzle that is drawn yields to reasoning about one line at a time, which also proves its solution unique. The
verifier works from the run lengths alone. Left out: colours, and puzzles that need guesses.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.lines import MAX_LENGTH, Runs, force, runs_of
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_grid
from fulmen.types import Task

Grid = list[list[int]]
NAMES = {"en": ("row", "column"), "zh": ("行", "列")}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A line that reasoning about it alone takes further."""

    is_row: bool
    index: int
    """From 0."""
    before: str
    """Its cells: 0, 1, or _ for unknown."""
    after: str


@dataclass(frozen=True, kw_only=True)
class Nonogram(PuzzleEnv):
    """A grid of filled and empty cells, from run lengths."""

    name: str = "nonogram"
    num_rows: int = 7
    """Rows, 3 to 15."""
    num_columns: int = 7
    """Columns, 3 to 15."""
    density: float = 0.5
    """Chance that a cell is filled, 0.3 to 0.7; a little more come where lines alone would not do."""

    rule: ClassVar[str] = "fill a grid from the lengths of the runs in its rows and columns"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"num_rows": n, "num_columns": n, "density": density}
        for n, density in ((4, 0.5), (5, 0.5), (7, 0.5), (10, 0.5), (15, 0.5))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Nonogram with {height} rows and {width} columns. Every cell is 1 (filled) or 0 (empty). The numbers of a "
            "line are the lengths of its runs of 1s in order, from left to right or from top to bottom; between two "
            "runs there is at least one 0, and the number 0 means a line without 1s.\n{lines}\nGive the rows from top "
            "to bottom, one per line, cells separated by spaces, for example (2 rows, 3 columns):\n1 0 1\n0 1 1",
            "Fill a grid of {height} rows and {width} columns with 0s and 1s. For each row (left to right) and each "
            "column (top to bottom) you get the lengths of all its groups of adjacent 1s, in order; groups are "
            "kept apart by one or more 0s. A lone 0 stands for no 1 at all.\n{lines}\nAnswer with the whole grid, a "
            "line for each row and spaces between cells, in the form\n1 0 1\n0 1 1",
            "Solve this picture puzzle.\n{lines}\nThe grid has {height} rows and {width} columns; 1 is a black cell, "
            "0 a white one. A row's numbers are the lengths of its unbroken stretches of black cells from left to "
            "right, a column's from top to bottom, with one white cell or more between stretches; 0 says that the "
            "line is all white. Write every row on its own line with spaces between cells, as in\n1 0 1\n0 1 1",
        ),
        "zh": (
            "数织谜题：{height} 行 {width} 列，每格填 1（涂黑）或 0（留空）。每行（从左到右）、每列（从上到下）的数字"
            "依次是其中各段连续 1 的长度，两段之间至少有一个 0；数字 0 表示该行或该列没有 1。\n{lines}\n请从上到下"
            "逐行写出整个网格，每行占一行，格子之间用空格分开，格式例如（2 行 3 列）：\n1 0 1\n0 1 1",
            "请用 0 和 1 填满一个 {height} 行 {width} 列的网格。下面给出每行（自左向右）和每列（自上向下）"
            "里所有连续 1 的段长，按顺序排列，段与段之间至少隔一个 0，单独的 0 表示全为 0。"
            "\n{lines}\n答案写成整个网格：一行一行地写，数字用空格隔开，形式如\n1 0 1\n0 1 1",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_rows", self.num_rows, low=3, high=MAX_LENGTH)
        require_between("num_columns", self.num_columns, low=3, high=MAX_LENGTH)
        if not 0.3 <= self.density <= 0.7:
            raise ConfigError(f"density: {self.density}; allowed: a number from 0.3 to 0.7")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random grid; cells on which lines alone get stuck are filled until they do not."""
        grid = [[int(rng.random() < self.density) for _ in range(self.num_columns)] for _ in range(self.num_rows)]
        while True:
            row_runs, column_runs = clues_of(grid)
            known, _ = solve_by_lines(row_runs, column_runs)
            stuck = [(r, c) for r, row in enumerate(known) for c, cell in enumerate(row) if cell == "_"]
            if not stuck:
                break
            # A stuck line has an unknown 0: filling it ends the loop after as many rounds as there are cells.
            r, c = rng.choice([(r, c) for r, c in stuck if not grid[r][c]])
            grid[r][c] = 1
        prompt = self.phrase(
            rng, height=self.num_rows, width=self.num_columns, lines=self._show_clues(row_runs, column_runs)
        )
        meta = {"rows": [list(runs) for runs in row_runs], "columns": [list(runs) for runs in column_runs]}
        return Puzzle(key=(meta["rows"], meta["columns"]), prompt=prompt, gold=_show(grid), meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first line whose runs are others."""
        rows, columns = read_meta(task, "rows", kind=list), read_meta(task, "columns", kind=list)
        cells = read_grid(text, num_rows=len(rows), num_columns=len(columns), cells="01")
        row_runs, column_runs = clues_of([[int(cell) for cell in row] for row in cells])
        for line_name, wanted, found in (("row", rows, row_runs), ("column", columns, column_runs)):
            for number, (want, have) in enumerate(zip(wanted, found, strict=True), 1):
                if list(have) != list(want):
                    return f"{line_name} {number} has runs {_numbers(have)}, not {_numbers(want)}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns one line per deduction: the line, its run lengths, its cells before and after."""
        rows = [tuple(runs) for runs in read_meta(task, "rows", kind=list)]
        columns = [tuple(runs) for runs in read_meta(task, "columns", kind=list)]
        lines = []
        for step in solve_by_lines(rows, columns)[1]:
            runs = (rows if step.is_row else columns)[step.index]
            line_name = NAMES[self.language][0 if step.is_row else 1]
            lines.append(f"{line_name} {step.index + 1} ({_numbers(runs)}): {step.before} > {step.after}")
        return "\n".join(lines)

    def _show_clues(self, row_runs: Sequence[Runs], column_runs: Sequence[Runs]) -> str:
        row_name, column_name = NAMES[self.language]
        rows = [f"{row_name} {number}: {_numbers(runs)}" for number, runs in enumerate(row_runs, 1)]
        return "\n".join(
            rows + [f"{column_name} {number}: {_numbers(runs)}" for number, runs in enumerate(column_runs, 1)]
        )


def clues_of(grid: Grid) -> tuple[list[Runs], list[Runs]]:
    """Returns the run lengths of rows and of columns."""
    return [runs_of(row) for row in grid], [runs_of(column) for column in zip(*grid, strict=True)]


def solve_by_lines(row_runs: Sequence[Runs], column_runs: Sequence[Runs]) -> tuple[list[str], list[Step]]:
    """Returns the rows as far as lines taken singly fill them (0, 1, or _ for unknown), and the steps that did it.

    The clues must have a solution.
    """
    grid = [["_"] * len(column_runs) for _ in row_runs]
    steps: list[Step] = []
    is_dirty = {True: [True] * len(row_runs), False: [True] * len(column_runs)}
    while any(is_dirty[True]) or any(is_dirty[False]):
        for is_row, all_runs in ((True, row_runs), (False, column_runs)):
            for index, runs in enumerate(all_runs):
                if not is_dirty[is_row][index]:
                    continue
                is_dirty[is_row][index] = False
                before = "".join(grid[index] if is_row else [row[index] for row in grid])
                after = _force(before, runs)
                if after == before:
                    continue
                steps.append(Step(is_row=is_row, index=index, before=before, after=after))
                for at in [at for at in range(len(after)) if after[at] != before[at]]:
                    row, column = (index, at) if is_row else (at, index)
                    grid[row][column] = after[at]
                    is_dirty[not is_row][at] = True
    return ["".join(row) for row in grid], steps


def _force(line: str, runs: Runs) -> str:
    """Returns a line with the cells that its runs force."""
    ones = sum(1 << at for at, cell in enumerate(line) if cell == "1")
    zeros = sum(1 << at for at, cell in enumerate(line) if cell == "0")
    forced = force(len(line), runs, ones=ones, zeros=zeros)
    assert forced is not None, "the clues have a solution"
    return "".join("1" if forced[0] >> at & 1 else "0" if forced[1] >> at & 1 else "_" for at in range(len(line)))


def _numbers(runs: Sequence[int]) -> str:
    return " ".join(map(str, runs)) or "0"


def _show(grid: Grid) -> str:
    return "\n".join(" ".join(map(str, row)) for row in grid)
