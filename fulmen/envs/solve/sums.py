"""Cells of 0 and 1 under bounds on sums: deduction that can be told, and complete search.

Sets of cells are bitmasks; bit `i` is cell `i`. Two inferences are told: a sum that has reached a bound settles its
other cells, and a value from which the first inference reaches a contradiction is the wrong one. Where both are at an
end, `Sums.solve` guesses, and takes wrong guesses back. Left out: learning from contradictions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["sum", "contradiction", "guess", "retract"]


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A bound on the number of ones among some cells."""

    cells: int
    """Bitmask."""
    low: int
    high: int
    label: str
    """What a person calls it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Cells that got the same value for one reason."""

    reason: Reason
    cells: int
    """Bitmask."""
    value: int
    label: str
    """Of the sum that settles them, or that the other value breaks; empty for guesses."""


@dataclass(kw_only=True)
class Board:
    """What is known."""

    ones: int = 0
    zeros: int = 0
    steps: list[Step] = field(default_factory=list)

    def set(self, step: Step) -> None:
        """Takes a step."""
        if step.value:
            self.ones |= step.cells
        else:
            self.zeros |= step.cells
        self.steps.append(step)


class Sums:
    """A problem: sums over cells 0 to `num_cells - 1`; those that come first are tried first."""

    def __init__(self, sums: Sequence[Sum], *, num_cells: int) -> None:
        self.sums = tuple(sums)
        self.all_cells = (1 << num_cells) - 1
        self.all_sums = (1 << len(self.sums)) - 1
        self.sums_of_cell = [0] * num_cells
        for index, total in enumerate(self.sums):
            for cell in members(total.cells):
                self.sums_of_cell[cell] |= 1 << index

    def propagate(self, board: Board, pending: int) -> Sum | None:
        """Applies the pending sums, and all that they set off; returns a sum that cannot be kept, if there is one."""
        while pending:
            total = self.sums[(pending & -pending).bit_length() - 1]
            pending &= pending - 1
            have = (board.ones & total.cells).bit_count()
            free = total.cells & ~(board.ones | board.zeros)
            num_free = free.bit_count()
            if have > total.high or have + num_free < total.low:
                return total
            if num_free and (have == total.high or have + num_free == total.low):
                value = int(have < total.high)
                board.set(Step(reason="sum", cells=free, value=value, label=total.label))
                for cell in members(free):
                    pending |= self.sums_of_cell[cell]
        return None

    def deduce(self, board: Board) -> Sum | None:
        """Takes every told inference; returns a sum that cannot be kept, if there is one."""
        if broken := self.propagate(board, self.all_sums):
            return broken
        is_moving = True
        while is_moving:
            is_moving = False
            for cell in range(len(self.sums_of_cell)):
                for value in (1, 0):
                    if (board.ones | board.zeros) >> cell & 1 or not self.sums_of_cell[cell]:
                        continue
                    wrong = self._contradiction(board, cell, value)
                    if wrong is None:
                        continue
                    is_moving = True
                    board.set(Step(reason="contradiction", cells=1 << cell, value=1 - value, label=wrong.label))
                    if broken := self.propagate(board, self.sums_of_cell[cell]):
                        return broken
        return None

    def solve(self, board: Board, is_right: Callable[[int], bool] | None = None) -> Board | None:
        """Returns the board filled, with the steps to there; None if it cannot be.

        `is_right` may refuse sets of ones that keep all sums.
        """
        if self.deduce(board):
            return None
        unknown = self.all_cells & ~(board.ones | board.zeros)
        if not unknown:
            return board if is_right is None or is_right(board.ones) else None
        cell = self._tightest(board, unknown)
        values: tuple[tuple[int, Reason], ...] = ((1, "guess"), (0, "retract"))
        for value, reason in values:
            branch = Board(ones=board.ones, zeros=board.zeros, steps=list(board.steps))
            branch.set(Step(reason=reason, cells=1 << cell, value=value, label=""))
            if found := self.solve(branch, is_right):
                return found
        return None

    def other(self, cell: int, *, truth: int, board: Board | None = None) -> int | None:
        """Returns the ones of a solution that gives a cell another value than the solution `truth`; None without.

        `board` may hold what `deduce` found.
        """
        trial = Board(ones=board.ones, zeros=board.zeros) if board else Board()
        trial.set(Step(reason="guess", cells=1 << cell, value=1 - (truth >> cell & 1), label=""))
        return self._complete(trial, self.sums_of_cell[cell], truth)

    def _complete(self, board: Board, pending: int, truth: int) -> int | None:
        """Returns a solution near `truth`: only where `truth` breaks a sum does the search branch."""
        if self.propagate(board, pending):
            return None
        filled = board.ones | truth & ~board.zeros
        broken = [s.cells for s in self.sums if not s.low <= (filled & s.cells).bit_count() <= s.high]
        if not broken:
            return filled
        unknown = ~(board.ones | board.zeros)
        cell = next(members(unknown & min(broken, key=lambda cells: (cells & unknown).bit_count())))
        for value in (1 - (truth >> cell & 1), truth >> cell & 1):
            branch = Board(ones=board.ones, zeros=board.zeros)
            branch.set(Step(reason="guess", cells=1 << cell, value=value, label=""))
            if (found := self._complete(branch, self.sums_of_cell[cell], truth)) is not None:
                return found
        return None

    def _contradiction(self, board: Board, cell: int, value: int) -> Sum | None:
        trial = Board(ones=board.ones | value << cell, zeros=board.zeros | (1 - value) << cell)
        return self.propagate(trial, self.sums_of_cell[cell])

    def _tightest(self, board: Board, unknown: int) -> int:
        """Returns an unknown cell of the sum with the fewest, among sums that need a one."""
        free = [
            (total.cells & unknown).bit_count() * 1000 + index
            for index, total in enumerate(self.sums)
            if total.cells & unknown and (board.ones & total.cells).bit_count() < total.low
        ]
        return next(members(self.sums[min(free) % 1000].cells & unknown if free else unknown))


def members(cells: int) -> Iterator[int]:
    """Yields the cells of a bitmask, in order.

    >>> list(members(0b1010))
    [1, 3]
    """
    while cells:
        yield (cells & -cells).bit_length() - 1
        cells &= cells - 1


WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "sum": "{label}: {cells} = {value}",
        "contradiction": "{cells} = {other} breaks {label}: {cells} = {value}",
        "guess": "try {cells} = {value}",
        "retract": "that fails: {cells} = {value}",
    },
    "zh": {
        "sum": "{label}：{cells} = {value}",
        "contradiction": "若 {cells} = {other}，{label} 不成立：{cells} = {value}",
        "guess": "试 {cells} = {value}",
        "retract": "不行：{cells} = {value}",
    },
}


def tell(steps: Sequence[Step], *, num_columns: int, language: str, symbols: Sequence[str] = "01") -> str:
    """Returns the steps in words, one line each; steps in a row from sums of one label are one line.

    `symbols` are the values as a reader knows them; cells are named as in `r1c2`.
    """
    merged: list[Step] = []
    for step in steps:
        last = merged[-1] if merged else None
        if last and step.reason == "sum" == last.reason and (last.label, last.value) == (step.label, step.value):
            merged[-1] = Step(reason="sum", cells=last.cells | step.cells, value=step.value, label=step.label)
        else:
            merged.append(step)
    return "\n".join(
        WORDS[language][step.reason].format(
            label=step.label,
            cells=" ".join(place(cell, num_columns) for cell in members(step.cells)),
            value=symbols[step.value],
            other=symbols[1 - step.value],
        )
        for step in merged
    )


def place(cell: int, num_columns: int) -> str:
    """Returns a cell's name, counted from 1.

    >>> place(4, 3)
    'r2c2'
    """
    return f"r{cell // num_columns + 1}c{cell % num_columns + 1}"


def blocks(num_rows: int, num_columns: int, label: str) -> list[Sum]:
    """Returns sums that forbid ones to touch, even diagonally: at most one in each square of four."""
    corner = 0b11 | 0b11 << num_columns
    return [
        Sum(cells=corner << row * num_columns + column, low=0, high=1, label=label)
        for row in range(num_rows - 1)
        for column in range(num_columns - 1)
    ]
