"""Futoshiki: a Latin square with signs of inequality between neighbours.

Cells are given away until a search finds one solution only; the checker still works from the rules.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.latin import (
    CellRule,
    narrow_by,
    open_domains,
    random_square,
    read_digits,
    read_square,
    reveal_until_unique,
    square,
    square_fault,
)
from fulmen.envs.solve.lattice import FILLED_EN, FILLED_ZH, bad_meta, cut, neighbours, place, read_lists, show
from fulmen.envs.solve.narrowing import no_type_check, search_aloud
from fulmen.types import Task


@dataclass(frozen=True, kw_only=True)
class Futoshiki(PuzzleEnv):
    """A board to fill with digits that keep the signs between cells."""

    name: str = "futoshiki"
    size: int = 5
    """Cells a side, 3 to 9."""
    num_inequalities: int = 8
    """Signs, 1 or more, up to 2 size (size - 1)."""
    num_givens: int = 4
    """Fewest digits given; more are, as far as one solution needs them."""

    rule: ClassVar[str] = "fill a Latin square so that every < and > between neighbours holds"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 3, "num_inequalities": 3, "num_givens": 3},
        {"size": 4, "num_inequalities": 5, "num_givens": 4},
        {"size": 5, "num_inequalities": 8, "num_givens": 4},
        {"size": 6, "num_inequalities": 14, "num_givens": 3},
        {"size": 7, "num_inequalities": 24, "num_givens": 2},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Fill the {size} x {size} board with digits from 1 to {size} so that no row and no column has a digit "
            "twice."
            " `_` is an empty cell; the digits already there stay.\n{board}\n"
            "These must hold, where r1c2 is the cell in row 1, column 2 (from the top and from the left):\n{signs}\n"
            + FILLED_EN,
            "Futoshiki. Each row and each column must contain every digit from 1 to {size} exactly once, and these"
            " inequalities between cells must be true (r2c1 means row 2 from the top, column 1 from the left):\n"
            "{signs}\n"
            "The board, with `_` for cells that you have to fill; the other cells must not change:\n{board}\n"
            + FILLED_EN,
            "Here is a board of {size} rows and {size} columns:\n{board}\nReplace each `_` by a digit from 1 to {size}."
            " Keep the given digits. A digit may appear only once in a row and only once in a column. Rows count "
            "from the"
            " top, columns from the left, r3c1 is row 3, column 1; these comparisons must hold:\n{signs}\n" + FILLED_EN,
        ),
        "zh": (
            "请在 {size}×{size} 的盘面中填入 1 到 {size} 的数字，使每行、每列都没有重复的数字。`_` 表示空格，"
            "已有的数字不能改动。\n"
            "{board}\n下列不等式必须成立，其中 r1c2 表示第 1 行（从上数）第 2 列（从左数）的格子：\n{signs}\n"
            + FILLED_ZH,
            "不等式数独：盘面共 {size} 行 {size} 列，每行每列中 1 到 {size} 各出现一次，并且满足以下大小关系"
            "（r2c1 指从上数第 2 行、从左数第 1 列）：\n{signs}\n盘面如下，`_` 是要填的格子，其余数字保持不变：\n"
            "{board}\n" + FILLED_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=3, high=9)
        require_between("num_inequalities", self.num_inequalities, low=1, high=2 * self.size * (self.size - 1))
        require_between("num_givens", self.num_givens, low=0, high=self.size * self.size - 1)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random filled board, random signs that it keeps, and the digits that one solution needs."""
        board = square(self.size)
        digits = random_square(board, rng)
        beside = neighbours(self.size, self.size)
        pairs = [(cell, other) for cell in range(len(digits)) for other in beside[cell] if other > cell]
        chosen = sorted(rng.sample(pairs, self.num_inequalities))
        smaller = [[one, other] if digits[one] < digits[other] else [other, one] for one, other in chosen]
        narrow = narrow_by(board, less_rules(smaller, self.size))
        givens = reveal_until_unique(digits, narrow, size=self.size, num_givens=self.num_givens, rng=rng)
        rows = cut(givens, self.size)
        prompt = self.phrase(
            rng,
            size=self.size,
            board=show([[digit or "_" for digit in row] for row in rows]),
            signs=signs_text(chosen, digits, self.size),
        )
        gold = show(cut(digits, self.size))
        return Puzzle(key=(rows, sorted(smaller)), prompt=prompt, gold=gold, meta={"givens": rows, "smaller": smaller})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a given changed, a digit twice, a sign that does not hold."""
        givens, smaller = _read(task)
        size = len(givens)
        digits = read_digits(text, size)
        if fault := square_fault(digits, [given for row in givens for given in row], square(size)):
            return fault
        for low, high in smaller:
            if digits[low] >= digits[high]:
                return f"{place(low, size)} is {digits[low]}, not less than {digits[high]} at {place(high, size)}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: `r1c2<r1c3 -> r1c2:12` narrows a cell, `=` settles it."""
        givens, smaller = _read(task)
        size = len(givens)
        domains = open_domains([given for row in givens for given in row], size)
        narrow = narrow_by(square(size), less_rules(smaller, size))
        return "\n".join(search_aloud(domains, narrow, say=lambda c, bit: f"{place(c, size)}={bit.bit_length()}"))


def less_rules(smaller: Sequence[Sequence[int]], size: int) -> list[CellRule]:
    """Returns the rules of pairs whose first cell has the smaller digit."""
    return [
        CellRule(text=f"{place(low, size)}<{place(high, size)}", cells=(low, high), narrow=_narrow_less)
        for low, high in smaller
    ]


def signs_text(pairs: Sequence[tuple[int, int]], digits: Sequence[int], size: int) -> str:
    """Returns the signs between pairs of cells, one a line, as in `r1c1 < r1c2`."""
    lines = [
        f"{place(one, size)} {'<' if digits[one] < digits[other] else '>'} {place(other, size)}" for one, other in pairs
    ]
    return "\n".join(lines)


@no_type_check
def _narrow_less(domains: list[int]) -> list[int]:
    low, high = domains
    lowest = low & -low
    high &= ~(lowest | (lowest - 1))
    top = 1 << (high.bit_length() - 1) if high else 1
    return [low & (top - 1), high]


def _read(task: Task) -> tuple[list[list[int]], list[list[int]]]:
    """Returns givens and pairs of a task, checked."""
    givens = read_square(task, "givens")
    smaller = read_lists(task, "smaller", low=0, high=len(givens) ** 2 - 1)
    if any(len(pair) != 2 for pair in smaller):
        raise bad_meta(task, "smaller", "pairs of cells")
    return givens, smaller
