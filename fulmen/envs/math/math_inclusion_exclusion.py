"""Inclusion and exclusion: integers divisible by some of a few numbers, and surveys."""

import itertools
import math
import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import listed
from fulmen.envs.puzzle import Levels

TOPICS = (("tea", "喝茶"), ("chess", "下棋"), ("swimming", "游泳"), ("opera", "听歌剧"), ("cycling", "骑车"))


@dataclass(frozen=True, kw_only=True)
class InclusionExclusion(MathFamily):
    """Sizes of unions, of their complements, and of what is in exactly one set."""

    name: str = "math_inclusion_exclusion"
    kinds: tuple[str, ...] = ("any", "none", "survey_three")
    num_divisors: int = 2
    """Numbers to be divisible by, 2 to 5."""
    max_total: int = 1000
    """Largest number counted up to, 50 to 100000."""

    rule: ClassVar[str] = "count a union of sets or what is outside it"
    bounds: ClassVar = {"num_divisors": (2, 5), "max_total": (50, 100_000)}
    levels: ClassVar[Levels] = (
        {"kinds": ("any", "survey"), "max_total": 120},
        {"kinds": ("any", "none", "survey"), "max_total": 400},
        {},
        {"kinds": ("any", "none", "exactly_one", "survey_three"), "num_divisors": 3, "max_total": 5000},
        {"kinds": ("none", "exactly_one", "coprime"), "num_divisors": 4, "max_total": 50_000},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "any": lambda rng: self._divisible(rng, "any"),
            "none": lambda rng: self._divisible(rng, "none"),
            "exactly_one": lambda rng: self._divisible(rng, "exactly_one"),
            "coprime": self._coprime,
            "survey": self._survey,
            "survey_three": self._survey_three,
        }

    def _divisible(self, rng: random.Random, kind: str) -> Problem | None:
        divisors = sorted(rng.sample(range(2, 16), self.num_divisors))
        if any(b % a == 0 for a, b in itertools.combinations(divisors, 2)):
            return None
        n = rng.randint(self.max_total // 5, self.max_total)
        total, steps = 0, []
        for size in range(1, len(divisors) + 1):
            for group in itertools.combinations(divisors, size):
                step = math.lcm(*group)
                # Exactly one: an element in j sets is counted j times by the singles, and so on: weights 1, -2, 3, ...
                weight = (-1) ** (size + 1) * (size if kind == "exactly_one" else 1)
                total += weight * (n // step)
                steps.append(f"{'+' if weight > 0 else '-'} {abs(weight)} * floor({n}/{step}) = {weight * (n // step)}")
        steps.append(self.say(f"sum {total}", f"和 {total}"))
        value = n - total if kind == "none" else total
        if kind == "none":
            steps.append(f"{n} - {total} = {value}")
        en = {"any": "at least one", "none": "none", "exactly_one": "exactly one"}[kind]
        zh = {"any": "至少一个", "none": "任何一个都不", "exactly_one": "恰好一个"}[kind]
        question = self.ask(
            rng,
            en=(
                "How many integers from 1 to {n} are divisible by {w} of the numbers {d}?",
                "Count the integers k with 1 ≤ k ≤ {n} that are multiples of {w} of {d}.",
            ),
            zh=(
                (
                    "1 到 {n} 的整数中，不能被 {d} 中任何一个整除的有多少个？",
                    "求满足 1 ≤ k ≤ {n} 且不是 {d} 中任何一个的倍数的整数 k 的个数。",
                )
                if kind == "none"
                else (
                    "1 到 {n} 的整数中，能被 {d} 中{w}整除的有多少个？",
                    "求满足 1 ≤ k ≤ {n} 且是 {d} 中{w}的倍数的整数 k 的个数。",
                )
            ),
            n=n,
            d=listed(divisors),
            w=self.say(en, zh),
        )
        return Problem(question=question, gold=str(value), form="integer", data=(n, divisors), steps=tuple(steps))

    def _coprime(self, rng: random.Random) -> Problem:
        """Returns how many integers up to n have no factor in common with m."""
        primes = sorted(rng.sample((2, 3, 5, 7, 11, 13), rng.randint(2, 4)))
        m = math.prod(primes) * rng.choice((1, 1, primes[0]))
        n = rng.randint(self.max_total // 5, self.max_total)
        value, steps = 0, [f"{m}: {listed(primes)}"]
        for size in range(len(primes) + 1):
            for group in itertools.combinations(primes, size):
                d = math.prod(group)
                value += (-1) ** size * (n // d)
                steps.append(f"{'-' if size % 2 else '+'} floor({n}/{d}) = {(-1) ** size * (n // d)}")
        steps.append(str(value))
        question = self.ask(
            rng,
            en=(
                "How many integers from 1 to {n} have no common factor above 1 with {m}?",
                "Count the integers k with 1 ≤ k ≤ {n} and gcd(k, {m}) = 1.",
            ),
            zh=(
                "1 到 {n} 的整数中，与 {m} 互质的有多少个？",
                "求满足 1 ≤ k ≤ {n} 且 gcd(k, {m}) = 1 的整数 k 的个数。",
            ),
            n=n,
            m=m,
        )
        return Problem(question=question, gold=str(value), form="integer", data=(n, m), steps=tuple(steps))

    def _survey(self, rng: random.Random) -> Problem:
        only_a, only_b, both, neither = (rng.randint(2, self.max_total // 4) for _ in range(4))
        a, b, n = only_a + both, only_b + both, only_a + only_b + both + neither
        first, second = rng.sample(TOPICS, 2)
        question = self.ask(
            rng,
            en=(
                "Of {n} people, {a} like {x}, {b} like {y}, and {z} like neither. How many like both?",
                "{n} guests were asked: {a} like {x}, {b} like {y}, {z} like neither of the two. How many like both?",
            ),
            zh=(
                "{n} 人中，{a} 人喜欢{x}，{b} 人喜欢{y}，{z} 人两样都不喜欢。两样都喜欢的有多少人？",
                "调查 {n} 位客人：{a} 人喜欢{x}，{b} 人喜欢{y}，{z} 人两者都不喜欢，两者都喜欢的有几人？",
            ),
            n=n,
            a=a,
            b=b,
            z=neither,
            x=self.say(*first),
            y=self.say(*second),
        )
        steps = (f"{n} - {neither} = {n - neither}", f"{a} + {b} - {n - neither} = {both}")
        return Problem(question=question, gold=str(both), form="integer", data=(n, a, b, neither), steps=steps)

    def _survey_three(self, rng: random.Random) -> Problem:
        parts = {mask: rng.randint(1, self.max_total // 20) for mask in range(8)}
        sizes = [sum(v for mask, v in parts.items() if mask >> i & 1) for i in range(3)]
        pairs = [
            sum(v for mask, v in parts.items() if mask >> i & 1 and mask >> j & 1) for i, j in ((0, 1), (0, 2), (1, 2))
        ]
        triple, neither, n = parts[7], parts[0], sum(parts.values())
        names = [self.say(*topic) for topic in rng.sample(TOPICS, 3)]
        question = self.ask(
            rng,
            en=(
                "In a group of {n} people, {a} like {x}, {b} like {y} and {c} like {z}. {ab} like {x} and "
                "{y}, {ac} like {x} "
                "and {z}, {bc} like {y} and {z}; these counts include the {t} people who like all three. "
                "How many like none of the three?",
                "{n} people were asked. {x}: {a}, {y}: {b}, {z}: {c}. {x} and {y}: {ab}, {x} and {z}: "
                "{ac}, {y} and {z}: {bc} "
                "(those who like all three are counted each time). All three: {t}. How many like none of the three?",
            ),
            zh=(
                "{n} 人中，{a} 人喜欢{x}，{b} 人喜欢{y}，{c} 人喜欢{z}；{ab} 人喜欢{x}和{y}，{ac} 人喜欢{x}和{z}，"
                "{bc} 人喜欢{y}和{z}（均包括三样都喜欢的 {t} 人）。三样都不喜欢的有多少人？",
                "调查 {n} 人：喜欢{x} {a} 人，喜欢{y} {b} 人，喜欢{z} {c} 人；同时喜欢{x}和{y}的 {ab} 人，"
                "{x}和{z}的 {ac} 人，"
                "{y}和{z}的 {bc} 人，其中三样都喜欢的 {t} 人（也计入前面各项）。一样都不喜欢的有几人？",
            ),
            n=n,
            a=sizes[0],
            b=sizes[1],
            c=sizes[2],
            ab=pairs[0],
            ac=pairs[1],
            bc=pairs[2],
            t=triple,
            x=names[0],
            y=names[1],
            z=names[2],
        )
        union = sum(sizes) - sum(pairs) + triple
        steps = (
            f"{sizes[0]} + {sizes[1]} + {sizes[2]} - {pairs[0]} - {pairs[1]} - {pairs[2]} + {triple} = {union}",
            f"{n} - {union} = {neither}",
        )
        data = (n, sizes, pairs, triple)
        return Problem(question=question, gold=str(neither), form="integer", data=data, steps=steps)
