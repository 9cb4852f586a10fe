"""Search by narrowing and the Latin squares on it: known counts, bounds, and the lines of a search."""

import itertools
import random

import pytest

from fulmen.envs.solve.latin import (
    digits_of,
    narrow_by,
    open_domains,
    random_square,
    reveal_until_unique,
    square,
    square_fault,
)
from fulmen.envs.solve.lattice import groups, neighbours, place
from fulmen.envs.solve.narrowing import TooLongError, bits_of, is_unique, search_aloud, solve, values_of

TWO = {"box_rows": 2, "box_columns": 2}


def test_counts_of_latin_squares_and_sudokus() -> None:
    for size, boxes, count in (
        (1, {}, 1),
        (2, {}, 2),
        (3, {}, 12),
        (4, {}, 576),
        (4, {"box_rows": 2, "box_columns": 2}, 288),
    ):
        board = square(size, **boxes)
        found = solve(open_domains([0] * size**2, size), narrow_by(board), limit=999)
        assert len(found) == len(set(map(tuple, found))) == count
        assert not any(square_fault(digits_of(state), [0] * size**2, board) for state in found)
        assert len(solve(open_domains([0] * size**2, size), narrow_by(board, is_hidden_used=False), limit=999)) == count


def test_limit_order_and_bound() -> None:
    start, narrow = open_domains([0] * 16, 4), narrow_by(square(4))
    assert len(solve(start, narrow)) == 2
    assert solve(start, narrow, limit=1)[0][:4] == [1, 2, 4, 8]
    orders = {tuple(solve(start, narrow, limit=1, rng=random.Random(seed))[0]) for seed in range(10)}
    assert len(orders) > 3
    with pytest.raises(TooLongError, match="3 states"):
        solve(start, narrow, limit=999, max_nodes=3)
    assert not is_unique(start, narrow)
    assert not is_unique(open_domains([1] * 16, 4), narrow)
    assert is_unique(solve(start, narrow, limit=1)[0], narrow, max_nodes=1)


def test_random_squares_are_squares_and_differ() -> None:
    rng = random.Random(0)
    for size, boxes in (
        (3, {}),
        (6, {}),
        (9, {}),
        (6, {"box_rows": 2, "box_columns": 3}),
        (9, {"box_rows": 3, "box_columns": 3}),
    ):
        board = square(size, **boxes)
        found = [random_square(board, rng) for _ in range(8)]
        assert not any(square_fault(digits, [0] * size**2, board) for digits in found)
        assert len(set(map(tuple, found))) > 3


def test_revealed_digits_leave_one_solution() -> None:
    rng, board = random.Random(0), square(4)
    for _ in range(10):
        digits = random_square(board, rng)
        givens = reveal_until_unique(digits, narrow_by(board), size=4, num_givens=2, rng=rng)
        found = solve(open_domains(givens, 4), narrow_by(board), limit=999)
        assert [digits_of(state) for state in found] == [digits]
        assert 4 <= sum(digit > 0 for digit in givens) < 12


def test_lines_of_a_search_tell_trials_and_their_end() -> None:
    # Three variables that differ in pairs where they are linked in a ring, and one that equals none of two.
    def narrow(state: list[int], changed: object, notes: list[str] | None) -> bool:
        if all(domain in (1, 2) for domain in state) and (state[0] == state[1] or state[1] != state[2]):
            if notes is not None:
                notes.append("clash")
            return False
        return all(state)

    say = lambda variable, bit: f"{variable}={bit}"  # noqa: E731
    lines = search_aloud([3, 3, 3], narrow, say=say)
    assert lines == [
        "try 0=2",
        "try 1=2",
        "try 2=2",
        "clash",
        "not 2=2",
        "clash",
        "not 1=2",
        "try 2=2",
        "clash",
        "not 2=2",
    ]
    assert solve([3, 3, 3], narrow, limit=9) == [[1, 2, 2], [2, 1, 1]]
    assert search_aloud([3, 3, 3], narrow, say=say, max_lines=5) == []
    assert search_aloud([1, 1, 1], narrow, say=say) == []


def test_bits_groups_and_places() -> None:
    assert (list(bits_of(0b1101)), values_of(0b1101), values_of(0)) == ([1, 4, 8], [0, 2, 3], [])
    assert [place(cell, 3) for cell in (0, 2, 3, 8)] == ["r1c1", "r1c3", "r2c1", "r3c3"]
    for cell, near in enumerate(neighbours(3, 4)):
        expected = [o for o in range(12) if abs(o // 4 - cell // 4) + abs(o % 4 - cell % 4) == 1]
        assert list(near) == expected


def test_groups_by_hand() -> None:
    # X X .
    # . . X
    # X . X
    assert groups([8, 6, 5, 1, 0], neighbours(3, 3)) == [[0, 1], [5, 8], [6]]
    assert groups([], neighbours(3, 3)) == []
    assert sorted(itertools.chain(*groups(range(9), neighbours(3, 3)))) == list(range(9))
