"""Sums, products and mixed expressions of fractions."""

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Fractions(MathFamily):
    """Expressions of proper and improper fractions."""

    name: str = "math_fractions"
    kinds: tuple[str, ...] = ("sum", "product", "mixed")
    num_terms: int = 3
    """Fractions in a sum or product, 2 to 8."""
    max_denominator: int = 15
    """Largest denominator, 6 to 99."""

    rule: ClassVar[str] = "add, subtract, multiply and divide fractions"
    bounds: ClassVar = {"num_terms": (2, 8), "max_denominator": (6, 99)}
    levels: ClassVar[Levels] = (
        {"kinds": ("sum",), "num_terms": 2, "max_denominator": 12},
        {"kinds": ("sum", "product"), "num_terms": 2, "max_denominator": 15},
        {},
        {"num_terms": 4, "max_denominator": 24},
        {"kinds": ("sum", "mixed", "nested"), "num_terms": 6, "max_denominator": 40},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {"sum": self._sum, "product": self._product, "mixed": self._mixed, "nested": self._nested}

    def _fraction(self, rng: random.Random) -> Fraction:
        while True:
            found = Fraction(rng.randint(1, 2 * self.max_denominator), rng.randint(2, self.max_denominator))
            if found.denominator > 1 and found < 4:
                return found

    def _problem(self, rng: random.Random, text: str, value: Fraction, steps: list[str]) -> Problem:
        question = self.ask(
            rng,
            en=("What is {text}?", "Compute {text}.", "Evaluate {text} exactly."),
            zh=("{text} 等于多少？", "计算 {text}。", "求 {text} 的精确值。"),
            text=text,
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(text,), steps=tuple(steps))

    def _sum(self, rng: random.Random) -> Problem:
        values = [self._fraction(rng) for _ in range(self.num_terms)]
        signs = ["+", *(rng.choice("+-") for _ in values[1:])]
        text = write(values[0]) + "".join(f" {s} {write(v)}" for s, v in zip(signs[1:], values[1:], strict=True))
        common = math.lcm(*(value.denominator for value in values))
        tops = [int(value * common) * (1 if sign == "+" else -1) for sign, value in zip(signs, values, strict=True)]
        shown = " + ".join(str(top) if top > 0 else f"({top})" for top in tops)
        total = sum(tops)
        value = Fraction(total, common)
        steps = [f"lcm({', '.join(str(v.denominator) for v in values)}) = {common}"]
        steps.append(" = ".join(dict.fromkeys((f"({shown})/{common}", f"{total}/{common}", write(value)))))
        return self._problem(rng, text, value, steps)

    def _product(self, rng: random.Random) -> Problem:
        values = [self._fraction(rng) for _ in range(self.num_terms)]
        text, product, steps = f"({write(values[0])})", values[0], []
        for value in values[1:]:
            operator = rng.choice("*/")
            text += f" {operator} ({write(value)})"
            factor = value if operator == "*" else 1 / value
            top, bottom = product.numerator * factor.numerator, product.denominator * factor.denominator
            step = f"{write(product)} {operator} ({write(value)}) = "
            product *= factor
            steps.append(step + " = ".join(dict.fromkeys((f"{top}/{bottom}", write(product)))))
        return self._problem(rng, text, product, steps)

    def _mixed(self, rng: random.Random) -> Problem:
        a, b, c, d = (self._fraction(rng) for _ in range(4))
        sign = rng.choice("+-")
        product, second = a * b, c / d
        value = product + second if sign == "+" else product - second
        text = f"({write(a)}) * ({write(b)}) {sign} ({write(c)}) / ({write(d)})"
        steps = [
            f"({write(a)}) * ({write(b)}) = {write(product)}",
            f"({write(c)}) / ({write(d)}) = {write(second)}",
            f"{write(product)} {sign} {write(second)} = {write(value)}",
        ]
        return self._problem(rng, text, value, steps)

    def _nested(self, rng: random.Random) -> Problem:
        """Returns a continued fraction."""
        numbers = [rng.randint(1, self.max_denominator // 3) for _ in range(self.num_terms - 1)] + [rng.randint(2, 9)]
        text, value, steps = str(numbers[-1]), Fraction(numbers[-1]), []
        for number in reversed(numbers[:-1]):
            text = f"{number} + 1/({text})" if text != str(numbers[-1]) else f"{number} + 1/{text}"
            step = f"{number} + 1/({write(value)}) = "
            value = number + 1 / value
            steps.append(step + write(value))
        return self._problem(rng, text, value, steps)
