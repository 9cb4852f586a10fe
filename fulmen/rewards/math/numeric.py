"""Values of expressions at chosen points, to 50 digits: enough to tell two expressions apart, never to equate them.

Real where nothing imaginary is written and there are variables; elsewhere principal complex values. Points are the
same on every run.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal

import mpmath  # type: ignore[import-untyped]

from fulmen.rewards.math.nodes import Expr, I, Name, Number, Op, names_in, walk

DIGITS = 50
TOLERANCE = mpmath.mpf(10) ** -25
"""Relative to the largest value on the way, at least 1."""
_RATIO_TOLERANCE = 1000 * TOLERANCE
MAX_MAGNITUDE = 1e7
"""Largest exponent, in bits, of a value."""
NUM_POINTS = 3
_STRICT = ("abs", "floor", "ceil", "max", "min")

Point = Mapping[str, Any]
Look = Literal["different", "same", "same for whole numbers"]


class _UndefinedError(ArithmeticError):
    """No value at this point."""


def look(left: Expr, right: Expr) -> Look:
    """Returns what numbers say: `different`, or `same` at all points, or at whole numbers where only these have values.

    Where a variable is negative, one of the two may have no value: sqrt(ab) and sqrt(a)sqrt(b) are the same answer. Not
    so beside an absolute value, whose point is the sign.
    """
    names = sorted(names_in(left) | names_in(right))
    nodes = [*walk(left), *walk(right)]
    is_complex = not names or I in nodes
    is_strict = any(isinstance(node, Op) and node.kind in _STRICT for node in nodes)
    is_whole = any(map(_is_whole_only, (left, right)))
    num_common = 0
    for point, is_positive in _points(names):
        if is_whole and not _is_whole(point):
            continue
        values = [_value(expr, point, is_complex=is_complex) for expr in (left, right)]
        if values[0] is None or values[1] is None:
            if (is_positive or is_strict) and values[0] is not values[1]:
                return "different"
            continue
        num_common += 1
        if not _is_close(values[0], values[1]):
            return "different"
    if num_common == 0:
        return "different"
    return "same for whole numbers" if is_whole else "same"


def constant_ratio(left: Expr, right: Expr) -> Any:
    """Returns the ratio of two expressions if it is, as far as can be seen, one constant other than zero; else None."""
    ratios = []
    for point, _ in _points(sorted(names_in(left) | names_in(right))):
        values = [_value(expr, point, is_complex=False) for expr in (left, right)]
        if values[0] is None or values[1] is None or abs(values[1][0]) < TOLERANCE:
            continue
        ratios.append(values[0][0] / values[1][0])
        if abs(ratios[-1] - ratios[0]) > _RATIO_TOLERANCE * max(1, abs(ratios[0])):
            return None
    return ratios[0] if len(ratios) > 1 and abs(ratios[0]) > TOLERANCE else None


def simple_fraction(value: Any) -> Fraction | None:
    """Returns the fraction that a real number seems to be, if it is a simple one."""
    for bottom in range(1, 101):
        top = mpmath.nint(value * bottom)
        if abs(value * bottom - top) <= _RATIO_TOLERANCE * max(1, abs(top)):
            return Fraction(int(top), bottom)
    return None


def _is_whole_only(expr: Expr) -> bool:
    """Returns whether an expression has values for whole variables alone: (-1)^n, n!."""
    suspects = [node for node in walk(expr) if isinstance(node, Op) and node.kind in ("fact", "pow")]
    if not any(names_in(node.args[-1]) for node in suspects):
        return False
    points = [point for point, _ in _points(sorted(names_in(expr))) if not _is_whole(point)]
    return all(_value(expr, point, is_complex=False) is None for point in points)


def _is_whole(point: Point) -> bool:
    return all(value == int(value) for value in point.values())


def _points(names: list[str]) -> Iterator[tuple[Point, bool]]:
    """Yields points, and whether all their coordinates are positive: fractions first, then whole numbers."""
    if not names:
        yield {}, True
        return
    rng = random.Random(repr(names))
    for index in range(2 * NUM_POINTS):
        is_positive = index < NUM_POINTS
        signs = [1 if is_positive or rng.random() < 0.4 else -1 for _ in names]
        if not is_positive and all(sign == 1 for sign in signs):
            signs[0] = -1
        # Odd denominators, so that nothing is a dyadic or decimal coincidence.
        yield (
            {
                name: sign * mpmath.mpf(rng.randint(10**6, 4 * 10**6)) / 1299709
                for name, sign in zip(names, signs, strict=True)
            },
            is_positive,
        )
    for _ in range(NUM_POINTS):
        yield {name: mpmath.mpf(rng.randint(2, 9)) for name in names}, True


def _is_close(left: tuple[Any, Any], right: tuple[Any, Any]) -> bool:
    scale = max(1, left[1], right[1])
    return bool(abs(left[0] - right[0]) <= TOLERANCE * scale)


def _value(expr: Expr, point: Point, *, is_complex: bool) -> tuple[Any, Any] | None:
    """Returns the value at a point and the largest value on the way to it, or None where there is none."""
    evaluator = _Evaluator(point)
    try:
        with mpmath.workdps(DIGITS):
            value = evaluator.value(expr)
    except (ArithmeticError, ValueError, TypeError, mpmath.libmp.NoConvergence):
        return None
    if not mpmath.isfinite(value):
        return None
    if isinstance(value, mpmath.mpc) and not is_complex:
        return None
    return value, evaluator.largest


class _Evaluator:
    """One evaluation."""

    def __init__(self, point: Point) -> None:
        self.point = point
        self.largest = mpmath.mpf(1)

    def value(self, expr: Expr) -> Any:
        """Returns the value of an expression."""
        if isinstance(expr, Number):
            found = mpmath.mpf(expr.value.numerator) / expr.value.denominator
        elif isinstance(expr, Name):
            found = self.point[expr.text]
        elif expr.kind in _CONSTANTS:
            found = _CONSTANTS[expr.kind]()
        else:
            args = [self.value(arg) for arg in expr.args]
            if expr.kind not in _OPERATIONS:
                raise _UndefinedError
            found = _OPERATIONS[expr.kind](*args)
        size = abs(found)
        if not mpmath.isfinite(size):
            raise _UndefinedError
        self.largest = max(self.largest, size)
        return found


def _power(base: Any, exponent: Any) -> Any:
    if base == 0:
        if isinstance(exponent, mpmath.mpc) or exponent <= 0:
            raise _UndefinedError
        return base
    if abs(exponent) * abs(mpmath.log(abs(base), 2)) > MAX_MAGNITUDE:
        raise _UndefinedError
    if isinstance(base, mpmath.mpf) and base < 0 and isinstance(exponent, mpmath.mpf):
        odd = _odd_denominator(exponent)
        if odd:
            root = -mpmath.root(-base, odd)
            return root ** int(mpmath.nint(exponent * odd))
    return mpmath.power(base, exponent)


def _odd_denominator(exponent: Any) -> int:
    """Returns the odd denominator of a fraction with a small one, which has real roots; 0 for other numbers."""
    for odd in (3, 5, 7, 9):
        if exponent != mpmath.nint(exponent) and abs(exponent * odd - mpmath.nint(exponent * odd)) < TOLERANCE:
            return odd
    return 0


def _bounded(function: Callable[..., Any], limit: float) -> Callable[..., Any]:
    """Returns the function, undefined where an argument is larger than a limit."""

    def apply(*args: Any) -> Any:
        if any(abs(arg) > limit for arg in args):
            raise _UndefinedError
        return function(*args)

    return apply


def _factorial(value: Any) -> Any:
    if isinstance(value, mpmath.mpc) or value != mpmath.nint(value) or value < 0:
        raise _UndefinedError
    return mpmath.factorial(value)


def _logarithm(value: Any, base: Any = None) -> Any:
    return mpmath.log(value) if base is None else mpmath.log(value) / mpmath.log(base)


def _real(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*args: Any) -> Any:
        if any(isinstance(arg, mpmath.mpc) for arg in args):
            raise _UndefinedError
        return function(*args)

    return apply


def _whole(function: Callable[..., int]) -> Callable[..., Any]:
    def apply(*args: Any) -> Any:
        if any(isinstance(arg, mpmath.mpc) or arg != int(arg) or abs(arg) > 1e30 for arg in args):
            raise _UndefinedError
        return mpmath.mpf(function(*map(int, args)))

    return apply


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "pi": lambda: +mpmath.pi,
    "e": lambda: +mpmath.e,
    "i": lambda: mpmath.mpc(0, 1),
}
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda *args: mpmath.fsum(args),
    "neg": lambda value: -value,
    "mul": lambda *args: mpmath.fprod(args),
    "inv": lambda value: 1 / value,
    "pow": _power,
    "fact": _bounded(_factorial, 1e4),
    "binom": _bounded(_real(mpmath.binomial), 1e4),
    "ln": _logarithm,
    "log": _logarithm,
    "abs": abs,
    "deg": lambda value: value * mpmath.pi / 180,
    "floor": _bounded(_real(mpmath.floor), 1e20),
    "ceil": _bounded(_real(mpmath.ceil), 1e20),
    "max": _real(max),
    "min": _real(min),
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "arccot": mpmath.acot,
    **{
        name: _bounded(getattr(mpmath, name), 1e6)
        for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"]
    },
}
