"""What an answer can be: expressions, and what is built of them. Plain immutable trees, bounded by the parser."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal


@dataclass(frozen=True, slots=True)
class Number:
    """A literal number."""

    value: Fraction


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, or anything else that is only called by its name."""

    text: str


@dataclass(frozen=True, slots=True)
class Op:
    """An operation, function (`sin`) or constant (`pi`, `e`, `i`, `oo`; no arguments).

    Sums and products have any number of arguments; `a - b` is `add(a, neg(b))` and `a / b` is `mul(a, inv(b))`.
    """

    kind: str
    args: tuple["Expr", ...] = ()


Expr = Number | Name | Op


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure, or a counted noun."""

    dimensions: tuple[tuple[str, int], ...]
    """Sorted (dimension, power) pairs."""
    factor: Fraction = Fraction(1)
    """How many base units of these dimensions it is."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with a unit."""

    value: Expr
    unit: Unit


@dataclass(frozen=True, slots=True)
class Words:
    """Plain text, in lower case, one space between words."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Several answers: a tuple is ordered, a set or a list is not."""

    kind: Literal["tuple", "set", "list"]
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """Real numbers between two ends."""

    low: Expr
    high: Expr
    has_low: bool
    has_high: bool


@dataclass(frozen=True, slots=True)
class Region:
    """A union of intervals; `name` is the variable it was said of, if any."""

    parts: tuple[Interval, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A table of expressions; every row has the same length."""

    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`members[0] ops[0] members[1] ops[1] ...` with ops of `= < <= > >= != in ~`."""

    members: tuple["Node", ...]
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """`a : b : c`."""

    terms: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day."""

    minutes: int
    """Since 0:00, as written."""
    mark: str
    """`am`, `pm` or empty."""


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base that is written as a subscript."""

    digits: str
    base: int


Node = Number | Name | Op | Quantity | Words | Group | Interval | Region | Matrix | Relation | Ratio | Clock | Based

PI = Op("pi")
E = Op("e")
I = Op("i")  # noqa: E741
INFINITY = Op("oo")
EMPTY_SET = Group("set", ())
CONSTANTS = ("pi", "e", "i", "oo")


def number(value: int | Fraction) -> Number:
    """Returns a literal."""
    return Number(Fraction(value))


def neg(value: Expr) -> Expr:
    """Returns the opposite; of a literal, the opposite literal."""
    return Number(-value.value) if isinstance(value, Number) else Op("neg", (value,))


def is_expr(node: object) -> bool:
    """Returns whether a node is a plain expression."""
    return isinstance(node, Number | Name | Op)


def walk(expr: Expr) -> Iterator[Expr]:
    """Yields an expression and everything in it."""
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Op):
            stack.extend(node.args)


def names_in(expr: Expr) -> set[str]:
    """Returns the names an expression has."""
    return {node.text for node in walk(expr) if isinstance(node, Name)}


Key = tuple[object, ...]


def structure(expr: Expr) -> Key:
    """Returns a key that is equal for expressions that differ at most in the order of terms and factors."""
    if isinstance(expr, Number):
        return ("number", expr.value.numerator, expr.value.denominator)
    if isinstance(expr, Name):
        return ("name", expr.text)
    keys = [structure(arg) for arg in expr.args]
    if expr.kind in ("add", "mul", "gcd", "lcm", "max", "min"):
        keys.sort(key=repr)
    return (expr.kind, *keys)
