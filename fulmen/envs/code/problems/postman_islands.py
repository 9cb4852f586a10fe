"""The shortest way through all places."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    high = rng.choice((3, 20, 1000))
    if rng.random() < 0.5:
        rows = [[0 if i == j else rng.randint(1, high) for j in range(size)] for i in range(size)]
    else:
        points = [(rng.randint(0, high), rng.randint(0, high)) for _ in range(size)]
        rows = [[abs(a - c) + abs(b - d) for c, d in points] for a, b in points]
    return [rows]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    rows = given.arguments[0]
    require(isinstance(rows, list) and 1 <= len(rows) <= 12, "rows")
    for i, row in enumerate(rows):
        require(check_ints(row, len(rows), low=0, high=2000)[i] == 0, "no time to stay")


PROBLEM = Problem(
    name="postman_islands",
    level="hard",
    en=Text(
        task="A postman brings letters to all islands of a lake. Rowing from island i to island j takes "
        "`minutes[i][j]`, which may differ from the way back because of the current. The postman starts on island 0, "
        "may end anywhere, and lands on every other island exactly once. How long does the quickest tour take?",
        given="`minutes`: a square table of 1 to 12 rows with integers from 0 to 2000; those on the diagonal are 0.",
        wanted="The least number of minutes.",
    ),
    samples=(([[[0, 4, 1], [4, 0, 2], [1, 2, 0]]], 3), ([[[0]]], 0)),
    generate=generate,
    validate=validate,
    small=6,
    large=12,
    edges=([[[0, 7], [3, 0]]], [[[0, 1, 9, 9], [9, 0, 1, 9], [9, 9, 0, 1], [1, 1, 1, 0]]]),
    function="quickest",
    signature="def quickest(minutes: list[list[int]]) -> int",
    judge=Judge(kind="json"),
    cpu_s=3.0,
    idea="For each set of islands visited and each last island, keep the least time; there are 2^n * n such states.",
    solution="""\
def quickest(minutes):
    n = len(minutes)
    far = 10**9
    best = [[far] * n for _ in range(1 << n)]
    best[1][0] = 0
    for visited in range(1, 1 << n, 2):
        for last in range(n):
            time = best[visited][last]
            if time < far:
                for island in range(n):
                    if not visited >> island & 1:
                        after = best[visited | 1 << island]
                        if time + minutes[last][island] < after[island]:
                            after[island] = time + minutes[last][island]
    return min(best[-1])
""",
    brute="""\
from itertools import permutations

def quickest(minutes):
    n = len(minutes)
    return min(
        sum(minutes[a][b] for a, b in zip((0, *tour), tour)) for tour in permutations(range(1, n))
    )
""",
    wrong={
        "the nearest island next": """\
def quickest(minutes):
    here, left, total = 0, set(range(1, len(minutes))), 0
    while left:
        island = min(left, key=lambda i: (minutes[here][i], i))
        total += minutes[here][island]
        left.remove(island)
        here = island
    return total
""",
        "rows home": """\
from functools import cache

def quickest(minutes):
    n = len(minutes)
    @cache
    def best(last, left):
        if not left:
            return minutes[last][0]
        return min(minutes[last][i] + best(i, left & ~(1 << i)) for i in range(n) if left >> i & 1)
    return best(0, (1 << n) - 2)
""",
        "all orders": """\
def quickest(minutes):
    def rest(last, left):
        return min((minutes[last][i] + rest(i, left - {i}) for i in left), default=0)
    return rest(0, frozenset(range(1, len(minutes))))
""",
    },
)
