"""Calcudoko (calcudoku): a Latin square with sums, products, differences and quotients of cages.

Cages are split until a search finds one solution only; the checker still works from the rules.
"""

import functools
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.latin import (
    CellRule,
    digits_of,
    keep_possible,
    narrow_by,
    open_domains,
    random_square,
    read_digits,
    square,
    square_fault,
)
from fulmen.envs.solve.lattice import FILLED_EN, FILLED_ZH, bad_meta, cut, groups, neighbours, place, places, show
from fulmen.envs.solve.narrowing import TooLongError, no_type_check, search_aloud, solve
from fulmen.types import Task

OPERATIONS = ("=", "+", "*", "-", "/")
MAX_NODES = 2000
"""States searched for a second solution before a cage is split anyway."""


class Cage(NamedTuple):
    """Cells whose digits give a result."""

    operation: str
    """`=` (one cell), `+`, `*`, or, of two cells, `-` and `/`: larger by smaller."""
    target: int
    cells: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Calcudoko(PuzzleEnv):
    """A board to fill with digits that give each cage its result."""

    name: str = "calcudoko"
    size: int = 5
    """Cells a side, 3 to 8."""
    max_cage: int = 3
    """Most cells of a cage, 2 to 5."""
    num_givens: int = 3
    """Fewest cages of one cell; others come about where one solution needs them."""

    rule: ClassVar[str] = "fill a Latin square so that each cage's digits give its result under its operation"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 3, "max_cage": 2, "num_givens": 2},
        {"size": 4, "max_cage": 2, "num_givens": 3},
        {"size": 5, "max_cage": 3, "num_givens": 3},
        {"size": 6, "max_cage": 3, "num_givens": 2},
        {"size": 7, "max_cage": 4, "num_givens": 0},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Fill a board of {size} rows and {size} columns with digits from 1 to {size}; no row and no column may "
            "have a"
            " digit twice. The board is cut into cages. Each line below gives a result, an operation and the cells of a"
            " cage (r1c2 is row 1 from the top, column 2 from the left): with + the digits of the cage add up to the"
            " result, with * their product is the result, with - the larger minus the smaller of its two digits is the"
            " result, with / the larger divided by the smaller is the result, and = gives the digit itself. A digit may"
            " come twice in a cage if the two are in different rows and columns.\n{cages}\n" + FILLED_EN,
            "Calcudoku, {size} x {size}. Every row and every column contains each of 1 to {size} exactly once. These"
            " groups of cells (r2c1: second row from the top, first column from the left) must give these results;"
            " order does not matter:\n{cages}\n`+` is the sum and `*` the product of all digits of the group; `-` and"
            " `/` are for two digits, the larger one first; `=` fixes one digit. Digits in a group may be equal as "
            "long as"
            " rows and columns allow it.\n" + FILLED_EN,
            "Find a {size} x {size} Latin square of the digits 1 to {size} (each digit once in each row and once in "
            "each"
            " column) that satisfies all of these conditions, written as result, operation, cells; r3c1 is the cell in"
            " the third row and the first column:\n{cages}\nMeaning of the operations: = the cell holds the result;"
            " + all the cells add up to it; * all the cells multiply to it; - the difference of the two cells, larger"
            " minus smaller; / the quotient of the two cells, larger over smaller, without remainder.\n" + FILLED_EN,
        ),
        "zh": (
            "请在 {size} 行 {size} 列的盘面中填入 1 到 {size} 的数字，每行、每列都不能有重复的数字。"
            "盘面分成若干笼子，下面每行依次是结果、"
            "运算和笼中的格子（r1c2 表示从上数第 1 行、从左数第 2 列）：+ 表示各数之和等于结果，* "
            "表示各数之积等于结果，- 表示两数中大数减小数"
            "等于结果，/ 表示两数中大数除以小数恰好等于结果，= 表示该格就是这个数。"
            "同一笼子里不同行且不同列的格子可以填相同的数字。\n"
            "{cages}\n" + FILLED_ZH,
            "算独谜题：在 {size}×{size} 的盘面中，1 到 {size} 在每行每列各出现一次，并满足以下所有条件（写法为：结果 "
            "运算 格子；r2c1 指第 2 行"
            "第 1 列）：\n{cages}\n运算的含义：= 该格等于结果；+ 所有格子相加等于结果；* 所有格子相乘等于结果；- "
            "两格之差（大减小）等于结果；"
            "/ 两格之商（大除以小，整除）等于结果。行列规则允许时，同一组内的数字可以相同。\n" + FILLED_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=3, high=8)
        require_between("max_cage", self.max_cage, low=2, high=5)
        require_between("num_givens", self.num_givens, low=0, high=self.size * self.size - 1)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random filled board, cut at random into cages and these into more until one solution is left."""
        digits = random_square(square(self.size), rng)
        cages = [_label(cells, digits, rng) for cells in self._cut_into_cages(rng)]
        while others := _other_digits(cages, digits, self.size):
            cell = rng.choice(others)
            at = next(number for number, cage in enumerate(cages) if cell in cage.cells)
            rest = groups([c for c in cages[at].cells if c != cell], neighbours(self.size, self.size))
            cages[at : at + 1] = [_label(cells, digits, rng) for cells in ([cell], *rest)]
        cages.sort(key=lambda cage: cage.cells)
        meta = [{"operation": cage.operation, "target": cage.target, "cells": list(cage.cells)} for cage in cages]
        lines = "\n".join(cage_text(cage, self.size) for cage in cages)
        return Puzzle(
            key=(self.size, meta),
            prompt=self.phrase(rng, size=self.size, cages=lines),
            gold=show(cut(digits, self.size)),
            meta={"size": self.size, "cages": meta},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a digit twice in a line, a cage with another result."""
        size, cages = _read(task)
        digits = read_digits(text, size)
        if fault := square_fault(digits, [0] * len(digits), square(size)):
            return fault
        for cage in cages:
            if not gives(cage.operation, cage.target, [digits[cell] for cell in cage.cells]):
                shown = " ".join(str(digits[cell]) for cell in cage.cells)
                return f"{cage_text(cage, size)}: not true of {shown}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: `6 + r1c1 r1c2 -> r1c1:24` narrows a cell, `=` settles it."""
        size, cages = _read(task)
        narrow = narrow_by(square(size), cage_rules(cages, size))
        domains = open_domains([0] * (size * size), size)
        return "\n".join(search_aloud(domains, narrow, say=lambda c, bit: f"{place(c, size)}={bit.bit_length()}"))

    def _cut_into_cages(self, rng: random.Random) -> list[list[int]]:
        """Returns connected groups of cells, at least `num_givens` of them single."""
        beside = neighbours(self.size, self.size)
        order = rng.sample(range(self.size**2), self.size**2)
        cages = [[cell] for cell in order[: self.num_givens]]
        free = dict.fromkeys(order[self.num_givens :])
        for cell in order[self.num_givens :]:
            if cell not in free:
                continue
            del free[cell]
            cage, size = [cell], rng.randint(2, self.max_cage)
            while len(cage) < size and (edge := [c for one in cage for c in beside[one] if c in free]):
                cage.append(rng.choice(edge))
                del free[cage[-1]]
            cages.append(sorted(cage))
        return cages


@no_type_check
def gives(operation: str, target: int, digits: Sequence[int]) -> bool:
    """Returns whether digits give a result; `-` and `/` take the larger first.

    >>> gives("/", 3, [2, 6])
    True
    """
    low, high = min(digits), max(digits)
    if operation == "*":
        return math.prod(digits) == target
    if operation == "-":
        return high - low == target
    if operation == "/":
        return high == low * target
    return sum(digits) == target


@no_type_check
def cage_text(cage: Cage, size: int) -> str:
    """Returns a cage in one line, as in `6 + r1c1 r1c2`."""
    return f"{cage.target} {cage.operation} {places(cage.cells, size)}"


def cage_rules(cages: Sequence[Cage], size: int) -> list[CellRule]:
    """Returns the rules of cages."""
    rules = []
    for cage in cages:
        pairs = itertools.combinations(range(len(cage.cells)), 2)
        apart = tuple((i, j) for i, j in pairs if _share_line(cage.cells[i], cage.cells[j], size))
        fills = _fills(size, cage.operation, cage.target, len(cage.cells), apart)
        narrow = functools.partial(keep_possible, fills)
        rules.append(CellRule(text=cage_text(cage, size), cells=cage.cells, narrow=narrow))
    return rules


@functools.lru_cache(maxsize=4096)
def _fills(
    size: int, operation: str, target: int, num_cells: int, apart: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, ...], ...]:
    """Returns the ways to fill a cage, as bits; the pairs `apart` of its cells share a line and must differ."""
    found = []
    for digits in itertools.product(range(1, size + 1), repeat=num_cells):
        if gives(operation, target, digits) and all(digits[i] != digits[j] for i, j in apart):
            found.append(tuple(1 << (digit - 1) for digit in digits))
    return tuple(found)


@no_type_check
def _share_line(one: int, other: int, size: int) -> bool:
    return one // size == other // size or one % size == other % size


def _label(cells: Sequence[int], digits: Sequence[int], rng: random.Random) -> Cage:
    """Returns a cage on cells, with an operation that its digits allow and their result."""
    values = [digits[cell] for cell in cells]
    low, high = min(values), max(values)
    if len(values) == 1:
        return Cage("=", low, tuple(cells))
    results = {"+": sum(values), "*": math.prod(values)}
    if len(values) == 2:
        results["-"] = high - low
        if high % low == 0:
            results["/"] = high // low
    operation = rng.choice(list(results))
    return Cage(operation, results[operation], tuple(cells))


def _other_digits(cages: Sequence[Cage], digits: Sequence[int], size: int) -> list[int]:
    """Returns the cells that another solution fills otherwise, none where `digits` is the only one."""
    narrow = narrow_by(square(size), cage_rules(cages, size))
    try:
        found = [
            digits_of(state) for state in solve(open_domains([0] * len(digits), size), narrow, max_nodes=MAX_NODES)
        ]
    except TooLongError:
        return list(max(cages, key=lambda cage: len(cage.cells)).cells)
    other = next((state for state in found if state != list(digits)), list(digits))
    return [cell for cell, digit in enumerate(digits) if other[cell] != digit]


def _read(task: Task) -> tuple[int, list[Cage]]:
    """Returns size and cages of a task, checked."""
    size = read_meta(task, "size", kind=int)
    cages = read_meta(task, "cages", kind=list)
    found = []
    for cage in cages:
        match cage:
            case {"operation": str(operation), "target": int(target), "cells": [int(), *_] as cells} if (
                operation in OPERATIONS
            ):
                found.append(Cage(operation, target, tuple(cells)))
            case _:
                raise bad_meta(task, "cages", "objects with operation, target and cells")
    covered = sorted(str(cell) for cage in found for cell in cage.cells)
    if not 1 <= size <= 9 or covered != sorted(map(str, range(size**2))):
        raise bad_meta(task, "cages", "each cell of the board in one cage")
    return size, found
