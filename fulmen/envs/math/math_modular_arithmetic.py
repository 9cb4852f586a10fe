"""Arithmetic modulo m: remainders, powers, towers of powers, inverses, linear congruences."""

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class ModularArithmetic(MathFamily):
    """Remainders from 0 to m - 1."""

    name: str = "math_modular_arithmetic"
    kinds: tuple[str, ...] = ("remainder", "power", "inverse", "congruence")
    max_modulus: int = 60
    """Largest modulus, 10 to 1000."""
    max_exponent: int = 60
    """Largest exponent, 5 to 10000."""

    rule: ClassVar[str] = "find a remainder, a power, an inverse or a solution modulo m"
    bounds: ClassVar = {"max_modulus": (10, 1000), "max_exponent": (5, 10000)}
    levels: ClassVar[Levels] = (
        {"kinds": ("remainder",), "max_modulus": 20},
        {"kinds": ("remainder", "power"), "max_modulus": 20, "max_exponent": 12},
        {},
        {"kinds": ("power", "inverse", "congruence"), "max_modulus": 250, "max_exponent": 500},
        {"kinds": ("power", "tower", "congruence", "power_sum"), "max_modulus": 1000, "max_exponent": 9999},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "remainder": self._remainder,
            "power": self._power,
            "power_sum": self._power_sum,
            "tower": self._tower,
            "inverse": self._inverse,
            "congruence": self._congruence,
        }

    def _asked(self, rng: random.Random, told: str, m: int) -> str:
        return self.ask(
            rng,
            en=(
                "What is the remainder when {told} is divided by {m}?",
                "Find {told} mod {m}, as a number from 0 to {last}.",
                "Divide {told} by {m}. Which remainder from 0 to {last} is left?",
            ),
            zh=("{told} 除以 {m} 的余数是多少？", "求 {told} mod {m}（0 到 {last} 之间）。"),
            told=told,
            m=m,
            last=m - 1,
        )

    def _remainder(self, rng: random.Random) -> Problem:
        a, b, c, m = (rng.randint(2, 99), rng.randint(2, 99), rng.randint(1, 99), rng.randint(3, self.max_modulus))
        told, value = f"{a}*{b} + {c}", a * b + c
        steps = (
            f"{a}*{b} + {c} = {value}",
            f"{value} = {value // m}*{m} + {value % m}",
        )
        return Problem(
            question=self._asked(rng, told, m), gold=str(value % m), form="integer", data=(a, b, c, m), steps=steps
        )

    def _power(self, rng: random.Random) -> Problem:
        a, n, m = rng.randint(2, 99), rng.randint(3, self.max_exponent), rng.randint(5, self.max_modulus)
        value, steps = power_steps(a, n, m)
        return Problem(
            question=self._asked(rng, f"{a}^{n}", m),
            gold=str(value),
            form="integer",
            data=(a, n, m),
            steps=tuple(steps),
        )

    def _power_sum(self, rng: random.Random) -> Problem:
        m, sign = rng.randint(5, self.max_modulus), rng.choice("+-")
        (a, n), (b, k) = ((rng.randint(2, 99), rng.randint(3, self.max_exponent)) for _ in range(2))
        (first, lines), (second, more) = power_steps(a, n, m), power_steps(b, k, m)
        total = first + second if sign == "+" else first - second
        if a**n < b**k:
            a, n, b, k = b, k, a, n
            total = first + second if sign == "+" else second - first
            first, second = second, first
        steps = (*lines, *more, f"{first} {sign} {second} = {total} ≡ {total % m}")
        told = f"{a}^{n} {sign} {b}^{k}"
        return Problem(
            question=self._asked(rng, told, m),
            gold=str(total % m),
            form="integer",
            data=(a, n, b, k, sign, m),
            steps=steps,
        )

    def _tower(self, rng: random.Random) -> Problem | None:
        """Returns a^(b^c) modulo m with a prime to m: the exponent counts modulo the order of a."""
        a, b, c, m = rng.randint(2, 60), rng.randint(2, 20), rng.randint(3, 60), rng.randint(7, self.max_modulus)
        if math.gcd(a, m) > 1 or a % m == 1:
            return None
        order, value = 1, a % m
        while value != 1:
            order, value = order + 1, value * a % m
        exponent, lines = power_steps(b, c, order) if order > 1 else (0, [])
        found, more = power_steps(a, exponent, m) if exponent else (1, [f"{a}^0 = 1"])
        steps = (f"{a}^{order} ≡ 1 mod {m}", *lines, *more)
        return Problem(
            question=self._asked(rng, f"{a}^({b}^{c})", m),
            gold=str(found),
            form="integer",
            data=(a, b, c, m),
            steps=steps,
        )

    def _inverse(self, rng: random.Random) -> Problem | None:
        m = rng.randint(5, self.max_modulus)
        a = rng.randint(2, m - 1)
        if math.gcd(a, m) > 1:
            return None
        value, steps = inverse_steps(a, m)
        question = self.ask(
            rng,
            en=(
                "Find the inverse of {a} modulo {m}, as a number from 0 to {last}.",
                "Which x from 0 to {last} satisfies {a}x ≡ 1 (mod {m})?",
            ),
            zh=("求 {a} 模 {m} 的逆元（0 到 {last} 之间）。", "0 到 {last} 之间哪个 x 满足 {a}x ≡ 1 (mod {m})？"),
            a=a,
            m=m,
            last=m - 1,
        )
        return Problem(question=question, gold=str(value), form="integer", data=(a, m), steps=tuple(steps))

    def _congruence(self, rng: random.Random) -> Problem | None:
        """Returns a x ≡ b (mod m) with gcd(a, m) dividing b; the smallest solution is asked for."""
        m, x = rng.randint(6, self.max_modulus), rng.randint(0, self.max_modulus)
        a = rng.randint(2, m - 1)
        b = a * x % m
        common = math.gcd(a, m)
        small, modulus = a // common, m // common
        if modulus < 3 or small % modulus == 1:
            return None
        value, lines = inverse_steps(small, modulus)
        found = value * (b // common) % modulus
        steps = [f"gcd({a}, {m}) = {common}", f"{small}x ≡ {b // common} (mod {modulus})", *lines]
        steps.append(f"{value}*{b // common} = {value * (b // common)} ≡ {found} (mod {modulus})")
        question = self.ask(
            rng,
            en=(
                "Find the smallest non-negative integer x with {a}x ≡ {b} (mod {m}).",
                "What is the least x ≥ 0 for which {a}x leaves the remainder {b} on division by {m}?",
            ),
            zh=("求满足 {a}x ≡ {b} (mod {m}) 的最小非负整数 x。", "使 {a}x 除以 {m} 余 {b} 的最小非负整数 x 是多少？"),
            a=a,
            b=b,
            m=m,
        )
        return Problem(question=question, gold=str(found), form="integer", data=(a, b, m), steps=tuple(steps))


def power_steps(a: int, n: int, m: int) -> tuple[int, list[str]]:
    """Returns a^n modulo m and the squarings and products that lead to it."""
    value = a % m
    steps = [f"{a}^1 ≡ {value} (mod {m})"]
    done = 1
    for bit in bin(n)[3:]:
        squared = value * value % m
        done *= 2
        steps.append(f"{a}^{done} ≡ {value}^2 ≡ {squared}")
        value = squared
        if bit == "1":
            done += 1
            following = value * a % m
            steps.append(f"{a}^{done} ≡ {value}*{a} ≡ {following}")
            value = following
    return value, steps


def inverse_steps(a: int, m: int) -> tuple[int, list[str]]:
    """Returns the inverse of a modulo m by Euclid's algorithm, each remainder as a multiple of a."""
    (high, s), (low, t) = (m, 0), (a, 1)
    steps = []
    while low > 1:
        quotient = high // low
        high, s, low, t = low, t, high - quotient * low, s - quotient * t
        steps.append(f"{low} ≡ {guard(t)}*{a} (mod {m})")
    return t % m, [*steps, f"{a}*{t % m} ≡ 1 (mod {m})"]
