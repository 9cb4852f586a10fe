"""Golden answers of the families of exponents, complex numbers, matrices and calculus, found another way."""

import math
from fractions import Fraction

import pytest
import sympy

from tests.envs.math.samples import fraction, samples, symbol

X = sympy.Symbol("x")


@pytest.mark.parametrize("kind", ["quotient", "log", "log_sum", "fractional"])
def test_powers_and_logarithms(kind: str) -> None:
    for task in samples("math_logarithms_exponents", kind):
        data, gold = task.meta["data"], fraction(task.gold)
        if kind == "quotient":
            base, a, b, c, d = data
            assert gold * (base**c) ** d == base**a * base**b
        elif kind == "log":
            base, top, bottom = data
            assert math.isclose(top * math.log(base) / math.log(base**bottom), gold, rel_tol=1e-12)
        elif kind == "log_sum":
            b, u, m, v, n, w = data
            assert math.isclose(
                m * math.log(u, b) + n * math.log(v, b) - math.log(w, b), gold, rel_tol=1e-9, abs_tol=1e-9
            )
        else:
            inner, m, n = data
            assert gold**n == (Fraction(inner) ** n) ** m


@pytest.mark.parametrize("kind", ["equation", "two_bases", "log_equation", "quadratic"])
def test_equations_in_the_exponent(kind: str) -> None:
    for task in samples("math_logarithms_exponents", kind):
        data = task.meta["data"]
        if kind == "equation":
            base, a, b, power = data
            assert a * fraction(task.gold) + b == power
            assert f"= {base**power}" in task.prompt[0].content
        elif kind == "two_bases":
            base, p, a, c, q, d, e = data
            x = float(fraction(task.gold))
            left, right = (a * x + c) * math.log(base**p), (d * x + e) * math.log(base**q)
            assert math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
        elif kind == "log_equation":
            base, p, q, k = data
            fits = [x for x in range(-100, 6000) if x + p > 0 and x + q > 0 and (x + p) * (x + q) == base**k]
            assert fits == [int(task.gold)]
        else:
            base, shift, r, s = data
            for x in map(int, task.gold.split(", ")):
                t = Fraction(base) ** (x + shift)
                assert t * t - (base**r + base**s) * t + base ** (r + s) == 0


def _excess(kind: str, numbers: list[sympy.Expr], extra: int, gold: sympy.Expr) -> sympy.Expr:
    """Returns what is 0 for a right answer."""
    if kind == "sum":
        return numbers[0] + extra * numbers[1] - gold
    if kind == "product":
        return numbers[0] * numbers[1] - gold
    if kind == "quotient":
        return gold * numbers[1] - numbers[0]
    if kind == "power":
        return numbers[0] ** extra - gold
    if kind == "modulus":
        return sympy.Abs(numbers[0]) - gold
    if kind == "square_root":
        return gold**2 - numbers[0]
    return numbers[0] * gold + numbers[1] - numbers[2]


@pytest.mark.parametrize(
    "kind", ["sum", "product", "quotient", "power", "modulus", "square_root", "equation", "unit_sum"]
)
def test_complex_numbers(kind: str) -> None:
    for task in samples("math_complex_numbers", kind, 4):
        data = task.meta["data"]
        gold = symbol(task.gold).subs(sympy.Symbol("i"), sympy.I)
        if kind == "unit_sum":
            assert sympy.expand(sum(c * sympy.I**n for c, n in data[0]) - gold) == 0
            continue
        parts = [sympy.Rational(part) for part in data[0]]
        numbers = [a + b * sympy.I for a, b in zip(parts[::2], parts[1::2], strict=True)]
        assert sympy.expand(_excess(kind, numbers, data[-1], gold)) == 0
        assert kind != "square_root" or sympy.re(gold) > 0


@pytest.mark.parametrize("kind", ["determinant", "product_entry", "inverse_entry", "power_trace", "unknown"])
def test_matrices(kind: str) -> None:
    for task in samples("math_matrices", kind, 4):
        first, *rest = task.meta["data"]
        matrix, gold = sympy.Matrix(first), sympy.Rational(task.gold)
        if kind == "determinant":
            assert matrix.det() == gold
        elif kind == "product_entry":
            assert (matrix * sympy.Matrix(rest[0]))[rest[1], rest[2]] == gold
        elif kind == "inverse_entry":
            assert matrix.inv()[rest[0], rest[1]] == gold
        elif kind == "power_trace":
            assert (matrix ** rest[0]).trace() == gold
        else:
            matrix[rest[0], rest[1]] = gold
            assert matrix.det() == 0


def poly(coefficients: list[int]) -> sympy.Expr:
    return sum((sympy.Rational(c) * X**k for k, c in enumerate(coefficients)), sympy.Integer(0))


@pytest.mark.parametrize(
    "kind",
    ["derivative", "derivative_at", "integral", "critical", "quotient_at", "power_at", "area", "shifted_integral"],
)
def test_calculus(kind: str) -> None:
    for task in samples("math_derivatives_integrals", kind, 4):
        data, gold = task.meta["data"], task.gold
        if kind == "derivative":
            assert sympy.expand(sympy.diff(poly(data[0]), X) - symbol(gold)) == 0
        elif kind == "derivative_at":
            assert sympy.diff(poly(data[0]), X, data[1]).subs(X, data[2]) == sympy.Rational(gold)
        elif kind == "integral":
            assert sympy.integrate(poly(data[0]), (X, data[1], data[2])) == sympy.Rational(gold)
        elif kind == "critical":
            assert set(sympy.solve(sympy.diff(poly(data[0]), X), X)) == set(map(sympy.Integer, gold.split(", ")))
        elif kind == "quotient_at":
            a, b, c, d, at = data
            assert sympy.diff((a * X + b) / (c * X + d), X).subs(X, at) == sympy.Rational(gold)
        elif kind == "power_at":
            a, b, c, n, at = data
            assert sympy.diff((a * X**2 + b * X + c) ** n, X).subs(X, at) == sympy.Rational(gold)
        elif kind == "area":
            gap = poly(data[0]) - poly(data[1])
            low, high = sorted(sympy.solve(gap, X))
            assert abs(sympy.integrate(gap, (X, low, high))) == sympy.Rational(gold)
        else:
            c, a, b, n, low, high = data
            assert sympy.integrate(c * sympy.expand((a * X + b) ** n), (X, low, high)) == sympy.Rational(gold)
