"""The tables of pairs that the tests and the benchmark of the math checker read."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fulmen.rewards.math import MathChecker

_FAMILY = re.compile(r"\[([a-z ]+)\]")
_PAIR = re.compile(r"(.*) (===|=/=) (.*)")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A reference, an answer, and whether they are equal."""

    family: str
    gold: str
    answer: str
    is_equal: bool


@cache
def read_table(name: str) -> tuple[Pair, ...]:
    """Returns the pairs of `math_<name>.txt`: `audit`, `pairs` or `hostile`."""
    pairs: list[Pair] = []
    family, gold = "", ""
    for line in Path(__file__).with_name(f"math_{name}.txt").read_text().split("\n"):
        if found := _FAMILY.fullmatch(line):
            family = found.group(1)
        elif line.startswith("gold: "):
            gold = line.removeprefix("gold: ")
        elif family and name == "hostile" and line:
            pairs.append(Pair(family=family, gold=gold, answer=line, is_equal=False))
        elif family and line:
            found = _PAIR.fullmatch(line)
            assert found is not None, f"math_{name}.txt: {line!r}"
            pairs.append(
                Pair(family=family, gold=found.group(1), answer=found.group(3), is_equal=found.group(2) == "===")
            )
    return tuple(pairs)


def families(name: str) -> list[str]:
    """Returns the names of a table's families."""
    return list(dict.fromkeys(pair.family for pair in read_table(name)))


@cache
def checker() -> MathChecker:
    """Returns the checker that all tests share; its worker is started once."""
    return MathChecker()
