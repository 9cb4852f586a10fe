"""Norinori: shade two cells in every region so that the shaded cells are dominoes that keep apart.

Boards are drawn until a search finds one solution only; the checker still works from the rules.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.lattice import bad_meta, cut, groups, neighbours, place, read_answer, read_board, show
from fulmen.envs.solve.marks import EMPTY, MARKED, OPEN, Deduction
from fulmen.envs.solve.narrowing import Narrow, TooLongError, no_type_check, search_aloud, solve
from fulmen.errors import ConfigError
from fulmen.types import Task

MAX_DRAWS = 3000
"""Boards drawn for one with a single solution."""
MAX_NODES = 60
"""States that a search may take to prove a board unique, which keeps worked solutions short."""
CANDIDATES = 25
"""Random dominoes of which the one that takes least room is placed."""
REGIONS_PER_DRAW = 4
"""Divisions into regions tried around the same dominoes."""
MAX_MOVES = 30
"""Cells moved between regions before other dominoes are drawn."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FORM_EN = (
    "Answer with {size} lines of {size} digits separated by spaces, 1 for a shaded cell and 0 for any other. A board of"
    " 2 x 2 with its upper row shaded would be written\n1 1\n0 0"
)
FORM_ZH = (
    "请回答 {size} 行，每行 {size} 个数字，用空格分开：1 表示涂黑的格子，0 表示未涂黑。"
    "例如涂黑上面一行的 2×2 盘面写成\n1 1\n0 0"
)


@dataclass(frozen=True, kw_only=True)
class Norinori(PuzzleEnv):
    """A board of regions with two cells to shade in each."""

    name: str = "norinori"
    size: int = 7
    """Cells a side, 4 to 10."""
    num_regions: int = 12
    """Regions, and so dominoes, 2 to 26 and up to size * size / 4; near that number boards with one solution are found
    soon, because dominoes have little room to move, but some numbers next to it find no room."""

    rule: ClassVar[str] = "shade two cells in every region so that all shaded cells form dominoes that do not touch"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 5, "num_regions": 6},
        {"size": 6, "num_regions": 9},
        {"size": 7, "num_regions": 12},
        {"size": 8, "num_regions": 16},
        {"size": 8, "num_regions": 15},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "The board is divided into {num_regions} regions; cells with the same letter are one region.\n{board}\n"
            "Shade"
            " cells so that every region has exactly two shaded cells and every shaded cell shares a side with exactly"
            " one other shaded cell. (So the shaded cells form dominoes, 1 x 2 or 2 x 1, that do not touch each other"
            " except at corners. A domino may lie across the border of two regions.)\n" + FORM_EN,
            "Norinori. Letters mark the regions of a {size} x {size} board:\n{board}\nPlace dominoes, each covering "
            "two cells"
            " that share a side, such that no cell of a domino shares a side with a cell of another domino, and each"
            " region has exactly two covered cells, of the same domino or of two. Covered cells are called shaded.\n"
            + FORM_EN,
            "Choose the shaded cells of this board, where each letter is a region:\n{board}\nConditions: in each of the"
            " {num_regions} regions two cells are shaded, no more and no less; of the up to four neighbours (left, "
            "right,"
            " above, below) of a shaded cell exactly one is shaded, in whatever region it lies. Diagonal neighbours do"
            " not matter.\n" + FORM_EN,
        ),
        "zh": (
            "盘面分为 {num_regions} 个区域，字母相同的格子属于同一区域：\n{board}\n请涂黑若干格子，"
            "使每个区域恰好有两个涂黑的格子，"
            "并且每个涂黑的格子恰好与一个涂黑的格子有公共边（即涂黑的格子组成互不相邻的多米诺骨牌，只允许在角上相触；"
            "骨牌可以跨越两个区域）。\n" + FORM_ZH,
            "Norinori 谜题。{size}×{size} 盘面上的字母表示区域：\n{board}\n放置若干多米诺骨牌，"
            "每块盖住两个有公共边的格子；不同骨牌的格子不能上下左右相邻"
            "（可以斜着相邻）；每个区域恰好有两个格子被盖住，可以属于同一块骨牌，也可以属于两块。"
            "被盖住的格子就是涂黑的格子。\n" + FORM_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=4, high=10)
        require_between("num_regions", self.num_regions, low=2, high=min(len(LETTERS), self.size**2 // 4))

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns random dominoes and random regions around their cells to which they are the only solution."""
        dominoes, regions = self._draw_unique(rng)
        shaded = set(itertools.chain(*dominoes))
        rows = cut(regions, self.size)
        prompt = self.phrase(
            rng,
            size=self.size,
            num_regions=self.num_regions,
            board=show([[LETTERS[region] for region in row] for row in rows]),
        )
        gold = show(cut([int(cell in shaded) for cell in range(self.size**2)], self.size))
        return Puzzle(key=(rows,), prompt=prompt, gold=gold, meta={"regions": rows})

    def _draw_unique(self, rng: random.Random) -> tuple[list[tuple[int, int]], list[int]]:
        """Returns dominoes and regions to which they are the only solution."""
        for _ in range(MAX_DRAWS):
            dominoes = random_dominoes(self.size, self.num_regions, rng)
            for _ in range(REGIONS_PER_DRAW if dominoes else 0):
                regions = random_regions(dominoes, self.size, rng)
                if make_unique(regions, set(itertools.chain(*dominoes)), self.size, rng):
                    return dominoes, renumbered(regions)
        raise ConfigError(f"num_regions: {self.num_regions}; allowed: a number at which unique boards are found")

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a region without exactly two shaded cells, a cell that is in no domino."""
        rows = _read(task)
        size = len(rows)
        answer = read_answer(text, num_rows=size, num_columns=size, cells="01")
        marks = [int(cell) for row in answer for cell in row]
        counts = [0] * (1 + max(region for row in rows for region in row))
        for cell, mark in enumerate(marks):
            counts[rows[cell // size][cell % size]] += mark
        for region, count in enumerate(counts):
            if count != 2:
                return f"region {LETTERS[region]} has {count} shaded cells, not 2"
        for cell, near in enumerate(neighbours(size, size)):
            num_near = sum(marks[other] for other in near)
            if marks[cell] and num_near != 1:
                return f"{place(cell, size)} has {num_near} shaded neighbours, not 1"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each, 1 for shaded: `region B full -> r1c3=0`, and trials where they end."""
        rows = _read(task)
        size = len(rows)
        narrow = narrow_dominoes([region for row in rows for region in row], size)
        lines = search_aloud([OPEN] * size**2, narrow, say=lambda c, bit: f"{place(c, size)}={bit >> 1}")
        return "\n".join(lines)


@no_type_check
def random_dominoes(size: int, num_dominoes: int, rng: random.Random) -> list[tuple[int, int]]:
    """Returns dominoes that do not touch; none if a random try found room for fewer."""
    beside = neighbours(size, size)
    pairs = [(cell, other) for cell in range(size * size) for other in beside[cell] if other > cell]
    blocked: set[int] = set()
    found: list[tuple[int, int]] = []
    while pairs and len(found) < num_dominoes:
        some = rng.sample(pairs, min(len(pairs), CANDIDATES))
        reach = [{*beside[one], *beside[other]} - blocked for one, other in some]
        best = min(range(len(some)), key=lambda at: len(reach[at]))
        found.append(some[best])
        blocked |= reach[best]
        pairs = [(one, other) for one, other in pairs if one not in blocked and other not in blocked]
    return found if len(found) == num_dominoes else []


@no_type_check
def random_regions(dominoes: Sequence[tuple[int, int]], size: int, rng: random.Random) -> list[int]:
    """Returns the region of each cell: connected ones of two domino cells each.

    Each domino cell grows into a patch, then patches are joined in pairs, other dominoes' first.
    """
    beside = neighbours(size, size)
    patch = [-1] * (size * size)
    for number, cell in enumerate(itertools.chain(*dominoes)):
        patch[cell] = number
    edge = [cell for cell in range(size * size) if patch[cell] >= 0]
    while edge:
        at = rng.randrange(len(edge))
        free = [other for other in beside[edge[at]] if patch[other] < 0]
        if not free:
            edge[at] = edge[-1]
            edge.pop()
            continue
        cell = rng.choice(free)
        patch[cell] = patch[edge[at]]
        edge.append(cell)
    touching: list[set[int]] = [set() for _ in range(2 * len(dominoes))]
    for cell, near in enumerate(beside):
        touching[patch[cell]].update(patch[other] for other in near if patch[other] != patch[cell])
    partner = _pair_up([sorted(near) for near in touching], rng)
    return [min(number, partner[number]) for number in patch]


def renumbered(regions: Sequence[int]) -> list[int]:
    """Returns the regions numbered in the order of their first cells, from 0."""
    names: dict[int, int] = {}
    return [names.setdefault(region, len(names)) for region in regions]


@no_type_check
def make_unique(regions: list[int], shaded: set[int], size: int, rng: random.Random) -> bool:
    """Moves cells between regions until only `shaded` is a solution; False if `MAX_MOVES` moves were not enough.

    A cell that only another solution shades breaks that one when it goes to a neighbouring region, not this one.
    """
    beside = neighbours(size, size)
    done: set[tuple[int, int]] = set()
    for _ in range(MAX_MOVES):
        try:
            found = solve([OPEN] * len(regions), narrow_dominoes(renumbered(regions), size), max_nodes=MAX_NODES)
        except TooLongError:
            return False
        others = [
            state for state in found if any((domain == MARKED) != (c in shaded) for c, domain in enumerate(state))
        ]
        if not others:
            return True
        wrong = [cell for cell, domain in enumerate(others[0]) if domain == MARKED and cell not in shaded]
        moves = [
            (cell, regions[near])
            for cell in wrong
            for near in beside[cell]
            if regions[near] != regions[cell] and (cell, regions[near]) not in done
        ]
        rng.shuffle(moves)
        for cell, region in moves:
            rest = [c for c, r in enumerate(regions) if r == regions[cell] and c != cell]
            if len(groups(rest, beside)) == 1:
                done.add((cell, regions[cell]))
                regions[cell] = region
                break
        else:
            return False
    return False


@no_type_check
def _pair_up(touching: Sequence[Sequence[int]], rng: random.Random) -> list[int]:
    """Returns a partner for each patch, random ones where that works out; patches 2k and 2k + 1 are one domino's."""
    for _ in range(20):
        if partner := _try_to_pair(touching, rng):
            return partner
    return [patch ^ 1 for patch in range(len(touching))]


@no_type_check
def _try_to_pair(touching: Sequence[Sequence[int]], rng: random.Random) -> list[int]:
    """Returns random partners, patches with few choices first; none if one is left alone."""
    partner = [-1] * len(touching)
    for patch in rng.sample(range(len(touching)), len(touching)):
        if partner[patch] >= 0:
            continue
        free = [other for other in touching[patch] if partner[other] < 0]
        others = [other for other in free if other != patch ^ 1] or free
        if not others:
            return []
        chosen = min(rng.sample(others, len(others)), key=lambda o: sum(partner[p] < 0 for p in touching[o]))
        partner[patch], partner[chosen] = chosen, patch
    return partner


@no_type_check
def narrow_dominoes(regions: Sequence[int], size: int) -> Narrow:
    """Returns the narrowing by regions of two and cells of one neighbour."""
    beside = neighbours(size, size)
    members = [[cell for cell, region in enumerate(regions) if region == r] for r in range(max(regions) + 1)]

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        found = Deduction(state, size, notes, due=[0])
        while found.due:
            found.due.clear()
            for region, cells in enumerate(members):
                if not fill_region(found, cells, f"region {LETTERS[region]}"):
                    return False
            for cell in range(len(state)):
                if state[cell] != EMPTY and not fill_around(found, cell):
                    return False
        return True

    def fill_region(found: Deduction, cells: list[int], name: str) -> bool:
        marked = [cell for cell in cells if found.state[cell] == MARKED]
        opened = [cell for cell in cells if found.state[cell] == OPEN]
        if len(marked) > 2:
            return found.clash(f"{name} has three at", *marked)
        if len(marked) == 2:
            return found.settle(opened, EMPTY, f"{name} full:", *marked)
        if len(marked) + len(opened) < 2:
            return found.clash(f"{name} has no room for two")
        if len(marked) + len(opened) == 2:
            return found.settle(opened, MARKED, f"{name} needs all its room")
        return True

    def fill_around(found: Deduction, cell: int) -> bool:
        marked = [other for other in beside[cell] if found.state[other] == MARKED]
        opened = [other for other in beside[cell] if found.state[other] == OPEN]
        if found.state[cell] == OPEN:
            if len(marked) > 1:
                return found.settle([cell], EMPTY, "would join", *marked)
            return bool(marked or opened) or found.settle([cell], EMPTY, "no partner for", cell)
        if len(marked) > 1:
            return found.clash("three in touch:", cell, *marked)
        if marked:
            return found.settle(opened, EMPTY, "around domino", cell, *marked)
        if not opened:
            return found.clash("no partner for", cell)
        return len(opened) > 1 or found.settle(opened, MARKED, "only partner of", cell)

    return narrow


def _read(task: Task) -> list[list[int]]:
    """Returns the regions of a task, checked."""
    rows = read_board(task, "regions", low=0, high=len(LETTERS) - 1)
    used = {region for row in rows for region in row}
    if len(rows) > 10 or len(rows[0]) != len(rows) or used != set(range(len(used))):
        raise bad_meta(task, "regions", "a square board, up to 10 x 10, of regions numbered from 0")
    return rows
