"""A walk over every edge once; any will do."""

import random
from itertools import pairwise

from fulmen.envs.code.authoring import Given, Problem, Text
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> str:
    num = max(2, size // 3 + 1)
    walk = [rng.randint(1, num)]
    while len(walk) <= size:
        walk.append(rng.randint(1, num))
    edges = [rng.choice(((a, b), (b, a))) for a, b in pairwise(walk)]
    if rng.random() < 0.25:
        edges[rng.randrange(size)] = (rng.randint(1, num), rng.randint(1, num))
    rng.shuffle(edges)
    return f"{num} {len(edges)}\n" + "".join(f"{a} {b}\n" for a, b in edges)


def validate(given: Given) -> None:
    num, count = given.ints(2, low=1, high=10000)
    for _ in range(count):
        given.ints(2, low=1, high=num)


def accept(given: str, output: str, expected: str) -> str:
    """Returns what is wrong with a route over all streets."""
    head, *streets = (tuple(map(int, line.split())) for line in given.splitlines())
    words = output.split()
    if expected.split() == ["NONE"] or words == ["NONE"]:
        return "" if words == expected.split() else "whether there is a route"
    if len(words) != len(streets) + 1 or not all(len(w) <= 6 and w.isascii() and w.isdigit() for w in words):
        return f"not {head[1] + 1} crossings"
    route = [int(w) for w in words]
    used = sorted(tuple(sorted(step)) for step in pairwise(route))
    return "" if used == sorted(tuple(sorted(street)) for street in streets) else "not every street once"


PROBLEM = Problem(
    name="plough_route",
    level="hard",
    en=Text(
        task="A snow plough must drive through every street of a village exactly once, in either direction; it may "
        "pass crossings as often as it likes, and may start and end anywhere. Find a route, any will do.",
        given="A line with the numbers of crossings and of streets (1 to 10000 each), then a line per street with "
        "the two crossings at its ends. There may be several streets between two crossings, and streets that lead "
        "back to the same one.",
        wanted="One line with the crossings in the order of the route, one more than there are streets, or NONE.",
    ),
    samples=(("3 3\n1 2\n3 1\n2 3\n", "1 2 3 1\n"), ("4 3\n1 2\n1 3\n1 4\n", "NONE\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=10000,
    edges=(
        "1 1\n1 1\n",
        "4 2\n1 2\n3 4\n",
        "4 4\n1 2\n1 2\n3 4\n3 4\n",
        "2 2\n1 2\n1 2\n",
        "5 6\n1 2\n2 3\n3 1\n3 4\n4 5\n5 3\n",
        "3 2\n2 3\n3 2\n",
    ),
    judge=Judge(kind="special", special="fulmen.envs.code.problems.plough_route:accept"),
    idea="Hierholzer: walk until stuck, and put a crossing into the route when no street is left there. At most two "
    "crossings may have an odd number of streets, and the route must have used them all.",
    solution="""\
import sys

data = list(map(int, sys.stdin.read().split()))
n, m = data[:2]
near = [[] for _ in range(n + 1)]
for street in range(m):
    a, b = data[2 + 2 * street], data[3 + 2 * street]
    near[a].append((b, street))
    near[b].append((a, street))
odd = [c for c in range(1, n + 1) if len(near[c]) % 2]
stack = [odd[0] if odd else data[2]]
used, route = [False] * m, []
while stack:
    here = stack[-1]
    while near[here] and used[near[here][-1][1]]:
        near[here].pop()
    if near[here]:
        there, street = near[here].pop()
        used[street] = True
        stack.append(there)
    else:
        route.append(stack.pop())
print(*route) if len(route) == m + 1 and len(odd) <= 2 else print("NONE")
""",
    brute="""\
n, m = map(int, input().split())
streets = [tuple(map(int, input().split())) for _ in range(m)]

def extend(route, left):
    if not left:
        return route
    for i in left:
        for a, b in (streets[i], streets[i][::-1]):
            if a == route[-1]:
                found = extend(route + [b], left - {i})
                if found:
                    return found
    return None

for start in range(1, n + 1):
    found = extend([start], frozenset(range(m)))
    if found:
        print(*found)
        break
else:
    print("NONE")
""",
    wrong={
        "walks until stuck": """\
n, m = map(int, input().split())
near = [[] for _ in range(n + 1)]
for k in range(m):
    a, b = map(int, input().split())
    near[a].append((b, k))
    near[b].append((a, k))
odd = [c for c in range(1, n + 1) if len(near[c]) % 2]
here = odd[0] if odd else next(c for c in range(1, n + 1) if near[c])
route, used = [here], set()
while True:
    ways = [(b, k) for b, k in near[here] if k not in used]
    if not ways:
        break
    here, k = ways[0]
    used.add(k)
    route.append(here)
print(*route) if len(used) == m else print("NONE")
""",
        "round trips only": """\
n, m = map(int, input().split())
near = [[] for _ in range(n + 1)]
for k in range(m):
    a, b = map(int, input().split())
    near[a].append((b, k))
    near[b].append((a, k))
if any(len(x) % 2 for x in near):
    print("NONE")
else:
    stack, used, route = [next(c for c in range(1, n + 1) if near[c])], set(), []
    while stack:
        here = stack[-1]
        while near[here] and near[here][-1][1] in used:
            near[here].pop()
        if near[here]:
            b, k = near[here].pop()
            used.add(k)
            stack.append(b)
        else:
            route.append(stack.pop())
    print(*route) if len(route) == m + 1 else print("NONE")
""",
        "counts odd crossings only": """\
n, m = map(int, input().split())
near = [[] for _ in range(n + 1)]
for k in range(m):
    a, b = map(int, input().split())
    near[a].append((b, k))
    near[b].append((a, k))
odd = [c for c in range(1, n + 1) if len(near[c]) % 2]
if len(odd) > 2:
    print("NONE")
else:
    stack, used, route = [odd[0] if odd else next(c for c in range(1, n + 1) if near[c])], set(), []
    while stack:
        here = stack[-1]
        while near[here] and near[here][-1][1] in used:
            near[here].pop()
        if near[here]:
            b, k = near[here].pop()
            used.add(k)
            stack.append(b)
        else:
            route.append(stack.pop())
    print(*route)
""",
    },
)
