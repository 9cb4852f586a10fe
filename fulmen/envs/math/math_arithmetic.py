"""Mixed expressions of integers: order of operations, brackets, exact division."""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.puzzle import Levels

PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
MAX_VALUE = 1_000_000
"""Largest size of any intermediate value."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of an expression."""

    text: str
    value: int
    level: int
    """Of the outermost operator: 1 sum, 2 product, 3 a number."""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Arithmetic(MathFamily):
    """Expressions of integers with + - * / and brackets, whose divisions come out even."""

    name: str = "math_arithmetic"
    kinds: tuple[str, ...] = ("mixed",)
    num_terms: int = 4
    """Numbers in an expression, 2 to 16."""
    max_number: int = 50
    """Largest number, 9 to 999."""
    negative_pct: int = 0
    """Chance in percent that a number is negative, 0 to 60."""

    rule: ClassVar[str] = "evaluate an expression of integers"
    bounds: ClassVar = {"num_terms": (2, 16), "max_number": (9, 999), "negative_pct": (0, 60)}
    levels: ClassVar[Levels] = (
        {"kinds": ("plus_minus",), "num_terms": 2, "max_number": 99},
        {"num_terms": 3, "max_number": 30},
        {},
        {"num_terms": 7, "max_number": 99, "negative_pct": 20},
        {"num_terms": 11, "max_number": 300, "negative_pct": 30},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers of sums alone, and of all four operations."""
        return {
            "plus_minus": lambda rng: self._expression(rng, "+-"),
            "mixed": lambda rng: self._expression(rng, "++--***/"),
        }

    def _expression(self, rng: random.Random, operators: str) -> Problem | None:
        part = self._part(rng, self.num_terms, operators)
        if part is None:
            return None
        question = self.ask(
            rng,
            en=("What is {text}?", "Compute {text}.", "Find the value of {text}.", "{text} = ?"),
            zh=("{text} 等于多少？", "计算 {text}。", "求 {text} 的值。"),
            text=part.text,
        )
        return Problem(question=question, gold=str(part.value), form="integer", data=(part.text,), steps=part.steps)

    def _part(self, rng: random.Random, num_terms: int, operators: str) -> _Part | None:
        if num_terms == 1:
            value = rng.randint(1, self.max_number)
            if rng.random() * 100 < self.negative_pct:
                return _Part(text=f"({-value})", value=-value, level=3)
            return _Part(text=str(value), value=value, level=3)
        num_left = rng.randint(1, num_terms - 1)
        left, right = self._part(rng, num_left, operators), self._part(rng, num_terms - num_left, operators)
        return _join(left, rng.choice(operators), right) if left and right else None


def _join(left: _Part, operator: str, right: _Part) -> _Part | None:
    """Returns two parts joined, or None where the result is no integer or too large."""
    if operator == "/" and (right.value == 0 or left.value % right.value):
        if right.value == 0 or right.level < 3:
            return None
        # Most quotients are no integers: the left side is multiplied by the divisor first.
        product = _join(left, "*", right)
        return _join(product, "/", right) if product else None
    value = {
        "+": left.value + right.value,
        "-": left.value - right.value,
        "*": left.value * right.value,
        "/": left.value // (right.value or 1),
    }[operator]
    if abs(value) > MAX_VALUE:
        return None
    level = PRECEDENCE[operator]
    texts = [left.text, right.text]
    if left.level < level:
        texts[0] = f"({texts[0]})"
    if right.level < level or (right.level == level and operator in "-/"):
        texts[1] = f"({texts[1]})"
    shown = [f"({part.value})" if part.value < 0 else str(part.value) for part in (left, right)]
    step = f"{shown[0]} {operator} {shown[1]} = {value}"
    steps = (*left.steps, *right.steps, step)
    return _Part(text=f"{texts[0]} {operator} {texts[1]}", value=value, level=level, steps=steps)
