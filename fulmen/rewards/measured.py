"""Reader of a number that may carry its unit, as in `12 items`."""

import re
from collections.abc import Collection
from fractions import Fraction

from fulmen.errors import DataError
from fulmen.rewards.fields import read_number

_MEASURED = re.compile(r"([+-]?[0-9][0-9,./]{0,40})\s{0,4}([^0-9]{0,40})")


def read_measured(text: str, *, units: Collection[str] = ()) -> Fraction:
    """Returns the exact value of a number, alone or followed by one of `units` (in lower case).

    >>> read_measured("12 Apples", units=["apples"])
    Fraction(12, 1)

    Raises: DataError.
    """
    match = _MEASURED.fullmatch(text.strip())
    unit = " ".join(match[2].lower().split()) if match else ""
    if match is None or (unit and unit not in units):
        raise DataError(f"answer: {text[:40]!r}; allowed: a number{' with its unit' if units else ''}")
    return read_number(match[1].rstrip(",."))
