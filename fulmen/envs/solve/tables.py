"""Tables of texts that go wrong in ways that can be undone."""

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

Rows = list[list[str]]
Bug = Mapping[str, Any]
"""`kind`, and what it needs: `rows` and `row` (indices), `column` and `other` (indices), `shift`, `how`, `add`."""
IN_PLACE = ("scale", "null", "swap", "rotate_column", "rotate_rows")
"""Bugs that keep the shape, in the order in which they may follow each other: numbers change before cells move."""
RESHAPING = ("merge_columns", "merge_rows", "end_row", "end_column")
"""Bugs that change the shape; at most one of them, the last."""
NULL = "null"


def draw_bugs(
    rows: Rows, *, numbers: Sequence[int], num_bugs: int, percent: int, rng: random.Random
) -> list[dict[str, Any]]:
    """Returns bugs of different kinds; for `null`, some cells of `rows` are made equal to those above them first.

    `numbers` are the columns of numbers, `percent` how many rows a bug of single rows touches.
    """
    kinds = rng.sample(IN_PLACE, num_bugs)
    if rng.random() < 0.4:
        kinds[-1] = rng.choice(RESHAPING)
    return [
        _draw_bug(kind, rows, numbers=numbers, percent=percent, rng=rng)
        for kind in sorted(kinds, key=(*IN_PLACE, *RESHAPING).index)
    ]


def _draw_bug(kind: str, rows: Rows, *, numbers: Sequence[int], percent: int, rng: random.Random) -> dict[str, Any]:
    """Returns one bug."""
    num_columns = len(rows[0])
    touched = sorted(rng.sample(range(len(rows)), max(1, len(rows) * percent // 100)))
    column, other = rng.sample(range(num_columns), 2)
    if kind == "scale":
        how = rng.choice(["times", "plus", "sign"])
        add = str(rng.randint(1, 50)) if how == "plus" else ""
        return {"kind": kind, "rows": touched, "column": rng.choice(numbers), "how": how, "add": add}
    if kind == "null":
        for row in (row or 1 for row in touched):
            rows[row][column] = rows[row - 1][column]
        return {"kind": kind, "column": column}
    if kind == "swap":
        return {"kind": kind, "rows": touched, "column": column, "other": other}
    if kind == "rotate_column":
        return {"kind": kind, "column": column, "shift": rng.randint(1, len(rows) - 1)}
    if kind == "rotate_rows":
        return {"kind": kind, "rows": touched, "shift": rng.randint(1, num_columns - 1)}
    if kind == "merge_columns":
        left = rng.randrange(num_columns - 1)
        return {"kind": kind, "column": left, "other": left + 1}
    if kind == "end_row":
        return {"kind": kind, "row": rng.randrange(len(rows) - 1)}
    return {"kind": kind, "column": column, "shift": rng.randint(1, 3)} if kind == "end_column" else {"kind": kind}


def shown_columns(columns: Sequence[str], bugs: Sequence[Bug]) -> list[str]:
    """Returns the head of the table after the bugs."""
    shown = list(columns)
    for bug in bugs:
        if bug["kind"] == "merge_columns":
            left = bug["column"]
            shown[left : left + 2] = [f"{shown[left]}/{shown[left + 1]}"]
        elif bug["kind"] == "end_column":
            shown.append("extra")
    return shown


def spoil(bug: Bug, rows: Rows) -> Rows:
    """Returns the rows after a bug."""
    kind = bug["kind"]
    if kind == "scale":
        return _scaled(bug, rows, is_undone=False)
    if kind == "null":
        column = bug["column"]
        return [
            [NULL if number and at == column and cell == rows[number - 1][at] else cell for at, cell in enumerate(row)]
            for number, row in enumerate(rows)
        ]
    if kind == "merge_columns":
        left = bug["column"]
        return [[*row[:left], f"{row[left]}/{row[left + 1]}", *row[left + 2 :]] for row in rows]
    if kind == "merge_rows":
        pairs = [
            [f"{a}/{b}" for a, b in zip(first, second, strict=True)]
            for first, second in zip(rows[::2], rows[1::2], strict=False)
        ]
        return pairs + rows[len(rows) // 2 * 2 :]
    if kind == "end_row":
        return [*rows, list(rows[bug["row"]])]
    if kind == "end_column":
        return [[*row, rows[(number + bug["shift"]) % len(rows)][bug["column"]]] for number, row in enumerate(rows)]
    return _moved(bug, rows, is_undone=False)


def undo(bug: Bug, rows: Rows) -> Rows:
    """Returns the rows as they were before a bug."""
    kind = bug["kind"]
    if kind == "scale":
        return _scaled(bug, rows, is_undone=True)
    if kind == "null":
        filled: Rows = []
        for row in rows:
            cell = row[bug["column"]]
            cell = filled[-1][bug["column"]] if cell == NULL else cell
            filled.append([*row[: bug["column"]], cell, *row[bug["column"] + 1 :]])
        return filled
    if kind == "merge_columns":
        left = bug["column"]
        return [[*row[:left], *row[left].split("/"), *row[left + 1 :]] for row in rows]
    if kind == "merge_rows":
        return [[cell.split("/")[part] for cell in row] for row in rows for part in range(row[0].count("/") + 1)]
    if kind == "end_row":
        return rows[:-1]
    return [row[:-1] for row in rows] if kind == "end_column" else _moved(bug, rows, is_undone=True)


def _scaled(bug: Bug, rows: Rows, *, is_undone: bool) -> Rows:
    """Returns the rows with one column's numbers changed, or changed back, where the bug touches them."""
    changed = [list(row) for row in rows]
    for number in bug["rows"]:
        cell = changed[number][bug["column"]]
        value = Fraction(cell)
        if bug["how"] == "sign":
            value = -value
        elif bug["how"] == "times":
            value = value / 10 if is_undone else value * 10
        else:
            value += (-1 if is_undone else 1) * int(bug["add"])
        changed[number][bug["column"]] = write_number(value, decimals_of(cell))
    return changed


def _moved(bug: Bug, rows: Rows, *, is_undone: bool) -> Rows:
    """Returns the rows with cells moved by a bug that swaps or rotates, or moved back."""
    moved = [list(row) for row in rows]
    if bug["kind"] == "swap":
        for number in bug["rows"]:
            row = moved[number]
            row[bug["column"]], row[bug["other"]] = row[bug["other"]], row[bug["column"]]
        return moved
    shift = -bug["shift"] if is_undone else bug["shift"]
    if bug["kind"] == "rotate_column":
        for number, row in enumerate(moved):
            row[bug["column"]] = rows[(number - shift) % len(rows)][bug["column"]]
        return moved
    for number in bug["rows"]:
        row = rows[number]
        moved[number] = [row[(at - shift) % len(row)] for at in range(len(row))]
    return moved


def write_number(value: Fraction, decimals: int) -> str:
    """Returns a number with so many decimals; the value has no more."""
    scaled = value * 10**decimals
    assert scaled.denominator == 1, f"{value} has more than {decimals} decimals"
    digits = f"{abs(scaled.numerator):0{decimals + 1}d}"
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


def decimals_of(cell: str) -> int:
    """Returns how many decimals a written number has."""
    return len(cell.partition(".")[2])
