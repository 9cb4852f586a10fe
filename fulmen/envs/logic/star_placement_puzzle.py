"""Star placement (star battle): so many stars in each row, column and region, no two touching.

Regions grow around a random placement. With one star each, they then give cells to one another where that rules out
another placement, so most such puzzles have one solution; the verifier counts any. Left out: regions in several
pieces, and proofs that a puzzle with two stars has one solution (they cost seconds).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.sums import Board, Sum, Sums, blocks, members, tell
from fulmen.errors import ConfigError
from fulmen.rewards.places import read_places
from fulmen.types import Task

LETTERS = "ABCDEFGHIJKL"
MAX_TRADES = 20
"""Cells that regions give away in search of a puzzle with one solution."""
MAX_PLACEMENTS = 1000
"""Placements tried until regions can be drawn around one."""
LABELS: dict[Language, dict[str, str]] = {
    "en": {"row": "row", "column": "column", "region": "region", "touch": "touching"},
    "zh": {"row": "行", "column": "列", "region": "区域", "touch": "相邻"},
}
COUNTS: dict[Language, tuple[str, str]] = {"en": ("1 star", "2 stars"), "zh": ("1 颗星", "2 颗星")}
STATES: dict[Language, tuple[str, str]] = {"en": ("empty", "star"), "zh": ("空", "星")}


@dataclass(frozen=True, kw_only=True)
class StarPlacementPuzzle(PuzzleEnv):
    """Stars that keep apart, in a square with regions."""

    name: str = "star_placement_puzzle"
    size: int = 7
    """Rows, columns and regions, 4 to 12; 8 or more with 2 stars."""
    num_stars: int = 1
    """Stars in each row, column and region, 1 or 2."""

    rule: ClassVar[str] = "place so many stars in each row, column and region, no two touching"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"size": size, "num_stars": stars} for size, stars in ((5, 1), (6, 1), (7, 1), (8, 2), (10, 2))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Place stars in this square of {size} rows and {size} columns; equal letters make up a region.\n{grid}\n"
            "Each row, each column and each region has exactly {stars}. No two stars touch, not even diagonally. "
            "List the cells with stars as (row,column), counted from 1 from the top left corner, in any order, "
            "for example: (1,3), (2,5)",
            "Star battle, {size} by {size}. The letter of a cell names its region.\n{grid}\nFind cells for stars such "
            "that every row holds {stars}, every column holds {stars}, every region holds {stars}, and no star has "
            "another among the eight cells around it. Answer with all star cells as (row,column) pairs separated by "
            "commas; the top row is row 1, the leftmost column is column 1. The form is (1,3), (2,5)",
            "The grid is divided into regions, one for each letter.\n{grid}\nPut {stars} into every row, column and "
            "region (exactly so many), and keep stars apart: two of them are never neighbours sideways, upright or "
            "diagonally. Write where the stars are: (row,column), rows numbered from the top and columns from the "
            "left, both from 1, such as (1,3), (2,5)",
        ),
        "zh": (
            "在 {size} 行 {size} 列的方阵里放星星，字母相同的格子组成一个区域。\n{grid}\n"
            "每行、每列、每个区域恰好有 {stars}；任意两颗星不相邻（斜向也不行）。"
            "请列出所有星星的位置，写成 (行,列)，从左上角起由 1 计数，顺序不限，格式例如：(1,3), (2,5)",
            "星战谜题，大小 {size}×{size}，格中的字母是它所属的区域。\n{grid}\n"
            "请选出放星的格子，使每一行、每一列、"
            "每一区域都正好有 {stars}，并且任何一颗星周围的八个格子里没有别的星。"
            "用逗号分隔的 (行,列) 作答，最上一行为第 1 行，最左一列为第 1 列，形式如 (1,3), (2,5)",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_stars", self.num_stars, low=1, high=2)
        require_between("size", self.size, low=4, high=12)
        if self.num_stars == 2 and self.size < 8:
            raise ConfigError(f"size: {self.size}; allowed: 8 to 12 with num_stars = 2")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns regions around a random placement, changed until it is the only one, or almost."""
        for _ in range(MAX_PLACEMENTS):
            stars = place_stars(rng, self.size, self.num_stars)
            regions = grow_regions(rng, stars, self.size, self.num_stars)
            if regions is not None:
                break
        else:
            raise ConfigError(f"size: {self.size}; allowed: one around whose stars regions can be drawn")
        if self.num_stars == 1:
            self._trade(rng, regions, sum(1 << star for star in stars))
        grid = _rename(regions, self.size)
        solved = solve_stars(grid, self.num_stars, "en")
        count = COUNTS[self.language][self.num_stars - 1]
        prompt = self.phrase(rng, size=self.size, stars=count, grid="\n".join(" ".join(row) for row in grid))
        gold = ", ".join(f"({star // self.size + 1},{star % self.size + 1})" for star in members(solved.ones))
        meta = {"grid": grid, "num_stars": self.num_stars}
        return Puzzle(key=(grid, self.num_stars), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule that the stars break."""
        grid, num_stars = read_meta(task, "grid", kind=list), read_meta(task, "num_stars", kind=int)
        stars = read_places(text, num_rows=len(grid), num_columns=len(grid))
        for at, (row, column) in enumerate(stars):
            for r, c in stars[:at]:
                if abs(r - row) < 2 and abs(c - column) < 2:
                    return f"stars touch at ({r},{c}) and ({row},{column})"
        for number in range(1, len(grid) + 1):
            letter = LETTERS[number - 1]
            counts = {
                f"row {number}": sum(row == number for row, _ in stars),
                f"column {number}": sum(column == number for _, column in stars),
                f"region {letter}": sum(grid[row - 1][column - 1] == letter for row, column in stars),
            }
            for label, count in counts.items():
                if count != num_stars:
                    return f"{label} has {count} stars, not {num_stars}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the deductions: what a row, a column, a region or a neighbour settles or refutes."""
        grid, num_stars = read_meta(task, "grid", kind=list), read_meta(task, "num_stars", kind=int)
        steps = solve_stars(grid, num_stars, self.language).steps
        return tell(steps, num_columns=len(grid), language=self.language, symbols=STATES[self.language])

    def _trade(self, rng: random.Random, regions: list[int], truth: int) -> None:
        """Gives cells of other placements to other regions, in place, until none is left or `MAX_TRADES`."""
        for _ in range(MAX_TRADES):
            problem = Sums(_sums(regions, self.size, self.num_stars, "en"), num_cells=self.size**2)
            others = (problem.other(star, truth=truth) for star in members(truth))
            other = next((ones for ones in others if ones is not None), None)
            if other is None:
                return
            trades = [
                (cell, giver, taker)
                for cell in members(other & ~truth)
                for giver, region in enumerate(regions)
                if region >> cell & 1 and is_connected(region & ~(1 << cell), self.size)
                for taker, taking in enumerate(regions)
                if taker != giver and taking & _sides(1 << cell, self.size)
            ]
            if not trades:
                return
            cell, giver, taker = max(trades, key=lambda trade: (regions[trade[2]].bit_count(), rng.random()))
            regions[giver] &= ~(1 << cell)
            regions[taker] |= 1 << cell


def place_stars(rng: random.Random, size: int, num_stars: int) -> list[int]:
    """Returns cells for stars, so many in each row and column, no two touching."""
    counts = [0] * size
    chosen: list[tuple[int, ...]] = []

    def extend() -> bool:
        if len(chosen) == size:
            return True
        near = {column + step for column in (chosen[-1] if chosen else ()) for step in (-1, 0, 1)}
        free = [column for column in range(size) if counts[column] < num_stars and column not in near]
        pairs = [(a, b) for a in free for b in free if b > a + 1] if num_stars == 2 else [(a,) for a in free]
        for columns in rng.sample(pairs, len(pairs)):
            chosen.append(columns)
            for column in columns:
                counts[column] += 1
            if extend():
                return True
            chosen.pop()
            for column in columns:
                counts[column] -= 1
        return False

    assert extend(), "stars find room in every size that is allowed"
    return [row * size + column for row, columns in enumerate(chosen) for column in columns]


def grow_regions(rng: random.Random, stars: Sequence[int], size: int, num_stars: int) -> list[int] | None:
    """Returns connected regions, as bitmasks, with so many stars each; None if they get into one another's way."""
    left = list(stars)
    regions = []
    taken = sum(1 << star for star in stars)
    while left:
        star = left.pop(rng.randrange(len(left)))
        region = 1 << star
        if num_stars == 2:
            path = _path_to_star(star, left, taken, size)
            if path is None:
                return None
            region |= path
            left.remove(next(other for other in left if path >> other & 1))
        regions.append(region)
        taken |= region
    free = (1 << size * size) - 1 & ~taken
    while free:
        # Regions of uneven size leave fewer placements.
        at = min(rng.randrange(len(regions)), rng.randrange(len(regions)))
        edge = list(members(_sides(regions[at], size) & free))
        if edge:
            cell = rng.choice(edge)
            regions[at] |= 1 << cell
            free &= ~(1 << cell)
    return regions


def is_connected(cells: int, size: int) -> bool:
    """Returns whether cells of a square hang together by their sides; an empty set does not."""
    reached = cells & -cells
    while grown := _sides(reached, size) & cells & ~reached:
        reached |= grown
    return reached == cells != 0


def solve_stars(grid: Sequence[str], num_stars: int, language: Language) -> Board:
    """Returns a right placement, and the steps to it. The regions must have one."""
    size = len(grid)
    marks = "".join(grid)
    regions = [sum(1 << cell for cell, mark in enumerate(marks) if mark == letter) for letter in LETTERS[:size]]
    solved = Sums(_sums(regions, size, num_stars, language), num_cells=size * size).solve(Board())
    assert solved is not None, "the regions grew around a placement"
    return solved


def _sums(regions: Sequence[int], size: int, num_stars: int, language: Language) -> list[Sum]:
    labels = LABELS[language]
    sums = blocks(size, size, labels["touch"])
    column = sum(1 << row * size for row in range(size))
    for number, region in enumerate(regions):
        cells_of = {
            f"{labels['region']} {LETTERS[number]}": region,
            f"{labels['row']} {number + 1}": (1 << size) - 1 << number * size,
            f"{labels['column']} {number + 1}": column << number,
        }
        sums += [Sum(cells=cells, low=num_stars, high=num_stars, label=label) for label, cells in cells_of.items()]
    return sums


def _sides(cells: int, size: int) -> int:
    """Returns the cells beside any of some cells, these perhaps included."""
    first = sum(1 << row * size for row in range(size))
    everywhere = (1 << size * size) - 1
    return (cells << size | cells >> size | (cells & ~first) >> 1 | cells << 1 & ~first) & everywhere


def _path_to_star(star: int, others: Sequence[int], taken: int, size: int) -> int | None:
    """Returns a shortest path of free cells from a star to another one, both ends included; None without."""
    goals = sum(1 << other for other in others)
    path_to = {star: 1 << star}
    frontier = [star]
    while frontier:
        following = []
        for cell in frontier:
            for side in members(_sides(1 << cell, size)):
                if goals >> side & 1:
                    return path_to[cell] | 1 << side
                if side not in path_to and not taken >> side & 1:
                    path_to[side] = path_to[cell] | 1 << side
                    following.append(side)
        frontier = following
    return None


def _rename(regions: Sequence[int], size: int) -> list[str]:
    """Returns the grid of region letters; the first region met, row by row, is A."""
    ordered = sorted(regions, key=lambda region: region & -region)
    marks = "".join(LETTERS[next(i for i, region in enumerate(ordered) if region >> c & 1)] for c in range(size * size))
    return [marks[start : start + size] for start in range(0, size * size, size)]
