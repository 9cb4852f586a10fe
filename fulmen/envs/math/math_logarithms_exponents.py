"""Powers with integer and fractional exponents, logarithms, exponential equations."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, poly, terms, write
from fulmen.envs.puzzle import Levels

BASES = (2, 3, 5, 6, 7, 10)
MAX_POWER = 10**9
"""Largest power that is written out."""


@dataclass(frozen=True, kw_only=True)
class LogarithmsExponents(MathFamily):
    """Values of powers and logarithms, and equations in the exponent."""

    name: str = "math_logarithms_exponents"
    kinds: tuple[str, ...] = ("quotient", "log", "equation", "fractional")
    max_exponent: int = 6
    """Largest exponent of a base, 3 to 16."""

    rule: ClassVar[str] = "evaluate powers and logarithms, or solve for an exponent"
    bounds: ClassVar = {"max_exponent": (3, 16)}
    levels: ClassVar[Levels] = (
        {"kinds": ("quotient",), "max_exponent": 12},
        {"kinds": ("quotient", "equation"), "max_exponent": 8},
        {},
        {"kinds": ("equation", "two_bases", "log_sum", "fractional"), "max_exponent": 8},
        {"kinds": ("two_bases", "log_sum", "log_equation", "quadratic"), "max_exponent": 12},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "quotient": self._quotient,
            "log": self._log,
            "log_sum": self._log_sum,
            "equation": self._equation,
            "two_bases": self._two_bases,
            "fractional": self._fractional,
            "log_equation": self._log_equation,
            "quadratic": self._quadratic,
        }

    def _value(self, rng: random.Random, told: str) -> str:
        return self.ask(
            rng,
            en=("What is the value of {t}?", "Compute {t}.", "Evaluate {t} exactly."),
            zh=("{t} 的值是多少？", "计算 {t}。"),
            t=told,
        )

    def _solve(self, rng: random.Random, told: str) -> str:
        return self.ask(
            rng,
            en=("Solve {t} for the real number x.", "Find the real x with {t}.", "Which real number x satisfies {t}?"),
            zh=("解方程 {t}（x 为实数）。", "求满足 {t} 的实数 x。"),
            t=told,
        )

    def _quotient(self, rng: random.Random) -> Problem | None:
        base, high = rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 10)), self.max_exponent
        a, b, c = (rng.randint(2, high) for _ in range(3))
        d = rng.randint(2, 4)
        exponent = a + b - c * d
        if not -4 <= exponent <= 6 or exponent == 0:
            return None
        value = Fraction(base) ** exponent
        told = f"{base}^{a} * {base}^{b} / ({base}^{c})^{d}"
        steps = (
            f"{a} + {b} - {c}*{d} = {exponent}",
            f"{base}^{guard(exponent)} = {write(value)}",
        )
        return Problem(
            question=self._value(rng, told), gold=write(value), form="fraction", data=(base, a, b, c, d), steps=steps
        )

    def _log(self, rng: random.Random) -> Problem | None:
        base = rng.choice(BASES)
        top, bottom = rng.randint(-self.max_exponent, self.max_exponent), rng.randint(1, 5)
        value = Fraction(top, bottom)
        if top == 0 or bottom == 1 or base ** max(abs(top), bottom) > MAX_POWER:
            return None
        number = Fraction(base) ** top
        told = f"log_{base**bottom}({write(number)})"
        question = self.ask(
            rng,
            en=("What is {t}, the logarithm of {n} to base {b}?", "Find the logarithm of {n} to base {b}, {t}."),
            zh=("以 {b} 为底 {n} 的对数 {t} 等于多少？", "求 {t}，即以 {b} 为底 {n} 的对数。"),
            t=told,
            n=write(number),
            b=base**bottom,
        )
        steps = (
            f"{write(number)} = {base}^{guard(top)}, {base**bottom} = {base}^{bottom}",
            f"{top}/{bottom} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(base, top, bottom), steps=steps)

    def _log_sum(self, rng: random.Random) -> Problem | None:
        """Returns m log_b(u) + n log_b(v) - log_b(w), where the product is a power of b."""
        base, bottom = rng.choice((2, 3, 5)), rng.randint(1, 3)
        u, v = rng.randint(2, 30), rng.randint(2, 30)
        m, n = rng.randint(1, 3), rng.randint(1, 3)
        power = rng.randint(1, self.max_exponent)
        w = u**m * v**n
        numerator, divisor = (w, base**power) if w % base**power == 0 else (w * base**power, 1)
        number = w // divisor if divisor > 1 else numerator
        exponent = power if divisor > 1 else -power
        if number > MAX_POWER:
            return None
        value = Fraction(exponent, bottom)
        b = base**bottom
        told = f"{terms([(m, f'log_{b}({u})'), (n, f'log_{b}({v})'), (-1, f'log_{b}({number})')])}"
        question = self.ask(
            rng,
            en=("What is {t}? Here log_{b} is the logarithm to base {b}.", "Compute {t} (logarithms to base {b})."),
            zh=("{t} 等于多少？其中 log_{b} 表示以 {b} 为底的对数。", "计算 {t}（对数以 {b} 为底）。"),
            t=told,
            b=b,
        )
        inner = Fraction(w, number)
        steps = (
            f"{u}^{m} * {v}^{n} / {number} = {write(inner)} = {base}^{guard(exponent)}",
            f"{b} = {base}^{bottom}",
            f"{exponent}/{bottom} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(b, u, m, v, n, number), steps=steps)

    def _equation(self, rng: random.Random) -> Problem | None:
        """Returns base^(a x + b) = number."""
        base, power = rng.choice(BASES), rng.randint(2, self.max_exponent)
        a, b = rng.choice((1, 2, 3, 4, 5, -2, -3)), rng.randint(-9, 9)
        number = base**power
        if number > MAX_POWER or b == 0:
            return None
        value = Fraction(power - b, a)
        steps = (
            f"{number} = {base}^{power}",
            f"{poly([b, a])} = {power}",
            f"x = {write(value)}",
        )
        return Problem(
            question=self._solve(rng, f"{base}^({poly([b, a])}) = {number}"),
            gold=write(value),
            form="fraction",
            data=(base, a, b, power),
            steps=steps,
        )

    def _two_bases(self, rng: random.Random) -> Problem | None:
        """Returns (b^p)^(a x + c) = (b^q)^(d x + e)."""
        base, (p, q) = rng.choice((2, 3, 5)), rng.sample(range(1, 5), 2)
        a, d = rng.randint(1, self.max_exponent), rng.randint(1, self.max_exponent)
        c, e = rng.randint(-9, 9), rng.randint(-9, 9)
        slope, offset = p * a - q * d, q * e - p * c
        if slope == 0 or base ** max(p, q) > MAX_POWER:
            return None
        value = Fraction(offset, slope)
        told = f"{base**p}^({poly([c, a])}) = {base**q}^({poly([e, d])})"
        steps = (
            f"{p}*({poly([c, a])}) = {q}*({poly([e, d])})",
            f"{terms([(slope, 'x')])} = {offset}",
            f"x = {write(value)}",
        )
        return Problem(
            question=self._solve(rng, told),
            gold=write(value),
            form="fraction",
            data=(base, p, a, c, q, d, e),
            steps=steps,
        )

    def _fractional(self, rng: random.Random) -> Problem | None:
        """Returns (u/v)^(m/n) of an n-th power."""
        n = rng.randint(2, 4)
        m = rng.randint(1, 4) * rng.choice((1, -1))
        u, v = rng.randint(2, 9), rng.randint(1, 7)
        inner = Fraction(u, v)
        if m % n == 0 or inner == 1 or max(u, v) ** n > 5000:
            return None
        value = inner**m
        told = f"{guard(inner**n)}^({m}/{n})"
        steps = (
            f"{write(inner**n)} = {guard(inner)}^{n}",
            f"{guard(inner)}^{guard(m)} = {write(value)}",
        )
        data = (write(inner), m, n)
        return Problem(question=self._value(rng, told), gold=write(value), form="fraction", data=data, steps=steps)

    def _log_equation(self, rng: random.Random) -> Problem | None:
        """Returns log_b(x + p) + log_b(x + q) = k, that is (x + p)(x + q) = b^k, of whose roots one fits."""
        base, k = rng.choice((2, 3, 4, 6, 10, 12)), rng.randint(1, 4)
        whole = base**k
        divisors = [d for d in range(1, whole + 1) if whole % d == 0]
        first = rng.choice(divisors)
        x = rng.randint(-15, 40)
        p, q = first - x, whole // first - x
        if p == q or whole > 5000:
            return None
        told = f"log_{base}({poly([p, 1])}) + log_{base}({poly([q, 1])}) = {k}"
        question = self._solve(rng, told) + self.say(f" (logarithms to base {base})", f"（对数以 {base} 为底）")
        other = -p - q - x
        steps = (
            f"({poly([p, 1])})({poly([q, 1])}) = {base}^{k} = {whole}",
            f"{poly([p * q - whole, p + q, 1])} = 0: x = {x}, x = {other}",
            f"{other} + {guard(p)} = {other + p} < 0, x = {x}",
        )
        return Problem(
            question=question, gold=str(x), form="integer", data=(base, min(p, q), max(p, q), k), steps=steps
        )

    def _quadratic(self, rng: random.Random) -> Problem | None:
        """Returns b^(2x) - (b^r + b^s) b^x + b^(r + s) = 0, whose solutions are r and s."""
        base = rng.choice((2, 3, 4, 5, 6, 7))
        r, s = sorted(rng.sample(range(8), 2))
        shift = rng.randint(-4, 4)
        total, product = base**r + base**s, base ** (r + s)
        if product > MAX_POWER:
            return None
        # With x + shift for x.
        inner = poly([shift, 1])
        double = poly([2 * shift, 2])
        told = f"{base}^({double}) - {total}*{base}^({inner}) + {product} = 0"
        question = self.ask(
            rng,
            en=("Find all real x with {t}.", "Which real numbers x satisfy {t}?"),
            zh=("求满足 {t} 的所有实数 x。", "解方程 {t}（x 为实数）。"),
            t=told,
        )
        steps = (
            f"t = {base}^({inner}): t^2 - {total}t + {product} = (t - {base**r})(t - {base**s})",
            f"{inner} = {r}, {inner} = {s}",
            f"x = {r - shift}, x = {s - shift}",
        )
        gold = f"{r - shift}, {s - shift}"
        return Problem(question=question, gold=gold, form="list", data=(base, shift, r, s), steps=steps)
