"""Problems of a family, kind by kind, and how their golden answers are read in tests."""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import sympy
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

from fulmen.envs import load
from fulmen.envs.conformance import make_tasks
from fulmen.types import Task

RULES = (*standard_transformations, convert_xor, implicit_multiplication_application)


def samples(
    name: str, kind: str, num: int = 6, levels: tuple[int, ...] = (1, 2, 3, 4, 5), **knobs: Any
) -> Iterator[Task]:
    """Yields problems of one kind, at the settings of each level."""
    for level in levels:
        yield from make_tasks(load(name, level=level, kinds=(kind,), **knobs), num, seed=level)  # type: ignore[arg-type]


def symbol(text: str) -> sympy.Expr:
    r"""Returns one of our own texts (a question's expression or a golden answer) as sympy reads it."""
    text = re.sub(r"\\sqrt\{(\d+)\}", r"*sqrt(\1)", text).replace(r"\pi", "*pi")
    text = re.sub(r"(^|[-+( ])\*", r"\1", text).replace("[", "(").replace("]", ")")
    return parse_expr(text, transformations=RULES)


def fraction(text: str) -> Fraction:
    """Returns a golden answer that is an integer or a fraction."""
    return Fraction(text)


def pair(text: str) -> list[Fraction]:
    """Returns the numbers of `(x, y)` or `x, y`."""
    return [Fraction(part) for part in text.strip("()").split(", ")]
