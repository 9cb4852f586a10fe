"""The chance that several dice reach a sum."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> str:
    sides = rng.randint(2, min(20, size + 1))
    low, high = size, size * sides
    wanted = rng.choice((rng.randint(low, high), low, high, high + 1, (low + high) // 2))
    return f"{size} {sides} {wanted}\n"


def validate(given: Given) -> None:
    num, sides, _ = given.ints(3, low=1, high=2001)
    require(num <= 100 and 2 <= sides <= 20, "dice")


PROBLEM = Problem(
    name="dice_tower",
    level="medium",
    en=Text(
        task="n fair dice with s sides each, numbered from 1 to s, fall from a tower. What is the probability that "
        "they show at least t together?",
        given="One line with n (1 to 100), s (2 to 20) and t (1 to 2001).",
        wanted="The probability, with an error of at most 10^-6, absolute or relative.",
    ),
    samples=(("2 6 11\n", "0.08333333\n"), ("1 4 1\n", "1.0\n")),
    generate=generate,
    validate=validate,
    small=5,
    large=100,
    edges=("1 2 1\n", "1 2 2\n", "1 2 3\n", "3 6 18\n", "3 6 19\n", "100 20 2000\n"),
    judge=Judge(kind="floats", abs_tol=1e-9, rel_tol=1e-6),
    idea="Build the distribution of the sum die by die, then add up its tail.",
    solution="""\
num, sides, wanted = map(int, input().split())
chance = [1.0]
for _ in range(num):
    # A sum of the last `sides` entries slides along.
    after, window = [], 0.0
    for total in range(len(chance) + sides):
        after.append(window / sides)
        window += chance[total] if total < len(chance) else 0.0
        window -= chance[total - sides] if total >= sides else 0.0
    chance = after
print(sum(chance[wanted:]))
""",
    brute="""\
from fractions import Fraction
from itertools import product

num, sides, wanted = map(int, input().split())
hits = sum(sum(roll) >= wanted for roll in product(range(1, sides + 1), repeat=num))
print(float(Fraction(hits, sides ** num)))
""",
    wrong={
        "more than t": """\
num, sides, wanted = map(int, input().split())
c = [1.0]
for _ in range(num):
    c = [sum(c[t - s] for s in range(1, sides + 1) if 0 <= t - s < len(c)) / sides for t in range(len(c) + sides)]
print(sum(c[wanted + 1:]))
""",
        "four decimals": """\
num, sides, wanted = map(int, input().split())
c = [1.0]
for _ in range(num):
    c = [sum(c[t - s] for s in range(1, sides + 1) if 0 <= t - s < len(c)) / sides for t in range(len(c) + sides)]
print(f"{sum(c[wanted:]):.4f}")
""",
        "the normal curve": """\
from math import erf, sqrt

num, sides, wanted = map(int, input().split())
mean, var = num * (sides + 1) / 2, num * (sides * sides - 1) / 12
print(0.5 - 0.5 * erf((wanted - 0.5 - mean) / sqrt(2 * var)))
""",
    },
)
