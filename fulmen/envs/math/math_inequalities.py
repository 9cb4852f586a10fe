"""Inequalities in one unknown whose solutions are intervals."""

import itertools
import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import multiply, poly, write
from fulmen.envs.puzzle import Levels

SIGNS = ("<", "<=", ">", ">=")
SHOWN = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, kw_only=True)
class Inequalities(MathFamily):
    """Linear, quadratic, cubic, absolute-value and rational inequalities with rational ends."""

    name: str = "math_inequalities"
    kinds: tuple[str, ...] = ("linear", "quadratic", "absolute")
    max_number: int = 12
    """Largest size of a root or coefficient, 6 to 60."""
    num_factors: int = 3
    """Linear factors of a product or quotient, 2 to 6."""

    rule: ClassVar[str] = "solve an inequality over the real numbers"
    bounds: ClassVar = {"max_number": (6, 60), "num_factors": (2, 6)}
    levels: ClassVar[Levels] = (
        {"kinds": ("linear",), "max_number": 20},
        {"kinds": ("linear", "absolute")},
        {},
        {"kinds": ("quadratic", "absolute", "product", "quotient"), "max_number": 15},
        {"kinds": ("quotient", "product", "squares"), "max_number": 20, "num_factors": 5},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "linear": self._linear,
            "quadratic": self._quadratic,
            "absolute": self._absolute,
            "product": lambda rng: self._factors(rng, "product"),
            "quotient": lambda rng: self._factors(rng, "quotient"),
            "squares": lambda rng: self._factors(rng, "squares"),
        }

    def _problem(self, rng: random.Random, told: str, answer: str, steps: list[str]) -> Problem:
        question = self.ask(
            rng,
            en=(
                "Solve {told} over the real numbers.",
                "For which real x does {told} hold?",
                "Find all real x with {told}.",
            ),
            zh=("解不等式 {told}（x 为实数）。", "求满足 {told} 的所有实数 x。", "{told} 的实数解集是什么？"),
            told=told,
        )
        return Problem(question=question, gold=answer, form="interval", data=(told,), steps=(*steps, answer))

    def _nonzero(self, rng: random.Random) -> int:
        return rng.randint(1, self.max_number) * rng.choice((1, -1))

    def _linear(self, rng: random.Random) -> Problem | None:
        a, b, c, sign = self._nonzero(rng), self._nonzero(rng), self._nonzero(rng), rng.choice(SIGNS)
        end = Fraction(c - b, a)
        if abs(a) == 1 or end.denominator > 4:
            return None
        found = sign if a > 0 else MIRRORED[sign]
        steps = [f"{poly([0, a])} {SHOWN[sign]} {c - b}", f"x {SHOWN[found]} {write(end)}"]
        return self._problem(rng, f"{poly([b, a])} {SHOWN[sign]} {c}", _ray(end, found), steps)

    def _quadratic(self, rng: random.Random) -> Problem | None:
        low, high = sorted(rng.sample(range(-self.max_number, self.max_number + 1), 2))
        a, sign = rng.choice((1, 1, -1, 2, 3, -2)), rng.choice(SIGNS)
        product = multiply([a], multiply([-low, 1], [-high, 1]))
        is_inside = (sign in ("<", "<=")) == (a > 0)
        steps = [f"{poly(product)} = {'' if a == 1 else '-' if a == -1 else a}({poly([-low, 1])})({poly([-high, 1])})"]
        is_open = sign in ("<", ">")
        ends = Fraction(low), Fraction(high)
        answer = _between(*ends, is_open) if is_inside else _outside(*ends, is_open)
        return self._problem(rng, f"{poly(product)} {SHOWN[sign]} 0", answer, steps)

    def _absolute(self, rng: random.Random) -> Problem | None:
        a, b, c, sign = rng.randint(1, 6), self._nonzero(rng), rng.randint(1, 2 * self.max_number), rng.choice(SIGNS)
        low, high = Fraction(-c - b, a), Fraction(c - b, a)
        inner, is_open = poly([b, a]), sign in ("<", ">")
        if sign in ("<", "<="):
            steps = [f"{-c} {SHOWN[sign]} {inner} {SHOWN[sign]} {c}"]
            answer = _between(low, high, is_open)
        else:
            steps = [f"{inner} {SHOWN[MIRRORED[sign]]} {-c}", f"{inner} {SHOWN[sign]} {c}"]
            answer = _outside(low, high, is_open)
        return self._problem(rng, f"|{inner}| {SHOWN[sign]} {c}", answer, steps)

    def _factors(self, rng: random.Random, kind: str) -> Problem | None:
        """Returns a product of linear factors, some squared or below the line, compared with 0."""
        roots = sorted(rng.sample(range(-self.max_number, self.max_number + 1), self.num_factors))
        is_below = [kind == "quotient" and rng.random() < 0.5 for _ in roots]
        powers = [2 if kind == "squares" and rng.random() < 0.4 else 1 for _ in roots]
        if all(is_below) or (kind == "quotient") != any(is_below) or (kind == "squares") != (2 in powers):
            return None
        sign = rng.choice(SIGNS)
        order = rng.sample(range(len(roots)), len(roots))
        factors = [f"({poly([-r, 1])})" + ("^2" if power == 2 else "") for r, power in zip(roots, powers, strict=True)]
        top = "".join(factors[i] for i in order if not is_below[i])
        bottom = "".join(factors[i] for i in order if is_below[i])
        told = top if not bottom else f"{top}/({bottom})" if bottom.count("(") > 1 else f"{top}/{bottom}"
        answer, signs = _solve_signs(roots, is_below, powers, sign)
        if answer.count("{") or answer == "(-∞, ∞)" or not answer:
            return None
        steps = [f"{self.say('roots', '零点')}: {', '.join(map(str, roots))}", f"{self.say('signs', '符号')}: {signs}"]
        return self._problem(rng, f"{told} {SHOWN[sign]} 0", answer, steps)


def _solve_signs(roots: list[int], is_below: list[bool], powers: list[int], sign: str) -> tuple[str, str]:
    """Returns the solution, single points in braces, and the signs between the roots."""
    signs = [1]
    for power in reversed(powers):
        signs.insert(0, signs[0] * (-1) ** power)
    wants = 1 if sign in (">", ">=") else -1
    ends = ["-∞", *map(str, roots), "∞"]
    takes_point = [sign in ("<=", ">=") and not below for below in is_below]
    inside = [value == wants for value in signs]
    parts: list[str] = []
    start: str | None = None
    for i, (left, right) in enumerate(itertools.pairwise(ends)):
        if inside[i] and start is None:
            start = ("[" if i and takes_point[i - 1] else "(") + left
        if not inside[i] and i and takes_point[i - 1] and not inside[i - 1]:
            parts.append(f"{{{left}}}")
        goes_on = i < len(roots) and inside[i] and inside[i + 1] and takes_point[i]
        if start is not None and inside[i] and not goes_on:
            parts.append(f"{start}, {right}" + ("]" if i < len(roots) and takes_point[i] else ")"))
            start = None
    return " ∪ ".join(parts), " ".join("+" if value > 0 else "-" for value in signs)


def _ray(end: Fraction, sign: str) -> str:
    if sign in ("<", "<="):
        return f"(-∞, {write(end)}" + ("]" if sign == "<=" else ")")
    return ("[" if sign == ">=" else "(") + f"{write(end)}, ∞)"


def _between(low: Fraction, high: Fraction, is_open: bool) -> str:
    return f"({write(low)}, {write(high)})" if is_open else f"[{write(low)}, {write(high)}]"


def _outside(low: Fraction, high: Fraction, is_open: bool) -> str:
    return f"{_ray(low, '<' if is_open else '<=')} ∪ {_ray(high, '>' if is_open else '>=')}"
