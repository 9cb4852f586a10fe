"""Linear equations in one unknown."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import poly, terms, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class LinearEquations(MathFamily):
    """Equations a x + b = c x + d, plain, with brackets or with denominators."""

    name: str = "math_linear_equations"
    kinds: tuple[str, ...] = ("two_sides", "brackets")
    max_coefficient: int = 12
    """Largest size of a coefficient, 5 to 60."""
    max_denominator: int = 1
    """Largest denominator of the solution, 1 to 30."""

    rule: ClassVar[str] = "solve a linear equation for x"
    bounds: ClassVar = {"max_coefficient": (5, 60), "max_denominator": (1, 30)}
    levels: ClassVar[Levels] = (
        {"kinds": ("one_side",)},
        {"kinds": ("one_side", "two_sides")},
        {},
        {"kinds": ("two_sides", "brackets", "denominators"), "max_coefficient": 20, "max_denominator": 9},
        {"kinds": ("brackets", "denominators", "nested"), "max_coefficient": 40, "max_denominator": 30},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "one_side": self._one_side,
            "two_sides": self._two_sides,
            "brackets": self._brackets,
            "denominators": self._denominators,
            "nested": self._nested,
        }

    def _nonzero(self, rng: random.Random) -> int:
        return rng.randint(1, self.max_coefficient) * rng.choice((1, -1))

    def _problem(
        self, rng: random.Random, sides: tuple[str, str], lines: list[str], left: list[Fraction], right: list[Fraction]
    ) -> Problem | None:
        """Returns the problem of an equation whose sides are [b, a] and [d, c] of a x + b = c x + d."""
        slope, offset = left[1] - right[1], right[0] - left[0]
        if slope == 0:
            return None
        value = offset / slope
        if value.denominator > self.max_denominator:
            return None
        equation = f"{sides[0]} = {sides[1]}"
        question = self.ask(
            rng,
            en=("Solve {eq} for x.", "Find x if {eq}.", "What number x satisfies {eq}?"),
            zh=("解方程 {eq}。", "已知 {eq}，求 x。", "哪个数 x 满足 {eq}？"),
            eq=equation,
        )
        steps = [*lines, f"{terms([(slope, 'x')])} = {write(offset)}", f"x = {write(value)}"]
        return Problem(
            question=question, gold=write(value), form="fraction", data=(equation,), steps=tuple(dict.fromkeys(steps))
        )

    def _one_side(self, rng: random.Random) -> Problem | None:
        a, b = self._nonzero(rng), self._nonzero(rng)
        x = Fraction(rng.randint(-20, 20), rng.randint(1, self.max_denominator))
        c = a * x + b
        if abs(a) == 1 or c.denominator > 1:
            return None
        return self._problem(rng, (poly([b, a]), write(c)), [], [Fraction(b), Fraction(a)], [c, Fraction(0)])

    def _two_sides(self, rng: random.Random) -> Problem | None:
        a, b, c = self._nonzero(rng), self._nonzero(rng), self._nonzero(rng)
        x = Fraction(rng.randint(-20, 20), rng.randint(1, self.max_denominator))
        d = (a - c) * x + b
        if d.denominator > 1:
            return None
        sides = poly([b, a]), poly([d, c])
        lines = [f"{terms([(a, 'x'), (-c, 'x')])} = {terms([(d, ''), (-b, '')])}"] if d else []
        return self._problem(rng, sides, lines, [Fraction(b), Fraction(a)], [d, Fraction(c)])

    def _brackets(self, rng: random.Random) -> Problem | None:
        a, b, c, d = (self._nonzero(rng) for _ in range(4))
        e, f, g = (self._nonzero(rng) for _ in range(3))
        if 1 in (abs(a), abs(e)):
            return None
        x = Fraction(rng.randint(-20, 20), rng.randint(1, self.max_denominator))
        h = a * (b * x + c) + d - e * (f * x + g)
        if h.denominator > 1:
            return None
        sides = terms([(a, f"({poly([c, b])})"), (d, "")]), terms([(e, f"({poly([g, f])})"), (h, "")])
        left, right = [Fraction(a * c + d), Fraction(a * b)], [e * g + h, Fraction(e * f)]
        return self._problem(rng, sides, [f"{poly(left)} = {poly(right)}"], left, right)

    def _denominators(self, rng: random.Random) -> Problem | None:
        (a, b, d, e), (c, f) = (self._nonzero(rng) for _ in range(4)), rng.sample(range(2, 13), 2)
        g = rng.randint(-20, 20)
        sides = f"({poly([b, a])})/{c} + ({poly([e, d])})/{f}", str(g)
        left = [Fraction(b, c) + Fraction(e, f), Fraction(a, c) + Fraction(d, f)]
        times = c * f
        top = [left[0] * times, left[1] * times]
        lines = [f"{f}*({poly([b, a])}) + {c}*({poly([e, d])}) = {times * g}", f"{poly(top)} = {times * g}"]
        return self._problem(rng, sides, lines, top, [Fraction(times * g), Fraction(0)])

    def _nested(self, rng: random.Random) -> Problem | None:
        a, b, c, d, e, f, g, h = (self._nonzero(rng) for _ in range(8))
        if 1 in (abs(a), abs(c)):
            return None
        inner = f"{terms([(b, 'x'), (c, f'({poly([e, d])})')])}"
        sides = terms([(a, f"[{inner}]"), (f, "")]), poly([h, g])
        left = [Fraction(a * c * e + f), Fraction(a * (b + c * d))]
        opened = f"{terms([(a, f'[{poly([c * e, b + c * d])}]'), (f, '')])} = {poly([h, g])}"
        return self._problem(rng, sides, [opened, f"{poly(left)} = {poly([h, g])}"], left, [Fraction(h), Fraction(g)])
