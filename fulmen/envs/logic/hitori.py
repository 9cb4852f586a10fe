"""Hitori: shade numbers so that none is left twice in a line, no two shaded cells touch, and the rest hangs together.

Boards are changed until a search finds one solution only; the checker still works from the rules.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.latin import random_square, read_square, square
from fulmen.envs.solve.lattice import bad_meta, corners, cut, groups, neighbours, place, read_answer, show
from fulmen.envs.solve.marks import EMPTY, MARKED, OPEN, Deduction, bits_where, flood, inner_columns
from fulmen.envs.solve.narrowing import Narrow, TooLongError, no_type_check, search_aloud, solve
from fulmen.errors import ConfigError
from fulmen.types import Task

MAX_NODES = 60
"""States that a search may take to prove a board unique, which keeps worked solutions short."""
MAX_CHANGES = 60
"""Numbers changed on one pattern before another is drawn."""
MAX_PATTERNS = 200
FORM_EN = (
    "Answer with {size} lines of {size} digits separated by spaces, 1 for a shaded cell and 0 for any other. A board of"
    " 2 x 2 with the upper left cell shaded would be written\n1 0\n0 0"
)
FORM_ZH = (
    "请回答 {size} 行，每行 {size} 个数字，用空格分开：1 表示涂黑的格子，0 表示未涂黑。"
    "例如只涂黑左上角的 2×2 盘面写成\n1 0\n0 0"
)


@dataclass(frozen=True, kw_only=True)
class Hitori(PuzzleEnv):
    """A board of numbers of which some are to be shaded."""

    name: str = "hitori"
    size: int = 6
    """Cells a side, 4 to 9."""

    rule: ClassVar[str] = "shade cells: no number twice in a line among the rest, shaded ones apart, the rest connected"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 4},
        {"size": 5},
        {"size": 6},
        {"size": 7},
        {"size": 9},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Hitori. Shade some cells of this board so that (1) among the cells that are not shaded no number occurs "
            "twice"
            " in a row or in a column, (2) no two shaded cells share a side, and (3) all cells that are not shaded form"
            " one connected area, from each of which every other can be reached by steps over shared sides.\n{board}\n"
            + FORM_EN,
            "Here is a board of {size} x {size} numbers:\n{board}\nCross out numbers until every row and every "
            "column has"
            " only different numbers left. Crossed-out cells must not be next to each other horizontally or vertically"
            " (diagonally they may), and they must not split the remaining cells: these stay connected through"
            " horizontal and vertical neighbours. A crossed-out cell is called shaded.\n" + FORM_EN,
            "Decide which cells to shade:\n{board}\nRules: the unshaded numbers of each row are all different, and "
            "so are"
            " those of each column; shaded cells touch each other at corners at most, never along a side; any two"
            " unshaded cells are joined by a path of unshaded cells that share sides.\n" + FORM_EN,
        ),
        "zh": (
            "数壹（Hitori）谜题：请涂黑盘面中的若干格子，使得 (1) 未涂黑的格子中，同一行或同一列没有重复的数字；(2) "
            "任意两个涂黑的格子没有公共边；"
            "(3) 所有未涂黑的格子通过公共边连成一片。\n{board}\n" + FORM_ZH,
            "盘面如下，共 {size}×{size} 个数字：\n{board}\n请划去（涂黑）一些数字，使每行每列剩下的数字互不相同。"
            "被涂黑的格子不能上下左右相邻"
            "（可以斜着相邻），也不能把剩下的格子隔断：剩下的格子必须上下左右连通成一个整体。\n" + FORM_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=4, high=9)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random pattern on a Latin square whose shaded numbers repeat others so that no other pattern "
        "fits."""
        for _ in range(MAX_PATTERNS):
            shaded = random_pattern(self.size, rng)
            numbers = random_square(square(self.size), rng)
            choices = {cell: _repeats(cell, numbers, shaded, self.size) for cell in shaded}
            for cell in shaded:
                numbers[cell] = rng.choice(choices[cell])
            for _ in range(MAX_CHANGES):
                others = _other_cells(numbers, shaded, self.size)
                if not others:
                    return self._write(rng, numbers, shaded)
                cell = rng.choice([cell for cell in shaded if cell in others] or shaded)
                numbers[cell] = rng.choice(choices[cell])
        raise ConfigError(f"size: {self.size}; allowed: one at which {MAX_PATTERNS} patterns give a unique board")

    def _write(self, rng: random.Random, numbers: Sequence[int], shaded: Sequence[int]) -> Puzzle:
        rows = cut(numbers, self.size)
        marks = [int(cell in shaded) for cell in range(len(numbers))]
        prompt = self.phrase(rng, size=self.size, board=show(rows))
        return Puzzle(key=(rows,), prompt=prompt, gold=show(cut(marks, self.size)), meta={"numbers": rows})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a number twice, shaded cells side by side, a rest in several parts."""
        rows = _read(task)
        size = len(rows)
        answer = read_answer(text, num_rows=size, num_columns=size, cells="01")
        marks = [cell == "1" for row in answer for cell in row]
        numbers = [number for row in rows for number in row]
        for name, unit in zip(square(size).unit_names, square(size).units, strict=True):
            left = [numbers[cell] for cell in unit if not marks[cell]]
            if len(set(left)) != len(left):
                return f"{name} has a number twice among its unshaded cells"
        beside = neighbours(size, size)
        for cell, marked in enumerate(marks):
            for other in beside[cell] if marked else ():
                if marks[other]:
                    return f"{place(cell, size)} and {place(other, size)} are both shaded and touch"
        parts = groups([cell for cell, marked in enumerate(marks) if not marked], beside)
        return "" if len(parts) == 1 else f"the unshaded cells are in {len(parts)} parts"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each, 1 for shaded: `4 at r1c1 stays -> r1c3=1`, and trials where they end."""
        rows = _read(task)
        size = len(rows)
        narrow = narrow_shading([number for row in rows for number in row], size)
        lines = search_aloud([OPEN] * size**2, narrow, say=lambda c, bit: f"{place(c, size)}={bit >> 1}")
        return "\n".join(lines)


def random_pattern(size: int, rng: random.Random) -> list[int]:
    """Returns cells that do not touch and leave the rest connected, as many as there is room for.

    With fewer, cells could be shaded that need not be.
    """
    beside = neighbours(size, size)
    shaded: list[int] = []
    for cell in rng.sample(range(size * size), size * size):
        if not any(other in shaded for other in beside[cell]):
            rest = [c for c in range(size * size) if c != cell and c not in shaded]
            if len(groups(rest, beside)) == 1:
                shaded.append(cell)
    return sorted(shaded)


@no_type_check
def narrow_shading(numbers: Sequence[int], size: int) -> Narrow:
    """Returns the narrowing by the three rules."""
    board, beside = square(size), neighbours(size, size)
    same = [[other for other in board.peers[cell] if numbers[other] == numbers[cell]] for cell in range(size * size)]
    opening = _opening(numbers, size)
    not_left, not_right = inner_columns(size, size)
    touching = corners(size, size)

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        found = Deduction(state, size, notes, due=[cell for cell in changed if state[cell] != OPEN])
        if len(changed) == len(state):
            for cells, domain, why in opening:
                if not found.settle(cells, domain, why):
                    return False
        while True:
            while found.due:
                cell = found.due.pop(0)
                if state[cell] == MARKED:
                    is_fine = found.settle(beside[cell], EMPTY, "beside shaded", cell)
                else:
                    is_fine = found.settle(same[cell], MARKED, f"{numbers[cell]} stays at", cell)
                if not is_fine:
                    return False
            if not keep_connected(found):
                return False
            if not found.due:
                return True

    def keep_connected(found: Deduction) -> bool:
        state = found.state
        white, shaded = bits_where(state, EMPTY), bits_where(state, MARKED)
        inside = bits_where(state, EMPTY, OPEN)
        start = white & -white or inside & -inside
        reached = flood(start, inside, size, not_left, not_right)
        if white & ~reached:
            return found.clash("the shaded cells cut the board")
        for cell, domain in enumerate(state):
            if domain != OPEN:
                continue
            row, column = divmod(cell, size)
            at_edge = row in (0, size - 1) or column in (0, size - 1)
            if at_edge + sum(shaded >> other & 1 for other in touching[cell]) < 2:
                continue
            rest = inside & ~(1 << cell)
            white_left = white & ~(1 << cell)
            # Shaded, the cell makes its neighbours stay: none may be cut off.
            white_left |= sum(1 << other for other in beside[cell])
            if white_left & ~flood(white_left & -white_left, rest, size, not_left, not_right):
                return found.settle([cell], EMPTY, "the board would be cut by", cell)
        return True

    return narrow


def _opening(numbers: Sequence[int], size: int) -> list[tuple[list[int], int, str]]:
    """Returns what equal numbers near each other settle at once: cells, their domain, and why."""
    found: list[tuple[list[int], int, str]] = []
    for unit in square(size).units:
        for one, middle, other in zip(unit, unit[1:], unit[2:], strict=False):
            if numbers[one] == numbers[other]:
                found.append(([middle], EMPTY, f"between equal {place(one, size)} {place(other, size)}"))
        for one, other in itertools.pairwise(unit):
            far = [cell for cell in unit if cell not in (one, other) and numbers[cell] == numbers[one]]
            if numbers[one] == numbers[other] and far:
                found.append((far, MARKED, f"one of equal {place(one, size)} {place(other, size)} stays"))
    return found


def _repeats(cell: int, numbers: Sequence[int], shaded: Sequence[int], size: int) -> list[int]:
    """Returns the numbers of the unshaded cells in the row and column of a cell."""
    return [numbers[other] for other in square(size).peers[cell] if other not in shaded]


def _other_cells(numbers: Sequence[int], shaded: Sequence[int], size: int) -> list[int]:
    """Returns the cells in which another solution differs, none where `shaded` is the only one."""
    try:
        found = solve([OPEN] * len(numbers), narrow_shading(numbers, size), max_nodes=MAX_NODES)
    except TooLongError:
        return list(shaded)
    for state in found:
        if differing := [cell for cell, domain in enumerate(state) if (domain == MARKED) != (cell in shaded)]:
            return differing
    return []


def _read(task: Task) -> list[list[int]]:
    """Returns the numbers of a task, checked."""
    rows = read_square(task, "numbers")
    if any(number == 0 for row in rows for number in row):
        raise bad_meta(task, "numbers", "a square board of numbers from 1 to its size")
    return rows
