"""Polynomials: expanding, values, remainders, single coefficients."""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import Rational, evaluate, guard, multiply, poly, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Polynomials(MathFamily):
    """Polynomials in x with integer coefficients."""

    name: str = "math_polynomials"
    kinds: tuple[str, ...] = ("expand", "evaluate", "remainder", "coefficient")
    degree: int = 3
    """Degree of a polynomial that is given, 1 to 8."""
    max_coefficient: int = 9
    """Largest size of a coefficient, 5 to 30."""
    num_factors: int = 2
    """Factors to multiply, 2 to 4."""

    rule: ClassVar[str] = "expand, evaluate or divide polynomials"
    bounds: ClassVar = {"degree": (1, 8), "max_coefficient": (5, 30), "num_factors": (2, 4)}
    levels: ClassVar[Levels] = (
        {"kinds": ("expand",), "degree": 1},
        {"kinds": ("expand", "evaluate"), "degree": 2},
        {},
        {"kinds": ("expand", "remainder", "remainder_quadratic", "coefficient"), "degree": 4, "num_factors": 3},
        {"kinds": ("remainder_quadratic", "coefficient", "unknown"), "degree": 7, "num_factors": 4},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "expand": self._expand,
            "evaluate": self._evaluate,
            "remainder": self._remainder,
            "remainder_quadratic": self._remainder_quadratic,
            "coefficient": self._coefficient,
            "unknown": self._unknown,
        }

    def _poly(self, rng: random.Random, degree: int) -> list[Rational]:
        high = self.max_coefficient
        return [*(rng.randint(-high, high) for _ in range(degree)), rng.randint(1, high) * rng.choice((1, -1))]

    def _factors(self, rng: random.Random, max_degree: int) -> list[list[Rational]] | None:
        factors = [self._poly(rng, rng.randint(1, max_degree)) for _ in range(self.num_factors)]
        return factors if all(sum(map(bool, factor)) > 1 for factor in factors) else None

    def _expand(self, rng: random.Random) -> Problem | None:
        factors = self._factors(rng, max(1, self.degree - 1))
        if factors is None:
            return None
        product, steps = factors[0], []
        for factor in factors[1:]:
            line = f"({poly(product)})({poly(factor)}) = "
            product = multiply(product, factor)
            steps.append(line + poly(product))
        told = "".join(f"({poly(factor)})" for factor in factors)
        question = self.ask(
            rng,
            en=("Expand {told}.", "Multiply out {told}.", "Write {told} as a polynomial in x."),
            zh=("展开 {told}。", "将 {told} 写成 x 的多项式。"),
            told=told,
        )
        return Problem(question=question, gold=poly(product), form="polynomial", data=(told,), steps=tuple(steps))

    def _horner(self, coefficients: list[Rational], at: int) -> tuple[Rational, list[str]]:
        """Returns the value at a point and Horner's steps."""
        value: Rational = coefficients[-1]
        steps = []
        for coefficient in reversed(coefficients[:-1]):
            following = value * at + coefficient
            steps.append(f"{guard(value)}*{guard(at)} + {guard(coefficient)} = {following}")
            value = following
        return value, steps

    def _evaluate(self, rng: random.Random) -> Problem | None:
        p, at = self._poly(rng, self.degree), rng.choice([x for x in range(-9, 10) if abs(x) > 1])
        value, steps = self._horner(p, at)
        question = self.ask(
            rng,
            en=("If f(x) = {p}, what is f({at})?", "Evaluate {p} at x = {at}.", "Find the value of {p} when x = {at}."),
            zh=("设 f(x) = {p}，求 f({at})。", "当 x = {at} 时，{p} 的值是多少？"),
            p=poly(p),
            at=at,
        )
        return Problem(question=question, gold=write(value), form="integer", data=(p, at), steps=tuple(steps))

    def _remainder(self, rng: random.Random) -> Problem | None:
        p, at = self._poly(rng, self.degree), rng.choice([x for x in range(-6, 7) if x])
        value, steps = self._horner(p, at)
        question = self.ask(
            rng,
            en=("What is the remainder when {p} is divided by {d}?", "Find the remainder of {p} on division by {d}."),
            zh=("求 {p} 除以 {d} 的余数。", "{p} 除以 {d}，余数是多少？"),
            p=poly(p),
            d=poly([-at, 1]),
        )
        lines = (f"p({at}):", *steps)
        return Problem(question=question, gold=write(value), form="integer", data=(p, at), steps=lines)

    def _remainder_quadratic(self, rng: random.Random) -> Problem | None:
        p, (r, s) = self._poly(rng, self.degree), rng.sample([x for x in range(-4, 5) if x], 2)
        divisor = multiply([-r, 1], [-s, 1])
        rest, steps = list(p), []
        for k in range(len(p) - 3, -1, -1):
            factor = rest[k + 2]
            for i in range(3):
                rest[k + i] -= factor * divisor[i]
            steps.append(
                f"- {guard(factor)}*{'x^' + str(k) + '*' if k else ''}({poly(divisor)}): {poly(rest[: k + 2])}"
            )
        if rest[1] == 0:
            return None
        question = self.ask(
            rng,
            en=("What is the remainder when {p} is divided by {d}?", "Divide {p} by {d}. What polynomial remains?"),
            zh=("求 {p} 除以 {d} 的余式。", "{p} 除以 {d}，余式是什么？"),
            p=poly(p),
            d=poly(divisor),
        )
        return Problem(question=question, gold=poly(rest[:2]), form="polynomial", data=(p, divisor), steps=tuple(steps))

    def _coefficient(self, rng: random.Random) -> Problem | None:
        factors = self._factors(rng, max(2, self.degree // 2))
        if factors is None:
            return None
        product, steps = factors[0], []
        for factor in factors[1:]:
            product = multiply(product, factor)
            steps.append(poly(product))
        power = rng.randint(2, len(product) - 2) if len(product) > 4 else 1
        told = "".join(f"({poly(factor)})" for factor in factors)
        name = "x" if power == 1 else f"x^{power}"
        question = self.ask(
            rng,
            en=(
                "What is the coefficient of {name} in {told}?",
                "Find the coefficient of {name} in the expansion of {told}.",
            ),
            zh=("{told} 的展开式中 {name} 的系数是多少？", "求 {told} 展开后 {name} 的系数。"),
            told=told,
            name=name,
        )
        gold = write(product[power])
        return Problem(
            question=question, gold=gold, form="integer", data=(told, power), steps=(*steps, f"{name}: {gold}")
        )

    def _unknown(self, rng: random.Random) -> Problem | None:
        """Returns a polynomial with an unknown coefficient and a known remainder."""
        p, at, power = self._poly(rng, self.degree), rng.choice((-3, -2, 2, 3)), rng.randint(1, max(1, self.degree - 1))
        k = int(p[power])
        if k == 0:
            return None
        rest = [*p[:power], 0, *p[power + 1 :]]
        value, known = evaluate(p, at), evaluate(rest, at)
        name = "x" if power == 1 else f"x^{power}"
        told = f"{poly(rest)} + k{name}"
        question = self.ask(
            rng,
            en=(
                "When {told} is divided by {d}, the remainder is {r}. Find the constant k.",
                "The remainder of {told} on division by {d} is {r}. What is the constant k?",
            ),
            zh=("{told} 除以 {d} 的余数是 {r}，求常数 k。", "已知 {told} 除以 {d} 余 {r}，常数 k 等于多少？"),
            told=told,
            d=poly([-at, 1]),
            r=write(value),
        )
        steps = (
            f"{write(known)} + k*{guard(at**power)} = {write(value)}",
            f"k = {write(value - known)}/{guard(at**power)} = {k}",
        )
        return Problem(question=question, gold=str(k), form="integer", data=(rest, power, at, int(value)), steps=steps)
