"""Golden answers of the algebra families, found another way."""

import itertools
from fractions import Fraction

import pytest
import sympy

from fulmen.types import Task
from tests.envs.math.samples import fraction, pair, samples, symbol

X = sympy.Symbol("x")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("math_arithmetic", "plus_minus"),
        ("math_arithmetic", "mixed"),
        *(("math_fractions", kind) for kind in ("sum", "product", "mixed", "nested")),
    ],
)
def test_expressions(name: str, kind: str) -> None:
    for task in samples(name, kind):
        assert symbol(task.meta["data"][0]) == sympy.Rational(task.gold)


def grown(value: Fraction, changes: list[int]) -> Fraction:
    for change in changes:
        value += value * change / 100
    return value


@pytest.mark.parametrize("kind", ["of", "change", "reverse", "what_percent", "chain", "undo_chain", "net"])
def test_percentages(kind: str) -> None:
    for task in samples("math_percentages", kind):
        first, *rest = task.meta["data"]
        gold = fraction(task.gold)
        if kind == "of":
            assert gold / rest[0] == Fraction(first, 100)
        elif kind == "what_percent":
            assert gold * rest[0] == 100 * first
        elif kind == "net":
            assert grown(Fraction(1), first) == grown(Fraction(1), [gold])  # type: ignore[list-item]
        elif kind in ("reverse", "undo_chain"):
            assert grown(gold, first if kind == "undo_chain" else [first]) == rest[0]
        else:
            assert grown(Fraction(rest[0]), first if kind == "chain" else [first]) == gold


@pytest.mark.parametrize("kind", ["one_side", "two_sides", "brackets", "denominators", "nested"])
def test_linear_equations(kind: str) -> None:
    for task in samples("math_linear_equations", kind, 4):
        left, right = task.meta["data"][0].split(" = ")
        assert sympy.solve(symbol(left) - symbol(right), X) == [sympy.Rational(task.gold)]
        assert task.meta["data"][0] in task.prompt[0].content


@pytest.mark.parametrize("kind", ["sum_difference", "solve"])
def test_linear_systems(kind: str) -> None:
    for task in samples("math_linear_systems", kind):
        (rows,) = task.meta["data"]
        values = pair(task.gold)
        for *row, right in rows:
            assert sum(a * v for a, v in zip(row, values, strict=True)) == right
        assert sympy.Matrix([row[:-1] for row in rows]).det() != 0


@pytest.mark.parametrize(
    "kind", ["integers", "fractions", "surds", "sum_squares", "sum_cubes", "reciprocals", "fourth_powers", "ratio"]
)
def test_quadratics(kind: str) -> None:
    told = {
        "sum_squares": lambda r, s: r**2 + s**2,
        "sum_cubes": lambda r, s: r**3 + s**3,
        "reciprocals": lambda r, s: 1 / r**2 + 1 / s**2,
        "fourth_powers": lambda r, s: r**4 + s**4,
        "ratio": lambda r, s: r / s + s / r,
    }
    for task in samples("math_quadratics", kind, 3):
        ((c, b, a),) = task.meta["data"]
        roots = sympy.solve(a * X**2 + b * X + c, X)
        if kind in told:
            assert sympy.simplify(sympy.expand(told[kind](*roots))) == sympy.Rational(task.gold)
        else:
            found = [symbol(part) for part in task.gold.split(", ")]
            assert all(any(sympy.simplify(root - value) == 0 for value in found) for root in roots)
            assert len(found) == len(roots) == 2


def holds(told: str, at: Fraction) -> bool:
    """Returns whether an inequality is true at a point."""
    sign = next(s for s in "<>≤≥" if s in told)
    left, right = told.split(f" {sign} ")
    if left.startswith("|"):
        left = f"Abs({left.strip('|')})"
    value = symbol(left).subs(X, sympy.Rational(at.numerator, at.denominator))
    if not value.is_finite:
        return False
    bound = sympy.Integer(right)
    return bool({"<": value < bound, ">": value > bound, "≤": value <= bound, "≥": value >= bound}[sign])


def in_region(gold: str, at: Fraction) -> bool:
    for part in gold.split(" ∪ "):
        low, high = part[1:-1].split(", ")
        above = low == "-∞" or Fraction(low) < at or (part[0] == "[" and Fraction(low) == at)
        below = high == "∞" or at < Fraction(high) or (part[-1] == "]" and Fraction(high) == at)
        if above and below:
            return True
    return False


@pytest.mark.parametrize("kind", ["linear", "quadratic", "absolute", "product", "quotient", "squares"])
def test_inequalities(kind: str) -> None:
    for task in samples("math_inequalities", kind, 2, (1, 3, 5)):
        (told,) = task.meta["data"]
        ends = {Fraction(end) for end in task.gold.translate(str.maketrans("∪[]()∞,", "       ")).split() if end != "-"}
        points = [end + shift for end in ends for shift in (0, Fraction(-1, 7), Fraction(1, 7))]
        for at in {*points, *(Fraction(k) for k in range(-70, 71, 14))}:
            assert holds(told, at) == in_region(task.gold, at), (told, task.gold, at)


@pytest.mark.parametrize("kind", ["expand", "evaluate", "remainder", "remainder_quadratic", "coefficient", "unknown"])
def test_polynomials(kind: str) -> None:
    for task in samples("math_polynomials", kind, 4):
        first, *rest = task.meta["data"]
        gold = symbol(task.gold)
        if kind == "expand":
            assert sympy.expand(symbol(first)) - gold == 0
        elif kind == "coefficient":
            assert sympy.Poly(symbol(first), X).coeff_monomial(X ** rest[0]) == gold
        elif kind == "evaluate":
            assert sympy.Poly(first[::-1], X).eval(rest[0]) == gold
        elif kind == "remainder":
            assert sympy.rem(sympy.Poly(first[::-1], X), X - rest[0]).as_expr() == gold
        elif kind == "remainder_quadratic":
            assert sympy.rem(sympy.Poly(first[::-1], X), sympy.Poly(rest[0][::-1], X)).as_expr() - gold == 0
        else:
            power, at, value = rest
            whole = sympy.Poly(first[::-1], X) + sympy.Poly(gold * X**power, X)
            assert sympy.rem(whole, sympy.Poly(X - at, X)).as_expr() == value


def sequence_terms(task: Task) -> list[Fraction]:
    """Returns the first terms of a sequence, one by one."""
    kind, data = task.meta["kind"], task.meta["data"]
    if kind in ("term", "sum"):
        return [Fraction(data[0] + k * data[1]) for k in range(data[2])]
    if kind in ("geometric_term", "geometric_sum"):
        return list(
            itertools.accumulate([Fraction(data[1])] * (data[2] - 1), lambda a, q: a * q, initial=Fraction(data[0]))
        )
    if kind == "telescoping":
        return [Fraction(1, t * (t + data[1])) for t in range(data[0], data[0] + data[1] * data[2], data[1])]
    if kind == "second_order":
        values = [Fraction(v) for v in data[0]]
        while len(values) < data[3]:
            values.append(data[1] * values[-1] + data[2] * values[-2])
        return values
    first, a, b, *modulus, n = data
    values = [Fraction(first)]
    while len(values) < n:
        following = a * values[-1] + b
        values.append(following % modulus[0] if modulus else following)
    return values


@pytest.mark.parametrize(
    "kind",
    ["term", "sum", "geometric_term", "geometric_sum", "recurrence", "second_order", "telescoping", "periodic"],
)
def test_sequences(kind: str) -> None:
    for task in samples("math_sequences", kind):
        values = sequence_terms(task)
        wanted = sum(values) if kind in ("sum", "geometric_sum", "telescoping") else values[-1]
        assert wanted == fraction(task.gold)


def test_sequences_from_two_terms_and_without_end() -> None:
    for task in samples("math_sequences", "two_terms"):
        i, a, j, b, n = task.meta["data"]
        assert (fraction(task.gold) - a) * (j - i) == (b - a) * (n - i)
    for task in samples("math_sequences", "infinite"):
        first, ratio = task.meta["data"]
        assert sympy.summation(first * sympy.Rational(ratio) ** X, (X, 0, sympy.oo)) == sympy.Rational(task.gold)


@pytest.mark.parametrize(
    "kind",
    ["shopping", "speed", "meeting", "overtake", "ages", "tickets", "mixture", "work", "average", "replace"],
)
def test_word_problems(kind: str) -> None:
    for task in samples("math_word_problems", kind):
        data, gold = task.meta["data"], fraction(task.gold)
        if kind == "shopping":
            assert data[0] * data[1] + data[2] * data[3] + gold == data[4]
            assert gold >= 0
        elif kind == "speed":
            assert gold * (data[1] + data[3]) == data[0] * data[1] + data[2] * data[3]
        elif kind == "meeting":
            assert data[2] + (data[0] + data[1]) * gold == Fraction(data[3])
        elif kind == "overtake":
            assert gold / data[0] - gold / data[1] == Fraction(data[2], 60)
        elif kind == "ages":
            k, shift, total = data
            assert total - gold + shift == k * (gold + shift)
        elif kind == "tickets":
            assert [y for y in range(data[2] + 1) if data[0] * (data[2] - y) + data[1] * y == data[3]] == [gold]
        elif kind == "mixture":
            assert data[0] * data[1] + gold * data[2] == data[3] * (data[0] + gold)
        elif kind == "work":
            assert (data[2] + gold) / data[0] + gold / data[1] == 1
        elif kind == "average":
            assert data[0] * data[1] + data[2] * gold == (data[0] + data[2]) * data[3]
        else:
            whole, percent, taken, times = data
            sugar = Fraction(whole * percent, 100)
            for _ in range(times):
                sugar -= sugar / whole * taken
            assert sugar / whole * 100 == gold
        for number in data:
            assert str(number).removeprefix("-") in task.prompt[0].content
