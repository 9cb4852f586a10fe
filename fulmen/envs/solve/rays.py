"""Rays of arrows that start at numbers in a grid, and what can be deduced of them without a guess.

A grid is a list of rows of arrows, numbers as text, and `BLANK`. Left out: search; where deduction ends, it ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Grid = list[list[str]]
Place = tuple[int, int]
Reason = Literal["back", "number", "only"]

STRAIGHT = {"→": (0, 1), "↓": (1, 0), "←": (0, -1), "↑": (-1, 0)}
STEPS = {**STRAIGHT, "↘": (1, 1), "↙": (1, -1), "↖": (-1, -1), "↗": (-1, 1)}
"""Arrow to its step in rows and columns."""
BLANK = "_"


@dataclass(frozen=True, kw_only=True)
class Step:
    """Blank cells that become one arrow."""

    reason: Reason
    """`back`: they lie between an arrow and its number; `number`: the number needs them; `only`: nothing else fits."""
    place: Place
    """The arrow, the number, or the cell itself."""
    cells: Sequence[Place]
    arrow: str


def line(grid: Sequence[Sequence[str]], place: Place, arrow: str, marks: str) -> list[Place]:
    """Returns the cells with one of some marks that go out from a place in an arrow's direction, without a gap."""
    down, right = STEPS[arrow]
    cells = []
    r, c = place[0] + down, place[1] + right
    while 0 <= r < len(grid) and 0 <= c < len(grid[0]) and grid[r][c] in marks:
        cells.append((r, c))
        r, c = r + down, c + right
    return cells


def ray(grid: Sequence[Sequence[str]], place: Place, arrow: str) -> list[Place]:
    """Returns the cells with an arrow that go out from a place in its direction, without a gap.

    >>> ray([["1", "→", "↑"]], (0, 0), "→")
    [(0, 1)]
    """
    return line(grid, place, arrow, arrow)


def numbers(grid: Sequence[Sequence[str]]) -> Iterator[tuple[Place, int]]:
    """Yields the places and values of the numbers."""
    for r, row in enumerate(grid):
        for c, cell in enumerate(row):
            if cell.isdigit():
                yield (r, c), int(cell)


def deduce(grid: Grid, arrows: Sequence[str]) -> list[Step]:
    """Fills a grid, in place, as far as single inferences go; returns them in order. The grid must have a solution."""
    steps: list[Step] = []
    while found := next(_inferences(grid, arrows), None):
        for r, c in found.cells:
            grid[r][c] = found.arrow
        steps.append(found)
    return steps


def _inferences(grid: Grid, arrows: Sequence[str]) -> Iterator[Step]:
    places = [(r, c) for r in range(len(grid)) for c in range(len(grid[0]))]
    for place in places:
        arrow = grid[place[0]][place[1]]
        if arrow in STEPS and (blanks := _blanks(grid, _way_back(grid, place, arrow))):
            yield Step(reason="back", place=place, cells=blanks, arrow=arrow)
    for place, number in numbers(grid):
        missing = number - sum(len(ray(grid, place, arrow)) for arrow in arrows)
        room = {arrow: _blanks(grid, line(grid, place, arrow, arrow + BLANK)) for arrow in arrows}
        for arrow, cells in room.items():
            needed = missing - sum(min(missing, len(other)) for key, other in room.items() if key != arrow)
            if needed > 0:
                yield Step(reason="number", place=place, cells=cells[:needed], arrow=arrow)
    for place in places:
        if grid[place[0]][place[1]] == BLANK:
            fitting = [arrow for arrow in arrows if _can_be(grid, arrows, place, arrow)]
            if len(fitting) == 1:
                yield Step(reason="only", place=place, cells=[place], arrow=fitting[0])


def _way_back(grid: Grid, place: Place, arrow: str) -> list[Place]:
    """Returns the cells between an arrow and the number that it comes from, if they can hold that arrow."""
    down, right = STEPS[arrow]
    cells = []
    r, c = place[0] - down, place[1] - right
    while 0 <= r < len(grid) and 0 <= c < len(grid[0]) and grid[r][c] in (arrow, BLANK):
        cells.append((r, c))
        r, c = r - down, c - right
    return cells


def _can_be(grid: Grid, arrows: Sequence[str], place: Place, arrow: str) -> bool:
    """Returns whether a blank cell can be an arrow: a number behind it must have so many left."""
    down, right = STEPS[arrow]
    back = _way_back(grid, place, arrow)
    r, c = (place[0] - down * (len(back) + 1), place[1] - right * (len(back) + 1))
    if not (0 <= r < len(grid) and 0 <= c < len(grid[0]) and grid[r][c].isdigit()):
        return False
    missing = int(grid[r][c]) - sum(len(ray(grid, (r, c), other)) for other in arrows)
    return 1 + len(_blanks(grid, back)) <= missing


def _blanks(grid: Grid, cells: Sequence[Place]) -> list[Place]:
    return [(r, c) for r, c in cells if grid[r][c] == BLANK]
