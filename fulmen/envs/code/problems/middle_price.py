"""The median after every new value."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    high = rng.choice((5, 10**9))
    prices = [rng.randint(0, high) for _ in range(size)]
    if rng.random() < 0.2 and size <= 1000:
        prices.sort(reverse=rng.random() < 0.5)
    return [prices]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    require(1 <= len(check_ints(given.arguments[0], low=0, high=10**9)) <= 20000, "prices")


PROBLEM = Problem(
    name="middle_price",
    level="hard",
    en=Text(
        task="A broker hears prices one by one. After each, the broker writes down the middle price so far: the one "
        "in the middle if the prices are sorted, and the lower one of the two in the middle where their number is "
        "even. What is the sum of all that was written down?",
        given="`prices`: 1 to 20000 integers from 0 to 10^9.",
        wanted="The sum of the middle prices.",
    ),
    samples=(([[5, 1, 3, 9]], 12), ([[2, 2]], 4)),
    generate=generate,
    validate=validate,
    small=8,
    large=20000,
    edges=([[7]], [[1, 2]], [[2, 1]], [[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]),
    function="written",
    signature="def written(prices: list[int]) -> int",
    judge=Judge(kind="json"),
    idea="Two heaps, one with the lower half and one with the upper; the top of the lower one is the middle.",
    solution="""\
from heapq import heappush, heappushpop

def written(prices):
    lower, upper, total = [], [], 0
    for price in prices:
        if len(lower) == len(upper):
            heappush(lower, -heappushpop(upper, price))
        else:
            heappush(upper, -heappushpop(lower, -price))
        total += -lower[0]
    return total
""",
    brute="""\
def written(prices):
    return sum(sorted(prices[:n])[(n - 1) // 2] for n in range(1, len(prices) + 1))
""",
    wrong={
        "the upper one of two": """\
from bisect import insort

def written(prices):
    seen, total = [], 0
    for p in prices:
        insort(seen, p)
        total += seen[len(seen) // 2]
    return total
""",
        "sorts every time": """\
def written(prices):
    total = 0
    for n in range(1, len(prices) + 1):
        total += sorted(prices[:n])[(n - 1) // 2]
    return total
""",
        "the middle of the order heard": """\
def written(prices):
    return sum(prices[n // 2] for n in range(len(prices)))
""",
    },
)
