"""Campsite: put a tent beside every tree, no two tents touching, so many in each row and column.

Several placements may be right, and each counts. The gold one is what deduction, with guesses where it stops, finds.
Left out: trees that are not on the grid, and puzzles chosen for having one solution.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.sums import Board, Step, Sum, Sums, blocks, members, place, tell
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_grid
from fulmen.types import Task

TREE, TENT, EMPTY = "T", "C", "_"
MAX_TOLD = 400
"""Steps beyond which a solution is not worth telling."""
LABELS: dict[Language, dict[str, str]] = {
    "en": {"row": "row", "column": "column", "tree": "tree", "touch": "touching", "far": "no tree beside"},
    "zh": {"row": "行", "column": "列", "tree": "树", "touch": "相邻", "far": "旁边没有树"},
}


@dataclass(frozen=True, kw_only=True)
class Camp:
    """A puzzle."""

    rows: Sequence[str]
    """The grid: T for a tree, _ for none."""
    row_counts: Sequence[int]
    column_counts: Sequence[int]

    @property
    def trees(self) -> list[int]:
        """Cells with a tree, counted row by row from 0."""
        return [cell for cell, mark in enumerate("".join(self.rows)) if mark == TREE]


@dataclass(frozen=True, kw_only=True)
class Campsite(PuzzleEnv):
    """Tents beside trees."""

    name: str = "campsite"
    num_rows: int = 6
    """Rows, 3 to 12."""
    num_columns: int = 6
    """Columns, 3 to 12."""
    tree_density: float = 0.17
    """Trees for each cell, 0.05 to 0.22; fewer where tents find no room."""

    rule: ClassVar[str] = "put a tent beside every tree, no two touching, with given numbers in rows and columns"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"num_rows": rows, "num_columns": columns, "tree_density": density}
        for rows, columns, density in ((4, 5, 0.15), (5, 5, 0.16), (6, 6, 0.17), (8, 8, 0.2), (10, 10, 0.2))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Place tents (C) on this camping ground of {height} rows and {width} columns; T is a tree, _ a free cell.\n"
            "{grid}\nA tent stands on a free cell. Tents and trees can be matched in pairs, each tent with one tree "
            "directly above, below, left or right of it, so that none is left over. No two tents touch, not even "
            "diagonally. Tents in each row, from the top: {rows}. Tents in each column, from the left: {columns}.\n"
            "Write the whole grid with T, C and _, one row per line, cells separated by spaces, for example\n"
            "T C _\n_ _ _",
            "Every tree (T) of this grid of {height} rows and {width} columns gets a tent (C) of its own.\n{grid}\n"
            "Rules: a tree and its tent are neighbours horizontally or vertically; no tent serves two trees and there "
            "are no other tents; tents take free cells (_) only; two tents are never next to each other, "
            "horizontally, vertically or diagonally; the rows hold {rows} tents (top to bottom) and the columns "
            "{columns} (left to right).\nAnswer with the full grid, a line for each row and spaces between cells, "
            "free cells still marked _, in the form\nT C _\n_ _ _",
            "Tents puzzle, {height} rows, {width} columns, T = tree, _ = free.\n{grid}\nTents per row from top to "
            "bottom: {rows}. Tents per column from left to right: {columns}. Put C on some free cells so that these "
            "numbers hold, no C is adjacent to another C (diagonals included), and the Cs can be paired one to one "
            "with the Ts, the two of a pair sharing a side.\nGive all rows of the grid, one per line, with spaces "
            "between cells, as in\nT C _\n_ _ _",
        ),
        "zh": (
            "在 {height} 行 {width} 列的营地上搭帐篷（C）；T 是树，_ 是空地。\n{grid}\n帐篷只能搭在空地上；"
            "帐篷与树可以一一配对，没有剩余，且每对的帐篷就在树的正上、正下、正左或正右一格；任意两顶帐篷不相邻（斜向也不行）。"
            "各行帐篷数（从上到下）：{rows}；各列帐篷数（从左到右）：{columns}。\n"
            "请用 T、C、_ 写出整个网格，每行占一行，格子之间用空格分开，格式例如：\nT C _\n_ _ _",
            "帐篷谜题：{height} 行 {width} 列，T 表示树，_ 表示空地。\n{grid}\n请给每棵树配一顶自己的帐篷 C："
            "帐篷与它的树上下或左右紧邻，一顶帐篷只属于一棵树，此外没有别的帐篷；帐篷占空地，且彼此横、竖、斜都不相邻。"
            "从上到下各行应有帐篷 {rows}，从左到右各列应有帐篷 {columns}。\n"
            "答案写出全部格子（空地仍写 _），一行一行地写，用空格隔开，形式如\nT C _\n_ _ _",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_rows", self.num_rows, low=3, high=12)
        require_between("num_columns", self.num_columns, low=3, high=12)
        if not 0.05 <= self.tree_density <= 0.22:
            raise ConfigError(f"tree_density: {self.tree_density}; allowed: a number from 0.05 to 0.22")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a ground with random trees, each of which had room for a tent."""
        camp = self._pitch(rng)
        solved = solve_camp(camp, "en")
        marks = [
            TENT if solved.ones >> cell & 1 else TREE if cell in camp.trees else EMPTY
            for cell in range(self.num_rows * self.num_columns)
        ]
        rows = [" ".join(marks[start : start + self.num_columns]) for start in range(0, len(marks), self.num_columns)]
        prompt = self.phrase(
            rng,
            height=self.num_rows,
            width=self.num_columns,
            grid="\n".join(map(" ".join, camp.rows)),
            rows=" ".join(map(str, camp.row_counts)),
            columns=" ".join(map(str, camp.column_counts)),
        )
        meta = {"grid": camp.rows, "rows": camp.row_counts, "columns": camp.column_counts}
        return Puzzle(key=tuple(meta.values()), prompt=prompt, gold="\n".join(rows), meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule that the grid breaks."""
        camp = _camp_of(task)
        width = len(camp.column_counts)
        cells = read_grid(text.upper(), num_rows=len(camp.rows), num_columns=width, cells=TREE + TENT + EMPTY)
        for cell, (mark, given) in enumerate(zip("".join(map("".join, cells)), "".join(camp.rows), strict=True)):
            if (mark == TREE) != (given == TREE):
                return f"the trees are changed at {place(cell, width)}"
        tents = [cell for cell, mark in enumerate("".join(map("".join, cells))) if mark == TENT]
        for cell in tents:
            for other in tents:
                if cell < other and abs(cell // width - other // width) < 2 and abs(cell % width - other % width) < 2:
                    return f"tents touch at {place(cell, width)} and {place(other, width)}"
        for number, count in enumerate(camp.row_counts):
            if cells[number].count(TENT) != count:
                return f"row {number + 1} has {cells[number].count(TENT)} tents, not {count}"
        for number, count in enumerate(camp.column_counts):
            if [row[number] for row in cells].count(TENT) != count:
                return f"column {number + 1} does not have {count} tents"
        return "" if are_paired(tents, camp.trees, width) else "tents and trees cannot be paired"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the deductions: what a row, a column, a tree or a neighbour settles."""
        camp = _camp_of(task)
        steps = solve_camp(camp, self.language).steps
        if len(steps) > MAX_TOLD:
            return ""
        return tell(steps, num_columns=len(camp.column_counts), language=self.language, symbols=EMPTY + TENT)

    def _pitch(self, rng: random.Random) -> Camp:
        """Returns a camp made by pitching tents at random, each with a tree beside it."""
        height, width = self.num_rows, self.num_columns
        wanted = max(1, round(self.tree_density * height * width))
        tents: list[int] = []
        trees: list[int] = []
        for cell in rng.sample(range(height * width), height * width):
            sides = [side for side in beside(cell, height, width) if side not in tents and side not in trees]
            is_touching = any(
                abs(cell // width - tent // width) < 2 and abs(cell % width - tent % width) < 2 for tent in tents
            )
            if len(tents) < wanted and sides and cell not in trees and not is_touching:
                tents.append(cell)
                trees.append(rng.choice(sides))
        marks = "".join(TREE if cell in trees else EMPTY for cell in range(height * width))
        return Camp(
            rows=[marks[start : start + width] for start in range(0, height * width, width)],
            row_counts=[sum(tent // width == row for tent in tents) for row in range(height)],
            column_counts=[sum(tent % width == column for tent in tents) for column in range(width)],
        )


def beside(cell: int, num_rows: int, num_columns: int) -> list[int]:
    """Returns the cells above, left, right and below."""
    row, column = divmod(cell, num_columns)
    steps = ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column))
    return [r * num_columns + c for r, c in steps if 0 <= r < num_rows and 0 <= c < num_columns]


def are_paired(tents: Sequence[int], trees: Sequence[int], num_columns: int) -> bool:
    """Returns whether tents and trees can be matched one to one, the two of a pair side by side (Kuhn's method)."""
    tree_of: dict[int, int] = {}
    sides = {tent: [tree for tree in trees if _are_beside(tent, tree, num_columns)] for tent in tents}

    def find_tree(tent: int, tried: set[int]) -> bool:
        for tree in sides[tent]:
            if tree not in tried:
                tried.add(tree)
                if tree not in tree_of or find_tree(tree_of[tree], tried):
                    tree_of[tree] = tent
                    return True
        return False

    return len(tents) == len(trees) and all(find_tree(tent, set()) for tent in tents)


def _are_beside(one: int, other: int, num_columns: int) -> bool:
    return abs(one // num_columns - other // num_columns) + abs(one % num_columns - other % num_columns) == 1


def solve_camp(camp: Camp, language: Language) -> Board:
    """Returns a right placement, and the steps to it. The camp must have one."""
    height, width = len(camp.rows), len(camp.column_counts)
    labels = LABELS[language]
    sides = {tree: sum(1 << s for s in beside(tree, height, width) if s not in camp.trees) for tree in camp.trees}
    sums = blocks(height, width, labels["touch"])
    for tree, cells in sides.items():
        sums.append(Sum(cells=cells, low=1, high=4, label=f"{labels['tree']} {place(tree, width)}"))
    for number, count in enumerate(camp.row_counts):
        cells = (1 << width) - 1 << number * width
        sums.append(Sum(cells=cells, low=count, high=count, label=f"{labels['row']} {number + 1}"))
    for number, count in enumerate(camp.column_counts):
        cells = sum(1 << row * width + number for row in range(height))
        sums.append(Sum(cells=cells, low=count, high=count, label=f"{labels['column']} {number + 1}"))
    problem = Sums(sums, num_cells=height * width)
    board = Board(zeros=sum(1 << tree for tree in camp.trees))
    far = problem.all_cells & ~board.zeros
    for cells in sides.values():
        far &= ~cells
    if far:
        board.set(Step(reason="sum", cells=far, value=0, label=labels["far"]))
    solved = problem.solve(board, lambda ones: are_paired(list(members(ones)), camp.trees, width))
    assert solved is not None, "the camp was pitched"
    return solved


def _camp_of(task: Task) -> Camp:
    return Camp(
        rows=read_meta(task, "grid", kind=list),
        row_counts=read_meta(task, "rows", kind=list),
        column_counts=read_meta(task, "columns", kind=list),
    )
