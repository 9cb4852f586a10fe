"""The fewest boats that hold one or two."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    limit = rng.choice((5, 10, 10**9))
    low = rng.choice((1, max(1, limit // 3)))
    return f"{size} {limit}\n{' '.join(str(rng.randint(low, limit)) for _ in range(size))}\n"


def validate(given: Given) -> None:
    num, limit = given.ints(2, low=1, high=10**9)
    require(num <= 20000, "n")
    given.ints(num, low=1, high=limit)


PROBLEM = Problem(
    name="pair_boats",
    level="medium",
    en=Text(
        task="A river is crossed in boats that carry one or two people of at most w kilograms together. How few "
        "boats are enough for everybody, if no boat goes twice?",
        given="A line with n (1 to 20000) and w (1 to 10^9), then a line with n weights from 1 to w.",
        wanted="The least number of boats.",
    ),
    samples=(("4 10\n6 5 5 4\n", "2\n"), ("3 5\n3 3 5\n", "3\n")),
    generate=generate,
    validate=validate,
    small=7,
    large=20000,
    edges=("1 1\n1\n", "2 3\n1 2\n", "2 2\n1 2\n", "5 10\n1 9 8 2 5\n", "4 10\n1 2 8 9\n"),
    idea="The heaviest goes with the lightest if they fit together, else alone; two pointers on the sorted weights.",
    solution="""\
n, limit = map(int, input().split())
weights = sorted(map(int, input().split()))
light, heavy, boats = 0, n - 1, 0
while light <= heavy:
    if weights[light] + weights[heavy] <= limit:
        light += 1
    heavy -= 1
    boats += 1
print(boats)
""",
    brute="""\
from functools import cache

n, limit = map(int, input().split())
a = list(map(int, input().split()))

@cache
def fewest(left):
    if not left:
        return 0
    first, rest = left[0], left[1:]
    best = 1 + fewest(rest)
    for i, other in enumerate(rest):
        if a[first] + a[other] <= limit:
            best = min(best, 1 + fewest(rest[:i] + rest[i + 1:]))
    return best

print(fewest(tuple(range(n))))
""",
    wrong={
        "neighbours in order of weight": """\
n, limit = map(int, input().split())
a = sorted(map(int, input().split()))
boats = i = 0
while i < n:
    i += 2 if i + 1 < n and a[i] + a[i + 1] <= limit else 1
    boats += 1
print(boats)
""",
        "as many as fit": """\
n, limit = map(int, input().split())
boats, room = 0, 0
for w in sorted(map(int, input().split())):
    if w > room:
        boats, room = boats + 1, limit
    room -= w
print(boats)
""",
        "strictly below the limit": """\
n, limit = map(int, input().split())
a = sorted(map(int, input().split()))
i, j, boats = 0, n - 1, 0
while i <= j:
    if a[i] + a[j] < limit:
        i += 1
    j -= 1
    boats += 1
print(boats)
""",
    },
)
