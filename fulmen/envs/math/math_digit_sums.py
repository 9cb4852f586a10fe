"""Digits of integers: sums of digits, numbers with a given sum, digits of products and powers."""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import listed
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class DigitSums(MathFamily):
    """Questions about decimal digits."""

    name: str = "math_digit_sums"
    kinds: tuple[str, ...] = ("of_product", "count", "smallest", "total")
    num_digits: int = 3
    """Digits of numbers, 2 to 9."""

    rule: ClassVar[str] = "count or add decimal digits"
    bounds: ClassVar = {"num_digits": (2, 9)}
    levels: ClassVar[Levels] = (
        {"kinds": ("of_product",), "num_digits": 2},
        {"kinds": ("of_product", "of_power", "smallest")},
        {},
        {"kinds": ("of_power", "count", "smallest", "total", "nines"), "num_digits": 5},
        {"kinds": ("count", "total", "nines", "count_divisible"), "num_digits": 8},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "of_product": self._of_product,
            "of_power": self._of_power,
            "count": self._count,
            "count_divisible": self._count_divisible,
            "smallest": self._smallest,
            "total": self._total,
            "nines": self._nines,
        }

    def _number(self, rng: random.Random) -> int:
        return rng.randint(10 ** (self.num_digits - 1), 10**self.num_digits - 1)

    def _sum_question(self, rng: random.Random, told: str) -> str:
        return self.ask(
            rng,
            en=(
                "What is the sum of the decimal digits of {n}?",
                "Add up the decimal digits of {n}.",
                "Find the digit sum of {n}.",
            ),
            zh=("{n} 的各位数字之和是多少？", "求 {n} 的十进制各位数字之和。"),
            n=told,
        )

    def _of_product(self, rng: random.Random) -> Problem:
        a, b = self._number(rng), self._number(rng)
        value = digit_sum(a * b)
        steps = (f"{a}*{b} = {a * b}", f"{' + '.join(str(a * b))} = {value}")
        return Problem(
            question=self._sum_question(rng, f"{a}*{b}"), gold=str(value), form="integer", data=(a, b), steps=steps
        )

    def _of_power(self, rng: random.Random) -> Problem:
        base, power = rng.randint(2, 30), rng.randint(3, 3 + self.num_digits)
        more = rng.randint(0, 999)
        number = base**power + more
        value = digit_sum(number)
        told = f"{base}^{power} + {more}"
        steps = (
            f"{base}^{power} = {base**power}",
            f"{base**power} + {more} = {number}",
            f"{' + '.join(str(number))} = {value}",
        )
        data = (base, power, more)
        return Problem(question=self._sum_question(rng, told), gold=str(value), form="integer", data=data, steps=steps)

    def _nines(self, rng: random.Random) -> Problem:
        """Returns 10^k - m, which is a row of nines and a rest."""
        k, m = rng.randint(20, 20 * self.num_digits), rng.randint(2, 10**self.num_digits)
        size = len(str(m - 1))
        rest = 10**size - m
        value = 9 * (k - size) + digit_sum(rest)
        shown = str(rest).zfill(size)
        steps = (
            f"10^{k} - {m} = 99...9 ({k - size}) {shown}",
            f"9*{k - size} + {' + '.join(shown)} = {value}",
        )
        return Problem(
            question=self._sum_question(rng, f"10^{k} - {m}"), gold=str(value), form="integer", data=(k, m), steps=steps
        )

    def _count(self, rng: random.Random) -> Problem:
        size = rng.randint(2, self.num_digits)
        top = rng.randint(10**size // 2, 10**size)
        target = rng.randint(3, 9 * size - 4)
        value, steps = _count_up_to(top, target)
        question = self.ask(
            rng,
            en=(
                "How many integers from 0 to {n} have a digit sum of {s}?",
                "For how many integers k with 0 ≤ k ≤ {n} do the decimal digits of k add up to {s}?",
            ),
            zh=(
                "0 到 {n} 的整数中，各位数字之和为 {s} 的有多少个？",
                "满足 0 ≤ k ≤ {n} 且 k 的各位数字之和等于 {s} 的整数 k 有多少个？",
            ),
            n=top,
            s=target,
        )
        return Problem(question=question, gold=str(value), form="integer", data=(top, target), steps=tuple(steps))

    def _count_divisible(self, rng: random.Random) -> Problem:
        """Returns how many numbers of so many digits have a digit sum divisible by d; leading zeros do not occur."""
        size, d = rng.randint(3, self.num_digits), rng.randint(4, 30)
        ways = [sum(1 for x in range(1, 10) if x % d == r) for r in range(d)]
        steps = [f"1: {listed(ways)}"]
        for k in range(2, size + 1):
            ways = [sum(ways[(r - x) % d] for x in range(10)) for r in range(d)]
            steps.append(f"{k}: {listed(ways)}")
        question = self.ask(
            rng,
            en=(
                "How many positive integers with exactly {k} decimal digits have a digit sum divisible by {d}?",
                "Count the {k}-digit positive integers (no leading zero) whose digit sum is a multiple of {d}.",
            ),
            zh=(
                "恰有 {k} 位的正整数中，各位数字之和能被 {d} 整除的有多少个？",
                "求各位数字之和是 {d} 的倍数的 {k} 位正整数（首位非零）的个数。",
            ),
            k=size,
            d=d,
        )
        return Problem(question=question, gold=str(ways[0]), form="integer", data=(size, d), steps=tuple(steps))

    def _smallest(self, rng: random.Random) -> Problem | None:
        """Returns the smallest number above a bound with a given digit sum."""
        bound, target = self._number(rng), rng.randint(3, 9 * self.num_digits)
        size = len(str(bound)) + 1
        digits = str(bound).zfill(size)
        # The first place from the right that can grow, with the rest filled from the right.
        for place in range(size - 1, -1, -1):
            head = sum(map(int, digits[:place]))
            for digit in range(int(digits[place]) + 1, 10):
                rest = target - head - digit
                if 0 <= rest <= 9 * (size - 1 - place):
                    tail = _fill(rest, size - 1 - place)
                    value = int(digits[:place] + str(digit) + tail)
                    return self._smallest_problem(rng, bound, target, value)
        return None

    def _smallest_problem(self, rng: random.Random, bound: int, target: int, value: int) -> Problem:
        question = self.ask(
            rng,
            en=(
                "What is the smallest integer greater than {n} whose digit sum is {s}?",
                "Find the least integer k > {n} such that the decimal digits of k add up to {s}.",
            ),
            zh=(
                "大于 {n} 且各位数字之和为 {s} 的最小整数是多少？",
                "求最小的整数 k > {n}，使 k 的各位数字之和等于 {s}。",
            ),
            n=bound,
            s=target,
        )
        steps = (f"{value} > {bound}", f"{' + '.join(str(value))} = {target}")
        return Problem(question=question, gold=str(value), form="integer", data=(bound, target), steps=steps)

    def _total(self, rng: random.Random) -> Problem:
        """Returns the sum of all digits of all numbers from 1 to n."""
        top = rng.randint(20, 10 ** min(self.num_digits, 6) - 1)
        steps, total = [], 0
        for place in range(len(str(top))):
            unit = 10**place
            high, digit, low = top // (10 * unit), top // unit % 10, top % unit
            part = (45 * high + digit * (digit - 1) // 2) * unit + digit * (low + 1)
            steps.append(f"{unit}: (45*{high} + {digit * (digit - 1) // 2})*{unit} + {digit}*({low} + 1) = {part}")
            total += part
        steps.append(self.say(f"total {total}", f"总和 {total}"))
        question = self.ask(
            rng,
            en=(
                "All integers from 1 to {n} are written down. What is the sum of all their digits?",
                "Add the digit sums of 1, 2, 3, ..., {n}. What is the total?",
            ),
            zh=(
                "写出 1 到 {n} 的所有整数，它们所有数字之和是多少？",
                "把 1, 2, 3, ..., {n} 各数的各位数字之和全部相加，结果是多少？",
            ),
            n=top,
        )
        return Problem(question=question, gold=str(total), form="integer", data=(top,), steps=tuple(steps))


def digit_sum(n: int) -> int:
    """Returns the sum of the decimal digits."""
    return sum(map(int, str(n)))


def _fill(total: int, size: int) -> str:
    """Returns the smallest digits of a length with a sum: nines at the end."""
    digits = ""
    for _ in range(size):
        digits = str(min(9, total)) + digits
        total -= min(9, total)
    return digits


def _count_up_to(top: int, target: int) -> tuple[int, list[str]]:
    """Returns how many integers from 0 to `top` have a digit sum, by their common beginning with `top`."""
    text = str(top)
    free = [[1] + [0] * target]
    for _ in text:
        free.append([sum(free[-1][s - x] for x in range(min(s, 9) + 1)) for s in range(target + 1)])
    total, steps, rest = 0, [], target
    for place, digit in enumerate(map(int, text)):
        left = len(text) - 1 - place
        counts = [free[left][rest - x] for x in range(digit) if x <= rest]
        if counts:
            steps.append(f"{text[:place]}[<{digit}]{'*' * left}: {' + '.join(map(str, counts))} = {sum(counts)}")
        total += sum(counts)
        rest -= digit
        if rest < 0:
            return total, [*steps, str(total)]
    is_last = rest == 0
    return total + is_last, [*steps, f"{text}: {int(is_last)}", str(total + is_last)]
