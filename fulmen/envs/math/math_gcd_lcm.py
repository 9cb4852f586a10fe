"""Greatest common divisors and least common multiples."""

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import listed
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class GcdLcm(MathFamily):
    """Divisors and multiples of 2 to 5 numbers, by Euclid's algorithm."""

    name: str = "math_gcd_lcm"
    kinds: tuple[str, ...] = ("gcd", "lcm")
    num_numbers: int = 2
    """Numbers, 2 to 5."""
    max_factor: int = 60
    """Numbers are products of two factors up to this, 10 to 2000."""

    rule: ClassVar[str] = "find a greatest common divisor or least common multiple"
    bounds: ClassVar = {"num_numbers": (2, 5), "max_factor": (10, 2000)}
    levels: ClassVar[Levels] = (
        {"kinds": ("gcd",), "max_factor": 12},
        {"max_factor": 12},
        {},
        {"num_numbers": 3, "max_factor": 100},
        {"kinds": ("gcd", "lcm", "powers", "other"), "num_numbers": 4, "max_factor": 900},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {"gcd": self._gcd, "lcm": self._lcm, "powers": self._powers, "other": self._other}

    def _numbers(self, rng: random.Random) -> list[int] | None:
        high = self.max_factor
        common = rng.randint(1, high)
        numbers = [common * rng.randint(2, high) for _ in range(self.num_numbers)]
        return numbers if len(set(numbers)) == len(numbers) else None

    def _gcd(self, rng: random.Random) -> Problem | None:
        numbers = self._numbers(rng)
        if numbers is None:
            return None
        value, steps = numbers[0], []
        for number in numbers[1:]:
            value, lines = euclid(value, number)
            steps += lines
        question = self.ask(
            rng,
            en=(
                "What is the greatest common divisor of {n}?",
                "Find gcd({n}).",
                "Which is the largest integer that divides each of {n}?",
            ),
            zh=("{n} 的最大公因数是多少？", "求 gcd({n})。"),
            n=listed(numbers),
        )
        return Problem(question=question, gold=str(value), form="integer", data=(numbers,), steps=tuple(steps))

    def _lcm(self, rng: random.Random) -> Problem | None:
        numbers = self._numbers(rng)
        if numbers is None:
            return None
        value, steps = numbers[0], []
        for number in numbers[1:]:
            common, lines = euclid(value, number)
            following = value * number // common
            steps += [*lines, f"{value}*{number}/{common} = {following}"]
            value = following
        question = self.ask(
            rng,
            en=(
                "What is the least common multiple of {n}?",
                "Find lcm({n}).",
                "Which is the smallest positive integer that is divisible by each of {n}?",
            ),
            zh=("{n} 的最小公倍数是多少？", "求 lcm({n})。"),
            n=listed(numbers),
        )
        return Problem(question=question, gold=str(value), form="integer", data=(numbers,), steps=tuple(steps))

    def _powers(self, rng: random.Random) -> Problem | None:
        """Returns gcd(b^m - 1, b^n - 1), which is b^gcd(m, n) - 1."""
        base, common = rng.randint(2, 12), rng.randint(2, 6)
        m, n = common * rng.randint(2, 20), common * rng.randint(2, 20)
        if m == n:
            return None
        exponent, lines = euclid(m, n)
        value = base**exponent - 1
        if value > 10**12:
            return None
        told = f"{base}^{m} - 1", f"{base}^{n} - 1"
        question = self.ask(
            rng,
            en=("Find the greatest common divisor of {a} and {b}.", "What is gcd({a}, {b})?"),
            zh=("求 {a} 与 {b} 的最大公因数。", "gcd({a}, {b}) 等于多少？"),
            a=told[0],
            b=told[1],
        )
        steps = (*lines, f"{base}^{exponent} - 1 = {value}")
        return Problem(question=question, gold=str(value), form="integer", data=(base, m, n), steps=steps)

    def _other(self, rng: random.Random) -> Problem | None:
        """Returns the other number of a pair with a known gcd and lcm."""
        numbers = self._numbers(rng)
        if numbers is None:
            return None
        a, b = numbers[:2]
        common = math.gcd(a, b)
        question = self.ask(
            rng,
            en=(
                "Two positive integers have greatest common divisor {g} and least common multiple {l}. One is {a}. "
                "What is the other?",
                "For positive integers a = {a} and b, gcd(a, b) = {g} and lcm(a, b) = {l}. Find b.",
            ),
            zh=(
                "两个正整数的最大公因数为 {g}，最小公倍数为 {l}，其中一个是 {a}，另一个是多少？",
                "正整数 a = {a} 与 b 满足 gcd(a, b) = {g}，lcm(a, b) = {l}，求 b。",
            ),
            g=common,
            l=a * b // common,
            a=a,
        )
        steps = (f"b = {common}*{a * b // common}/{a} = {b}",)
        return Problem(question=question, gold=str(b), form="integer", data=(common, a * b // common, a), steps=steps)


def euclid(a: int, b: int) -> tuple[int, list[str]]:
    """Returns the greatest common divisor and the divisions that lead to it."""
    high, low = max(a, b), min(a, b)
    steps = []
    while low:
        steps.append(f"{high} = {high // low}*{low} + {high % low}")
        high, low = low, high % low
    return high, [*steps, f"gcd({a}, {b}) = {high}"]
