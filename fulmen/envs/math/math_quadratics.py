"""Quadratic equations: their roots, and symmetric sums of the roots."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, listed, multiply, poly, root, split_root, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Quadratics(MathFamily):
    """Roots that are integers, fractions or surds, and Vieta's sums."""

    name: str = "math_quadratics"
    kinds: tuple[str, ...] = ("fractions", "sum_squares", "surds")
    max_root: int = 15
    """Largest size of a root or coefficient, 8 to 60."""

    rule: ClassVar[str] = "find the roots of a quadratic, or a sum over them"
    bounds: ClassVar = {"max_root": (8, 60)}
    levels: ClassVar[Levels] = (
        {"kinds": ("integers",), "max_root": 50},
        {"kinds": ("integers", "fractions")},
        {},
        {"kinds": ("surds", "sum_squares", "sum_cubes", "reciprocals"), "max_root": 20},
        {"kinds": ("sum_cubes", "reciprocals", "fourth_powers", "ratio"), "max_root": 30},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        sums = ("sum_squares", "sum_cubes", "reciprocals", "fourth_powers", "ratio")
        return {
            "integers": lambda rng: self._rational(rng, 1),
            "fractions": lambda rng: self._rational(rng, 5),
            "surds": self._surds,
            **{kind: lambda rng, kind=kind: self._sum(rng, kind) for kind in sums},  # type: ignore[misc]
        }

    def _question(self, rng: random.Random, coefficients: list[int]) -> str:
        return self.ask(
            rng,
            en=("Solve {eq} = 0.", "Find all real x with {eq} = 0.", "What are the roots of {eq}?"),
            zh=("解方程 {eq} = 0。", "求 {eq} 的所有根。", "求满足 {eq} = 0 的所有实数 x。"),
            eq=poly(coefficients),
        )

    def _rational(self, rng: random.Random, max_denominator: int) -> Problem | None:
        high = self.max_root if max_denominator == 1 else 12
        (p, q), (r, s) = ((rng.randint(-high, high), rng.randint(1, max_denominator)) for _ in range(2))
        first, second = Fraction(p, q), Fraction(r, s)
        if first == second or (max_denominator > 1 and first.denominator == second.denominator == 1):
            return None
        low, top = sorted((first, second))
        factors = [[-low.numerator, low.denominator], [-top.numerator, top.denominator]]
        product = [int(value) for value in multiply(*factors)]
        steps = (
            f"D = {guard(product[1])}^2 - 4*{guard(product[2])}*{guard(product[0])} = "
            f"{product[1] ** 2 - 4 * product[2] * product[0]}",
            f"{poly(product)} = ({poly(factors[0])})({poly(factors[1])})",
            f"x = {write(low)}, x = {write(top)}",
        )
        return Problem(
            question=self._question(rng, product), gold=listed((low, top)), form="list", data=(product,), steps=steps
        )

    def _surds(self, rng: random.Random) -> Problem | None:
        a, b, c = rng.randint(1, 4), rng.randint(-self.max_root, self.max_root), rng.randint(-self.max_root, -1)
        if rng.random() < 0.5:
            c = -c
        square = b * b - 4 * a * c
        if square <= 0 or split_root(square)[1] == 1:
            return None
        # (-b ± sqrt(D)) / 2a = -b/2a ± outside/2a sqrt(inside)
        middle = Fraction(-b, 2 * a)
        half = root(Fraction(square, 4 * a * a))
        values = [f"{write(middle)} {sign} {half}" if middle else ("" if sign == "+" else "-") + half for sign in "+-"]
        question = self._question(rng, [c, b, a])
        form = self.say(" Give exact values with simplified square roots.", "用化简的根式给出精确值。")
        steps = (
            f"D = {guard(b)}^2 - 4*{a}*{guard(c)} = {square}",
            f"x = ({-b} ± {root(square)})/{2 * a}",
            f"x = {write(middle)} ± {half}",
        )
        return Problem(question=question + form, gold=", ".join(values), form="list", data=([c, b, a],), steps=steps)

    def _sum(self, rng: random.Random, kind: str) -> Problem | None:
        a = rng.randint(1, 6)
        b, c = (rng.randint(1, self.max_root) * rng.choice((1, -1)) for _ in range(2))
        if b * b - 4 * a * c == 0:
            return None
        s, p = Fraction(-b, a), Fraction(c, a)
        lines = [f"r + s = {write(s)}", f"rs = {write(p)}"]
        squares = s * s - 2 * p
        second = f"r^2 + s^2 = {guard(s)}^2 - 2*{guard(p)} = {write(squares)}"
        if kind == "sum_squares":
            told, value, more = "r^2 + s^2", squares, [second]
        elif kind == "sum_cubes":
            value = s**3 - 3 * p * s
            told, more = "r^3 + s^3", [f"{guard(s)}^3 - 3*{guard(p)}*{guard(s)} = {write(value)}"]
        elif kind == "reciprocals":
            value = squares / p**2
            told, more = "1/r^2 + 1/s^2", [second, f"({write(squares)}) / {guard(p)}^2 = {write(value)}"]
        elif kind == "fourth_powers":
            value = squares**2 - 2 * p**2
            told, more = "r^4 + s^4", [second, f"{guard(squares)}^2 - 2*{guard(p)}^2 = {write(value)}"]
        else:
            value = squares / p
            told, more = "r/s + s/r", [second, f"({write(squares)}) / ({write(p)}) = {write(value)}"]
        question = self.ask(
            rng,
            en=(
                "Let r and s be the (real or complex) roots of {eq} = 0. Find {told}.",
                "The equation {eq} = 0 has roots r and s, real or complex. What is {told}?",
            ),
            zh=(
                "设 r, s 是方程 {eq} = 0 的两个根（实根或复根），求 {told}。",
                "方程 {eq} = 0 的两根（实或复）为 r 和 s，{told} 等于多少？",
            ),
            eq=poly([c, b, a]),
            told=told,
        )
        return Problem(question=question, gold=write(value), form="fraction", data=([c, b, a],), steps=(*lines, *more))
