"""The longest strictly rising subsequence."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((3, size, 10**9))
    values = [rng.randint(1, high) for _ in range(size)]
    if rng.random() < 0.2:
        values = list(range(size, 0, -1))
    elif rng.random() < 0.2:
        values = list(range(1, size + 1))
    return f"{size}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=20000)
    given.ints(num, low=1, high=10**9)


PROBLEM = Problem(
    name="rising_bridges",
    level="medium",
    en=Text(
        task="Pylons of different heights stand along a canyon. A rope way may skip pylons, but each pylon that it "
        "uses must be strictly higher than the one it used before. How many pylons can it use?",
        given="A line with n (1 to 20000), then a line with n heights from 1 to 10^9, in order.",
        wanted="The greatest number of pylons.",
    ),
    samples=(("6\n3 1 4 2 2 5\n", "3\n"), ("2\n2 2\n", "1\n")),
    generate=generate,
    validate=validate,
    small=9,
    large=20000,
    edges=("1\n1\n", "3\n3 2 1\n", "5\n1 2 1 2 3\n", "4\n10 1 2 3\n"),
    idea="For each length keep the lowest last pylon; a binary search finds where the next one fits.",
    solution="""\
from bisect import bisect_left

input()
last = []
for height in map(int, input().split()):
    place = bisect_left(last, height)
    if place == len(last):
        last.append(height)
    else:
        last[place] = height
print(len(last))
""",
    brute="""\
n = int(input())
a = list(map(int, input().split()))
best = 0
for mask in range(1, 2 ** n):
    chosen = [a[i] for i in range(n) if mask >> i & 1]
    if all(x < y for x, y in zip(chosen, chosen[1:])):
        best = max(best, len(chosen))
print(best)
""",
    wrong={
        "equal heights allowed": """\
from bisect import bisect_right

input()
last = []
for x in map(int, input().split()):
    i = bisect_right(last, x)
    last[i:i + 1] = [x]
print(len(last))
""",
        "quadratic": """\
n = int(input())
a = list(map(int, input().split()))
best = [1] * n
for i in range(n):
    for j in range(i):
        if a[j] < a[i] and best[j] >= best[i]:
            best[i] = best[j] + 1
print(max(best))
""",
        "takes whatever rises": """\
input()
count, last = 0, 0
for x in map(int, input().split()):
    if x > last:
        count, last = count + 1, x
print(count)
""",
    },
)
