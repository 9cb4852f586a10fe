r"""How numbers, sums, polynomials, roots and points are written in problems and answers."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

Rational = int | Fraction


def write(value: Rational) -> str:
    """Returns an integer or `a/b`."""
    return str(Fraction(value))


def guard(value: Rational) -> str:
    """Returns a number, in parentheses where it is negative or a fraction."""
    text = write(value)
    return text if text.isdigit() else f"({text})"


def terms(pairs: Iterable[tuple[Rational, str]]) -> str:
    """Returns a sum of coefficients times texts, zeros left out.

    >>> terms([(3, "x"), (-1, "y"), (Fraction(1, 2), "")])
    '3x - y + 1/2'
    """
    written = ""
    for coefficient, name in pairs:
        if coefficient == 0:
            continue
        size = write(abs(Fraction(coefficient)))
        if name:
            size = "" if size == "1" else size if size.isdigit() else f"({size})"
        is_positive = coefficient > 0
        sign = ("" if is_positive else "-") if not written else (" + " if is_positive else " - ")
        written += sign + size + name
    return written or "0"


def poly(coefficients: Sequence[Rational], name: str = "x") -> str:
    """Returns a polynomial, whose coefficients are given from the constant up, highest power first.

    >>> poly([8, -1, 3])
    '3x^2 - x + 8'
    """
    names = ["", name, *(f"{name}^{k}" for k in range(2, len(coefficients)))]
    return terms(reversed(list(zip(coefficients, names, strict=False))))


def evaluate(coefficients: Sequence[Rational], at: Rational) -> Fraction:
    """Returns the value of a polynomial."""
    value = Fraction(0)
    for coefficient in reversed(coefficients):
        value = value * at + coefficient
    return value


def multiply(left: Sequence[Rational], right: Sequence[Rational]) -> list[Rational]:
    """Returns the coefficients of a product of polynomials."""
    product: list[Rational] = [0] * (len(left) + len(right) - 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            product[i + j] += a * b
    return product


def split_root(number: int) -> tuple[int, int]:
    """Returns (a, b) with sqrt(number) = a sqrt(b) and no square above 1 in b."""
    outside, inside, factor = 1, number, 2
    while factor * factor <= inside:
        while inside % (factor * factor) == 0:
            inside //= factor * factor
            outside *= factor
        factor += 1
    return outside, inside


def root(square: Rational, times: Rational = 1) -> str:
    r"""Returns `times` sqrt(`square`), simplified.

    >>> root(Fraction(3, 4)), root(50, -1), root(16)
    ('\\sqrt{3}/2', '-5\\sqrt{2}', '4')
    """
    square = Fraction(square)
    outside, inside = split_root(square.numerator * square.denominator)
    factor = Fraction(times) * outside / square.denominator
    if square == 0 or factor == 0:
        return "0"
    if inside == 1:
        return write(factor)
    return scaled(factor, rf"\sqrt{{{inside}}}")


def scaled(factor: Rational, name: str) -> str:
    r"""Returns a multiple of a constant or root such as `5\pi/3`."""
    factor = Fraction(factor)
    top = {1: "", -1: "-"}.get(factor.numerator, str(factor.numerator))
    return f"{top}{name}" + ("" if factor.denominator == 1 else f"/{factor.denominator}")


def point(*values: Rational) -> str:
    """Returns `(x, y)`."""
    return f"({', '.join(map(write, values))})"


def listed(values: Iterable[Rational]) -> str:
    """Returns numbers with commas between."""
    return ", ".join(map(write, values))
