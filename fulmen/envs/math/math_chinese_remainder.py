"""Numbers with given remainders."""

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class ChineseRemainder(MathFamily):
    """The smallest non-negative integer with given remainders; moduli may share factors where the kind says so."""

    name: str = "math_chinese_remainder"
    kinds: tuple[str, ...] = ("coprime",)
    num_moduli: int = 3
    """Moduli, 2 to 6."""
    max_modulus: int = 13
    """Largest modulus, 8 to 60."""

    rule: ClassVar[str] = "find the smallest number with given remainders"
    bounds: ClassVar = {"num_moduli": (2, 6), "max_modulus": (8, 60)}
    levels: ClassVar[Levels] = (
        {"num_moduli": 2, "max_modulus": 15},
        {"num_moduli": 2, "max_modulus": 25},
        {},
        {"kinds": ("coprime", "shared"), "num_moduli": 3, "max_modulus": 30},
        {"kinds": ("coprime", "shared", "above"), "num_moduli": 4, "max_modulus": 45},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "coprime": lambda rng: self._make(rng, "coprime"),
            "shared": lambda rng: self._make(rng, "shared"),
            "above": lambda rng: self._make(rng, "above"),
        }

    def _make(self, rng: random.Random, kind: str) -> Problem | None:
        moduli = rng.sample(range(3, self.max_modulus + 1), self.num_moduli)
        whole = math.lcm(*moduli)
        is_coprime = whole == math.prod(moduli)
        if is_coprime != (kind != "shared") or any(a % b == 0 for a in moduli for b in moduli if a != b):
            return None
        secret = rng.randrange(whole)
        bound = rng.randint(1, 3) * 10 ** (len(str(whole)) - 1) if kind == "above" else 0
        pairs = [[m, secret % m] for m in moduli]
        value, step, steps = pairs[0][1], pairs[0][0], [f"x = {pairs[0][1]} + {pairs[0][0]}k"]
        for m, r in pairs[1:]:
            k = next(k for k in range(m) if (value + k * step) % m == r)
            following = value + k * step
            steps.append(f"{value} + {step}*{k} = {following} = {following // m}*{m} + {r}")
            value, step = following, math.lcm(step, m)
            steps.append(f"x = {value} + {step}k")
        found = value + -(-(bound + 1 - value) // step) * step if kind == "above" and value <= bound else value
        if found != value:
            steps.append(f"{value} + {step}*{(found - value) // step} = {found} > {bound}")
        told = self.say(", ", "，").join(self.say(f"{r} on division by {m}", f"除以 {m} 余 {r}") for m, r in pairs)
        question = self.ask(
            rng,
            en=(
                "Find the smallest {what} that leaves the remainders {told}.",
                "A {what} leaves the remainders {told}. What is the smallest such integer?",
                "Which is the least {what} with these remainders: {told}?",
            ),
            zh=("求最小的{what}，使它{told}。", "某{what}{told}，满足条件的最小的数是多少？"),
            told=told,
            what=self.say(
                f"integer greater than {bound}" if kind == "above" else "non-negative integer",
                f"大于 {bound} 的整数" if kind == "above" else "非负整数",
            ),
        )
        return Problem(
            question=question, gold=str(found), form="integer", data=(sorted(pairs), bound), steps=tuple(steps)
        )
