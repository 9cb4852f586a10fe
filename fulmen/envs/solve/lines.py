"""Lines of a nonogram: run lengths, and what run lengths and known cells force.

A line is a bitmask; bit `i` is cell `i`. Left out: lines longer than `MAX_LENGTH`, whose patterns are too many to list.
"""

import functools
from collections.abc import Sequence

MAX_LENGTH = 15

Runs = tuple[int, ...]
"""Lengths of the runs of filled cells, in order; empty for a line without filled cells."""


def runs_of(cells: Sequence[int]) -> Runs:
    """Returns the lengths of the runs of ones.

    >>> runs_of([1, 1, 0, 1])
    (2, 1)
    """
    runs, length = [], 0
    for cell in (*cells, 0):
        if cell:
            length += 1
        elif length:
            runs.append(length)
            length = 0
    return tuple(runs)


@functools.cache
def patterns(length: int, runs: Runs) -> tuple[int, ...]:
    """Returns all lines of a length that have these runs."""
    if not runs:
        return (0,)
    first, rest = runs[0], runs[1:]
    room = sum(rest) + len(rest)
    found = []
    for start in range(length - first - room + 1):
        block = ((1 << first) - 1) << start
        offset = start + first + 1
        found += [block | tail << offset for tail in (patterns(max(length - offset, 0), rest) if rest else (0,))]
    return tuple(found)


def force(length: int, runs: Runs, *, ones: int, zeros: int) -> tuple[int, int] | None:
    """Returns the cells that are filled, and those that are empty, in every line that agrees with what is known.

    None if no line agrees.
    """
    full = (1 << length) - 1
    always, ever, is_possible = full, 0, False
    for pattern in patterns(length, runs):
        if not pattern & zeros and not ones & ~pattern:
            always &= pattern
            ever |= pattern
            is_possible = True
    return (always, full & ~ever) if is_possible else None
