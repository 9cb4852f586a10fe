"""Boards whose cells are marked (1) or not (0): deductions written into a state, and noted.

A domain has bit 0 for a cell without a mark and bit 1 for a marked one, so 1 is "not", 2 "marked", 3 open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fulmen.envs.solve.lattice import place
from fulmen.envs.solve.narrowing import no_type_check

EMPTY, MARKED, OPEN = 1, 2, 3


@dataclass(slots=True)
class Deduction:
    """A state while it is narrowed."""

    state: list[int]
    num_columns: int
    notes: list[str] | None
    due: list[int] = field(default_factory=list)
    """Cells that were settled and whose consequences are not drawn yet."""

    @no_type_check
    def settle(self, cells: Iterable[int], domain: int, why: str, *about: int) -> bool:
        """Leaves cells one value and notes which were open; False where one has the other value.

        `about` are the cells that `why` speaks of.
        """
        news = []
        for cell in cells:
            if self.state[cell] == domain:
                continue
            if self.state[cell] != OPEN:
                if self.notes is not None:
                    self.notes.append(f"{self._words(why, about)} -> clash at {place(cell, self.num_columns)}")
                return False
            self.state[cell] = domain
            news.append(cell)
        if news:
            self.due += news
            if self.notes is not None:
                found = " ".join(f"{place(cell, self.num_columns)}={domain >> 1}" for cell in news)
                self.notes.append(f"{self._words(why, about)} -> {found}")
        return True

    @no_type_check
    def clash(self, why: str, *about: int) -> bool:
        """Notes why the rules cannot be kept. Returns False."""
        if self.notes is not None:
            self.notes.append(f"clash: {self._words(why, about)}")
        return False

    def _words(self, why: str, about: Iterable[int]) -> str:
        return " ".join([why, *(place(cell, self.num_columns) for cell in about)])


@no_type_check
def bits_where(state: Sequence[int], *domains: int) -> int:
    """Returns the cells, as bits, whose domain is one of `domains`."""
    return sum(1 << cell for cell, domain in enumerate(state) if domain in domains)


@no_type_check
def flood(start: int, inside: int, num_columns: int, not_left: int, not_right: int) -> int:
    """Returns the cells, as bits, that a walk over shared sides reaches from `start` without leaving `inside`.

    `not_left` and `not_right` are the cells outside the first and the last column.
    """
    reached = start & inside
    while True:
        around = reached << num_columns | reached >> num_columns
        grown = (reached | around | (reached & not_right) << 1 | (reached & not_left) >> 1) & inside
        if grown == reached:
            return reached
        reached = grown


def inner_columns(num_rows: int, num_columns: int) -> tuple[int, int]:
    """Returns the cells, as bits, outside the first and outside the last column."""
    cells = range(num_rows * num_columns)
    not_left = sum(1 << cell for cell in cells if cell % num_columns)
    not_right = sum(1 << cell for cell in cells if cell % num_columns != num_columns - 1)
    return not_left, not_right
