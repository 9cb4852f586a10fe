"""Two loads as equal as possible."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    high = rng.choice((5, 60, 400))
    weights = [rng.randint(1, high) for _ in range(size)]
    if rng.random() < 0.3:
        weights = [2 * w for w in weights]
    return [[min(w, 400) for w in weights]]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    require(len(check_ints(given.arguments[0], low=1, high=400)) <= 100, "weights")


PROBLEM = Problem(
    name="even_loads",
    level="medium",
    en=Text(
        task="A mule carries two baskets, and all parcels must go into one or the other. How small can the "
        "difference between the weights of the baskets be made?",
        given="`weights`: 0 to 100 integers from 1 to 400.",
        wanted="The least difference.",
    ),
    samples=(([[7, 5, 4, 4]], 2), ([[3]], 3), ([[]], 0)),
    generate=generate,
    validate=validate,
    small=9,
    large=100,
    edges=([[1, 1]], [[3, 3, 2, 2, 2]], [[8, 7, 6, 5, 4]], [[400, 1, 1]]),
    function="difference",
    signature="def difference(weights: list[int]) -> int",
    judge=Judge(kind="json"),
    idea="Find all sums that one basket can have (a bit set will do) and take the one nearest to half of the total.",
    solution="""\
def difference(weights):
    total, reachable = sum(weights), 1
    for weight in weights:
        reachable |= reachable << weight
    half = total // 2
    while not reachable >> half & 1:
        half -= 1
    return total - 2 * half
""",
    brute="""\
from itertools import product

def difference(weights):
    return min(abs(sum(s * w for s, w in zip(signs, weights))) for signs in product((1, -1), repeat=len(weights)))
""",
    wrong={
        "the heaviest into the lighter basket": """\
def difference(weights):
    a = b = 0
    for w in sorted(weights, reverse=True):
        if a <= b:
            a += w
        else:
            b += w
    return abs(a - b)
""",
        "merges the two heaviest": """\
def difference(weights):
    weights = sorted(weights)
    while len(weights) > 1:
        a, b = weights.pop(), weights.pop()
        weights = sorted([*weights, a - b])
    return weights[0] if weights else 0
""",
        "parity decides": """\
def difference(weights):
    return sum(weights) % 2
""",
    },
)
