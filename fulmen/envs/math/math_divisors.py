"""Divisors of an integer: how many, their sum, and those with a condition."""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Divisors(MathFamily):
    """Questions about the positive divisors of n, answered through its prime factors."""

    name: str = "math_divisors"
    kinds: tuple[str, ...] = ("count", "sum", "even", "multiples", "squares")
    num_primes: int = 3
    """Different primes at most, 1 to 5."""
    max_value: int = 5000
    """Largest n, 100 to 10000000."""

    rule: ClassVar[str] = "count or add the divisors of an integer"
    bounds: ClassVar = {"num_primes": (1, 5), "max_value": (100, 10_000_000)}
    levels: ClassVar[Levels] = (
        {"kinds": ("count", "sum"), "max_value": 4000},
        {"kinds": ("count", "sum", "even", "odd")},
        {},
        {"kinds": ("even", "odd", "multiples", "squares", "product"), "num_primes": 4, "max_value": 200_000},
        {
            "kinds": ("multiples", "not_multiples", "squares", "product", "pairs"),
            "num_primes": 5,
            "max_value": 9_000_000,
        },
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        kinds = ("count", "sum", "even", "odd", "multiples", "not_multiples", "squares", "product", "pairs")
        return {kind: lambda rng, kind=kind: self._make(rng, kind) for kind in kinds}  # type: ignore[misc]

    def _make(self, rng: random.Random, kind: str) -> Problem | None:
        n, factors = self._number(rng)
        primes = dict(factors)
        d = 1
        if kind in ("multiples", "not_multiples"):
            for p, e in factors:
                d *= p ** rng.randint(0, e)
            if d in (1, n):
                return None
        if (kind in ("even", "odd") and n % 2) or (kind == "squares" and max(primes.values()) < 2):
            return None
        value, line = _count(factors, kind, d)
        if value > 10**15:
            return None
        told = {
            "count": ("How many positive divisors does {n} have", "{n} 有多少个正因数"),
            "sum": (
                "What is the sum of all positive divisors of {n}, 1 and {n} included",
                "{n} 的所有正因数（含 1 和 {n}）之和是多少",
            ),
            "even": ("How many positive divisors of {n} are even", "{n} 的正因数中有多少个偶数"),
            "odd": ("How many positive divisors of {n} are odd", "{n} 的正因数中有多少个奇数"),
            "multiples": (
                "How many positive divisors of {n} are multiples of {d}",
                "{n} 的正因数中有多少个是 {d} 的倍数",
            ),
            "not_multiples": (
                "How many positive divisors of {n} are not multiples of {d}",
                "{n} 的正因数中有多少个不是 {d} 的倍数",
            ),
            "squares": (
                "How many positive divisors of {n} are squares of integers, 1 included",
                "{n} 的正因数中有多少个是完全平方数（含 1）",
            ),
            "product": (
                "The product of all positive divisors of {n} is {n}^(k/2). What is the integer k",
                "{n} 的所有正因数之积为 {n}^(k/2)，整数 k 是多少",
            ),
            "pairs": (
                "How many ordered pairs (a, b) of positive integers satisfy a*b = {n} and gcd(a, b) = 1",
                "有多少个正整数有序对 (a, b) 满足 a*b = {n} 且 gcd(a, b) = 1",
            ),
        }[kind]
        question = self.say(told[0] + "?", told[1] + "？").format(n=n, d=d)
        written = " * ".join(f"{p}^{e}" if e > 1 else str(p) for p, e in factors)
        steps = (f"{n} = {written}", f"{line} = {value}")
        return Problem(question=question, gold=str(value), form="integer", data=(n, d), steps=steps)

    def _number(self, rng: random.Random) -> tuple[int, list[tuple[int, int]]]:
        """Returns n and its prime factors, drawn by growing a product."""
        primes = sorted(rng.sample((2, 2, 3, 3, 5, 5, 7, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43), self.num_primes))
        powers: dict[int, int] = {}
        n = 1
        for p in [*primes, *(rng.choice(primes) for _ in range(rng.randint(0, 12)))]:
            if n * p <= self.max_value:
                n *= p
                powers[p] = powers.get(p, 0) + 1
        if self.num_primes == 1 or n < 10 or rng.random() < 0.3:
            n = rng.randint(12, min(self.max_value, 20_000))
            powers = dict(factorize(n))
        return n, sorted(powers.items())


def factorize(n: int) -> list[tuple[int, int]]:
    """Returns the prime factors of a small integer with their powers."""
    factors, p = [], 2
    while p * p <= n:
        power = 0
        while n % p == 0:
            n, power = n // p, power + 1
        if power:
            factors.append((p, power))
        p += 1
    return [*factors, (n, 1)] if n > 1 else factors


def _count(factors: list[tuple[int, int]], kind: str, d: int) -> tuple[int, str]:
    """Returns the answer, and the product it comes from."""
    terms, value = [], 1
    for p, e in factors:
        if kind == "sum":
            term, text = (p ** (e + 1) - 1) // (p - 1), "(" + " + ".join(str(p**k) for k in range(e + 1)) + ")"
        else:
            term = {
                "even": e if p == 2 else e + 1,
                "odd": 1 if p == 2 else e + 1,
                "multiples": e - _power(d, p) + 1,
                "squares": e // 2 + 1,
                "pairs": 2,
            }.get(kind, e + 1)
            text = str(term)
        terms.append(text)
        value *= term
    line = " * ".join(terms)
    if kind == "not_multiples":
        inner, text = _count(factors, "multiples", d)
        return value - inner, f"{line} - {text}"
    return value, line


def _power(n: int, p: int) -> int:
    power = 0
    while n % p == 0:
        n, power = n // p, power + 1
    return power
