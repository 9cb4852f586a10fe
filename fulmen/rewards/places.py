"""Reader of lists of grid cells: `(1,2), (3,4)` and the other forms in which people write them."""

import re

from fulmen.errors import DataError

_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])\s+(?=[0-9])")
_PLACE = r"(?:[\[(][0-9]{1,2},[0-9]{1,2}[\])]|r[0-9]{1,2}c[0-9]{1,2})"
_PLACES = re.compile(rf"[\[({{]?{_PLACE}(?:[,;]?{_PLACE})*[\])}}]?")
_FLAT = re.compile(r"[0-9]{1,2},[0-9]{1,2}(?:[,;][0-9]{1,2},[0-9]{1,2})*")


def read_places(text: str, *, num_rows: int, num_columns: int) -> list[tuple[int, int]]:
    """Returns the (row, column) pairs of a list, counted from 1: in brackets, as `r1c2`, or one pair a line.

    >>> read_places("(1,2), (3, 4)", num_rows=4, num_columns=4)
    [(1, 2), (3, 4)]

    Raises: DataError for another form, a place twice, or one outside the grid.
    """
    compact = "".join(_BETWEEN_DIGITS.sub(",", text.lower()).split())
    if not _PLACES.fullmatch(compact) and not _FLAT.fullmatch(compact):
        raise DataError(f"answer: {text[:40]!r}; allowed: places such as (1,2), (3,4)")
    numbers = [int(number) for number in re.findall(r"[0-9]+", compact)]
    places = list(zip(numbers[::2], numbers[1::2], strict=True))
    for row, column in places:
        if not (1 <= row <= num_rows and 1 <= column <= num_columns):
            raise DataError(f"answer: ({row},{column}); allowed: rows 1 to {num_rows}, columns 1 to {num_columns}")
    if len(set(places)) != len(places):
        raise DataError("answer: a place twice; allowed: each place once")
    return places
