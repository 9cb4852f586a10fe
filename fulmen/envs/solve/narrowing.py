"""Search by narrowing: what the rules forbid goes, then the smallest choice is tried.

A state is a list of domains, one int a variable, whose bits are the values that are left. A `Narrow` takes away what
the rules forbid, until nothing more follows, and says False if they cannot be kept. It need not be complete, but must
find every clash once each domain has one bit.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Narrow = Callable[[list[int], Sequence[int], list[str] | None], bool]
"""(domains, variables that shrank, notes or None) -> whether the rules can still be kept."""


AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def no_type_check(function: AnyFunction) -> AnyFunction:
    """Returns the function itself. Marks inner loops for the tests' import hook, which goes by this name.

    Checked at run time, each of their millions of calls would cost fifty times its work. Unlike `typing`'s decorator
    of the same name, this one leaves them to mypy.
    """
    return function


class TooLongError(Exception):
    """A search that was given up at its bound."""


@no_type_check
def bits_of(domain: int) -> Iterator[int]:
    """Yields the bits of a domain, lowest first.

    >>> list(bits_of(0b1010))
    [2, 8]
    """
    while domain:
        bit = domain & -domain
        yield bit
        domain ^= bit


def values_of(domain: int) -> list[int]:
    """Returns the places of the bits of a domain, counted from 0.

    >>> values_of(0b1010)
    [1, 3]
    """
    return [bit.bit_length() - 1 for bit in bits_of(domain)]


@no_type_check
def solve(
    domains: Sequence[int], narrow: Narrow, *, limit: int = 2, max_nodes: int = 20_000, rng: random.Random | None = None
) -> list[list[int]]:
    """Returns up to `limit` solutions: domains of one bit each.

    Values are tried in the order that `rng` gives; without it the lowest comes first.

    Raises:
        TooLongError: `max_nodes` states were not enough.
    """
    found: list[list[int]] = []
    stack: list[tuple[list[int], Sequence[int]]] = [(list(domains), range(len(domains)))]
    for _ in range(max_nodes):
        if not stack or len(found) >= limit:
            return found
        state, changed = stack.pop()
        if not narrow(state, changed, None):
            continue
        pick = _smallest(state)
        if pick is None:
            found.append(state)
            continue
        options = list(bits_of(state[pick]))
        if rng is not None:
            rng.shuffle(options)
        for bit in reversed(options):
            branch = state.copy()
            branch[pick] = bit
            stack.append((branch, (pick,)))
    if not stack or len(found) >= limit:
        return found
    raise TooLongError(f"{max_nodes} states")


def is_unique(domains: Sequence[int], narrow: Narrow, *, max_nodes: int = 20_000) -> bool:
    """Returns whether there is exactly one solution; False too where the search was given up."""
    try:
        return len(solve(domains, narrow, limit=2, max_nodes=max_nodes)) == 1
    except TooLongError:
        return False


@no_type_check
def search_aloud(
    domains: Sequence[int], narrow: Narrow, *, say: Callable[[int, int], str], max_lines: int = 400
) -> list[str]:
    """Returns the lines of a search that ends in a solution; empty if there is none or it takes more lines.

    `say` words "variable has this bit". A choice that is tried reads `try ...`, one that failed `not ...`; the highest
    bit is tried first, which on boards of marks is the mark and says most.
    """
    lines: list[str] = []
    state, changed = list(domains), tuple(range(len(domains)))
    tried: list[tuple[list[int], int, int]] = []
    while len(lines) <= max_lines:
        if narrow(state, changed, lines):
            pick = _smallest(state)
            if pick is None:
                return lines if len(lines) <= max_lines else []
            bit = 1 << (state[pick].bit_length() - 1)
            tried.append((state.copy(), pick, bit))
            lines.append(f"try {say(pick, bit)}")
            state[pick] = bit
        elif tried:
            state, pick, bit = tried.pop()
            lines.append(f"not {say(pick, bit)}")
            state[pick] ^= bit
        else:
            return []
        changed = (pick,)
    return []


@no_type_check
def _smallest(state: list[int]) -> int | None:
    """Returns the variable with the fewest values among those with several, None if all have one."""
    pick, fewest = None, 1 << 30
    for variable, domain in enumerate(state):
        if domain & (domain - 1):
            size = domain.bit_count()
            if size == 2:
                return variable
            if size < fewest:
                pick, fewest = variable, size
    return pick
