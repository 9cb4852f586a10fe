"""Boards of square cells: names of cells, neighbours, connected groups, boards as text and out of a task's `meta`."""

import functools
from collections.abc import Collection, Iterable, Sequence

from fulmen.envs.base import read_meta
from fulmen.envs.solve.narrowing import no_type_check
from fulmen.errors import TaskError
from fulmen.rewards.fields import read_grid
from fulmen.types import Task

FILLED_EN = (
    "Answer with the full board: {size} lines of {size} digits separated by spaces. A board of 2 x 2 would be written\n"
    "1 2\n2 1"
)
"""The form of an answer that is a filled square board."""
FILLED_ZH = "请回答填满的盘面：共 {size} 行，每行 {size} 个数字，用空格分开。例如 2×2 的盘面写成\n1 2\n2 1"


@no_type_check
def place(cell: int, num_columns: int) -> str:
    """Returns the name of a cell, which counts row by row from 0; rows and columns count from 1.

    >>> place(5, 4)
    'r2c2'
    """
    row, column = divmod(cell, num_columns)
    return f"r{row + 1}c{column + 1}"


def places(cells: Iterable[int], num_columns: int) -> str:
    """Returns the names of cells, separated by spaces."""
    return " ".join(place(cell, num_columns) for cell in cells)


@functools.cache
def neighbours(num_rows: int, num_columns: int) -> tuple[tuple[int, ...], ...]:
    """Returns for each cell the cells that share a side with it, in order."""
    return _reach(num_rows, num_columns, steps=((-1, 0), (0, -1), (0, 1), (1, 0)))


@functools.cache
def corners(num_rows: int, num_columns: int) -> tuple[tuple[int, ...], ...]:
    """Returns for each cell the cells that touch it at a corner only, in order."""
    return _reach(num_rows, num_columns, steps=((-1, -1), (-1, 1), (1, -1), (1, 1)))


@no_type_check
def groups(cells: Collection[int], beside: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns the connected groups of cells, each in order."""
    left, found = dict.fromkeys(sorted(cells)), []
    while left:
        first = next(iter(left))
        del left[first]
        group = [first]
        for cell in group:
            fresh = [other for other in beside[cell] if other in left]
            for other in fresh:
                del left[other]
            group += fresh
        found.append(sorted(group))
    return found


def show(rows: Iterable[Iterable[object]]) -> str:
    """Returns a board as text: a row a line, cells separated by spaces.

    >>> show([[1, 2], [3, 4]])
    '1 2\\n3 4'
    """
    return "\n".join(" ".join(map(str, row)) for row in rows)


def cut(cells: Sequence[int], num_columns: int) -> list[list[int]]:
    """Returns the rows of a board given cell by cell."""
    return [list(cells[start : start + num_columns]) for start in range(0, len(cells), num_columns)]


def read_answer(text: str, *, num_rows: int, num_columns: int, cells: Collection[str]) -> list[list[str]]:
    """Returns the rows of a board that an answer is, as `read_grid` does; JSON may be spread over lines.

    Raises:
        DataError: another form.
    """
    is_json = text.startswith("[") and text[1:].lstrip().startswith("[")
    return read_grid(
        " ".join(text.split()) if is_json else text, num_rows=num_rows, num_columns=num_columns, cells=cells
    )


def read_board(task: Task, field_name: str, *, low: int, high: int) -> list[list[int]]:
    """Returns a field of `meta` that is a board of integers within bounds.

    Raises:
        TaskError: it is not.
    """
    rows = read_meta(task, field_name, kind=list)
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    is_board = width > 0 and all(isinstance(row, list) and len(row) == width for row in rows)
    if not is_board or not all(type(value) is int and low <= value <= high for row in rows for value in row):
        raise bad_meta(task, field_name, f"a board of integers from {low} to {high}")
    return rows


def read_lists(task: Task, field_name: str, *, low: int, high: int) -> list[list[int]]:
    """Returns a field of `meta` that is a list of lists of integers within bounds.

    Raises:
        TaskError: it is not.
    """
    lists = read_meta(task, field_name, kind=list)
    is_fine = all(
        isinstance(items, list) and all(type(v) is int and low <= v <= high for v in items) for items in lists
    )
    if not is_fine:
        raise bad_meta(task, field_name, f"lists of integers from {low} to {high}")
    return lists


def read_meta_length(task: Task, field_name: str) -> int:
    """Returns the length of a field of `meta` that is a list of 1 to 16 items.

    Raises:
        TaskError: it is not.
    """
    length = len(read_meta(task, field_name, kind=list))
    if not 1 <= length <= 16:
        raise bad_meta(task, field_name, "1 to 16 items")
    return length


def read_counts(task: Task, field_name: str, *, num: int, low: int, high: int) -> list[int]:
    """Returns a field of `meta` that is a list of `num` integers within bounds.

    Raises:
        TaskError: it is not.
    """
    counts = read_meta(task, field_name, kind=list)
    if len(counts) != num or not all(type(value) is int and low <= value <= high for value in counts):
        raise bad_meta(task, field_name, f"{num} integers from {low} to {high}")
    return counts


def bad_meta(task: Task, field_name: str, allowed: str) -> TaskError:
    """Returns the error of a task whose `meta` is not what its environment writes."""
    return TaskError(
        f"task.meta[{field_name!r}] of {task.task_id}: {str(task.meta[field_name])[:60]}; allowed: {allowed}"
    )


def _reach(num_rows: int, num_columns: int, *, steps: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    found = []
    for cell in range(num_rows * num_columns):
        row, column = divmod(cell, num_columns)
        ends = [(row + down, column + right) for down, right in steps]
        found.append(tuple(r * num_columns + c for r, c in ends if 0 <= r < num_rows and 0 <= c < num_columns))
    return tuple(found)
