"""Equations in integers: how many solutions, the smallest one, what cannot be reached."""

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import listed, terms
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Diophantine(MathFamily):
    """Equations a x + b y = n and sums of several unknowns, over integers that are not negative."""

    name: str = "math_diophantine"
    kinds: tuple[str, ...] = ("count", "smallest", "unreachable")
    max_coefficient: int = 30
    """Largest coefficient, 6 to 99."""
    max_total: int = 300
    """Largest right side, 30 to 3000."""

    rule: ClassVar[str] = "solve an equation in non-negative integers"
    bounds: ClassVar = {"max_coefficient": (6, 99), "max_total": (30, 3000)}
    levels: ClassVar[Levels] = (
        {"kinds": ("count",), "max_coefficient": 12, "max_total": 90},
        {"kinds": ("count", "smallest"), "max_coefficient": 15, "max_total": 120},
        {},
        {"kinds": ("count", "sum_of_unknowns", "bounded", "smallest"), "max_coefficient": 40, "max_total": 900},
        {"kinds": ("count_three", "bounded", "unreachable_count", "product"), "max_coefficient": 60, "max_total": 1500},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "count": self._count,
            "count_three": self._count_three,
            "smallest": self._smallest,
            "unreachable": lambda rng: self._unreachable(rng, is_count=False),
            "unreachable_count": lambda rng: self._unreachable(rng, is_count=True),
            "sum_of_unknowns": self._sum_of_unknowns,
            "bounded": self._bounded,
            "product": self._product,
        }

    def _pair(self, rng: random.Random) -> tuple[int, int]:
        a, b = rng.sample(range(2, self.max_coefficient + 1), 2)
        return a, b

    def _solutions(self, a: int, b: int, n: int) -> list[tuple[int, int]]:
        return [(x, (n - a * x) // b) for x in range(n // a + 1) if (n - a * x) % b == 0]

    def _how_many(self, rng: random.Random, names: str, equation: str) -> str:
        return self.ask(
            rng,
            en=(
                "How many solutions ({names}) in non-negative integers does {eq} have?",
                "Count the tuples ({names}) of non-negative integers with {eq}.",
            ),
            zh=("方程 {eq} 有多少组非负整数解 ({names})？", "求满足 {eq} 的非负整数组 ({names}) 的个数。"),
            names=names,
            eq=equation,
        )

    def _count(self, rng: random.Random) -> Problem | None:
        (a, b), n = self._pair(rng), rng.randint(20, self.max_total)
        common = math.gcd(a, b)
        found = self._solutions(a, b, n)
        if not found and rng.random() < 0.8:
            return None
        if found:
            x, y = found[0]
            steps = [f"x = {x}, y = {y}", f"x = {x} + {b // common}t, y = {y} - {a // common}t"]
            steps.append(f"t = 0, ..., {len(found) - 1}: {len(found)}")
        elif n % common:
            steps = [f"gcd({a}, {b}) = {common}, {n} mod {common} = {n % common}: 0"]
        else:
            steps = [f"{n} - {a}x, x = 0, ..., {n // a}: mod {b} ≠ 0: 0"]
        question = self._how_many(rng, "x, y", f"{a}x + {b}y = {n}")
        return Problem(question=question, gold=str(len(found)), form="integer", data=(a, b, n), steps=tuple(steps))

    def _count_three(self, rng: random.Random) -> Problem:
        a, b, c = sorted(rng.sample(range(5, self.max_coefficient + 1), 3))
        n = rng.randint(8 * c, 16 * c)
        counts = [len(self._solutions(a, b, n - c * z)) for z in range(n // c + 1)]
        steps = [f"z = {z}: {a}x + {b}y = {n - c * z}: {count}" for z, count in enumerate(counts)]
        steps.append(f"{' + '.join(map(str, counts))} = {sum(counts)}")
        question = self._how_many(rng, "x, y, z", f"{a}x + {b}y + {c}z = {n}")
        return Problem(question=question, gold=str(sum(counts)), form="integer", data=(a, b, c, n), steps=tuple(steps))

    def _smallest(self, rng: random.Random) -> Problem | None:
        (a, b), n = self._pair(rng), rng.randint(20, self.max_total)
        found = self._solutions(a, b, n)
        if not found or (found[0][0] == 0 and rng.random() < 0.8):
            return None
        x, y = found[0]
        question = self.ask(
            rng,
            en=(
                "Of all non-negative integers x, y with {a}x + {b}y = {n}, find the smallest possible x.",
                "Let {a}x + {b}y = {n} with non-negative integers x and y. What is the least value of x?",
            ),
            zh=(
                "非负整数 x, y 满足 {a}x + {b}y = {n}，求 x 的最小值。",
                "设 {a}x + {b}y = {n}，x, y 为非负整数，x 最小是多少？",
            ),
            a=a,
            b=b,
            n=n,
        )
        steps = [f"x = {k}: ({n} - {a * k}) mod {b} = {(n - a * k) % b}" for k in range(x + 1)]
        steps.append(f"y = {n - a * x}/{b} = {y}")
        return Problem(question=question, gold=str(x), form="integer", data=(a, b, n), steps=tuple(steps))

    def _unreachable(self, rng: random.Random, *, is_count: bool) -> Problem | None:
        a, b = self._pair(rng)
        if math.gcd(a, b) > 1:
            return None
        value = (a - 1) * (b - 1) // 2 if is_count else a * b - a - b
        en = (
            (
                "How many positive integers cannot be written as {a}x + {b}y with non-negative integers x, y?",
                "Coins are worth {a} and {b}. How many positive whole amounts cannot be paid exactly with them?",
            )
            if is_count
            else (
                "What is the largest integer that cannot be written as {a}x + {b}y with non-negative integers x, y?",
                "Coins are worth {a} and {b}. Which is the largest whole amount that cannot be paid exactly with them?",
            )
        )
        zh = (
            (
                "有多少个正整数不能写成 {a}x + {b}y（x, y 为非负整数）？",
                "只有面值 {a} 和 {b} 的硬币，有多少个正整数金额不能恰好付出（不找零）？",
            )
            if is_count
            else (
                "不能写成 {a}x + {b}y（x, y 为非负整数）的最大整数是多少？",
                "只有面值 {a} 和 {b} 的硬币，不能恰好付出（不找零）的最大整数金额是多少？",
            )
        )
        question = self.ask(rng, en=en, zh=zh, a=a, b=b)
        line = f"({a} - 1)*({b} - 1)/2 = {value}" if is_count else f"{a}*{b} - {a} - {b} = {value}"
        steps = (f"gcd({a}, {b}) = 1", line)
        return Problem(question=question, gold=str(value), form="integer", data=(min(a, b), max(a, b)), steps=steps)

    def _sum_of_unknowns(self, rng: random.Random) -> Problem:
        k, lows = rng.randint(3, 6), [rng.randint(0, 4) for _ in range(6)]
        n = sum(lows[:k]) + rng.randint(3, 20)
        rest = n - sum(lows[:k])
        value = math.comb(rest + k - 1, k - 1)
        names = [f"x{i + 1}" for i in range(k)]
        conditions = ", ".join(f"{name} ≥ {low}" for name, low in zip(names, lows, strict=False))
        question = self._integers(rng, f"{' + '.join(names)} = {n}", conditions)
        steps = (
            f"{n} - ({' + '.join(map(str, lows[:k]))}) = {rest}",
            f"C({rest + k - 1}, {k - 1}) = {value}",
        )
        return Problem(question=question, gold=str(value), form="integer", data=(lows[:k], n), steps=steps)

    def _bounded(self, rng: random.Random) -> Problem:
        k = rng.randint(3, 5)
        highs = [rng.randint(3, 12) for _ in range(k)]
        n = rng.randint(4, sum(highs) - 2)
        ways, steps = [1] + [0] * n, []
        for i, high in enumerate(highs):
            ways = [sum(ways[s - x] for x in range(min(s, high) + 1)) for s in range(n + 1)]
            steps.append(f"x1..x{i + 1}: {listed(ways)}")
        names = [f"x{i + 1}" for i in range(k)]
        conditions = ", ".join(f"0 ≤ {name} ≤ {high}" for name, high in zip(names, highs, strict=True))
        question = self._integers(rng, f"{' + '.join(names)} = {n}", conditions)
        return Problem(question=question, gold=str(ways[n]), form="integer", data=(highs, n), steps=tuple(steps))

    def _integers(self, rng: random.Random, equation: str, conditions: str) -> str:
        return self.ask(
            rng,
            en=(
                "In how many ways can integers be chosen so that {eq}, with {c}?",
                "How many integer solutions does {eq} have, if {c}?",
            ),
            zh=("满足 {c} 的方程 {eq} 有多少组整数解？", "求 {eq} 的整数解的组数，其中 {c}。"),
            eq=equation,
            c=conditions,
        )

    def _product(self, rng: random.Random) -> Problem:
        """Returns x y + a x + b y = n, that is (x + b)(y + a) = n + ab, over positive integers."""
        a, b, p, q = rng.randint(1, 9), rng.randint(1, 9), rng.randint(2, 30), rng.randint(2, 30)
        n = (p + b) * (q + a) - a * b
        whole = n + a * b
        found = [(d - b, whole // d - a) for d in range(b + 1, whole + 1) if whole % d == 0 and whole // d > a]
        equation = f"xy + {terms([(a, 'x'), (b, 'y')])} = {n}"
        question = self.ask(
            rng,
            en=(
                "How many ordered pairs (x, y) of positive integers satisfy {eq}?",
                "Count the pairs of positive integers x, y with {eq}.",
            ),
            zh=("有多少个正整数有序对 (x, y) 满足 {eq}？", "求满足 {eq} 的正整数对 (x, y) 的个数。"),
            eq=equation,
        )
        steps = (
            f"({terms([(1, 'x'), (b, '')])})({terms([(1, 'y'), (a, '')])}) = {whole}",
            " ".join(f"({x}, {y})" for x, y in found),
            str(len(found)),
        )
        return Problem(question=question, gold=str(len(found)), form="integer", data=(a, b, n), steps=steps)
