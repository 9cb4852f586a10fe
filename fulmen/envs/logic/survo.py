"""Survo: put given numbers into the blanks of a table so that rows and columns have their sums.

Numbers are given back to the table until a search finds one solution only; the checker still works from the rules.
"""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.lattice import bad_meta, cut, place, read_answer, read_board, read_counts, show
from fulmen.envs.solve.narrowing import Narrow, TooLongError, no_type_check, search_aloud, solve, values_of
from fulmen.errors import ConfigError
from fulmen.types import Task

MAX_NODES = 1500
"""States searched for a second solution before a number is given back."""
FORM_EN = (
    "Answer with the filled table without the sums: {size} lines of {size} numbers separated by spaces. A table of"
    " 2 x 2 would be written\n3 12\n8 1"
)
FORM_ZH = "请回答填好的表格（不含总和）：共 {size} 行，每行 {size} 个数，用空格分开。例如 2×2 的表格写成\n3 12\n8 1"


class Line(NamedTuple):
    """A row or column."""

    name: str
    total: int
    known: tuple[int, ...]
    blanks: tuple[int, ...]
    """Places in the list of the table's blanks."""


@dataclass(frozen=True, kw_only=True)
class Survo(PuzzleEnv):
    """A table with sums and numbers for its blanks."""

    name: str = "survo"
    size: int = 4
    """Rows and columns, the sums left out, 2 to 8."""
    num_hidden: int = 8
    """Most blanks; fewer where one solution needs it. Up to size * size."""
    min_value: int = 1
    """Least number, 1 or more."""
    max_value: int = 30
    """Largest number, up to 999."""

    rule: ClassVar[str] = "place the given numbers in the blanks so that each row and column has its sum"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 2, "num_hidden": 2, "max_value": 9},
        {"size": 3, "num_hidden": 5, "max_value": 20},
        {"size": 4, "num_hidden": 8, "max_value": 30},
        {"size": 5, "num_hidden": 13, "max_value": 50},
        {"size": 7, "num_hidden": 20, "max_value": 99},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Put these numbers into the blanks (`_`) of the table, each of them exactly once: {numbers}.\n"
            "{board}\nThe number after `|` is the sum of its row, the last line has the sums of the columns; all "
            "these sums"
            " must be right, and the numbers already in the table stay.\n" + FORM_EN,
            "Survo puzzle. A table of {size} rows and {size} columns has lost some numbers:\n{board}\nTo the right "
            "of `|`"
            " stands the total of each row, in the last line the total of each column. The lost numbers are {numbers}"
            " (a number that is listed twice was lost twice). Put all of them back, one in each `_`, so that every "
            "total"
            " is right; do not move the others.\n" + FORM_EN,
            "In the table below replace every `_` by one of the numbers {numbers}. Use each listed number as often "
            "as it"
            " is listed, no other numbers, and leave the rest of the table alone. Each row must add up to the number"
            " behind its `|`, each column to the number below it in the last line.\n{board}\n" + FORM_EN,
        ),
        "zh": (
            "请把下列数字填入表格的空格（`_`）中，每个数字恰好用一次：{numbers}。\n{board}\n`|` 后面是该行的总和，"
            "最后一行是各列的总和；"
            "所有总和都必须正确，表中已有的数字不能改动。\n" + FORM_ZH,
            "Survo 谜题：{size} 行 {size} 列的表格丢失了一些数：\n{board}\n`|` 右边是每行之和，最后一行是每列之和。"
            "丢失的数是：{numbers}"
            "（列出几次就用几次）。请在每个 `_` 处填入一个，全部用完，使每行每列的和都正确，其余数字保持不变。\n"
            + FORM_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=2, high=8)
        require_between("num_hidden", self.num_hidden, low=1, high=self.size * self.size)
        require_between("min_value", self.min_value, low=1, high=999)
        require_between("max_value", self.max_value, low=1, high=999)
        if self.min_value > self.max_value:
            raise ConfigError(f"min_value: {self.min_value}; allowed: up to max_value = {self.max_value}")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random table with random blanks, of which some are filled until one solution is left."""
        num_cells = self.size * self.size
        table = [rng.randint(self.min_value, self.max_value) for _ in range(num_cells)]
        rows = cut(table, self.size)
        sums = ([sum(row) for row in rows], [sum(column) for column in zip(*rows, strict=True)])
        hidden = sorted(rng.sample(range(num_cells), self.num_hidden))
        while others := _other_cells(table, hidden, sums):
            hidden.remove(rng.choice(others))
        board = cut([0 if cell in hidden else value for cell, value in enumerate(table)], self.size)
        numbers = sorted(table[cell] for cell in hidden)
        prompt = self.phrase(
            rng, size=self.size, numbers=", ".join(map(str, numbers)), board=table_text(board, sums[0], sums[1])
        )
        meta = {"board": board, "row_sums": sums[0], "column_sums": sums[1], "numbers": numbers}
        return Puzzle(key=(board, sums[0], sums[1], numbers), prompt=prompt, gold=show(rows), meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a number changed, other numbers used, a sum that is another."""
        board, sums, numbers = _read(task)
        size = len(board)
        known = {str(value) for row in board for value in row if value} | set(map(str, numbers))
        cells = list(map(str, range(1, 10))) if all(len(value) == 1 for value in known) else sorted(known)
        rows = [list(map(int, row)) for row in read_answer(text, num_rows=size, num_columns=size, cells=cells)]
        filled = []
        for cell, (value, given) in enumerate(zip(itertools.chain(*rows), itertools.chain(*board), strict=True)):
            if not given:
                filled.append(value)
            elif value != given:
                return f"{place(cell, size)} is {value}, but {given} is given"
        if sorted(filled) != sorted(numbers):
            return f"fills in {sorted(filled)}, not {sorted(numbers)}"
        for number, (row, total) in enumerate(zip(rows, sums[0], strict=True), 1):
            if sum(row) != total:
                return f"row {number} adds up to {sum(row)}, not {total}"
        for number, (column, total) in enumerate(zip(zip(*rows, strict=True), sums[1], strict=True), 1):
            if sum(column) != total:
                return f"column {number} adds up to {sum(column)}, not {total}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: `row 1: 12-3-5=4 -> r1c2=4`, or what numbers a cell can still have."""
        board, sums, numbers = _read(task)
        size = len(board)
        table = list(itertools.chain(*board))
        hidden = [cell for cell, value in enumerate(table) if not value]
        narrow = narrow_sums(lines_of(table, hidden, sums), numbers, [place(cell, size) for cell in hidden])
        full = sum(1 << value for value in set(numbers))

        def say(variable: int, bit: int) -> str:
            return f"{place(hidden[variable], size)}={bit.bit_length() - 1}"

        same = [f"each blank is {numbers[0]}"] if len(set(numbers)) == 1 else []
        return "\n".join(same + search_aloud([full] * len(hidden), narrow, say=say))


def table_text(board: Sequence[Sequence[int]], row_sums: Sequence[int], column_sums: Sequence[int]) -> str:
    """Returns the table with its sums: those of the rows behind `|`, those of the columns in the last line."""
    rows = [[*(value or "_" for value in row), "|", total] for row, total in zip(board, row_sums, strict=True)]
    return show([*rows, column_sums])


def lines_of(table: Sequence[int], hidden: Sequence[int], sums: tuple[Sequence[int], Sequence[int]]) -> list[Line]:
    """Returns the rows and columns that have blanks."""
    size, found = len(sums[0]), []
    for kind, totals in zip(("row", "column"), sums, strict=True):
        for number, total in enumerate(totals):
            cells = [c for c in range(size * size) if (c // size if kind == "row" else c % size) == number]
            known = tuple(table[cell] for cell in cells if cell not in hidden)
            blanks = tuple(hidden.index(cell) for cell in cells if cell in hidden)
            if blanks:
                found.append(Line(f"{kind} {number + 1}", total, known, blanks))
    return found


@no_type_check
def narrow_sums(lines: Sequence[Line], numbers: Sequence[int], names: Sequence[str]) -> Narrow:
    """Returns the narrowing by sums and by how often each number is left; bit v of a domain is the number v."""
    counts = sorted(Counter(numbers).items())

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        before: list[int] = []
        while before != state:
            before = state.copy()
            for line in lines:
                why = "" if notes is None else _line_text(line, state, names)
                if not _update(state, line.blanks, _fit_line(state, line), names, notes, why):
                    return False
            for value, count in counts:
                if not _fit_count(state, value, count, names, notes):
                    return False
        return True

    return narrow


@no_type_check
def _fit_count(state: list[int], value: int, count: int, names: Sequence[str], notes: list[str] | None) -> bool:
    """Takes a number that is used up from the other blanks, or puts it where it must go; False on a clash."""
    bit = 1 << value
    able = [k for k, domain in enumerate(state) if domain & bit]
    rest = [k for k in able if state[k] != bit]
    num_settled = len(able) - len(rest)
    if len(able) < count or num_settled > count:
        if notes is not None:
            notes.append(f"clash: {value} fits {len(able)} blanks, is in {num_settled}, is to be used {count} times")
        return False
    if num_settled == count:
        return _update(state, rest, [state[k] & ~bit for k in rest], names, notes, f"{value} is used up")
    if len(able) == count:
        return _update(state, rest, [bit] * len(rest), names, notes, f"{value} fits nowhere else")
    return True


@no_type_check
def _fit_line(state: list[int], line: Line) -> list[int]:
    """Returns what is left of the blanks of a line: numbers for which the others can make up the rest."""
    rest = line.total - sum(line.known)
    left = []
    for k in line.blanks:
        sums = 1
        for other in line.blanks:
            if other != k:
                sums = _shifted(sums, state[other])
        fitting = [value for value in values_of(state[k]) if rest - value >= 0 and sums >> (rest - value) & 1]
        left.append(sum(1 << value for value in fitting))
    return left


@no_type_check
def _shifted(sums: int, domain: int) -> int:
    found = 0
    for value in values_of(domain):
        found |= sums << value
    return found


@no_type_check
def _update(
    state: list[int],
    blanks: Sequence[int],
    left: Sequence[int],
    names: Sequence[str],
    notes: list[str] | None,
    why: str,
) -> bool:
    """Sets the domains of blanks and notes what is new; False where nothing is left for one."""
    news = []
    for k, domain in zip(blanks, left, strict=True):
        if domain == state[k]:
            continue
        if not domain:
            if notes is not None:
                notes.append(f"{why} -> clash at {names[k]}")
            return False
        state[k] = domain
        sign = ":" if domain & (domain - 1) else "="
        news.append(f"{names[k]}{sign}{','.join(map(str, values_of(domain)))}")
    if news and notes is not None:
        notes.append(f"{why} -> {' '.join(news)}")
    return True


def _line_text(line: Line, state: Sequence[int], names: Sequence[str]) -> str:
    """Returns the subtraction that leaves the sum of a line's open blanks."""
    settled = [state[k].bit_length() - 1 for k in line.blanks if not state[k] & (state[k] - 1)]
    opened = [names[k] for k in line.blanks if state[k] & (state[k] - 1)]
    terms = [line.total, *line.known, *settled]
    result = line.total - sum(terms[1:])
    difference = f"{'-'.join(map(str, terms))}={result}" if len(terms) > 1 else str(result)
    return f"{line.name}: {difference} for {'+'.join(opened) or 'nothing'}"


def _other_cells(table: list[int], hidden: list[int], sums: tuple[list[int], list[int]]) -> list[int]:
    """Returns the blanks that another solution fills otherwise, none where `table` is the only one."""
    numbers = [table[cell] for cell in hidden]
    full = sum(1 << value for value in set(numbers))
    narrow = narrow_sums(lines_of(table, hidden, sums), numbers, [""] * len(hidden))
    try:
        found = solve([full] * len(hidden), narrow, max_nodes=MAX_NODES)
    except TooLongError:
        return hidden
    for state in found:
        if differing := [c for c, domain in zip(hidden, state, strict=True) if domain != 1 << table[c]]:
            return differing
    return []


def _read(task: Task) -> tuple[list[list[int]], tuple[list[int], list[int]], list[int]]:
    """Returns table, sums and numbers of a task, checked."""
    board = read_board(task, "board", low=0, high=999)
    size = len(board)
    row_sums, column_sums = (read_counts(task, f"{k}_sums", num=size, low=1, high=99_999) for k in ("row", "column"))
    num_hidden = sum(not value for row in board for value in row)
    numbers = read_counts(task, "numbers", num=num_hidden, low=1, high=999)
    if len(board[0]) != size:
        raise bad_meta(task, "board", "a square table")
    return board, (row_sums, column_sums), numbers
