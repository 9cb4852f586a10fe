"""Percentages: parts, changes one after the other, and changes undone."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class Percentages(MathFamily):
    """Percentages of numbers, and percentage changes."""

    name: str = "math_percentages"
    kinds: tuple[str, ...] = ("of", "change", "reverse", "what_percent")
    percent_step: int = 5
    """All percentages are multiples of this, 1 to 10."""
    num_changes: int = 2
    """Changes in a chain, 2 to 6."""

    rule: ClassVar[str] = "find a part, a change or the whole of it in percent"
    bounds: ClassVar = {"percent_step": (1, 10), "num_changes": (2, 6)}
    levels: ClassVar[Levels] = (
        {"kinds": ("of",)},
        {"kinds": ("of", "change", "what_percent")},
        {},
        {"kinds": ("change", "reverse", "chain"), "percent_step": 1},
        {"kinds": ("chain", "undo_chain", "net"), "percent_step": 1, "num_changes": 4},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "of": self._of,
            "change": self._change,
            "reverse": self._reverse,
            "what_percent": self._what_percent,
            "chain": self._chain,
            "undo_chain": self._undo_chain,
            "net": self._net,
        }

    def _percent(self, rng: random.Random, high: int) -> int:
        return self.percent_step * rng.randint(1, high // self.percent_step)

    def _changes(self, rng: random.Random) -> list[int]:
        """Returns signed changes in percent."""
        return [self._percent(rng, 60) * rng.choice((1, -1)) for _ in range(self.num_changes)]

    def _told(self, changes: list[int]) -> str:
        parts = [
            self.say(
                f"{'rises' if change > 0 else 'falls'} by {abs(change)}%",
                f"{'上涨' if change > 0 else '下降'} {abs(change)}%",
            )
            for change in changes
        ]
        return self.say(", then ", "，再").join(parts)

    def _of(self, rng: random.Random) -> Problem:
        percent, whole = self._percent(rng, 200), 4 * rng.randint(1, 250)
        value = Fraction(percent * whole, 100)
        question = self.ask(
            rng,
            en=("What is {p}% of {n}?", "Find {p}% of {n}.", "How much is {p} percent of {n}?"),
            zh=("{n} 的 {p}% 是多少？", "求 {n} 的 {p}%。"),
            p=percent,
            n=whole,
        )
        steps = (f"{percent} * {whole} = {percent * whole}", f"{percent * whole} / 100 = {write(value)}")
        return Problem(question=question, gold=write(value), form="fraction", data=(percent, whole), steps=steps)

    def _change(self, rng: random.Random) -> Problem:
        percent, whole, sign = self._percent(rng, 90), 20 * rng.randint(1, 100), rng.choice((1, -1))
        factor = 100 + sign * percent
        value = Fraction(factor * whole, 100)
        question = self.ask(
            rng,
            en=("A price of {n} {told}. What is the new price?", "A value of {n} {told}. What is it then?"),
            zh=("价格 {n} {told}，新价格是多少？", "某数值为 {n}，{told} 后是多少？"),
            n=whole,
            told=self._told([sign * percent]),
        )
        steps = (f"100 {'+' if sign > 0 else '-'} {percent} = {factor}", f"{whole} * {factor}/100 = {write(value)}")
        return Problem(question=question, gold=write(value), form="fraction", data=(sign * percent, whole), steps=steps)

    def _reverse(self, rng: random.Random) -> Problem:
        percent, whole, sign = self._percent(rng, 90), 20 * rng.randint(1, 100), rng.choice((1, -1))
        factor = 100 + sign * percent
        if factor * whole % 100:
            return self._reverse(rng)
        after = factor * whole // 100
        question = self.ask(
            rng,
            en=(
                "A price {told} and is now {n}. What was it before?",
                "After a quantity {told}, it is {n}. What was it before the change?",
            ),
            zh=("某价格{told}后为 {n}，原价是多少？", "一个量{told}后等于 {n}，变化前是多少？"),
            n=after,
            told=self._told([sign * percent]),
        )
        steps = (f"100 {'+' if sign > 0 else '-'} {percent} = {factor}", f"{after} * 100/{factor} = {whole}")
        return Problem(question=question, gold=str(whole), form="fraction", data=(sign * percent, after), steps=steps)

    def _what_percent(self, rng: random.Random) -> Problem:
        percent, whole = self._percent(rng, 150), 20 * rng.randint(1, 60)
        if percent * whole % 100:
            return self._what_percent(rng)
        part = percent * whole // 100
        question = self.ask(
            rng,
            en=(
                "How many percent of {n} is {m}? Give the number of percent.",
                "{m} is what percent of {n}? Give the number of percent.",
            ),
            zh=("{m} 是 {n} 的百分之几？只写百分数中的数。", "{m} 占 {n} 的百分之多少？只写百分数中的数。"),
            m=part,
            n=whole,
        )
        steps = (f"100 * {part} / {whole} = {percent}",)
        return Problem(question=question, gold=str(percent), form="fraction", data=(part, whole), steps=steps)

    def _chain(self, rng: random.Random) -> Problem:
        changes, whole = self._changes(rng), 100 * rng.randint(1, 80)
        value, steps = Fraction(whole), []
        for change in changes:
            step = f"{write(value)} * {100 + change}/100 = "
            value *= Fraction(100 + change, 100)
            steps.append(step + write(value))
        question = self.ask(
            rng,
            en=(
                "A price of {n} {told}. What is it in the end?",
                "Starting at {n}, an index {told}. Where does it end?",
            ),
            zh=("价格 {n} 先{told}，最后是多少？", "指数从 {n} 开始，先{told}，最后是多少？"),
            n=whole,
            told=self._told(changes),
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(changes, whole), steps=tuple(steps))

    def _undo_chain(self, rng: random.Random) -> Problem:
        changes, after = self._changes(rng), rng.randint(50, 4000)
        value, steps = Fraction(after), []
        for change in reversed(changes):
            step = f"{write(value)} * 100/{100 + change} = "
            value /= Fraction(100 + change, 100)
            steps.append(step + write(value))
        question = self.ask(
            rng,
            en=(
                "A price {told} and is {n} in the end. What was it at first?",
                "An amount {told}; it is {n} at last. Find the first amount.",
            ),
            zh=("某价格先{told}，最后为 {n}，最初是多少？", "某数量先{told}，最终等于 {n}，求最初的数量。"),
            n=after,
            told=self._told(changes),
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(changes, after), steps=tuple(steps))

    def _net(self, rng: random.Random) -> Problem:
        changes = self._changes(rng)
        value, steps = Fraction(1), []
        for change in changes:
            step = f"{write(value)} * {100 + change}/100 = "
            value *= Fraction(100 + change, 100)
            steps.append(step + write(value))
        net = 100 * (value - 1)
        steps.append(f"({write(value)} - 1) * 100 = {write(net)}")
        question = self.ask(
            rng,
            en=(
                "A quantity {told}. By how many percent has it changed in all? Give the number, negative for a fall.",
                "A price {told}. What one change in percent does the same? Give the number, negative for a fall.",
            ),
            zh=(
                "某量先{told}，总共变化了百分之几？只写百分数中的数，下降写负数。",
                "价格先{told}，相当于一次变化百分之几？只写百分数中的数，下降写负数。",
            ),
            told=self._told(changes),
        )
        return Problem(question=question, gold=write(net), form="fraction", data=(changes,), steps=tuple(steps))
