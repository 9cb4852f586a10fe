"""Skyscrapers: a Latin square of heights, with counts of what is seen from the edges.

Cells are given away until a search finds one solution only; the checker still works from the rules.
"""

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.latin import (
    CellRule,
    keep_possible,
    narrow_by,
    open_domains,
    random_square,
    read_digits,
    read_square,
    reveal_until_unique,
    square,
    square_fault,
)
from fulmen.envs.solve.lattice import FILLED_EN, FILLED_ZH, bad_meta, cut, place, read_board, show
from fulmen.envs.solve.narrowing import no_type_check, search_aloud
from fulmen.types import Task

SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True, kw_only=True)
class SkyscraperPuzzle(PuzzleEnv):
    """A board to fill with heights that are seen as often as the edges say."""

    name: str = "skyscraper_puzzle"
    size: int = 5
    """Cells a side, 3 to 6."""
    num_clues: int = 12
    """Edges with a count, up to 4 size."""
    num_givens: int = 2
    """Fewest heights given; more are, as far as one solution needs them."""

    rule: ClassVar[str] = "fill a Latin square of heights so that each edge clue counts the towers seen from there"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 3, "num_clues": 5, "num_givens": 2},
        {"size": 4, "num_clues": 8, "num_givens": 3},
        {"size": 5, "num_clues": 12, "num_givens": 2},
        {"size": 5, "num_clues": 12, "num_givens": 0},
        {"size": 6, "num_clues": 18, "num_givens": 0},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Put a tower of height 1 to {size} on every cell of a {size} x {size} board; no row and no column may have"
            " a height twice. A clue at an edge says how many towers are seen from there along its row or column: a"
            " tower is seen if every tower nearer to that edge is lower. `_` among the clues means no clue.\n"
            "{clues}\nThe board (heights that are there stay, `_` is to be filled):\n{board}\n" + FILLED_EN,
            "Skyscrapers. Board, with `_` for empty cells:\n{board}\nComplete it, without changing what is given, so"
            " that each row and each column holds every number from 1 to {size} once. The numbers are heights of"
            " buildings. Looking from an edge along a line, a building hides all lower ones behind it; these are the"
            " counts of buildings that can be seen (`_`: nothing is said):\n{clues}\n" + FILLED_EN,
            "Fill each `_` of this board with a number from 1 to {size}, each number once per row and once per column,"
            " keeping the given numbers:\n{board}\nFor every edge count c below, exactly c numbers of that row or "
            "column"
            " must be greater than all numbers between them and that edge (the number next to the edge always"
            " counts). A `_` asks for nothing.\n{clues}\n" + FILLED_EN,
        ),
        "zh": (
            "在 {size}×{size} 的盘面的每一格放一座高度为 1 到 {size} 的楼，每行、每列的高度都不重复。"
            "边上的提示数表示从该处沿这一行或这一列"
            "望去能看到几座楼：一座楼能被看到，当且仅当它比它与该边之间的所有楼都高。提示中的 `_` 表示没有提示。\n"
            "{clues}\n"
            "盘面如下（已有的高度不能改动，`_` 需要填写）：\n{board}\n" + FILLED_ZH,
            "摩天楼谜题。盘面（`_` 为空格）：\n{board}\n请填满空格，不改动已给的数字，使 1 到 {size} "
            "在每行每列各出现一次。"
            "数字是楼高，从边上看去，高楼会挡住它后面所有较矮的楼。下面是从各边能看到的楼数（`_` 表示不作要求）：\n"
            "{clues}\n" + FILLED_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=3, high=6)
        require_between("num_clues", self.num_clues, low=1, high=4 * self.size)
        require_between("num_givens", self.num_givens, low=0, high=self.size * self.size - 1)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random filled board, some of its counts, and the heights that one solution needs."""
        digits = random_square(square(self.size), rng)
        shown = set(rng.sample(range(4 * self.size), self.num_clues))
        counts = [num_seen([digits[cell] for cell in line]) for line in lines_of(self.size)]
        clues = cut([count if edge in shown else 0 for edge, count in enumerate(counts)], self.size)
        narrow = narrow_by(square(self.size), view_rules(clues, self.size))
        givens = reveal_until_unique(digits, narrow, size=self.size, num_givens=self.num_givens, rng=rng)
        rows = cut(givens, self.size)
        prompt = self.phrase(
            rng,
            size=self.size,
            board=show([[digit or "_" for digit in row] for row in rows]),
            clues=clues_text(clues, is_english=self.language == "en"),
        )
        gold = show(cut(digits, self.size))
        return Puzzle(key=(rows, clues), prompt=prompt, gold=gold, meta={"givens": rows, "clues": clues})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a given changed, a height twice, a count that is another."""
        givens, clues = _read(task)
        size = len(givens)
        digits = read_digits(text, size)
        if fault := square_fault(digits, [given for row in givens for given in row], square(size)):
            return fault
        for edge, line in enumerate(lines_of(size)):
            side, number = divmod(edge, size)
            clue, seen = clues[side][number], num_seen([digits[cell] for cell in line])
            if clue not in (0, seen):
                return f"{SIDES[side]} {number + 1}: {seen} seen, not {clue}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: `column 1 (top 3) -> r1c1:12` narrows a cell, `=` settles it."""
        givens, clues = _read(task)
        size = len(givens)
        domains = open_domains([given for row in givens for given in row], size)
        narrow = narrow_by(square(size), view_rules(clues, size))
        return "\n".join(search_aloud(domains, narrow, say=lambda c, bit: f"{place(c, size)}={bit.bit_length()}"))


@no_type_check
def num_seen(heights: Sequence[int]) -> int:
    """Returns how many towers are seen from the front of a line.

    >>> num_seen([2, 1, 4, 3])
    2
    """
    return len(set(itertools.accumulate(heights, max)))


@functools.cache
def lines_of(size: int) -> tuple[tuple[int, ...], ...]:
    """Returns the cells seen from each edge, the nearest first: of the top, the bottom, the left and the right."""
    rows = [tuple(range(row * size, row * size + size)) for row in range(size)]
    columns = list(zip(*rows, strict=True))
    return (*columns, *(column[::-1] for column in columns), *rows, *(row[::-1] for row in rows))


def view_rules(clues: Sequence[Sequence[int]], size: int) -> list[CellRule]:
    """Returns the rules of the rows and columns that have a count."""
    lines, rules = lines_of(size), []
    for first, kind in ((0, "column"), (2, "row")):
        for number in range(size):
            front, back = clues[first][number], clues[first + 1][number]
            said = [f"{SIDES[first + i]} {clue}" for i, clue in enumerate((front, back)) if clue]
            if said:
                text = f"{kind} {number + 1} ({', '.join(said)})"
                orders = _orders(size, front, back)
                cells = lines[first * size + number]
                rules.append(CellRule(text=text, cells=cells, narrow=functools.partial(keep_possible, orders)))
    return rules


def clues_text(clues: Sequence[Sequence[int]], *, is_english: bool) -> str:
    """Returns the counts of the four edges, an edge a line."""
    if is_english:
        names = ("Top, left to right", "Bottom, left to right", "Left, top to bottom", "Right, top to bottom")
    else:
        names = ("上边，从左到右", "下边，从左到右", "左边，从上到下", "右边，从上到下")
    colon = ": " if is_english else "："
    return "\n".join(
        f"{name}{colon}{show([[c or '_' for c in side]])}" for name, side in zip(names, clues, strict=True)
    )


@functools.cache
def _orders(size: int, front: int, back: int) -> tuple[tuple[int, ...], ...]:
    """Returns the lines, as bits, in which the counts of both ends hold (0: any)."""
    found = []
    for heights in itertools.permutations(range(1, size + 1)):
        if front in (0, num_seen(heights)) and back in (0, num_seen(heights[::-1])):
            found.append(tuple(1 << (height - 1) for height in heights))
    return tuple(found)


def _read(task: Task) -> tuple[list[list[int]], list[list[int]]]:
    """Returns givens and counts of a task, checked."""
    givens = read_square(task, "givens")
    clues = read_board(task, "clues", low=0, high=len(givens))
    if len(givens) > 6 or (len(clues), len(clues[0])) != (4, len(givens)):
        raise bad_meta(task, "clues", "4 counts a line of the board, up to 6 x 6")
    return givens, clues
