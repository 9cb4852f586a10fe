"""Number wall: a relative of Nurikabe whose islands keep apart at corners too and whose wall need not hang together.

Boards are drawn until a search finds one solution only; the checker still works from the rules.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.lattice import (
    bad_meta,
    corners,
    cut,
    groups,
    neighbours,
    place,
    places,
    read_answer,
    read_board,
    show,
)
from fulmen.envs.solve.narrowing import Narrow, bits_of, is_unique, no_type_check, search_aloud, values_of
from fulmen.errors import ConfigError
from fulmen.types import Task

WALL, LAND = "W", "L"
MAX_DRAWS = 2000
"""Boards drawn for one with a single solution."""
MAX_NODES = 40
"""States that a search may take to prove a board unique, which keeps worked solutions short."""
JOINS_FRAC = 0.8
"""How often land is put beside an island where that is possible."""
MAX_SHAPES_SHOWN = 3
FORM_EN = (
    "Answer with {size} lines of {size} symbols separated by spaces: W for a wall cell, L for an island cell, and "
    "the number"
    " where the board has one. A board of 2 x 2 could be written\n2 W\nL W"
)
FORM_ZH = (
    "请回答 {size} 行，每行 {size} 个符号，用空格分开：W 表示墙，L 表示岛屿格，原有数字的格子仍写该数字。"
    "例如 2×2 的盘面可以写成\n2 W\nL W"
)


class Island(NamedTuple):
    """A number with the ways to build its island."""

    number: int
    cell: int
    shapes: tuple[int, ...]
    """Sets of cells, as bits."""


@dataclass(frozen=True, kw_only=True)
class NumberWall(PuzzleEnv):
    """A board of numbers to divide into islands and wall."""

    name: str = "number_wall"
    size: int = 7
    """Cells a side, 3 to 9."""
    max_island: int = 4
    """Most cells of an island, 1 to 6."""

    rule: ClassVar[str] = (
        "divide a board into wall without 2x2 blocks and islands of one number each, which is their size"
    )
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 6, "max_island": 3},
        {"size": 6, "max_island": 4},
        {"size": 7, "max_island": 4},
        {"size": 7, "max_island": 5},
        {"size": 8, "max_island": 6},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Make each cell of this board wall or island; `_` is a cell without a number.\n{board}\nIsland cells "
            "that share"
            " a side belong to the same island. (1) Every island contains exactly one number of the board, and that"
            " number is how many cells the island has. (2) Every number is in an island. (3) Two different islands "
            "touch"
            " nowhere, not even at a corner. (4) No 2 x 2 block of cells is all wall. The wall need not be connected.\n"
            + FORM_EN,
            "Number wall. Around each number build an island of as many cells as the number says, its own cell "
            "included,"
            " connected over shared sides; all other cells are wall. Different islands may not be adjacent, neither"
            " along a side nor diagonally. An island has one number only, there are no islands without a number, and "
            "the"
            " wall may nowhere fill a square of 2 x 2 cells (it may be in several parts).\n{board}\n`_` means no "
            "number.\n" + FORM_EN,
            "The board below has numbers and empty cells (`_`):\n{board}\nColour every cell as land or wall. The land"
            " falls into islands, groups of land cells joined by their sides. Each number must be on land, each island"
            " must hold one number exactly, equal to its count of cells. Land cells of different islands must not be"
            " neighbours, diagonal neighbours included. Each 2 x 2 square must have some land in it. Nothing else is"
            " asked of the wall.\n" + FORM_EN,
        ),
        "zh": (
            "请把盘面的每个格子定为墙或岛屿（`_` 表示没有数字的格子）：\n{board}\n有公共边的岛屿格属于同一个岛屿。"
            "规则：(1) 每个岛屿恰好包含一个数字，"
            "该数字等于岛屿的格子数；(2) 每个数字都在岛屿上；(3) 不同的岛屿互不相接，连对角也不行；(4) 任何 2×2 "
            "的四格不能全是墙。墙不必连通。\n" + FORM_ZH,
            "数墙谜题：围绕每个数字建一个岛屿，岛屿由上下左右相连的格子组成，格子数（含数字所在的格子）等于该数字，"
            "其余格子都是墙。每个岛屿只有一个数字，"
            "没有数字的岛屿不允许存在；不同岛屿之间不能上下左右相邻，也不能斜向相邻；墙不能出现 2×2 "
            "的方块（墙可以分成几块）。\n"
            "{board}\n其中 `_` 表示没有数字。\n" + FORM_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=3, high=9)
        require_between("max_island", self.max_island, low=1, high=6)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random board of islands, with a number somewhere on each, that has one solution."""
        for _ in range(MAX_DRAWS):
            parts = random_islands(self.size, self.max_island, rng)
            numbers = [0] * (self.size * self.size)
            for part in parts:
                numbers[rng.choice(part)] = len(part)
            if not parts:
                continue
            islands = islands_of(numbers, self.size)
            full = [(1 << len(island.shapes)) - 1 for island in islands]
            if is_unique(full, narrow_shapes(islands, self.size), max_nodes=MAX_NODES):
                return self._write(rng, numbers, {cell for part in parts for cell in part})
        raise ConfigError(f"max_island: {self.max_island}; allowed: one at which {MAX_DRAWS} boards have a unique one")

    def _write(self, rng: random.Random, numbers: Sequence[int], land: set[int]) -> Puzzle:
        rows = cut(numbers, self.size)
        cells = [number or (LAND if cell in land else WALL) for cell, number in enumerate(numbers)]
        gold = "\n".join(" ".join(map(str, cells[at : at + self.size])) for at in range(0, len(cells), self.size))
        board = show([[number or "_" for number in row] for row in rows])
        return Puzzle(
            key=(rows,), prompt=self.phrase(rng, size=self.size, board=board), gold=gold, meta={"numbers": rows}
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a number walled in or changed, islands of wrong size or touching, a block."""
        rows = _read(task)
        size = len(rows)
        answer = read_answer(text.upper(), num_rows=size, num_columns=size, cells=f"{WALL}{LAND}123456789")
        numbers = [number for row in rows for number in row]
        cells = [cell for row in answer for cell in row]
        for at, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
            if cell not in ((LAND, str(number)) if number else (LAND, WALL)):
                return f"{place(at, size)} is {cell}, but {number or 'no number'} is given"
        land = [at for at, cell in enumerate(cells) if cell != WALL]
        part_of = {}
        for part in groups(land, neighbours(size, size)):
            held = [numbers[at] for at in part if numbers[at]]
            if held != [len(part)]:
                return f"the island of {place(part[0], size)} has {len(part)} cells and the numbers {held}"
            part_of.update(dict.fromkeys(part, part[0]))
        for at in land:
            for other in corners(size, size)[at]:
                if part_of.get(other, part_of[at]) != part_of[at]:
                    return f"the islands of {place(at, size)} and {place(other, size)} touch at a corner"
        for block in blocks_of(size):
            if all(cells[at] == WALL for at in values_of(block)):
                return f"the block at {place(values_of(block)[0], size)} is all wall"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the shapes that each island can have, and how they are ruled out, a line each."""
        rows = _read(task)
        size = len(rows)
        islands = islands_of([number for row in rows for number in row], size)
        lines = [
            f"{_name(island, size)}: {_shapes_text(island, (1 << len(island.shapes)) - 1, size)}" for island in islands
        ]
        full = [(1 << len(island.shapes)) - 1 for island in islands]

        def say(number: int, bit: int) -> str:
            return f"{_name(islands[number], size)} as {_shapes_text(islands[number], bit, size)}"

        return "\n".join(lines + search_aloud(full, narrow_shapes(islands, size), say=say))


@no_type_check
def blocks_of(size: int) -> list[int]:
    """Returns the 2 x 2 blocks of a board, as bits of cells."""
    tops = [row * size + column for row in range(size - 1) for column in range(size - 1)]
    return [1 << top | 1 << top + 1 | 1 << top + size | 1 << top + size + 1 for top in tops]


@no_type_check
def random_islands(size: int, max_island: int, rng: random.Random) -> list[list[int]]:
    """Returns islands that keep apart and leave no block of wall; none where a random try failed."""
    owner = [-1] * (size * size)
    sizes: list[int] = []
    blocks = [values_of(block) for block in blocks_of(size)]
    rng.shuffle(blocks)
    extra = [[cell] for cell in rng.sample(range(size * size), rng.randint(0, size))]
    for number, block in enumerate(blocks + extra):
        if any(owner[cell] >= 0 for cell in block):
            continue
        options = [
            (cell, island) for cell in block if (island := _joins(cell, owner, sizes, max_island, size)) is not None
        ]
        if options:
            joins = [(cell, island) for cell, island in options if island < len(sizes)]
            cell, island = rng.choice(joins if joins and rng.random() < JOINS_FRAC else options)
            owner[cell] = island
            if island == len(sizes):
                sizes.append(0)
            sizes[island] += 1
        elif number < len(blocks):
            return []
    return [[cell for cell, island in enumerate(owner) if island == number] for number in range(len(sizes))]


@no_type_check
def _joins(cell: int, owner: Sequence[int], sizes: Sequence[int], max_island: int, size: int) -> int | None:
    """Returns the island that a cell would join, or a new one's number; None where it would join two or touch "
    "another."""
    beside = {owner[other] for other in neighbours(size, size)[cell]} - {-1}
    around = beside | ({owner[other] for other in corners(size, size)[cell]} - {-1})
    if not around:
        return len(sizes)
    if len(beside) != 1 or around != beside:
        return None
    island = min(beside)
    return island if sizes[island] < max_island else None


@no_type_check
def _shapes(cell: int, num_cells: int, inside: int, beside: Sequence[int]) -> set[int]:
    """Returns the connected sets of cells, as bits, of a size that hold a cell and lie inside."""
    shapes = {1 << cell} if inside >> cell & 1 else set()
    for _ in range(num_cells - 1):
        grown: set[int] = set()
        for shape in shapes:
            edge = 0
            for at in values_of(shape):
                edge |= beside[at]
            grown.update(shape | bit for bit in bits_of(edge & inside & ~shape))
        shapes = grown
    return shapes


@no_type_check
def islands_of(numbers: Sequence[int], size: int) -> list[Island]:
    """Returns the islands of a board with all shapes that keep away from other numbers."""
    beside = [sum(1 << other for other in near) for near in neighbours(size, size)]
    around = [near | sum(1 << other for other in corners(size, size)[cell]) for cell, near in enumerate(beside)]
    found = []
    for cell, number in enumerate(numbers):
        if not number:
            continue
        far = (1 << size * size) - 1
        for other, taken in enumerate(numbers):
            if taken and other != cell:
                far &= ~(around[other] | 1 << other)
        shapes = _shapes(cell, number, far, beside)
        found.append(Island(number, cell, tuple(sorted(shapes))))
    return found


@no_type_check
def narrow_shapes(islands: Sequence[Island], size: int) -> Narrow:
    """Returns the narrowing of shapes, bit k of a domain being shape k: islands keep apart, blocks need some land."""
    near = [
        sum(1 << other for other in (*n, *c, cell))
        for cell, (n, c) in enumerate(zip(neighbours(size, size), corners(size, size), strict=True))
    ]
    blocks = blocks_of(size)

    def keep(state: list[int], number: int, mask: int, is_wanted: bool, why: str, notes: list[str] | None) -> bool:
        island = islands[number]
        left = sum(1 << k for k in values_of(state[number]) if bool(island.shapes[k] & mask) == is_wanted)
        if left != state[number]:
            state[number] = left
            if notes is not None:
                notes.append(f"{why} -> {_name(island, size)}: {_shapes_text(island, left, size)}")
        return left != 0

    def keep_apart(state: list[int], notes: list[str] | None) -> bool:
        for number, island in enumerate(islands):
            sure = -1
            for k in values_of(state[number]):
                sure &= island.shapes[k]
            taken = 0
            for cell in values_of(sure):
                taken |= near[cell]
            why = f"away from {_name(island, size)}"
            others = (other for other in range(len(islands)) if other != number)
            if not all(keep(state, other, taken, False, why, notes) for other in others):
                return False
        return True

    def cover_blocks(state: list[int], notes: list[str] | None) -> bool:
        possible = []
        for number, island in enumerate(islands):
            may = 0
            for k in values_of(state[number]):
                may |= island.shapes[k]
            possible.append(may)
        for block in blocks:
            able = [number for number, may in enumerate(possible) if may & block]
            why = f"block at {place(values_of(block)[0], size)}"
            if not able:
                if notes is not None:
                    notes.append(f"clash: {why} is all wall")
                return False
            if len(able) == 1 and not keep(state, able[0], block, True, why, notes):
                return False
        return True

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        before: list[int] = []
        while before != state:
            before = state.copy()
            if not (all(state) and keep_apart(state, notes) and cover_blocks(state, notes)):
                return False
        return True

    return narrow


@no_type_check
def _name(island: Island, size: int) -> str:
    return f"{island.number} at {place(island.cell, size)}"


@no_type_check
def _shapes_text(island: Island, domain: int, size: int) -> str:
    """Returns the shapes in a domain, or how many they are."""
    shapes = [island.shapes[k] for k in values_of(domain)]
    if len(shapes) > MAX_SHAPES_SHOWN:
        return f"{len(shapes)} shapes"
    return " or ".join(f"({places(values_of(shape), size)})" for shape in shapes) or "no shape"


def _read(task: Task) -> list[list[int]]:
    """Returns the numbers of a task, checked."""
    rows = read_board(task, "numbers", low=0, high=9)
    if len(rows) > 9 or len(rows[0]) != len(rows):
        raise bad_meta(task, "numbers", "a square board, up to 9 x 9")
    return rows
