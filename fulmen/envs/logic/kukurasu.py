"""Kukurasu: mark cells so that the marked column numbers of each row, and row numbers of each column, have their sums.

Boards are drawn until a search finds one solution only; the checker still works from the rules.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.lattice import cut, place, read_answer, read_counts, read_meta_length, show
from fulmen.envs.solve.narrowing import Narrow, is_unique, no_type_check, search_aloud
from fulmen.errors import ConfigError
from fulmen.types import Task

MAX_DRAWS = 200
"""Boards drawn for one with a single solution."""
MAX_NODES = 40
"""States that a search may take to prove a board unique, which keeps worked solutions short."""
MAX_WAYS_SHOWN = 4
"""Ways to reach a sum that a worked solution writes out."""
FORM_EN = (
    "Answer with {num_rows} lines of {num_columns} digits separated by spaces, 1 for a marked cell and 0 for any other."
    " A board of 2 x 2 with the upper left cell marked would be written\n1 0\n0 0"
)
FORM_ZH = (
    "请回答 {num_rows} 行，每行 {num_columns} 个数字，用空格分开：1 表示标记的格子，0 表示未标记。"
    "例如只标记左上角的 2×2 盘面写成\n1 0\n0 0"
)


class Line(NamedTuple):
    """A row or column with its sum."""

    name: str
    total: int
    cells: tuple[int, ...]
    ways: tuple[int, ...]
    """Sets of places, as bits, whose numbers (from 1) add up to the sum."""


@dataclass(frozen=True, kw_only=True)
class Kukurasu(PuzzleEnv):
    """A board of cells to mark."""

    name: str = "kukurasu"
    num_rows: int = 6
    """2 to 10."""
    num_columns: int = 6
    """2 to 10."""
    marked_percent: int = 40
    """Share of marked cells, 10 to 90."""

    rule: ClassVar[str] = "mark cells so that the marked positions of each row and column add up to its sum"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"num_rows": 4, "num_columns": 4},
        {"num_rows": 5, "num_columns": 5},
        {"num_rows": 6, "num_columns": 6},
        {"num_rows": 7, "num_columns": 7},
        {"num_rows": 8, "num_columns": 8},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Mark some cells of a board with {num_rows} rows and {num_columns} columns. A marked cell in column c "
            "adds c to"
            " the sum of its row, and a marked cell in row r adds r to the sum of its column (both count from 1, from"
            " the left and from the top). Wanted sums of the rows, from top to bottom: {row_sums}. Wanted sums of the"
            " columns, from left to right: {column_sums}.\n" + FORM_EN,
            "Kukurasu, {num_rows} rows by {num_columns} columns. In each row, the column numbers (1, 2, 3, ... from "
            "the left)"
            " of the marked cells must add up to the row's clue; in each column, the row numbers (1, 2, 3, ... from the"
            " top) of the marked cells must add up to the column's clue. A line without marked cells has the sum 0.\n"
            "Row clues: {row_sums}\nColumn clues: {column_sums}\nWhich cells are marked?\n" + FORM_EN,
            "Find a table of zeros and ones, {num_rows} lines of {num_columns}, such that weighting the entries of "
            "every line"
            " by 1, 2, 3, ... from left to right and adding them gives {row_sums} (first line first), and weighting the"
            " entries of every column by 1, 2, 3, ... from top to bottom and adding them gives {column_sums} (leftmost"
            " column first).\n" + FORM_EN,
        ),
        "zh": (
            "请在 {num_rows} 行 {num_columns} 列的盘面上标记若干格子。第 c 列的标记格为其所在行的和贡献 c，第 r "
            "行的标记格为其所在列的和贡献 r"
            "（行从上、列从左数起，均从 1 开始）。各行要求的和（从上到下）：{row_sums}。各列要求的和（从左到右）："
            "{column_sums}。\n" + FORM_ZH,
            "Kukurasu 谜题（{num_rows} 行 {num_columns} 列）：每一行中，被标记格子的列号（从左数 1、2、3……）"
            "之和等于该行的提示数；"
            "每一列中，被标记格子的行号（从上数 1、2、3……）之和等于该列的提示数。没有标记的行或列，和为 0。\n"
            "行提示（从上到下）：{row_sums}\n列提示（从左到右）：{column_sums}\n哪些格子被标记？\n" + FORM_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_rows", self.num_rows, low=2, high=10)
        require_between("num_columns", self.num_columns, low=2, high=10)
        require_between("marked_percent", self.marked_percent, low=10, high=90)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns the sums of a random board that is the only one with these sums."""
        num_cells = self.num_rows * self.num_columns
        for _ in range(MAX_DRAWS):
            marks = [int(rng.randrange(100) < self.marked_percent) for _ in range(num_cells)]
            rows = cut(marks, self.num_columns)
            row_sums, column_sums = [weigh(row) for row in rows], [weigh(c) for c in zip(*rows, strict=True)]
            if is_unique([3] * num_cells, narrow_lines(lines_of(row_sums, column_sums)), max_nodes=MAX_NODES):
                break
        else:
            raise ConfigError(
                f"marked_percent: {self.marked_percent}; allowed: one at which some board of {MAX_DRAWS} is unique"
            )
        prompt = self.phrase(
            rng,
            num_rows=self.num_rows,
            num_columns=self.num_columns,
            row_sums=", ".join(map(str, row_sums)),
            column_sums=", ".join(map(str, column_sums)),
        )
        meta = {"row_sums": row_sums, "column_sums": column_sums}
        return Puzzle(key=(row_sums, column_sums), prompt=prompt, gold=show(rows), meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first row or column with another sum."""
        row_sums, column_sums = _read(task)
        answer = read_answer(text, num_rows=len(row_sums), num_columns=len(column_sums), cells="01")
        rows = [list(map(int, row)) for row in answer]
        for kind, lines, totals in (("row", rows, row_sums), ("column", list(zip(*rows, strict=True)), column_sums)):
            for number, (line, total) in enumerate(zip(lines, totals, strict=True), 1):
                if weigh(line) != total:
                    return f"{kind} {number} has the sum {weigh(line)}, not {total}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: the ways to reach a sum that are left, and the cells they settle."""
        row_sums, column_sums = _read(task)
        narrow = narrow_lines(lines_of(row_sums, column_sums))
        width = len(column_sums)
        start = [3] * (len(row_sums) * width)
        return "\n".join(search_aloud(start, narrow, say=lambda c, bit: f"{place(c, width)}={bit >> 1}"))


@no_type_check
def weigh(line: Sequence[int]) -> int:
    """Returns the sum of the places, counted from 1, that hold a 1.

    >>> weigh([1, 0, 1])
    4
    """
    return sum(place for place, mark in enumerate(line, 1) if mark)


def lines_of(row_sums: Sequence[int], column_sums: Sequence[int]) -> list[Line]:
    """Returns the rows and columns of a board with their sums."""
    width, found = len(column_sums), []
    for number, total in enumerate(row_sums):
        cells = tuple(range(number * width, number * width + width))
        found.append(Line(f"row {number + 1}", total, cells, _ways(width, total)))
    for number, total in enumerate(column_sums):
        cells = tuple(range(number, len(row_sums) * width, width))
        found.append(Line(f"column {number + 1}", total, cells, _ways(len(row_sums), total)))
    return found


@no_type_check
def narrow_lines(lines: Sequence[Line]) -> Narrow:
    """Returns the narrowing by the ways to reach each sum; a domain's bit 0 is an empty cell, bit 1 a marked one."""

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        due = set(changed)
        while due:
            todo, due = due, set()
            for line in lines:
                news = [] if todo.isdisjoint(line.cells) else _fit_line(state, line, notes)
                if news is None:
                    return False
                due.update(news)
        return True

    return narrow


@no_type_check
def _fit_line(state: list[int], line: Line, notes: list[str] | None) -> list[int] | None:
    """Settles the cells of a line on which all ways agree and returns them; None if no way is left."""
    marked = sum(1 << at for at, cell in enumerate(line.cells) if state[cell] == 2)
    empty = sum(1 << at for at, cell in enumerate(line.cells) if state[cell] == 1)
    ways = [way for way in line.ways if way & marked == marked and not way & empty]
    sure, possible = -1, 0
    for way in ways:
        sure &= way
        possible |= way
    news = []
    for at, cell in enumerate(line.cells if ways else ()):
        left = 2 if sure >> at & 1 else 3 if possible >> at & 1 else 1
        if left != 3 and state[cell] == 3:
            state[cell] = left
            news.append(cell)
    if notes is not None and (news or not ways):
        notes.append(_explain(line, ways, news, state))
    return news if ways else None


def _ways(length: int, total: int) -> tuple[int, ...]:
    """Returns the sets of places, as bits, that have a sum."""
    return tuple(way for way in range(1 << length) if sum(at + 1 for at in range(length) if way >> at & 1) == total)


def _explain(line: Line, ways: Sequence[int], news: Sequence[int], state: Sequence[int]) -> str:
    """Returns the ways left to a line and what follows, as in `row 1: 5=1+4 or 5=2+3 -> r1c5=0`."""
    if not ways:
        return f"{line.name}: {line.total} cannot be reached -> clash"
    length = len(line.cells)
    column = line.cells[1] - line.cells[0] if length > 1 else 1
    width = column if line.name.startswith("column") else length
    shown = ["+".join(str(at + 1) for at in range(length) if way >> at & 1) or "0" for way in ways]
    listed = (
        " or ".join(f"{line.total}={way}" for way in shown)
        if len(ways) <= MAX_WAYS_SHOWN
        else f"{line.total} in {len(ways)} ways"
    )
    return f"{line.name}: {listed} -> {' '.join(f'{place(cell, width)}={state[cell] >> 1}' for cell in news)}"


def _read(task: Task) -> tuple[list[int], list[int]]:
    """Returns the sums of a task, checked."""
    height, width = read_meta_length(task, "row_sums"), read_meta_length(task, "column_sums")
    row_sums = read_counts(task, "row_sums", num=height, low=0, high=width * (width + 1) // 2)
    return row_sums, read_counts(task, "column_sums", num=width, low=0, high=height * (height + 1) // 2)
