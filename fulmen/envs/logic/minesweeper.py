"""Minesweeper: name every hidden cell that must be a mine.

A cell counts if it is a mine in every arrangement that agrees with the numbers; a complete search proves it, one
arrangement with the cell free refutes it. The number of mines is not told, so cells beside no number never count.
Left out: moves, chances, and puzzles that no deduction of the told kind solves.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.sums import Board, Sum, Sums, members, place, tell
from fulmen.errors import ConfigError
from fulmen.rewards.places import read_places
from fulmen.types import Task

HIDDEN = "?"
MAX_GROUNDS = 400
"""Random grounds tried before the settings count as impossible."""
LABELS: dict[Language, str] = {"en": "the {count} at {place}", "zh": "{place} 的 {count}"}
STATES: dict[Language, tuple[str, str]] = {"en": ("free", "mine"), "zh": ("安全", "雷")}


@dataclass(frozen=True, kw_only=True)
class Minesweeper(PuzzleEnv):
    """Which hidden cells are surely mines."""

    name: str = "minesweeper"
    num_rows: int = 7
    """Rows, 3 to 16."""
    num_columns: int = 7
    """Columns, 3 to 16."""
    mine_frac: float = 0.3
    """Of all cells, 0.1 to 0.5."""
    revealed_frac: float = 0.38
    """Of all cells, 0.1 to 0.6; never more than are free."""
    min_answers: int = 4
    """Fewest sure mines, 1 to 40."""

    rule: ClassVar[str] = "name every hidden cell that must be a mine"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = tuple(
        {"num_rows": n, "num_columns": n, "mine_frac": mines, "revealed_frac": shown, "min_answers": least}
        for n, mines, shown, least in (
            (4, 0.25, 0.45, 2),
            (5, 0.3, 0.4, 2),
            (7, 0.3, 0.38, 4),
            (11, 0.33, 0.36, 8),
            (16, 0.35, 0.35, 12),
        )
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Minesweeper. A number is a free cell and counts the mines among the up to eight cells around it; ? is a "
            "hidden cell, a mine or free.\n{grid}\nWhich hidden cells are mines in every arrangement of mines that "
            "agrees with all numbers? The total number of mines is unknown. List all of them and no others as "
            "(row,column), counted from 1 from the top left corner, in any order, for example: (1,2), (4,3)",
            "On this board of {height} rows and {width} columns some cells hide a mine.\n{grid}\nOpened cells show how "
            "many of their neighbours (sideways, up and down, diagonally) hold a mine, and hold none themselves; "
            "cells marked ? are unopened. How many mines there are in all is not given. Name exactly those unopened "
            "cells that must hold a mine, whatever the rest looks like. Write (row,column) pairs separated by commas; "
            "the top row is row 1, the leftmost column is column 1. The form is (1,2), (4,3)",
            "Find all certain mines.\n{grid}\n? = not opened yet; a digit = no mine here, and this many mines in the "
            "surrounding cells, diagonals included. A mine is certain if no placement of mines that fits all the "
            "digits leaves its cell empty; you are not told how many mines exist. Reply with every certain mine as "
            "(row,column), both numbered from 1 from the top left, such as: (1,2), (4,3)",
        ),
        "zh": (
            "扫雷。数字格没有雷，数字表示其周围（至多八格，含斜向）的雷数；? 是未翻开的格子，可能有雷也可能没有。\n"
            "{grid}\n雷的总数未知。在所有符合全部数字的布雷方式中，哪些未翻开的格子必定是雷？请列出全部这样的格子，"
            "不要列其他格子，写成 (行,列)，从左上角起由 1 计数，顺序不限，格式例如：(1,2), (4,3)",
            "下面是 {height} 行 {width} 列的扫雷盘面。\n{grid}\n已翻开的格子显示上下左右及斜向相邻格中雷的个数，"
            "自身无雷；? 表示尚未翻开。总雷数没有给出。请找出所有一定是雷的 ? 格：凡是与数字相符的布局，该格都是雷。"
            "用逗号分隔的 (行,列) 作答，最上一行为第 1 行，最左一列为第 1 列，形式如 (1,2), (4,3)",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_rows", self.num_rows, low=3, high=16)
        require_between("num_columns", self.num_columns, low=3, high=16)
        require_between("min_answers", self.min_answers, low=1, high=40)
        if not 0.1 <= self.mine_frac <= 0.5:
            raise ConfigError(f"mine_frac: {self.mine_frac}; allowed: a number from 0.1 to 0.5")
        if not 0.1 <= self.revealed_frac <= 0.6:
            raise ConfigError(f"revealed_frac: {self.revealed_frac}; allowed: a number from 0.1 to 0.6")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random ground, partly opened, with enough sure mines, all of which deduction finds."""
        for _ in range(MAX_GROUNDS):
            grid, mines = self._bury(rng)
            problem, board = sums_of(grid, self.language)
            problem.deduce(board)
            if board.ones.bit_count() >= self.min_answers and next(subtle_mines(problem, board, mines), None) is None:
                break
        else:
            raise ConfigError(f"min_answers: {self.min_answers}; allowed: fewer for such mine_frac and revealed_frac")
        answer = [[cell // self.num_columns + 1, cell % self.num_columns + 1] for cell in members(board.ones)]
        prompt = self.phrase(
            rng, height=self.num_rows, width=self.num_columns, grid="\n".join(" ".join(row) for row in grid)
        )
        gold = ", ".join(f"({row},{column})" for row, column in answer)
        return Puzzle(key=(grid,), prompt=prompt, gold=gold, meta={"grid": grid, "mines": answer})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns a place that is missing or wrong."""
        grid = read_meta(task, "grid", kind=list)
        mines = [(row, column) for row, column in read_meta(task, "mines", kind=list)]
        places = read_places(text, num_rows=len(grid), num_columns=len(grid[0]))
        for row, column in places:
            if grid[row - 1][column - 1] != HIDDEN:
                return f"({row},{column}) is open"
            if (row, column) not in mines:
                return f"({row},{column}) can be free"
        missing = [mine for mine in mines if mine not in places]
        return f"{len(missing)} sure mines are missing" if missing else ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the deductions: what a number settles, and what a number refutes."""
        grid = read_meta(task, "grid", kind=list)
        problem, board = sums_of(grid, self.language)
        problem.deduce(board)
        return tell(board.steps, num_columns=len(grid[0]), language=self.language, symbols=STATES[self.language])

    def _bury(self, rng: random.Random) -> tuple[list[str], int]:
        """Returns the grid as it is shown, and the cells with mines."""
        height, width = self.num_rows, self.num_columns
        cells = rng.sample(range(height * width), height * width)
        num_mines = round(self.mine_frac * len(cells))
        mines = sum(1 << cell for cell in cells[:num_mines])
        shown = cells[num_mines : num_mines + round(self.revealed_frac * len(cells))]
        marks = [HIDDEN] * len(cells)
        for cell in shown:
            marks[cell] = str((around(cell, height, width) & mines).bit_count())
        return ["".join(marks[start : start + width]) for start in range(0, len(marks), width)], mines


def around(cell: int, num_rows: int, num_columns: int) -> int:
    """Returns the up to eight neighbours of a cell, as a bitmask."""
    row, column = divmod(cell, num_columns)
    left, right = max(column - 1, 0), min(column + 2, num_columns)
    side = (1 << right) - (1 << left)
    return sum(side << r * num_columns for r in range(max(row - 1, 0), min(row + 2, num_rows))) & ~(1 << cell)


def sums_of(grid: Sequence[str], language: Language) -> tuple[Sums, Board]:
    """Returns what the numbers say of the hidden cells, and a board on which open cells are free."""
    height, width = len(grid), len(grid[0])
    marks = "".join(grid)
    hidden = sum(1 << cell for cell, mark in enumerate(marks) if mark == HIDDEN)
    sums = []
    for cell, mark in enumerate(marks):
        near = around(cell, height, width) & hidden
        if mark != HIDDEN and near:
            label = LABELS[language].format(count=mark, place=place(cell, width))
            sums.append(Sum(cells=near, low=int(mark), high=int(mark), label=label))
    problem = Sums(sums, num_cells=len(marks))
    return problem, Board(zeros=problem.all_cells & ~hidden)


def sure_mines(grid: Sequence[str], mines: int) -> int:
    """Returns the cells that are mines in every arrangement that agrees with the numbers; `mines` is one of them."""
    problem, board = sums_of(grid, "en")
    problem.deduce(board)
    return board.ones | sum(1 << cell for cell in subtle_mines(problem, board, mines))


def subtle_mines(problem: Sums, board: Board, mines: int) -> Iterator[int]:
    """Yields the sure mines that are not yet on a board from which all told deductions have been made."""
    maybe = mines & ~board.ones & ~board.zeros
    for cell in members(maybe):
        if not problem.sums_of_cell[cell] or not maybe >> cell & 1:
            continue
        other = problem.other(cell, truth=mines, board=board)
        if other is None:
            yield cell
        else:
            maybe &= other
