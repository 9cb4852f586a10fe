"""Sequences: arithmetic, geometric, and given by a recurrence."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, listed, terms, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Sequences(MathFamily):
    """Terms and sums of sequences whose law is stated."""

    name: str = "math_sequences"
    kinds: tuple[str, ...] = ("term", "sum", "geometric_term", "geometric_sum", "two_terms")
    max_index: int = 40
    """Largest index in an arithmetic sequence, 8 to 999."""
    num_steps: int = 5
    """Steps of a recurrence, and terms of a geometric sequence, 3 to 12."""

    rule: ClassVar[str] = "find a term or a sum of a sequence"
    bounds: ClassVar = {"max_index": (8, 999), "num_steps": (3, 12)}
    levels: ClassVar[Levels] = (
        {"kinds": ("term",), "max_index": 12},
        {"kinds": ("term", "sum", "recurrence"), "max_index": 20, "num_steps": 3},
        {},
        {
            "kinds": ("sum", "two_terms", "geometric_sum", "recurrence", "second_order"),
            "max_index": 200,
            "num_steps": 6,
        },
        {"kinds": ("second_order", "infinite", "telescoping", "periodic"), "max_index": 900, "num_steps": 9},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "term": lambda rng: self._arithmetic(rng, "term"),
            "sum": lambda rng: self._arithmetic(rng, "sum"),
            "two_terms": self._two_terms,
            "geometric_term": lambda rng: self._geometric(rng, "term"),
            "geometric_sum": lambda rng: self._geometric(rng, "sum"),
            "infinite": self._infinite,
            "recurrence": self._recurrence,
            "second_order": self._second_order,
            "telescoping": self._telescoping,
            "periodic": self._periodic,
        }

    def _arithmetic(self, rng: random.Random, kind: str) -> Problem:
        first, step = rng.randint(-30, 60), rng.randint(2, 15) * rng.choice((1, 1, -1))
        n = rng.randint(6, self.max_index)
        last = first + (n - 1) * step
        begin = f"{first}, {first + step}, {first + 2 * step}, ..."
        steps = [f"d = {step}", f"a_{n} = {first} + {n - 1}*{guard(step)} = {last}"]
        if kind == "term":
            question = self.ask(
                rng,
                en=(
                    "What is term number {n} of the arithmetic sequence {begin}? The first term is number 1.",
                    "An arithmetic sequence begins {begin} Its first term is a_1. Find a_{n}.",
                ),
                zh=(
                    "等差数列 {begin} 的第 {n} 项是多少（首项为第 1 项）？",
                    "等差数列 a_1, a_2, ... 为 {begin}，求 a_{n}。",
                ),
                n=n,
                begin=begin,
            )
            value = last
        else:
            value = n * (first + last) // 2
            steps.append(f"{n}*({first} + {guard(last)})/2 = {value}")
            question = self.ask(
                rng,
                en=(
                    "What is the sum of the first {n} terms of the arithmetic sequence {begin}?",
                    "Add up the first {n} terms of the arithmetic sequence that begins {begin}",
                ),
                zh=("等差数列 {begin} 的前 {n} 项之和是多少？", "求等差数列 {begin} 前 {n} 项的和。"),
                n=n,
                begin=begin,
            )
        return Problem(question=question, gold=str(value), form="integer", data=(first, step, n), steps=tuple(steps))

    def _two_terms(self, rng: random.Random) -> Problem:
        first, step = rng.randint(-30, 60), rng.randint(2, 15) * rng.choice((1, 1, -1))
        i, j, n = sorted(rng.sample(range(2, max(9, self.max_index)), 3))
        a, b, c = (first + (k - 1) * step for k in (i, j, n))
        question = self.ask(
            rng,
            en=(
                "In an arithmetic sequence a_{i} = {a} and a_{j} = {b}. Find a_{n}.",
                "Term {i} of an arithmetic sequence is {a}, term {j} is {b}. What is term {n}?",
            ),
            zh=(
                "等差数列中 a_{i} = {a}，a_{j} = {b}，求 a_{n}。",
                "等差数列的第 {i} 项为 {a}，第 {j} 项为 {b}，第 {n} 项是多少？",
            ),
            i=i,
            j=j,
            n=n,
            a=a,
            b=b,
        )
        steps = (
            f"d = ({b} - {guard(a)})/({j} - {i}) = {step}",
            f"a_{n} = {b} + {n - j}*{guard(step)} = {c}",
        )
        return Problem(question=question, gold=str(c), form="integer", data=(i, a, j, b, n), steps=steps)

    def _geometric(self, rng: random.Random, kind: str) -> Problem:
        first, n = rng.randint(1, 12), rng.randint(4, self.num_steps + 3)
        ratio = Fraction(rng.choice((2, 3, 4, 5, -2, -3)), rng.choice((1, 1, 2, 3)))
        if ratio in (1, -1):
            ratio = Fraction(2)
        values = [first * ratio**k for k in range(n)]
        begin = f"{listed(values[:3])}, ..."
        steps = [f"q = {write(ratio)}", f"a_{n} = {first} * {guard(ratio)}^{n - 1} = {write(values[-1])}"]
        if kind == "term":
            question = self.ask(
                rng,
                en=(
                    "What is term number {n} of the geometric sequence {begin}? The first term is number 1.",
                    "A geometric sequence begins {begin} Its first term is a_1. Find a_{n}.",
                ),
                zh=(
                    "等比数列 {begin} 的第 {n} 项是多少（首项为第 1 项）？",
                    "等比数列 a_1, a_2, ... 为 {begin}，求 a_{n}。",
                ),
                n=n,
                begin=begin,
            )
            value = values[-1]
        else:
            value = sum(values, Fraction(0))
            after = values[-1] * ratio
            steps.append(f"({write(after)} - {first})/({write(ratio)} - 1) = {write(value)}")
            question = self.ask(
                rng,
                en=(
                    "What is the sum of the first {n} terms of the geometric sequence {begin}?",
                    "Add up the first {n} terms of the geometric sequence that begins {begin}",
                ),
                zh=("等比数列 {begin} 的前 {n} 项之和是多少？", "求等比数列 {begin} 前 {n} 项的和。"),
                n=n,
                begin=begin,
            )
        data = (first, write(ratio), n)
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=tuple(steps))

    def _infinite(self, rng: random.Random) -> Problem | None:
        first, bottom = rng.randint(1, 60), rng.randint(2, 12)
        ratio = Fraction(rng.randint(1, bottom - 1) * rng.choice((1, -1)), bottom)
        value = first / (1 - ratio)
        question = self.ask(
            rng,
            en=(
                "Find the sum of the infinite geometric series {begin}",
                "What does the infinite geometric series {begin} add up to?",
            ),
            zh=("求无穷等比级数 {begin} 的和。", "无穷等比级数 {begin} 等于多少？"),
            begin=f"{first} + {guard(first * ratio)} + {guard(first * ratio**2)} + ...",
        )
        steps = (f"q = {write(ratio)}", f"{first}/(1 - {guard(ratio)}) = {write(value)}")
        return Problem(question=question, gold=write(value), form="fraction", data=(first, write(ratio)), steps=steps)

    def _recurrence(self, rng: random.Random) -> Problem:
        first, a, b = rng.randint(-9, 20), rng.choice((2, 3, 4, -1, -2)), rng.randint(1, 20) * rng.choice((1, -1))
        n, value, steps = self.num_steps + 1, first, []
        for k in range(2, n + 1):
            following = a * value + b
            steps.append(f"a_{k} = {a}*{guard(value)} {'+' if b > 0 else '-'} {abs(b)} = {following}")
            value = following
        law = f"a_(n+1) = {terms([(a, 'a_n'), (b, '')])}"
        question = self.ask(
            rng,
            en=(
                "A sequence has a_1 = {first} and {law}. Find a_{n}.",
                "Let a_1 = {first} and {law} for n ≥ 1. What is a_{n}?",
            ),
            zh=("数列满足 a_1 = {first}，{law}，求 a_{n}。", "设 a_1 = {first}，且对 n ≥ 1 有 {law}，a_{n} 等于多少？"),
            first=first,
            law=law,
            n=n,
        )
        return Problem(question=question, gold=str(value), form="integer", data=(first, a, b, n), steps=tuple(steps))

    def _second_order(self, rng: random.Random) -> Problem:
        p, q = rng.choice((1, 2, 3, -1)), rng.choice((1, 2, -1, -2, 3))
        values = [rng.randint(-5, 9), rng.randint(1, 9)]
        steps = []
        for k in range(3, self.num_steps + 3):
            values.append(p * values[-1] + q * values[-2])
            steps.append(f"a_{k} = {p}*{guard(values[-2])} + {guard(q)}*{guard(values[-3])} = {values[-1]}")
        law, n = f"a_(n+2) = {terms([(p, 'a_(n+1)'), (q, 'a_n')])}", len(values)
        question = self.ask(
            rng,
            en=(
                "A sequence has a_1 = {a}, a_2 = {b} and {law}. Find a_{n}.",
                "Let a_1 = {a}, a_2 = {b}, and {law} for n ≥ 1. What is a_{n}?",
            ),
            zh=(
                "数列满足 a_1 = {a}，a_2 = {b}，{law}，求 a_{n}。",
                "设 a_1 = {a}，a_2 = {b}，且 {law}，a_{n} 等于多少？",
            ),
            a=values[0],
            b=values[1],
            law=law,
            n=n,
        )
        data = (values[:2], p, q, n)
        return Problem(question=question, gold=str(values[-1]), form="integer", data=data, steps=tuple(steps))

    def _telescoping(self, rng: random.Random) -> Problem:
        """Returns the sum of 1/(t (t + d)) over t = f, f + d, ..., which is (1/f - 1/last) / d."""
        first, step, n = rng.randint(1, 12), rng.randint(1, 7), rng.randint(8, self.max_index)
        end = first + n * step
        value = (Fraction(1, first) - Fraction(1, end)) / step
        middle = first + step
        told = f"1/({first}*{middle}) + 1/({middle}*{middle + step}) + ... + 1/({end - step}*{end})"
        question = self.ask(
            rng,
            en=(
                "Compute {told}. The factors of the denominators are {f}, {g}, {h}, ..., an arithmetic sequence.",
                "Find {told}, where the factors {f}, {g}, {h}, ... form an arithmetic sequence.",
            ),
            zh=(
                "求 {told}，其中分母的因数 {f}, {g}, {h}, ... 成等差数列。",
                "计算 {told}（分母中的因数 {f}, {g}, {h}, ... 成等差数列）。",
            ),
            told=told,
            f=first,
            g=middle,
            h=middle + step,
        )
        steps = (
            f"1/(t(t + {step})) = (1/t - 1/(t + {step}))/{step}",
            f"(1/{first} - 1/{end})/{step} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(first, step, n), steps=steps)

    def _periodic(self, rng: random.Random) -> Problem | None:
        """Returns a far term of a recurrence modulo m, found through its period."""
        m, a, b = rng.randint(5, 30), rng.randint(2, 9), rng.randint(1, 9)
        first, n = rng.randint(0, m - 1), rng.randint(100, 10 * self.max_index)
        values: list[int] = []
        value = first
        while value not in values:
            values.append(value)
            value = (a * value + b) % m
        start = values.index(value)
        period = len(values) - start
        if not 2 <= period <= 24:
            return None
        place = start + (n - 1 - start) % period
        law = f"{a}*a_n + {b}"
        question = self.ask(
            rng,
            en=(
                "Let a_1 = {first}, and let a_(n+1) be the remainder of {law} on division by {m}. Find a_{n}.",
                "Let a_1 = {first}; each a_(n+1) is the remainder when {law} is divided by {m}. What is a_{n}?",
            ),
            zh=(
                "设 a_1 = {first}，a_(n+1) 是 {law} 除以 {m} 的余数，求 a_{n}。",
                "数列首项 a_1 = {first}，此后 a_(n+1) 为 {law} 除以 {m} 的余数，a_{n} 是多少？",
            ),
            first=first,
            law=law,
            m=m,
            n=n,
        )
        steps = (
            f"{listed(values)}, {value}, ...",
            f"a_(k+{period}) = a_k, k >= {start + 1}",
            f"a_{n} = a_{place + 1} = {values[place]}",
        )
        return Problem(
            question=question, gold=str(values[place]), form="integer", data=(first, a, b, m, n), steps=steps
        )
