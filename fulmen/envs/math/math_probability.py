"""Probabilities of dice, urns, cards and coins, as exact fractions."""

import math
import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import listed, write
from fulmen.envs.puzzle import Levels

COLOURS = (("red", "红"), ("blue", "蓝"), ("green", "绿"), ("white", "白"))


@dataclass(frozen=True, kw_only=True)
class Probability(MathFamily):
    """Fair dice, fair coins, well-mixed urns and packs of cards."""

    name: str = "math_probability"
    kinds: tuple[str, ...] = ("dice_sum", "urn_same", "urn_exactly", "coins")
    max_balls: int = 9
    """Most balls of a colour, 4 to 30."""
    num_dice: int = 3
    """Most dice, or balls drawn, 2 to 6."""

    rule: ClassVar[str] = "find the probability of an event"
    bounds: ClassVar = {"max_balls": (4, 30), "num_dice": (2, 6)}
    levels: ClassVar[Levels] = (
        {"kinds": ("urn_one",), "max_balls": 20, "num_dice": 2},
        {"kinds": ("urn_one", "urn_same", "dice_sum"), "num_dice": 2, "max_balls": 12},
        {},
        {"kinds": ("dice_sum", "urn_exactly", "urn_least", "coins", "bayes"), "num_dice": 4, "max_balls": 14},
        {"kinds": ("urn_least", "bayes", "dice_max", "run", "different"), "num_dice": 6, "max_balls": 20},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "urn_one": self._urn_one,
            "urn_same": self._urn_same,
            "urn_exactly": lambda rng: self._urn(rng, is_least=False),
            "urn_least": lambda rng: self._urn(rng, is_least=True),
            "dice_sum": self._dice_sum,
            "dice_max": self._dice_max,
            "different": self._different,
            "coins": self._coins,
            "run": self._run,
            "bayes": self._bayes,
        }

    def _problem(self, question: str, value: Fraction, data: tuple[object, ...], steps: list[str]) -> Problem:
        return Problem(question=question, gold=write(value), form="fraction", data=data, steps=tuple(steps))

    def _colours(self, rng: random.Random, num: int) -> tuple[list[int], list[str], str]:
        """Returns counts, names and the telling of the balls of an urn."""
        counts = [rng.randint(2, self.max_balls) for _ in range(num)]
        names = [self.say(*colour) for colour in COLOURS[:num]]
        parts = [self.say(f"{c} {name}", f"{c} 个{name}球") for c, name in zip(counts, names, strict=True)]
        told = self.say(", ".join(parts[:-1]) + " and " + parts[-1] + " balls", "、".join(parts))
        return counts, names, told

    def _urn_one(self, rng: random.Random) -> Problem:
        counts, names, told = self._colours(rng, rng.randint(2, 4))
        i = rng.randrange(len(counts))
        value = Fraction(counts[i], sum(counts))
        question = self.ask(
            rng,
            en=(
                "An urn holds {told}. One ball is drawn at random. What is the probability that it is {x}?",
                "There are {told} in a bag. A random ball is taken. Find the probability of a {x} one.",
            ),
            zh=("袋中有{told}，随机取一个球，取到{x}球的概率是多少？", "盒子里有{told}。任取一球，求它是{x}球的概率。"),
            told=told,
            x=names[i],
        )
        steps = [f"{' + '.join(map(str, counts))} = {sum(counts)}", f"{counts[i]}/{sum(counts)} = {write(value)}"]
        return self._problem(question, value, (counts, i), steps)

    def _urn_same(self, rng: random.Random) -> Problem:
        counts, _, told = self._colours(rng, rng.randint(2, 4))
        n = sum(counts)
        good = [math.comb(c, 2) for c in counts]
        value = Fraction(sum(good), math.comb(n, 2))
        question = self.ask(
            rng,
            en=(
                "An urn holds {told}. Two balls are drawn at random without replacement. What is the "
                "probability that they "
                "have the same colour?",
                "From a bag with {told} two balls are taken at random, none put back. How likely are equal colours?",
            ),
            zh=(
                "袋中有{told}，不放回地随机取两个球，两球同色的概率是多少？",
                "盒中有{told}，一次任取两球，求颜色相同的概率。",
            ),
            told=told,
        )
        steps = [
            " + ".join(f"C({c}, 2)" for c in counts) + f" = {sum(good)}",
            f"C({n}, 2) = {math.comb(n, 2)}",
            f"{sum(good)}/{math.comb(n, 2)} = {write(value)}",
        ]
        return self._problem(question, value, (counts,), steps)

    def _urn(self, rng: random.Random, *, is_least: bool) -> Problem | None:
        counts, names, told = self._colours(rng, rng.randint(2, 3))
        n, drawn = sum(counts), rng.randint(2, self.num_dice)
        i, want = rng.randrange(len(counts)), rng.randint(1, drawn)
        c = counts[i]
        cases = range(want, drawn + 1) if is_least else range(want, want + 1)
        good = [math.comb(c, k) * math.comb(n - c, drawn - k) for k in cases]
        if not 0 < sum(good) < math.comb(n, drawn):
            return None
        value = Fraction(sum(good), math.comb(n, drawn))
        how = self.say("at least" if is_least else "exactly", "至少" if is_least else "恰好")
        question = self.ask(
            rng,
            en=(
                "An urn holds {told}. {k} balls are drawn at random without replacement. What is the "
                "probability of {how} {w} "
                "{x} among them?",
                "{k} balls are taken at random from a bag of {told}, none is put back. Find the probability of taking "
                "{how} {w} {x} ones.",
            ),
            zh=(
                "袋中有{told}，不放回地随机取 {k} 个球，其中{how}有 {w} 个{x}球的概率是多少？",
                "盒中有{told}，一次任取 {k} 个，求{how}取到 {w} 个{x}球的概率。",
            ),
            told=told,
            k=drawn,
            how=how,
            w=want,
            x=names[i],
        )
        steps = [f"C({c}, {k})*C({n - c}, {drawn - k}) = {g}" for k, g in zip(cases, good, strict=True)]
        steps.append(f"C({n}, {drawn}) = {math.comb(n, drawn)}")
        steps.append(f"{sum(good)}/{math.comb(n, drawn)} = {write(value)}")
        return self._problem(question, value, (counts, i, drawn, want), steps)

    def _dice_sum(self, rng: random.Random) -> Problem:
        dice, sides = rng.randint(2, self.num_dice), rng.choice((4, 6, 6, 8, 10, 12))
        target = rng.randint(dice + 1, dice * sides - 1)
        is_least = rng.random() < 0.5
        ways = {0: 1}
        steps = []
        for k in range(1, dice + 1):
            sums = range(k, k * sides + 1)
            ways = {s: sum(ways.get(s - x, 0) for x in range(1, sides + 1)) for s in sums}
            if k > 1:
                steps.append(f"{k}: {', '.join(f'{s}:{w}' for s, w in ways.items())}")
        good = sum(w for s, w in ways.items() if s == target or (is_least and s > target))
        value = Fraction(good, sides**dice)
        question = self.ask(
            rng,
            en=(
                "{n} fair dice with {m} sides, numbered 1 to {m}, are rolled. What is the probability that "
                "the sum is {how} {s}?",
                "Roll {n} fair {m}-sided dice (faces 1 to {m}). Find the probability of a sum of {how} {s}.",
            ),
            zh=(
                "掷 {n} 枚均匀的 {m} 面骰子（面上为 1 到 {m}），点数之和{how} {s} 的概率是多少？",
                "同时掷 {n} 枚公平的 {m} 面骰子（点数 1 到 {m}），求点数和{how} {s} 的概率。",
            ),
            n=dice,
            m=sides,
            s=target,
            how=self.say("at least" if is_least else "exactly", "至少为" if is_least else "恰为"),
        )
        steps.append(f"{good}/{sides**dice} = {write(value)}")
        return self._problem(question, value, (dice, sides, target, is_least), steps)

    def _dice_max(self, rng: random.Random) -> Problem:
        dice, sides = rng.randint(2, self.num_dice), rng.randint(4, 20)
        top = rng.randint(2, sides)
        good = top**dice - (top - 1) ** dice
        value = Fraction(good, sides**dice)
        question = self.ask(
            rng,
            en=(
                "{n} fair dice, each numbered 1 to {m}, are rolled. What is the probability that the "
                "largest number is exactly {k}?",
                "Roll {n} fair dice with faces 1 to {m}. How likely is it that the highest of them shows {k}?",
            ),
            zh=(
                "掷 {n} 枚均匀的骰子（面上为 1 到 {m}），最大点数恰为 {k} 的概率是多少？",
                "{n} 枚公平骰子（点数 1 到 {m}）中最大的点数等于 {k}，求其概率。",
            ),
            n=dice,
            m=sides,
            k=top,
        )
        steps = [f"{top}^{dice} - {top - 1}^{dice} = {good}", f"{good}/{sides}^{dice} = {write(value)}"]
        return self._problem(question, value, (dice, sides, top), steps)

    def _different(self, rng: random.Random) -> Problem:
        dice = rng.randint(2, self.num_dice)
        sides = rng.randint(dice + 1, 24)
        good = math.perm(sides, dice)
        value = 1 - Fraction(good, sides**dice)
        question = self.ask(
            rng,
            en=(
                "{n} people each choose a whole number from 1 to {m}, independently and evenly. What is "
                "the probability that at "
                "least two choose the same?",
                "{n} numbers are drawn independently and uniformly from 1 to {m}. Find the probability "
                "that they are not all "
                "different.",
            ),
            zh=(
                "{n} 人各自独立且等可能地从 1 到 {m} 中选一个整数，至少两人选中同一个数的概率是多少？",
                "独立均匀地从 1 到 {m} 中抽取 {n} 个整数（可重复），求它们不全不同的概率。",
            ),
            n=dice,
            m=sides,
        )
        factors = "*".join(str(sides - i) for i in range(dice))
        steps = [f"{factors} = {good}", f"1 - {good}/{sides**dice} = {write(value)}"]
        return self._problem(question, value, (dice, sides), steps)

    def _coins(self, rng: random.Random) -> Problem:
        n = rng.randint(3, 3 * self.num_dice)
        low = rng.randint(0, n - 1)
        high = rng.randint(low, n - (low == 0))
        parts = [math.comb(n, k) for k in range(low, high + 1)]
        value = Fraction(sum(parts), 2**n)
        question = self.ask(
            rng,
            en=(
                "A fair coin is tossed {n} times. What is the probability that the number of heads is {how}?",
                "Toss a fair coin {n} times. Find the probability that the count of heads is {how}.",
            ),
            zh=("抛 {n} 次均匀硬币，正面次数{how}的概率是多少？", "公平硬币抛 {n} 次，求正面出现的次数{how}的概率。"),
            n=n,
            how=(
                self.say(f"exactly {low}", f"恰为 {low}")
                if low == high
                else self.say(f"from {low} to {high}, both included", f"在 {low} 到 {high} 之间（含两端）")
            ),
        )
        steps = [" + ".join(f"C({n}, {k})" for k in range(low, high + 1)) + f" = {sum(parts)}"]
        steps.append(f"{sum(parts)}/{2**n} = {write(value)}")
        return self._problem(question, value, (n, low, high), steps)

    def _run(self, rng: random.Random) -> Problem:
        """Returns the chance of no run of k heads in n tosses, heads having the chance p."""
        n, k, p = rng.randint(4, 9), rng.randint(2, 3), Fraction(rng.randint(1, 4), 5)
        # state[j]: no run so far, and the last j tosses are heads.
        state = [Fraction(1)] + [Fraction(0)] * (k - 1)
        steps = []
        for i in range(1, n + 1):
            state = [sum(state, Fraction(0)) * (1 - p), *(chance * p for chance in state[:-1])]
            steps.append(f"{i}: {listed(state)}")
        value = sum(state, Fraction(0))
        steps.append(f"{' + '.join(map(write, state))} = {write(value)}")
        question = self.ask(
            rng,
            en=(
                "A coin shows heads with probability {p}. It is tossed {n} times, independently. What is "
                "the probability that "
                "there are no {k} heads in a row?",
                "Each of {n} independent tosses is heads with probability {p}. Find the probability that "
                "heads never appear "
                "{k} times in a row.",
            ),
            zh=(
                "一枚硬币正面概率为 {p}，独立抛 {n} 次，没有出现连续 {k} 次正面的概率是多少？",
                "独立抛 {n} 次硬币，每次正面的概率为 {p}，求从未连续 {k} 次出现正面的概率。",
            ),
            n=n,
            k=k,
            p=write(p),
        )
        return self._problem(question, value, (n, k, write(p)), steps)

    def _bayes(self, rng: random.Random) -> Problem:
        (a, b), (c, d) = ((rng.randint(1, self.max_balls), rng.randint(1, self.max_balls)) for _ in range(2))
        weight = Fraction(rng.randint(1, 5), 6)
        first, second = weight * Fraction(a, a + b), (1 - weight) * Fraction(c, c + d)
        value = first / (first + second)
        question = self.ask(
            rng,
            en=(
                "Urn A holds {a} red and {b} blue balls, urn B {c} red and {d} blue. Urn A is chosen with "
                "probability {w}, "
                "otherwise urn B, and one ball is drawn from it at random. It is red. What is the "
                "probability that it came "
                "from urn A?",
                "With probability {w} a ball is drawn at random from urn A ({a} red, {b} blue), else from "
                "urn B ({c} red, "
                "{d} blue). Given that the ball is red, find the probability that urn A was used.",
            ),
            zh=(
                "甲袋有 {a} 个红球和 {b} 个蓝球，乙袋有 {c} 个红球和 {d} 个蓝球。以概率 {w} 选甲袋，"
                "否则选乙袋，再从中随机取一球，结果是红球。它来自甲袋的概率是多少？",
                "以概率 {w} 从甲袋（{a} 红 {b} 蓝）、否则从乙袋（{c} 红 {d} 蓝）随机取一球。已知取到红球，"
                "求使用的是甲袋的概率。",
            ),
            a=a,
            b=b,
            c=c,
            d=d,
            w=write(weight),
        )
        steps = [
            f"{write(weight)} * {a}/{a + b} = {write(first)}",
            f"{write(1 - weight)} * {c}/{c + d} = {write(second)}",
            f"({write(first)}) / ({write(first)} + {write(second)}) = {write(value)}",
        ]
        return self._problem(question, value, (a, b, c, d, write(weight)), steps)
