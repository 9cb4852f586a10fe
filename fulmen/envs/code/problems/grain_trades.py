"""Best profit of repeated trades with a fee."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((6, 30, 10**6))
    fee = rng.choice((0, 1, high // 4, high))
    return f"{size} {fee}\n{' '.join(str(rng.randint(1, high)) for _ in range(size))}\n"


def validate(given: Given) -> None:
    num, _ = given.ints(2, low=0, high=10**6)
    require(1 <= num <= 20000, "n")
    given.ints(num, low=1, high=10**6)


PROBLEM = Problem(
    name="grain_trades",
    level="medium",
    en=Text(
        task="A miller knows the price of a sack of grain for each of n days. The mill holds at most one sack; each "
        "day the miller may buy one, sell one, or wait. Every purchase costs a fee f on top of the price. There is "
        "no sack at the beginning. What is the greatest profit?",
        given="A line with n (1 to 20000) and f (0 to 10^6), then a line with n prices from 1 to 10^6.",
        wanted="The greatest profit, at least 0.",
    ),
    samples=(("5 1\n2 5 4 8 1\n", "5\n"), ("3 2\n3 2 1\n", "0\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=20000,
    edges=("1 0\n5\n", "2 3\n1 4\n", "6 2\n1 3 2 8 4 9\n", "4 0\n1 2 1 2\n"),
    idea="Keep two numbers per day: the best purse with a sack in the mill, and the best without.",
    solution="""\
n, fee = map(int, input().split())
without, holding = 0, None
for price in map(int, input().split()):
    sold = without if holding is None else max(without, holding + price)
    bought = without - price - fee
    holding = bought if holding is None else max(holding, bought)
    without = sold
print(without)
""",
    brute="""\
n, fee = map(int, input().split())
prices = list(map(int, input().split()))

def best(day, has):
    if day == n:
        return -10**12 if has else 0
    act = prices[day] if has else -prices[day] - fee
    return max(best(day + 1, has), act + best(day + 1, not has))

print(best(0, False))
""",
    wrong={
        "adds every rise": """\
n, fee = map(int, input().split())
a = list(map(int, input().split()))
print(sum(max(0, y - x - fee) for x, y in zip(a, a[1:])))
""",
        "one trade": """\
n, fee = map(int, input().split())
a = list(map(int, input().split()))
low, best = a[0], 0
for x in a:
    best = max(best, x - low - fee)
    low = min(low, x)
print(best)
""",
        "no fee": """\
n, fee = map(int, input().split())
a = list(map(int, input().split()))
print(sum(max(0, y - x) for x, y in zip(a, a[1:])))
""",
    },
)
