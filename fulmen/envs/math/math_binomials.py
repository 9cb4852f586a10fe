"""Binomial expansions: single coefficients, constant terms, sums of coefficients."""

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, poly, terms, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Binomials(MathFamily):
    """Powers of sums of two terms, and products of two such powers."""

    name: str = "math_binomials"
    kinds: tuple[str, ...] = ("coefficient", "constant", "two_variables")
    max_power: int = 9
    """Largest power, 4 to 30."""
    max_coefficient: int = 4
    """Largest size of a coefficient, 2 to 12."""

    rule: ClassVar[str] = "find a coefficient of a binomial expansion"
    bounds: ClassVar = {"max_power": (4, 30), "max_coefficient": (2, 12)}
    levels: ClassVar[Levels] = (
        {"kinds": ("coefficient",), "max_power": 5, "max_coefficient": 12},
        {"kinds": ("coefficient",), "max_power": 8, "max_coefficient": 5},
        {},
        {"kinds": ("constant", "two_variables", "product", "part_sum"), "max_power": 12},
        {"kinds": ("product", "trinomial", "constant", "part_sum"), "max_power": 18, "max_coefficient": 5},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "coefficient": self._coefficient,
            "constant": self._constant,
            "two_variables": self._two_variables,
            "product": self._product,
            "trinomial": self._trinomial,
            "part_sum": self._part_sum,
        }

    def _nonzero(self, rng: random.Random) -> int:
        return rng.randint(1, self.max_coefficient) * rng.choice((1, -1))

    def _asked(self, rng: random.Random, what: str, told: str) -> str:
        return self.ask(
            rng,
            en=("What is the coefficient of {x} in the expansion of {told}?", "Find the coefficient of {x} in {told}."),
            zh=("{told} 的展开式中 {x} 的系数是多少？", "求 {told} 展开式里 {x} 的系数。"),
            x=what,
            told=told,
        )

    def _problem(self, question: str, value: int | Fraction, data: tuple[object, ...], steps: list[str]) -> Problem:
        form = "integer" if Fraction(value).denominator == 1 else "fraction"
        return Problem(
            question=question,
            gold=write(value),
            form="fraction" if form == "fraction" else "integer",
            data=data,
            steps=tuple(steps),
        )

    def _coefficient(self, rng: random.Random) -> Problem | None:
        a, b, n = abs(self._nonzero(rng)), self._nonzero(rng), rng.randint(3, self.max_power)
        k = rng.randint(1, n - 1)
        value = math.comb(n, k) * a**k * b ** (n - k)
        steps = [f"C({n}, {k}) = {math.comb(n, k)}"]
        steps.append(f"{math.comb(n, k)}*{a}^{k}*{guard(b)}^{n - k} = {value}")
        question = self._asked(rng, _power("x", k), f"({poly([b, a])})^{n}")
        return self._problem(question, value, (a, b, n, k), steps)

    def _constant(self, rng: random.Random) -> Problem | None:
        """Returns the term without x of (a x^p + b / x^q)^n."""
        a, b, n = abs(self._nonzero(rng)), self._nonzero(rng), rng.randint(3, self.max_power)
        p, q = rng.randint(1, 4), rng.randint(1, 4)
        # (n - k) p = k q
        if n * p % (p + q):
            return None
        k = n * p // (p + q)
        value = math.comb(n, k) * a ** (n - k) * b**k
        told = f"({terms([(a, _power('x', p))])} {'+' if b > 0 else '-'} {abs(b)}/{_power('x', q)})^{n}"
        question = self.ask(
            rng,
            en=(
                "What is the constant term in the expansion of {told}?",
                "Find the term of {told} that does not contain x.",
            ),
            zh=("{told} 的展开式中的常数项是多少？", "求 {told} 展开式中不含 x 的项。"),
            told=told,
        )
        steps = [
            f"{n * p} - {p + q}k = 0, k = {k}",
            f"C({n}, {k})*{a}^{n - k}*{guard(b)}^{k} = {math.comb(n, k)}*{a ** (n - k)}*{guard(b**k)} = {value}",
        ]
        return self._problem(question, value, (a, p, b, q, n), steps)

    def _two_variables(self, rng: random.Random) -> Problem:
        a, b, n = abs(self._nonzero(rng)), self._nonzero(rng), rng.randint(3, self.max_power)
        k = rng.randint(1, n - 1)
        value = math.comb(n, k) * a**k * b ** (n - k)
        question = self._asked(rng, _power("x", k) + " " + _power("y", n - k), f"({terms([(a, 'x'), (b, 'y')])})^{n}")
        steps = [f"C({n}, {k})*{a}^{k}*{guard(b)}^{n - k} = {math.comb(n, k)}*{a**k}*{guard(b ** (n - k))} = {value}"]
        return self._problem(question, value, (a, b, n, k), steps)

    def _product(self, rng: random.Random) -> Problem:
        """Returns a coefficient of (1 + a x)^m (1 + b x)^n."""
        a, b = self._nonzero(rng), self._nonzero(rng)
        m, n = rng.randint(2, self.max_power // 2 + 1), rng.randint(2, self.max_power // 2 + 1)
        k = rng.randint(2, min(5, m + n - 1))
        parts = []
        for i in range(max(0, k - n), min(m, k) + 1):
            parts.append((i, math.comb(m, i) * a**i * math.comb(n, k - i) * b ** (k - i)))
        told = f"({_one_plus(a)})^{m} ({_one_plus(b)})^{n}"
        steps = [f"C({m}, {i})*{guard(a)}^{i} * C({n}, {k - i})*{guard(b)}^{k - i} = {part}" for i, part in parts]
        value = sum(part for _, part in parts)
        steps.append(" + ".join(guard(part) for _, part in parts) + f" = {value}")
        return self._problem(self._asked(rng, _power("x", k), told), value, (a, m, b, n, k), steps)

    def _trinomial(self, rng: random.Random) -> Problem:
        """Returns a coefficient of (x^2 + a x + b)^n."""
        a, b, n = self._nonzero(rng), self._nonzero(rng), rng.randint(3, max(4, self.max_power // 2))
        k = rng.randint(2, 2 * n - 2)
        parts = []
        # i squares, j linear terms: 2 i + j = k.
        for i in range(k // 2 + 1):
            j = k - 2 * i
            if i + j <= n:
                count = math.comb(n, i) * math.comb(n - i, j)
                parts.append((i, j, count, count * a**j * b ** (n - i - j)))
        value = sum(part[3] for part in parts)
        linear = terms([(a, "x")])
        steps = []
        for i, j, count, part in parts:
            line = f"(x^2)^{i} ({linear})^{j} ({b})^{n - i - j}: {count}*{guard(a)}^{j}*{guard(b)}^{n - i - j}"
            steps.append(f"{line} = {part}")
        steps.append(" + ".join(guard(part[3]) for part in parts) + f" = {value}")
        return self._problem(self._asked(rng, _power("x", k), f"({poly([b, a, 1])})^{n}"), value, (a, b, n, k), steps)

    def _part_sum(self, rng: random.Random) -> Problem:
        """Returns the sum of the coefficients of even powers of (a x + b)^n, (f(1) + f(-1)) / 2, or of the odd ones."""
        a, b, n = abs(self._nonzero(rng)), self._nonzero(rng), rng.randint(4, self.max_power)
        is_even = rng.random() < 0.5
        plus, minus = (a + b) ** n, (b - a) ** n
        value = (plus + minus) // 2 if is_even else (plus - minus) // 2
        told = f"({poly([b, a])})^{n}"
        parity = self.say("even" if is_even else "odd", "偶" if is_even else "奇")
        note = self.say(" (the constant term included)", "（含常数项）") if is_even else ""
        question = self.ask(
            rng,
            en=(
                "Expand f(x) = {told}. What is the sum of the coefficients of all {p} powers of x{note}?",
                "In the expansion of {told}, add the coefficients of the {p} powers of x{note}. What is the sum?",
            ),
            zh=(
                "把 {told} 展开，x 的所有{p}次幂的系数{note}之和是多少？",
                "求 {told} 展开式中 x 的{p}次幂系数{note}的和。",
            ),
            told=told,
            p=parity,
            note=note,
        )
        sign = "+" if is_even else "-"
        steps = [
            f"f(1) = {guard(a + b)}^{n} = {plus}",
            f"f(-1) = {guard(b - a)}^{n} = {minus}",
            f"({plus} {sign} {guard(minus)})/2 = {value}",
        ]
        return self._problem(question, value, (a, b, n, is_even), steps)


def _one_plus(a: int) -> str:
    return terms([(1, ""), (a, "x")])


def _power(name: str, k: int) -> str:
    return name if k == 1 else f"{name}^{k}"
