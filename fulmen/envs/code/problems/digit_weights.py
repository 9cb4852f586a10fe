"""How many numbers up to a bound have a digit sum that a divisor divides."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    bound = rng.randint(0, 10 ** rng.randint(1, size))
    if rng.random() < 0.3:
        bound = 10**size - rng.randint(0, 1)
    return f"{min(bound, 10**18)} {rng.choice((1, 2, 3, 9, 10, 7, 150, rng.randint(1, 60)))}\n"


def validate(given: Given) -> None:
    _, divisor = given.ints(2, low=0, high=10**18)
    require(1 <= divisor <= 200, "k")


PROBLEM = Problem(
    name="digit_weights",
    level="hard",
    en=Text(
        task="A combination lock opens at every number whose digits add up to a multiple of k; the sum 0 is a "
        "multiple as well. At how many of the numbers from 0 to b, both included, does it open?",
        given="One line with b (0 to 10^18) and k (1 to 200).",
        wanted="How many numbers open the lock.",
    ),
    samples=(("20 5\n", "4\n"), ("0 3\n", "1\n")),
    generate=generate,
    validate=validate,
    small=4,
    large=18,
    edges=("9 9\n", "10 1\n", "99 18\n", "1000000000000000000 1\n", "999999999999999999 162\n"),
    idea="Go through the digits of the bound and count by sum: numbers that are smaller already are free, one is "
    "still equal.",
    solution="""\
bound, divisor = input().split()
divisor = int(divisor)
free = [0] * divisor
tight = 0
for digit in map(int, bound):
    after = [0] * divisor
    for rest, count in enumerate(free):
        if count:
            for d in range(10):
                after[(rest + d) % divisor] += count
    for d in range(digit):
        after[(tight + d) % divisor] += 1
    free, tight = after, (tight + digit) % divisor
print(free[0] + (tight == 0))
""",
    brute="""\
bound, divisor = map(int, input().split())
print(sum(sum(map(int, str(x))) % divisor == 0 for x in range(bound + 1)))
""",
    wrong={
        "number by number": """\
bound, k = map(int, input().split())
count = 0
for x in range(bound + 1):
    s = 0
    while x:
        s += x % 10
        x //= 10
    count += s % k == 0
print(count)
""",
        "leaves the bound out": """\
bound, k = input().split()
k = int(k)
free, tight = [0] * k, 0
for digit in map(int, bound):
    after = [0] * k
    for r in range(k):
        for d in range(10):
            after[(r + d) % k] += free[r]
    for d in range(digit):
        after[(tight + d) % k] += 1
    free, tight = after, (tight + digit) % k
print(free[0])
""",
        "multiples themselves": """\
bound, k = map(int, input().split())
print(bound // k + 1)
""",
    },
)
