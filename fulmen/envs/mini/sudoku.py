"""Sudoku on a 4x4 grid with 2x2 boxes.

A puzzle is kept if naked singles alone fill it. Each such cell is forced, so the filling is also the proof that the
solution is unique. The checker still works from the rules, not from the gold grid.
Left out: 9x9, and techniques beyond the naked single.
"""

import functools
import random
from dataclasses import dataclass

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge, read_meta, require_between
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.types import Message, Score, Split, StopReason, Task

KIND = "sudoku"
DIGITS = "1234"
BLANK = "_"
MAX_DRAWS_PER_GRID = 64
"""Sets of blanks tried on one solution before another solution is drawn."""


def _peers(cell: int) -> tuple[int, ...]:
    """Returns the cells that share a row, column or box with a cell; cells count row by row from 0."""
    row, column = divmod(cell, 4)
    return tuple(
        other
        for other in range(16)
        if other != cell
        and (other // 4 == row or other % 4 == column or (other // 8, other % 4 // 2) == (cell // 8, column // 2))
    )


PEERS = tuple(_peers(cell) for cell in range(16))


@dataclass(frozen=True, kw_only=True)
class Sudoku(SingleTurn):
    """A 4x4 grid with blanks to fill."""

    name: str = KIND
    """What `Task.env` says."""
    min_blanks: int = 7
    """Fewest blank cells, 1 or more."""
    max_blanks: int = 9
    """Most blank cells, up to 11."""

    def __post_init__(self) -> None:
        require_between("min_blanks", self.min_blanks, low=1, high=11)
        require_between("max_blanks", self.max_blanks, low=1, high=11)
        if self.min_blanks > self.max_blanks:
            raise ConfigError(f"min_blanks: {self.min_blanks}; allowed: up to max_blanks = {self.max_blanks}")

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream."""
        return draw_task(self._draw, kind=KIND, name=self.name, split=split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 if the grid keeps the givens and no row, column or box repeats a digit."""
        givens = self._givens(task)

        def find_fault(text: str) -> str:
            grid = "".join(text.replace("/", " ").split())
            if len(grid) != 16 or not set(grid) <= set(DIGITS):
                raise DataError(f"grid: {text[:40]!r}; allowed: 16 digits from 1 to 4, rows joined by '/'")
            for cell, (given, digit) in enumerate(zip(givens, grid, strict=True)):
                if given not in (BLANK, digit):
                    return f"changes the given at {_place(cell)}"
                if any(grid[peer] == digit for peer in PEERS[cell]):
                    return f"repeats {digit} at {_place(cell)}"
            return ""

        return judge(answer, stop_reason=stop_reason, find_fault=find_fault)

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Returns one line per blank: its row and column, the digits it sees, and the one that is left.

        `12:124>3` means that row 1, column 2 sees 1, 2 and 4, so it is 3.
        """
        grid = list(self._givens(task))
        lines = []
        while singles := _naked_singles(grid):
            cell = rng.choice(sorted(singles))
            seen = "".join(digit for digit in DIGITS if digit != singles[cell])
            lines.append(f"{_place(cell)}:{seen}>{singles[cell]}")
            grid[cell] = singles[cell]
        if BLANK in grid:
            raise TaskError(f"task.meta['givens'] of {task.task_id}: naked singles do not fill it")
        return Message(role="assistant", content=_rows("".join(grid)), thinking="\n".join(lines))

    def _givens(self, task: Task) -> str:
        """Returns the 16 cells of a task, checked."""
        givens = read_meta(task, "givens", env=self.name, kind=str)
        if len(givens) != 16 or not set(givens) <= set(DIGITS + BLANK):
            raise TaskError(f"task.meta['givens'] of {task.task_id}: {givens!r}; allowed: 16 of {DIGITS}{BLANK}")
        return givens

    def _draw(self, rng: random.Random) -> Puzzle:
        """Returns a random solution with a random set of its cells blanked."""
        num_blanks = rng.randint(self.min_blanks, self.max_blanks)
        while True:
            solution = rng.choice(_solutions())
            for _ in range(MAX_DRAWS_PER_GRID):
                blanks = rng.sample(range(16), num_blanks)
                givens = "".join(BLANK if cell in blanks else digit for cell, digit in enumerate(solution))
                if is_filled_by_singles(givens):
                    return Puzzle(
                        key=(givens,), prompt=f"Fill {_rows(givens)}", gold=_rows(solution), meta={"givens": givens}
                    )


def is_filled_by_singles(givens: str) -> bool:
    """Returns whether naked singles alone fill a grid of 16 characters, which proves its solution unique."""
    grid = list(givens)
    while singles := _naked_singles(grid):
        for cell, digit in singles.items():
            grid[cell] = digit
    return BLANK not in grid


def _naked_singles(grid: list[str]) -> dict[int, str]:
    """Returns the blank cells that see three of the four digits, with the digit that is left."""
    singles = {}
    for cell, value in enumerate(grid):
        if value == BLANK:
            left = set(DIGITS).difference([grid[peer] for peer in PEERS[cell]])
            if len(left) == 1:
                singles[cell] = left.pop()
    return singles


@functools.cache
def _solutions() -> tuple[str, ...]:
    """Returns all 288 full grids, in the order of their digits."""
    grids = [""]
    for cell in range(16):
        earlier = [peer for peer in PEERS[cell] if peer < cell]
        grids = [grid + digit for grid in grids for digit in DIGITS if all(grid[peer] != digit for peer in earlier)]
    return tuple(grids)


def _place(cell: int) -> str:
    """Returns row and column of a cell, counted from 1."""
    return f"{cell // 4 + 1}{cell % 4 + 1}"


def _rows(grid: str) -> str:
    """Returns a grid of 16 characters as four rows joined by `/`."""
    return "/".join(grid[start : start + 4] for start in range(0, 16, 4))
