"""Derivatives and integrals of polynomials and quotients of linear terms."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import Rational, evaluate, guard, listed, multiply, poly, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class DerivativesIntegrals(MathFamily):
    """Calculus with exact values."""

    name: str = "math_derivatives_integrals"
    kinds: tuple[str, ...] = ("derivative", "derivative_at", "integral")
    degree: int = 3
    """Degree of polynomials, 2 to 8."""
    max_coefficient: int = 9
    """Largest size of a coefficient, 4 to 30."""

    rule: ClassVar[str] = "differentiate or integrate a polynomial or quotient"
    bounds: ClassVar = {"degree": (2, 8), "max_coefficient": (4, 30)}
    levels: ClassVar[Levels] = (
        {"kinds": ("derivative",), "degree": 2, "max_coefficient": 12},
        {"kinds": ("derivative", "derivative_at"), "degree": 3},
        {},
        {"kinds": ("derivative_at", "integral", "critical", "quotient_at", "power_at"), "degree": 4},
        {"kinds": ("integral", "power_at", "area", "quotient_at", "shifted_integral"), "degree": 6},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "derivative": self._derivative,
            "derivative_at": self._derivative_at,
            "integral": self._integral,
            "critical": self._critical,
            "quotient_at": self._quotient_at,
            "power_at": self._power_at,
            "area": self._area,
            "shifted_integral": self._shifted_integral,
        }

    def _poly(self, rng: random.Random) -> list[Rational]:
        high = self.max_coefficient
        low = [rng.randint(-high, high) for _ in range(self.degree)]
        return [*low, rng.randint(1, high) * rng.choice((1, -1))]

    def _derivative(self, rng: random.Random) -> Problem | None:
        p = self._poly(rng)
        if sum(map(bool, p[1:])) < 2:
            return None
        d = differentiate(p)
        question = self.ask(
            rng,
            en=("What is the derivative of {p} with respect to x?", "Find f'(x) for f(x) = {p}.", "Differentiate {p}."),
            zh=("{p} 对 x 的导数是什么？", "设 f(x) = {p}，求 f'(x)。"),
            p=poly(p),
        )
        steps = [f"{poly([0] * k + [c])} -> {poly([0] * (k - 1) + [c * k])}" for k, c in enumerate(p) if c and k]
        return Problem(question=question, gold=poly(d), form="polynomial", data=(p,), steps=tuple(steps))

    def _derivative_at(self, rng: random.Random) -> Problem:
        p, at = self._poly(rng), rng.choice((-3, -2, -1, 1, 2, 3, 4))
        order = rng.randint(1, 2)
        steps, d = [], p
        for k in range(order):
            d = differentiate(d)
            steps.append(f"f{chr(39) * (k + 1)}(x) = {poly(d)}")
        value = evaluate(d, at)
        mark = "'" * order
        steps.append(f"f{mark}({at}) = {write(value)}")
        question = self.ask(
            rng,
            en=("Let f(x) = {p}. What is f{m}({at})?", "For f(x) = {p}, find f{m}({at})."),
            zh=("设 f(x) = {p}，f{m}({at}) 等于多少？", "已知 f(x) = {p}，求 f{m}({at})。"),
            p=poly(p),
            m=mark,
            at=at,
        )
        data = (p, order, at)
        return Problem(question=question, gold=write(value), form="integer", data=data, steps=tuple(steps))

    def _asked_integral(self, rng: random.Random, told: str, low: int, high: int) -> str:
        return self.ask(
            rng,
            en=("What is the integral of {p} from x = {a} to x = {b}?", "Integrate {p} over x from {a} to {b}."),
            zh=("{p} 从 x = {a} 到 x = {b} 的定积分是多少？", "求 {p} 在 [{a}, {b}] 上的定积分。"),
            p=told,
            a=low,
            b=high,
        )

    def _integral(self, rng: random.Random) -> Problem:
        p, (low, high) = self._poly(rng), sorted(rng.sample(range(-4, 6), 2))
        whole = integrate(p)
        top, bottom = evaluate(whole, high), evaluate(whole, low)
        value = top - bottom
        steps = (
            f"F(x) = {poly(whole)}",
            f"F({high}) = {write(top)}, F({low}) = {write(bottom)}",
            f"{write(top)} - {guard(bottom)} = {write(value)}",
        )
        return Problem(
            question=self._asked_integral(rng, poly(p), low, high),
            gold=write(value),
            form="fraction",
            data=(p, low, high),
            steps=steps,
        )

    def _shifted_integral(self, rng: random.Random) -> Problem:
        """Returns the integral of c (a x + b)^n."""
        a, b = rng.choice((-3, -2, 2, 3, 4, 5)), rng.randint(-6, 6)
        c, n = rng.randint(1, self.max_coefficient), rng.randint(3, 6)
        low, high = sorted(rng.sample(range(-3, 4), 2))
        top, bottom = Fraction(a * high + b) ** (n + 1), Fraction(a * low + b) ** (n + 1)
        value = c * (top - bottom) / (a * (n + 1))
        inner = poly([b, a])
        factor = "" if c == 1 else str(c)
        steps = (
            f"F(x) = {factor or 1}*({inner})^{n + 1}/{guard(a * (n + 1))}",
            f"{c}*({write(top)} - {guard(bottom)})/{guard(a * (n + 1))} = {write(value)}",
        )
        question = self._asked_integral(rng, f"{factor}({inner})^{n}", low, high)
        data = (c, a, b, n, low, high)
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=steps)

    def _critical(self, rng: random.Random) -> Problem:
        """Returns a cubic whose derivative has two integer roots of the same parity."""
        a, (r, s) = rng.randint(1, 4), sorted(rng.sample(range(-8, 9), 2))
        d = multiply([6 * a], multiply([-r, 1], [-s, 1]))
        p = [Fraction(rng.randint(-9, 9)), *integrate(d)[1:]]
        question = self.ask(
            rng,
            en=(
                "Find all x at which the derivative of {p} is 0.",
                "At which x does the graph of y = {p} have a horizontal tangent?",
            ),
            zh=("求 {p} 的导数等于 0 的所有 x。", "曲线 y = {p} 在哪些 x 处有水平切线？"),
            p=poly(p),
        )
        steps = (
            f"{poly(d)} = {6 * a}({poly([-r, 1])})({poly([-s, 1])})",
            f"x = {r}, x = {s}",
        )
        data = ([int(c) for c in p],)
        return Problem(question=question, gold=listed((r, s)), form="list", data=data, steps=steps)

    def _quotient_at(self, rng: random.Random) -> Problem | None:
        high = self.max_coefficient
        a, c = (rng.randint(1, high) * rng.choice((1, -1)) for _ in range(2))
        b, d, at = rng.randint(-high, high), rng.randint(-high, high), rng.randint(-4, 4)
        bottom, det = c * at + d, a * d - b * c
        if bottom == 0 or det == 0:
            return None
        value = Fraction(det, bottom * bottom)
        question = self.ask(
            rng,
            en=("Let f(x) = ({p})/({q}). What is f'({at})?", "Find the derivative of ({p})/({q}) at x = {at}."),
            zh=("设 f(x) = ({p})/({q})，求 f'({at})。", "({p})/({q}) 在 x = {at} 处的导数是多少？"),
            p=poly([b, a]),
            q=poly([d, c]),
            at=at,
        )
        steps = (
            f"f'(x) = ({guard(a)}*({poly([d, c])}) - ({poly([b, a])})*{guard(c)})/({poly([d, c])})^2 = "
            f"{det}/({poly([d, c])})^2",
            f"f'({at}) = {det}/{guard(bottom)}^2 = {write(value)}",
        )
        data = (a, b, c, d, at)
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=steps)

    def _power_at(self, rng: random.Random) -> Problem | None:
        """Returns the derivative of (a x^2 + b x + c)^n at a point, by the chain rule."""
        high = min(self.max_coefficient, 6)
        a, b, c = rng.randint(1, 4), rng.randint(-high, high), rng.randint(-high, high)
        n, at = rng.randint(3, 6), rng.randint(-3, 3)
        inner, slope = a * at * at + b * at + c, 2 * a * at + b
        if abs(inner) > 12 or inner == 0 or slope == 0:
            return None
        value = n * inner ** (n - 1) * slope
        question = self.ask(
            rng,
            en=("Let f(x) = ({p})^{n}. What is f'({at})?", "Find the derivative of ({p})^{n} at x = {at}."),
            zh=("设 f(x) = ({p})^{n}，求 f'({at})。", "({p})^{n} 在 x = {at} 处的导数是多少？"),
            p=poly([c, b, a]),
            n=n,
            at=at,
        )
        steps = (
            f"f'(x) = {n}({poly([c, b, a])})^{n - 1} * ({poly([b, 2 * a])})",
            f"{n}*{guard(inner)}^{n - 1}*{guard(slope)} = {value}",
        )
        return Problem(question=question, gold=str(value), form="integer", data=(a, b, c, n, at), steps=steps)

    def _area(self, rng: random.Random) -> Problem:
        """Returns the area between a parabola and a line that meet in two integers: |a| (s - r)^3 / 6."""
        a = rng.randint(1, 5) * rng.choice((1, -1))
        r, s = sorted(rng.sample(range(-7, 8), 2))
        m, k = rng.randint(-6, 6), rng.randint(-9, 9)
        line: list[Rational] = [k, m]
        gap = multiply([a], multiply([-r, 1], [-s, 1]))
        curve = [gap[0] + k, gap[1] + m, gap[2]]
        value = Fraction(abs(a) * (s - r) ** 3, 6)
        question = self.ask(
            rng,
            en=(
                "What is the area of the region enclosed by y = {p} and y = {q}?",
                "Find the area between the parabola y = {p} and the line y = {q}.",
            ),
            zh=("曲线 y = {p} 与 y = {q} 所围区域的面积是多少？", "求抛物线 y = {p} 与直线 y = {q} 围成的面积。"),
            p=poly(curve),
            q=poly(line),
        )
        whole = integrate(gap)
        top, bottom = evaluate(whole, s), evaluate(whole, r)
        steps = (
            f"{poly(gap)} = {guard(a)}({poly([-r, 1])})({poly([-s, 1])})",
            f"F(x) = {poly(whole)}",
            f"|{write(top)} - {guard(bottom)}| = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(curve, line), steps=steps)


def differentiate(p: list[Rational]) -> list[Rational]:
    """Returns the coefficients of the derivative."""
    return [k * c for k, c in enumerate(p)][1:]


def integrate(p: list[Rational]) -> list[Rational]:
    """Returns the coefficients of the antiderivative that is 0 at 0."""
    return [0, *(Fraction(c) / (k + 1) for k, c in enumerate(p))]
