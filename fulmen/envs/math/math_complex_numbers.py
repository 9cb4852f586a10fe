"""Complex numbers with integer and rational parts."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Form, Maker, MathFamily, Problem
from fulmen.envs.math.writing import Rational, guard, root, terms, write
from fulmen.envs.puzzle import Levels

Complex = tuple[Fraction, Fraction]


@dataclass(frozen=True, kw_only=True)
class ComplexNumbers(MathFamily):
    """Sums, products, quotients, powers, absolute values and square roots of a + bi."""

    name: str = "math_complex_numbers"
    kinds: tuple[str, ...] = ("product", "quotient", "power", "modulus")
    max_part: int = 9
    """Largest size of a real or imaginary part, 4 to 40."""
    max_power: int = 4
    """Largest power, 2 to 12."""

    rule: ClassVar[str] = "calculate with complex numbers"
    bounds: ClassVar = {"max_part": (4, 40), "max_power": (2, 12)}
    levels: ClassVar[Levels] = (
        {"kinds": ("sum",), "max_part": 20},
        {"kinds": ("sum", "product")},
        {},
        {"kinds": ("quotient", "power", "square_root", "modulus"), "max_part": 12, "max_power": 6},
        {"kinds": ("quotient", "power", "square_root", "equation", "unit_sum"), "max_part": 20, "max_power": 9},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "sum": self._sum,
            "product": self._product,
            "quotient": self._quotient,
            "power": self._power,
            "modulus": self._modulus,
            "square_root": self._square_root,
            "equation": self._equation,
            "unit_sum": self._unit_sum,
        }

    def _number(self, rng: random.Random) -> Complex:
        """Returns a number with both parts not 0."""
        a, b = (Fraction(rng.randint(1, self.max_part) * rng.choice((1, -1))) for _ in range(2))
        return a, b

    def _problem(
        self,
        rng: random.Random,
        told: str,
        gold: str,
        data: tuple[object, ...],
        steps: list[str],
        form: Form = "complex",
    ) -> Problem:
        question = self.ask(
            rng,
            en=(
                "What is {t}? (i is the imaginary unit)",
                "Compute {t}, where i^2 = -1.",
                "Evaluate {t} with i^2 = -1.",
            ),
            zh=("{t} 等于多少？（i 是虚数单位）", "计算 {t}，其中 i^2 = -1。"),
            t=told,
        )
        return Problem(question=question, gold=gold, form=form, data=data, steps=tuple(steps))

    def _sum(self, rng: random.Random) -> Problem:
        (a, b), (c, d), sign = self._number(rng), self._number(rng), rng.choice((1, -1))
        value = a + sign * c, b + sign * d
        mark = "+" if sign > 0 else "-"
        steps = [
            f"{write(a)} {mark} {guard(c)} = {write(value[0])}",
            f"{write(b)} {mark} {guard(d)} = {write(value[1])}",
        ]
        told = f"({shown((a, b))}) {mark} ({shown((c, d))})"
        return self._problem(rng, told, shown(value), (plain(a, b, c, d), sign), steps)

    def _product(self, rng: random.Random) -> Problem:
        first, second = self._number(rng), self._number(rng)
        value, steps = times(first, second)
        return self._problem(rng, f"({shown(first)})({shown(second)})", shown(value), (plain(*first, *second),), steps)

    def _quotient(self, rng: random.Random) -> Problem:
        first, second = self._number(rng), self._number(rng)
        opposite = second[0], -second[1]
        top, steps = times(first, opposite)
        square = second[0] ** 2 + second[1] ** 2
        value = top[0] / square, top[1] / square
        steps = [f"* ({shown(opposite)}):", *steps, f"({shown(top)})/{write(square)} = {shown(value)}"]
        told = f"({shown(first)})/({shown(second)})"
        return self._problem(rng, told, shown(value), (plain(*first, *second),), steps)

    def _power(self, rng: random.Random) -> Problem:
        a, b = (Fraction(rng.randint(1, min(6, self.max_part)) * rng.choice((1, -1))) for _ in range(2))
        n = rng.randint(2, self.max_power)
        value, steps = (a, b), []
        for k in range(2, n + 1):
            value, _ = times(value, (a, b))
            steps.append(f"^{k}: {shown(value)}")
        return self._problem(rng, f"({shown((a, b))})^{n}", shown(value), (plain(a, b), n), steps)

    def _modulus(self, rng: random.Random) -> Problem:
        a, b = self._number(rng)
        square = a * a + b * b
        gold = root(square)
        steps = [f"{guard(a)}^2 + {guard(b)}^2 = {write(square)}", rf"\sqrt{{{write(square)}}} = {gold}"]
        question = self.ask(
            rng,
            en=("What is the absolute value of {z}? (i is the imaginary unit)", "Find |{z}|, where i^2 = -1."),
            zh=("{z} 的模是多少？（i 是虚数单位）", "求 |{z}|，其中 i^2 = -1。"),
            z=shown((a, b)),
        )
        return Problem(question=question, gold=gold, form="surd", data=(plain(a, b),), steps=tuple(steps))

    def _square_root(self, rng: random.Random) -> Problem:
        a, b = self._number(rng)
        a = abs(a)
        square, _ = times((a, b), (a, b))
        size = a * a + b * b
        question = self.ask(
            rng,
            en=(
                "Which complex number with positive real part has the square {z}? (i is the imaginary unit)",
                "Find w = a + bi with a > 0 and w^2 = {z}, where i^2 = -1.",
            ),
            zh=(
                "实部为正的哪个复数的平方等于 {z}？（i 是虚数单位）",
                "求满足 w^2 = {z} 且实部大于 0 的复数 w，其中 i^2 = -1。",
            ),
            z=shown(square),
        )
        steps = (
            f"a^2 - b^2 = {write(square[0])}, 2ab = {write(square[1])}",
            f"a^2 + b^2 = |z| = {write(size)}",
            f"a^2 = ({write(size)} + {guard(square[0])})/2 = {write(a * a)}, a = {write(a)}",
            f"b = {write(square[1])}/(2*{write(a)}) = {write(b)}",
        )
        return Problem(question=question, gold=shown((a, b)), form="complex", data=(plain(*square),), steps=steps)

    def _equation(self, rng: random.Random) -> Problem:
        """Returns p z + q = r with complex p, q, r."""
        p, q, r = self._number(rng), self._number(rng), self._number(rng)
        gap = r[0] - q[0], r[1] - q[1]
        opposite = p[0], -p[1]
        top, lines = times(gap, opposite)
        square = p[0] ** 2 + p[1] ** 2
        value = top[0] / square, top[1] / square
        question = self.ask(
            rng,
            en=(
                "Solve ({p})z {q} = {r} for the complex number z.",
                "Find the complex z with ({p})z {q} = {r}, where i^2 = -1.",
            ),
            zh=("解关于复数 z 的方程 ({p})z {q} = {r}。", "求满足 ({p})z {q} = {r} 的复数 z（i^2 = -1）。"),
            p=shown(p),
            q=f"+ ({shown(q)})",
            r=shown(r),
        )
        steps = (
            f"({shown(p)})z = {shown(gap)}",
            f"* ({shown(opposite)}):",
            *lines,
            f"z = ({shown(top)})/{write(square)} = {shown(value)}",
        )
        data = (plain(*p, *q, *r),)
        return Problem(question=question, gold=shown(value), form="complex", data=data, steps=steps)

    def _unit_sum(self, rng: random.Random) -> Problem:
        """Returns a i^m + b i^n + c i^k with large exponents."""
        parts = [(rng.randint(2, self.max_part) * rng.choice((1, -1)), rng.randint(5, 500)) for _ in range(4)]
        real = imaginary = Fraction(0)
        steps = []
        for factor, n in parts:
            unit = ((1, 0), (0, 1), (-1, 0), (0, -1))[n % 4]
            real, imaginary = real + factor * unit[0], imaginary + factor * unit[1]
            steps.append(f"{n} mod 4 = {n % 4}: i^{n} = {('1', 'i', '-1', '-i')[n % 4]}")
        steps.append(shown((real, imaginary)))
        told = terms([(factor, f"i^{n}") for factor, n in parts])
        return self._problem(rng, told, shown((real, imaginary)), ([list(p) for p in parts],), steps)


def shown(value: Complex) -> str:
    """Returns `a + bi`; a fractional part as in `3/2 - (1/2)i`."""
    return terms([(value[0], ""), (value[1], "i")])


def plain(*values: Rational) -> list[str]:
    """Returns numbers as JSON values."""
    return [write(value) for value in values]


def times(left: Complex, right: Complex) -> tuple[Complex, list[str]]:
    """Returns a product and the lines of its two parts."""
    (a, b), (c, d) = left, right
    value = a * c - b * d, a * d + b * c
    return value, [
        f"{guard(a)}*{guard(c)} - {guard(b)}*{guard(d)} = {write(value[0])}",
        f"{guard(a)}*{guard(d)} + {guard(b)}*{guard(c)} = {write(value[1])}",
    ]
