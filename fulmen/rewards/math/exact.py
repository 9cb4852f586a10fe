"""Exact rational values of expressions, with every size bounded before it is computed; never a float."""

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial, gcd, isqrt, lcm

from fulmen.errors import DataError
from fulmen.rewards.math.nodes import Expr, Name, Number, Op

MAX_BITS = 1 << 16
"""Largest numerator or denominator."""
MAX_TOTAL_BITS = 1 << 20
"""Bits of all intermediate results together, which bounds the time."""
MAX_FACTORIAL = 5000
MAX_LOGARITHM_BITS = 1000
"""Largest number whose whole logarithm is looked for."""


class TooLargeError(DataError):
    """A value, or the way to it, that is larger than what is computed."""


class UndefinedError(DataError):
    """A division by zero or the like."""


class Evaluator:
    """Evaluates expressions of one comparison, within one budget."""

    def __init__(self) -> None:
        self.bits_left = MAX_TOTAL_BITS
        self._known: dict[int, tuple[Expr, Fraction | None]] = {}

    def value(self, expr: Expr) -> Fraction | None:
        """Returns the exact value, or None where it is irrational, has variables, or needs more than arithmetic.

        Raises:
            TooLargeError: a bound is exceeded.
            UndefinedError: it has no value.
        """
        if isinstance(expr, Number):
            return expr.value
        if isinstance(expr, Name):
            return None
        known = self._known.get(id(expr))
        if known is None:
            # The expression is kept, so that its number stays its own.
            known = self._known[id(expr)] = (expr, self._operation(expr))
        return known[1]

    def _operation(self, expr: Op) -> Fraction | None:
        args = [self.value(arg) for arg in expr.args]
        values = [arg for arg in args if arg is not None]
        if not values or len(values) < len(args) or expr.kind not in _OPERATIONS:
            return None
        self._charge(sum(map(_bits, values)))
        result = _OPERATIONS[expr.kind](values)
        if result is not None:
            self._charge(_bits(result))
        return result

    def _charge(self, bits: int) -> None:
        self.bits_left -= bits
        if bits > 2 * MAX_BITS or self.bits_left < 0:
            raise TooLargeError("answer: too large to compute; allowed: smaller numbers")


def _bits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _require_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise TooLargeError(f"answer: a number of about {bits} bits; allowed: up to {MAX_BITS}")


def _add(values: list[Fraction]) -> Fraction:
    _require_bits(sum(value.denominator.bit_length() for value in values if value.denominator > 1))
    return sum(values, Fraction(0))


def _multiply(values: list[Fraction]) -> Fraction:
    _require_bits(sum(map(_bits, values)))
    product = Fraction(1)
    for value in values:
        product *= value
    return product


def _invert(values: list[Fraction]) -> Fraction:
    if values[0] == 0:
        raise UndefinedError("answer: division by zero; allowed: any other divisor")
    return 1 / values[0]


def _power(values: list[Fraction]) -> Fraction | None:
    base, exponent = values
    if base == 0 and exponent <= 0:
        raise UndefinedError("answer: 0 to the power of 0 or less; allowed: a positive exponent")
    if abs(base) == 1 and exponent.denominator == 1:
        return base ** int(exponent % 2)
    if exponent.denominator != 1:
        root = _root(base, exponent.denominator)
        return None if root is None else _power([root, Fraction(exponent.numerator)])
    _require_bits(int(abs(exponent)) * (_bits(base) - 1))
    return base ** int(exponent)


def _root(base: Fraction, degree: int) -> Fraction | None:
    """Returns the exact root, or None where it is not rational; of a negative number, the real one of odd degree."""
    if base < 0:
        # The principal root is complex; a real one is meant where it exists.
        root = _root(-base, degree) if degree % 2 else None
        return None if root is None else -root
    parts = [_whole_root(part, degree) for part in (base.numerator, base.denominator)]
    return Fraction(parts[0], parts[1]) if all(part is not None for part in parts) else None  # type: ignore[arg-type]


def _whole_root(value: int, degree: int) -> int | None:
    """Returns the whole root of a whole number, or None."""
    if value <= 1:
        return value
    if degree == 2:
        root = isqrt(value)
        return root if root * root == value else None
    if degree > value.bit_length():
        return None
    low, high = 1, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low if low**degree == value else None


def _factorial(values: list[Fraction]) -> Fraction | None:
    if values[0].denominator != 1 or values[0] < 0:
        return None
    if values[0] > MAX_FACTORIAL:
        raise TooLargeError(f"answer: a factorial that is too large; allowed: up to {MAX_FACTORIAL}!")
    return Fraction(factorial(int(values[0])))


def _binomial(values: list[Fraction]) -> Fraction | None:
    if any(value.denominator != 1 or value < 0 for value in values):
        return None
    n, k = map(int, values)
    if k > n:
        return Fraction(0)
    _require_bits(min(k, n - k) * n.bit_length())
    return Fraction(comb(n, k))


def _whole(values: list[Fraction]) -> list[int] | None:
    return [int(value) for value in values] if all(value.denominator == 1 for value in values) else None


def _gcd(values: list[Fraction]) -> Fraction | None:
    whole = _whole(values)
    return None if whole is None else Fraction(gcd(*whole))


def _lcm(values: list[Fraction]) -> Fraction | None:
    whole = _whole(values)
    if whole is None:
        return None
    _require_bits(sum(value.bit_length() for value in whole))
    return Fraction(lcm(*whole))


def _logarithm(values: list[Fraction]) -> Fraction | None:
    """Returns a whole logarithm, or None; a base that is not written is not known here."""
    if len(values) == 1:
        return Fraction(0) if values[0] == 1 else None
    value, base = values
    if value <= 0 or base <= 0 or base == 1:
        raise UndefinedError("answer: logarithm of 0 or less, or to such a base or 1; allowed: positive ones")
    if base < 1:
        inverse = _logarithm([value, 1 / base])
        return None if inverse is None else -inverse
    if value < 1:
        inverse = _logarithm([1 / value, base])
        return None if inverse is None else -inverse
    if _bits(value) > MAX_LOGARITHM_BITS:
        return None
    count = 0
    while value > 1:
        value /= base
        count += 1
        if count > MAX_LOGARITHM_BITS:
            return None
    return Fraction(count) if value == 1 else None


_OPERATIONS: dict[str, Callable[[list[Fraction]], Fraction | None]] = {
    "add": _add,
    "neg": lambda values: -values[0],
    "mul": _multiply,
    "inv": _invert,
    "pow": _power,
    "fact": _factorial,
    "binom": _binomial,
    "gcd": _gcd,
    "lcm": _lcm,
    "log": _logarithm,
    "abs": lambda values: abs(values[0]),
    "floor": lambda values: Fraction(values[0].__floor__()),
    "ceil": lambda values: Fraction(values[0].__ceil__()),
    "max": max,
    "min": min,
}
