"""Golden answers of the families of counting and probability, found by enumeration."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
import sympy

from tests.envs.math.samples import fraction, samples, symbol

MAX_ORDERS = 8
"""Things whose orders are all listed."""


def orders(num: int, is_good: object) -> int:
    """Returns how many orders of 0, 1, ... pass."""
    return sum(map(is_good, itertools.permutations(range(num))))  # type: ignore[call-overload,no-any-return]


def no_neighbours(order: tuple[int, ...], special: set[int]) -> bool:
    return not any(a in special and b in special for a, b in itertools.pairwise(order))


@pytest.mark.parametrize("kind", ["letters", "letters_apart"])
def test_words(kind: str) -> None:
    for task in samples("math_counting", kind, 4, (1, 2, 3), max_size=7):
        word, *letter = task.meta["data"]
        rows = {"".join(row) for row in itertools.permutations(word)}
        assert int(task.gold) == sum(not letter or letter[0] * 2 not in row for row in rows)


@pytest.mark.parametrize("kind", ["committee", "feud"])
def test_committees(kind: str) -> None:
    for task in samples("math_counting", kind, 4, (2,), max_size=7):
        women, men, size, least = task.meta["data"]
        people = [*(("w", i) for i in range(women)), *(("m", i) for i in range(men))]
        good = 0
        for group in itertools.combinations(people, size):
            is_feud = kind == "feud" and ("w", 0) in group and ("m", 0) in group
            good += sum(sex == "w" for sex, _ in group) >= least and not is_feud
        assert good == int(task.gold)


@pytest.mark.parametrize("kind", ["together", "apart", "circle", "couples"])
def test_seatings(kind: str) -> None:
    seen = {}
    for task in samples("math_counting", kind, 40, (3,), max_size=6 if kind != "circle" else 8):
        seen[tuple(task.meta["data"])] = int(task.gold)
    small = {data: gold for data, gold in seen.items() if (data[0] if kind == "circle" else sum(data)) <= MAX_ORDERS}
    assert small or kind == "couples"
    for data, gold in list(small.items())[:5]:
        if kind == "circle":
            n, case = data

            def sits(order: tuple[int, ...], n: int = n, case: int = case) -> bool:
                near = [abs(order.index(a) - order.index(b)) in (1, n - 1) for a, b in ((0, 1), (2, 3))]
                return (not near[0], near[0], near[0] and not near[1])[case]

            assert orders(n, sits) == gold * n
            continue
        if kind == "couples":
            couples, singles = data
            people = 2 * couples + singles
            if people > MAX_ORDERS:
                continue
            pairs = [{2 * i, 2 * i + 1} for i in range(couples)]
            assert orders(people, lambda o, p=pairs: not any({a, b} in p for a, b in itertools.pairwise(o))) == gold
            continue
        special, others = data
        girls = set(range(special))
        if kind == "apart":
            assert orders(special + others, lambda o, g=girls: no_neighbours(o, g)) == gold
        else:
            assert orders(special + others, lambda o, g=girls: _is_block(o, g)) == gold


def _is_block(order: tuple[int, ...], special: set[int]) -> bool:
    places = [place for place, one in enumerate(order) if one in special]
    return max(places) - min(places) == len(special) - 1


@pytest.mark.parametrize("kind", ["numbers", "grid", "onto"])
def test_numbers_grids_gifts(kind: str) -> None:
    for task in samples("math_counting", kind, 8, (3,), max_size=6):
        data, gold = task.meta["data"], int(task.gold)
        if kind == "numbers":
            digits, size, parity = data
            rows = itertools.permutations(digits, size)
            assert gold == sum(row[0] != 0 and row[-1] % 2 == parity for row in rows)
        elif kind == "grid":
            rows_, columns, rooks = data
            cells = itertools.product(range(rows_), range(columns))
            groups = itertools.combinations(cells, rooks) if rooks < 4 else ()
            found = sum(len({x for x, _ in g}) == len({y for _, y in g}) == rooks for g in groups)
            assert rooks >= 4 or found == gold
        else:
            gifts, children = data
            assert gold == sum(len(set(row)) == children for row in itertools.product(range(children), repeat=gifts))


@pytest.mark.parametrize("kind", ["coefficient", "two_variables", "product", "trinomial", "constant", "part_sum"])
def test_binomials(kind: str) -> None:
    x, y = sympy.symbols("x y")
    for task in samples("math_binomials", kind, 3):
        data, gold = task.meta["data"], int(task.gold)
        if kind == "product":
            a, m, b, n, k = data
            whole, at = (1 + a * x) ** m * (1 + b * x) ** n, x**k
        elif kind == "constant":
            a, p, b, q, n = data
            whole, at = sympy.expand((a * x**p + b / x**q) ** n * x ** (q * n)), x ** (q * n)
        elif kind == "trinomial":
            a, b, n, k = data
            whole, at = (x**2 + a * x + b) ** n, x**k
        else:
            a, b, n, k = data
            whole, at = (a * x + b * (y if kind == "two_variables" else 1)) ** n, x ** int(k)
            at = at * y ** (n - k) if kind == "two_variables" else at
        poly = sympy.Poly(sympy.expand(whole), x, y)
        if kind == "part_sum":
            assert gold == sum(c for (i, _), c in poly.terms() if (i % 2 == 0) == k)
        else:
            assert gold == poly.coeff_monomial(at)


@pytest.mark.parametrize("kind", ["any", "none", "exactly_one", "coprime"])
def test_divisible(kind: str) -> None:
    for task in samples("math_inclusion_exclusion", kind, 4, (1, 2, 3, 4)):
        n, divisors = task.meta["data"]
        if kind == "coprime":
            assert int(task.gold) == sum(math.gcd(k, divisors) == 1 for k in range(1, n + 1))
            continue
        hits = Counter(sum(k % d == 0 for d in divisors) for k in range(1, n + 1))
        wanted = {"any": n - hits[0], "none": hits[0], "exactly_one": hits[1]}[kind]
        assert int(task.gold) == wanted


def test_surveys() -> None:
    for task in samples("math_inclusion_exclusion", "survey"):
        n, a, b, neither = task.meta["data"]
        both = int(task.gold)
        people = [*[(1, 1)] * both, *[(1, 0)] * (a - both), *[(0, 1)] * (b - both), *[(0, 0)] * neither]
        assert len(people) == n
    for task in samples("math_inclusion_exclusion", "survey_three"):
        n, sizes, (ab, ac, bc), t = task.meta["data"]
        exactly_two = [ab - t, ac - t, bc - t]
        exactly_one = [sizes[0] - ab - ac + t, sizes[1] - ab - bc + t, sizes[2] - ac - bc + t]
        assert min(*exactly_two, *exactly_one, t) >= 0
        assert n - t - sum(exactly_two) - sum(exactly_one) == int(task.gold)


def share(cases: object) -> Fraction:
    """Returns the share of true values."""
    counts = Counter(map(bool, cases))  # type: ignore[call-overload]
    return Fraction(counts[True], counts[True] + counts[False])


@pytest.mark.parametrize("kind", ["urn_one", "urn_same", "urn_exactly", "urn_least"])
def test_urns(kind: str) -> None:
    for task in samples("math_probability", kind, 5, (2, 3, 4), max_balls=5, num_dice=4):
        counts, *rest = task.meta["data"]
        balls = [colour for colour, count in enumerate(counts) for _ in range(count)]
        if kind == "urn_one":
            wanted = share(ball == rest[0] for ball in balls)
        elif kind == "urn_same":
            wanted = share(a == b for a, b in itertools.permutations(balls, 2))
        else:
            i, drawn, want = rest
            hits = (hand.count(i) for hand in itertools.combinations(balls, drawn))
            wanted = share(h == want if kind == "urn_exactly" else h >= want for h in hits)
        assert wanted == fraction(task.gold)


@pytest.mark.parametrize("kind", ["dice_sum", "dice_max", "different", "coins", "run", "bayes"])
def test_dice_and_coins(kind: str) -> None:
    for task in samples("math_probability", kind, 6, (2, 3), num_dice=3):
        data, gold = task.meta["data"], fraction(task.gold)
        if kind == "bayes":
            a, b, c, d, weight = data
            red = {"A": Fraction(weight) * a / (a + b), "B": (1 - Fraction(weight)) * c / (c + d)}
            assert red["A"] == gold * sum(red.values())
            continue
        if kind == "run":
            n, k, p = data
            chance = Fraction(0)
            for row in itertools.product("HT", repeat=n):
                heads = row.count("H")
                chance += ("H" * k not in "".join(row)) * Fraction(p) ** heads * (1 - Fraction(p)) ** (n - heads)
            assert chance == gold
            continue
        if kind == "coins":
            n, low, high = data
            assert gold == share(low <= sum(row) <= high for row in itertools.product((0, 1), repeat=n))
            continue
        dice, sides, *rest = data
        rolls = itertools.product(range(1, sides + 1), repeat=dice)
        if kind == "dice_sum":
            assert gold == share(sum(r) == rest[0] or (rest[1] and sum(r) > rest[0]) for r in rolls)
        elif kind == "dice_max":
            assert gold == share(max(r) == rest[0] for r in rolls)
        else:
            assert gold == share(len(set(r)) < dice for r in rolls)


Cell = tuple[int, int]


def _paths(
    cell: Cell, goal: Cell, kind: str, marked: set[Cell], shift: int, seen: frozenset[Cell] = frozenset()
) -> int:
    """Returns how many paths go on from a cell, each walked to its end."""
    x, y = cell
    if x > goal[0] or y > goal[1] or (kind == "below" and y > x + shift) or (kind != "through" and cell in marked):
        return 0
    seen = seen | ({cell} & marked)
    if cell == goal:
        return int(kind != "through" or seen == marked)
    moves = [(1, 0), (0, 1), *([(1, 1)] if kind == "diagonal" else [])]
    return sum(_paths((x + dx, y + dy), goal, kind, marked, shift, seen) for dx, dy in moves)


@pytest.mark.parametrize("kind", ["through", "avoid", "diagonal", "below"])
def test_lattice_paths(kind: str) -> None:
    for task in samples("math_lattice_paths", kind, 5, (1, 3), max_side=5):
        width, height, points, shift = task.meta["data"]
        marked = {(x, y) for x, y in points}
        assert _paths((0, 0), (width, height), kind, marked, shift) == int(task.gold)


def test_symbols_are_read_as_written() -> None:
    assert symbol(r"5\sqrt{2}/3") == 5 * sympy.sqrt(2) / 3
    assert symbol(r"-\sqrt{2}") == -sympy.sqrt(2)
