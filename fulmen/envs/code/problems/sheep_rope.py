"""Perimeter of the convex hull of points."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((2, 10, 10**6))
    points = [(rng.randint(-reach, reach), rng.randint(-reach, reach)) for _ in range(size)]
    if rng.random() < 0.2:
        points = [(x, 2 * x if reach < 10**6 else x) for x, _ in points]
    return f"{size}\n" + "".join(f"{x} {y}\n" for x, y in points)


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=10000)
    for _ in range(num):
        given.ints(2, low=-(10**6), high=10**6)


PROBLEM = Problem(
    name="sheep_rope",
    level="hard",
    en=Text(
        task="A shepherd ties a closed rope around all pegs of a meadow and pulls it tight. How long is the rope? "
        "Pegs have no thickness; several may stand at one place, and if all stand on one straight line, the rope "
        "runs there and back.",
        given="A line with n (1 to 10000), then n lines with the two coordinates of a peg (-10^6 to 10^6).",
        wanted="The length of the rope, with an error of at most 10^-6, absolute or relative.",
    ),
    samples=(("4\n0 0\n3 0\n0 4\n1 1\n", "12.0\n"), ("2\n0 0\n0 5\n", "10.0\n")),
    generate=generate,
    validate=validate,
    small=7,
    large=10000,
    edges=("1\n3 3\n", "3\n1 1\n1 1\n1 1\n", "3\n0 0\n1 1\n3 3\n", "5\n0 0\n2 0\n2 2\n0 2\n1 0\n"),
    judge=Judge(kind="floats"),
    idea="Andrew's chain: sort the pegs, build the lower and the upper side, dropping pegs that do not turn left.",
    solution="""\
import sys
from math import dist

data = list(map(int, sys.stdin.read().split()))
pegs = sorted(set(zip(data[1::2], data[2::2])))

def side(pegs):
    chain = []
    for x, y in pegs:
        while len(chain) >= 2:
            (ax, ay), (bx, by) = chain[-2:]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain

print(sum(dist(a, b) for chain in (side(pegs), side(pegs[::-1])) for a, b in zip(chain, chain[1:])))
""",
    brute="""\
from math import hypot

n = int(input())
pegs = sorted({tuple(map(int, input().split())) for _ in range(n)})
start = here = pegs[0]
length = 0.0
while len(pegs) > 1:
    # Gift wrapping: the next peg is the one that has all others on its left; of several, the farthest.
    best = None
    for peg in pegs:
        if peg == here:
            continue
        if best is not None:
            turn = (best[0] - here[0]) * (peg[1] - here[1]) - (best[1] - here[1]) * (peg[0] - here[0])
            farther = hypot(peg[0] - here[0], peg[1] - here[1]) > hypot(best[0] - here[0], best[1] - here[1])
            if turn > 0 or turn == 0 and not farther:
                continue
        best = peg
    length += hypot(best[0] - here[0], best[1] - here[1])
    here = best
    if here == start:
        break
print(length)
""",
    wrong={
        "the box around all pegs": """\
n = int(input())
p = [tuple(map(int, input().split())) for _ in range(n)]
print(2.0 * (max(x for x, _ in p) - min(x for x, _ in p) + max(y for _, y in p) - min(y for _, y in p)))
""",
        "there, but not back": """\
from math import dist

n = int(input())
p = sorted({tuple(map(int, input().split())) for _ in range(n)})
def side(p):
    c = []
    for x, y in p:
        while len(c) >= 2 and (c[-1][0] - c[-2][0]) * (y - c[-2][1]) - (c[-1][1] - c[-2][1]) * (x - c[-2][0]) <= 0:
            c.pop()
        c.append((x, y))
    return c
hull = side(p)[:-1] + side(p[::-1])[:-1]
print(sum(dist(a, b) for a, b in zip(hull, hull[1:])))
""",
        "two decimals": """\
from math import dist

n = int(input())
p = sorted({tuple(map(int, input().split())) for _ in range(n)})
def side(p):
    c = []
    for x, y in p:
        while len(c) >= 2 and (c[-1][0] - c[-2][0]) * (y - c[-2][1]) - (c[-1][1] - c[-2][1]) * (x - c[-2][0]) <= 0:
            c.pop()
        c.append((x, y))
    return c
print(f"{sum(dist(a, b) for c in (side(p), side(p[::-1])) for a, b in zip(c, c[1:])):.2f}")
""",
    },
)
