"""Latin squares, with boxes or further rules: narrowing of the digits that cells can have.

A digit d is bit d - 1 of a cell's domain. Three things narrow: a cell with one digit takes it from its peers; a digit
with one place in a unit (row, column, box) goes there; further rules, each on a few cells, take what cannot be.
"""

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fulmen.envs.solve.lattice import bad_meta, place, read_answer, read_board
from fulmen.envs.solve.narrowing import Narrow, TooLongError, no_type_check, solve, values_of
from fulmen.types import Task


@dataclass(frozen=True, kw_only=True)
class Square:
    """A board whose rows, columns and boxes, if any, hold each digit once."""

    size: int
    """Cells a side, 1 to 9."""
    units: tuple[tuple[int, ...], ...]
    """Cells of each row, then each column, then each box."""
    peers: tuple[tuple[int, ...], ...]
    """For each cell the others of its units."""
    unit_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CellRule:
    """A rule on a few cells."""

    text: str
    cells: tuple[int, ...]
    narrow: Callable[[list[int]], list[int]]
    """Domains of the cells -> what is left of them; a 0 where nothing is."""


@functools.cache
def square(size: int, *, box_rows: int = 0, box_columns: int = 0) -> Square:
    """Returns a Latin square, with boxes of `box_rows` rows and `box_columns` columns if these are given."""
    rows = [[row * size + column for column in range(size)] for row in range(size)]
    columns = [[row * size + column for row in range(size)] for column in range(size)]
    boxes = []
    if box_rows:
        tops, lefts = range(0, size, box_rows), range(0, size, box_columns)
        boxes = [
            [(top + i) * size + left + j for i in range(box_rows) for j in range(box_columns)]
            for top in tops
            for left in lefts
        ]
    units = [*rows, *columns, *boxes]
    names = [
        f"{kind} {n + 1}"
        for kind, found in (("row", rows), ("column", columns), ("box", boxes))
        for n in range(len(found))
    ]
    peers = [
        sorted({other for unit in units if cell in unit for other in unit} - {cell}) for cell in range(size * size)
    ]
    return Square(size=size, units=tuple(map(tuple, units)), peers=tuple(map(tuple, peers)), unit_names=tuple(names))


@no_type_check
def open_domains(givens: Sequence[int], size: int) -> list[int]:
    """Returns the domains of cells given as digits, 0 for blanks."""
    full = (1 << size) - 1
    return [1 << (digit - 1) if digit else full for digit in givens]


@no_type_check
def digits_of(state: Sequence[int]) -> list[int]:
    """Returns the digits of a solved state."""
    return [domain.bit_length() for domain in state]


@no_type_check
def digits_text(domain: int) -> str:
    """Returns the digits of a domain in a row, as in `134`."""
    return "".join(str(value + 1) for value in values_of(domain))


@no_type_check
def narrow_by(board: Square, rules: Sequence[CellRule] = (), *, is_hidden_used: bool = True) -> Narrow:
    """Returns the narrowing of a board under further rules.

    `is_hidden_used`: whether a digit's only place in a unit counts as a deduction.
    """
    watchers: list[list[int]] = [[] for _ in board.peers]
    for number, rule in enumerate(rules):
        for cell in rule.cells:
            watchers[cell].append(number)

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        queue = [cell for cell in changed if not state[cell] & (state[cell] - 1)]
        touched = set(changed)
        if not all(state[cell] for cell in changed):
            return False
        while True:
            if not _spread(board, state, queue, touched, notes):
                return False
            if is_hidden_used:
                if not _place_hidden(board, state, queue, notes):
                    return False
                if queue:
                    continue
            due = sorted({number for cell in touched for number in watchers[cell]})
            touched.clear()
            for number in due:
                if not _apply(board, rules[number], state, queue, touched, notes):
                    return False
            if not queue and not touched:
                return True

    return narrow


def random_square(board: Square, rng: random.Random) -> list[int]:
    """Returns the digits of a filled board, drawn at random (not uniformly)."""
    size = board.size
    if len(board.units) == 2 * size:
        used, filled = [0] * size, []
        for _ in range(size):
            row = _fit_row(used, size, rng)
            used = [taken | 1 << digit for taken, digit in zip(used, row, strict=True)]
            filled += row
        return filled
    domains = open_domains([0] * (size * size), size)
    for cell, digit in zip(board.units[0], rng.sample(range(size), size), strict=True):
        domains[cell] = 1 << digit
    return digits_of(solve(domains, narrow_by(board), limit=1, max_nodes=10**6, rng=rng)[0])


@no_type_check
def _fit_row(used: list[int], size: int, rng: random.Random) -> list[int]:
    """Returns a row of digits that are new in their columns; there always is one."""
    orders = [rng.sample(range(1, size + 1), size) for _ in range(size)]

    def fit(column: int, taken: int) -> list[int]:
        if column == size:
            return [0]
        for digit in orders[column]:
            if not (taken | used[column]) >> digit & 1:
                rest = fit(column + 1, taken | 1 << digit)
                if rest:
                    return [digit, *rest]
        return []

    return fit(0, 0)[:-1]


@no_type_check
def _spread(board: Square, state: list[int], queue: list[int], touched: set[int], notes: list[str] | None) -> bool:
    """Takes the digits of settled cells from their peers, and of those that this settles."""
    while queue:
        cell = queue.pop()
        touched.add(cell)
        bit = state[cell]
        for peer in board.peers[cell]:
            if not state[peer] & bit:
                continue
            left = state[peer] ^ bit
            state[peer] = left
            touched.add(peer)
            if left & (left - 1):
                continue
            if notes is not None:
                notes.append(_explain(board, state, peer))
            if not left:
                return False
            queue.append(peer)
    return True


@no_type_check
def _place_hidden(board: Square, state: list[int], queue: list[int], notes: list[str] | None) -> bool:
    """Settles the first digits with one place in a unit; False if some digit has none."""
    full = (1 << board.size) - 1
    for number, unit in enumerate(board.units):
        once = twice = 0
        for cell in unit:
            twice |= once & state[cell]
            once |= state[cell]
        if once != full:
            return _clash(f"no {digits_text(full & ~once)[0]} in {board.unit_names[number]}", notes)
        single = once & ~twice
        for cell in unit if single else ():
            bit = state[cell] & single
            if not bit or bit == state[cell]:
                continue
            if bit & (bit - 1):
                return _clash(f"{' and '.join(digits_text(bit))} both only at {place(cell, board.size)}", notes)
            state[cell] = bit
            queue.append(cell)
            if notes is not None:
                where = place(cell, board.size)
                notes.append(
                    f"{board.unit_names[number]}: {digits_text(bit)} only at {where} -> {where}={digits_text(bit)}"
                )
        if queue:
            return True
    return True


def _clash(why: str, notes: list[str] | None) -> bool:
    """Notes a clash. Returns False."""
    if notes is not None:
        notes.append(f"clash: {why}")
    return False


@no_type_check
def _apply(
    board: Square, rule: CellRule, state: list[int], queue: list[int], touched: set[int], notes: list[str] | None
) -> bool:
    """Narrows the cells of one rule; False if nothing is left for one of them."""
    old = [state[cell] for cell in rule.cells]
    new = rule.narrow(old)
    if new == old:
        return True
    if not all(new):
        return _clash(rule.text, notes)
    news = []
    for cell, before, left in zip(rule.cells, old, new, strict=True):
        if before == left:
            continue
        state[cell] = left
        touched.add(cell)
        sign = ":" if left & (left - 1) else "="
        news.append(f"{place(cell, board.size)}{sign}{digits_text(left)}")
        if not left & (left - 1):
            queue.append(cell)
    if notes is not None:
        notes.append(f"{rule.text} -> {' '.join(news)}")
    return True


@no_type_check
def _explain(board: Square, state: list[int], cell: int) -> str:
    """Returns why a cell has one digit or none left: what it sees, and what other rules took."""
    seen = 0
    for peer in board.peers[cell]:
        if not state[peer] & (state[peer] - 1):
            seen |= state[peer]
    seen &= ~state[cell]
    others = ((1 << board.size) - 1) & ~(seen | state[cell])
    where = place(cell, board.size)
    gone = f" and not {digits_text(others)}" if others else ""
    result = f"{where}={digits_text(state[cell])}" if state[cell] else "clash"
    return f"{where} sees {digits_text(seen)}{gone} -> {result}"


@no_type_check
def reveal_until_unique(
    digits: Sequence[int], narrow: Narrow, *, size: int, num_givens: int, rng: random.Random, max_nodes: int = 3000
) -> list[int]:
    """Returns givens (0 for blanks) to which the filled board `digits` is the only solution.

    `num_givens` random cells are given, then, one by one, cells in which another solution differs.
    """
    givens = [0] * len(digits)
    order = rng.sample(range(len(digits)), len(digits))
    for cell in order[:num_givens]:
        givens[cell] = digits[cell]
    while True:
        try:
            found = [digits_of(state) for state in solve(open_domains(givens, size), narrow, max_nodes=max_nodes)]
        except TooLongError:
            found = []
        if found == [list(digits)]:
            return givens
        other = next((state for state in found if state != list(digits)), [0] * len(digits))
        cell = next(cell for cell in order if not givens[cell] and other[cell] != digits[cell])
        givens[cell] = digits[cell]


def read_digits(text: str, size: int) -> list[int]:
    """Returns the digits, cell by cell, of an answer that is a filled square board.

    Raises:
        DataError: another form.
    """
    rows = read_answer(text, num_rows=size, num_columns=size, cells="123456789"[:size])
    return [int(cell) for row in rows for cell in row]


def square_fault(digits: Sequence[int], givens: Sequence[int], board: Square) -> str:
    """Returns what is wrong with a filled board: a given changed or a digit twice in a unit; empty if nothing."""
    for cell, (digit, given) in enumerate(zip(digits, givens, strict=True)):
        if given not in (0, digit):
            return f"{place(cell, board.size)} is {digit}, but {given} is given"
    for name, unit in zip(board.unit_names, board.units, strict=True):
        if len({digits[cell] for cell in unit}) != board.size:
            return f"{name} repeats a digit"
    return ""


def read_square(task: Task, field_name: str) -> list[list[int]]:
    """Returns a field of `meta` that is a square board, up to 9 x 9, of digits up to its size, 0 for blanks.

    Raises:
        TaskError: it is not.
    """
    givens = read_board(task, field_name, low=0, high=9)
    size = len(givens)
    if size > 9 or len(givens[0]) != size or any(digit > size for row in givens for digit in row):
        raise bad_meta(task, field_name, "a square board of digits up to its size")
    return givens


@no_type_check
def keep_possible(tuples: Sequence[Sequence[int]], domains: list[int]) -> list[int]:
    """Returns what is left of domains if together they must be one of `tuples`, a bit for each cell."""
    left = [0] * len(domains)
    for bits in tuples:
        for bit, domain in zip(bits, domains, strict=True):
            if not bit & domain:
                break
        else:
            left = [old | bit for old, bit in zip(left, bits, strict=True)]
    return left
