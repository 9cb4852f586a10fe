"""Measuring water with two jars."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[int]:
    a, b = rng.randint(1, size), rng.randint(1, size)
    return [a, b, rng.randint(0, max(a, b))] if rng.random() < 0.9 else [a, b, max(a, b) + 1]


def validate(given: Given) -> None:
    check_ints(given.arguments, 3, low=0, high=201)
    require(min(given.arguments[:2]) >= 1 and max(given.arguments[:2]) <= 200, "jars")


PROBLEM = Problem(
    name="two_jars",
    level="medium",
    en=Text(
        task="Two empty jars hold a and b litres. A move fills a jar to the brim at the well, empties a jar, or "
        "pours from one jar into the other until the one is empty or the other full. How few moves does it take "
        "until one of the jars holds exactly c litres?",
        given="`a`, `b`: integers from 1 to 200. `c`: an integer from 0 to 201.",
        wanted="The least number of moves, or -1 if it cannot be done.",
    ),
    samples=(([3, 5, 4], 6), ([2, 4, 3], -1), ([4, 9, 0], 0)),
    generate=generate,
    validate=validate,
    small=9,
    large=200,
    edges=([1, 1, 1], [1, 1, 2], [5, 3, 4], [7, 7, 7], [4, 6, 2]),
    function="moves",
    signature="def moves(a: int, b: int, c: int) -> int",
    judge=Judge(kind="json"),
    idea="Breadth-first search over what the jars hold.",
    solution="""\
def moves(a, b, c):
    seen, layer, count = {(0, 0)}, [(0, 0)], 0
    while layer:
        if any(c in state for state in layer):
            return count
        found = []
        for x, y in layer:
            out, back = min(x, b - y), min(y, a - x)
            for state in ((a, y), (x, b), (0, y), (x, 0), (x - out, y + out), (x + back, y - back)):
                if state not in seen:
                    seen.add(state)
                    found.append(state)
        layer, count = found, count + 1
    return -1
""",
    brute="""\
def moves(a, b, c):
    # Only two plans can be best: always pour from the one jar into the other, or the other way round.
    def plan(a, b):
        x = y = count = 0
        for _ in range(4 * (a + b) + 4):
            if c in (x, y):
                return count
            if x == 0:
                x = a
            elif y == b:
                y = 0
            else:
                t = min(x, b - y)
                x, y = x - t, y + t
            count += 1
        return None
    found = [p for p in (plan(a, b), plan(b, a)) if p is not None]
    return min(found) if found else -1
""",
    wrong={
        "one direction only": """\
def moves(a, b, c):
    x = y = count = 0
    for _ in range(4 * (a + b) + 4):
        if c in (x, y):
            return count
        if x == 0:
            x = a
        elif y == b:
            y = 0
        else:
            t = min(x, b - y)
            x, y = x - t, y + t
        count += 1
    return -1
""",
        "nothing counts as a move": """\
from math import gcd

def moves(a, b, c):
    if c > max(a, b) or c % gcd(a, b):
        return -1
    seen, layer, count = set(), [(0, 0)], 0
    while True:
        if any(c == x or c == y for x, y in layer) and count:
            return count
        seen |= set(layer)
        layer = [s for x, y in layer for s in (
            (a, y), (x, b), (0, y), (x, 0),
            (x - min(x, b - y), y + min(x, b - y)), (x + min(y, a - x), y - min(y, a - x)),
        ) if s not in seen]
        count += 1
""",
        "both jars together": """\
def moves(a, b, c):
    seen, layer, count = {(0, 0)}, [(0, 0)], 0
    while layer:
        if any(x + y == c for x, y in layer):
            return count
        found = set()
        for x, y in layer:
            p, q = min(x, b - y), min(y, a - x)
            found |= {(a, y), (x, b), (0, y), (x, 0), (x - p, y + p), (x + q, y - q)}
        layer = list(found - seen)
        seen |= found
        count += 1
    return -1
""",
    },
)
