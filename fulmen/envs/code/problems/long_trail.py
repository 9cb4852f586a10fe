"""The longest path in a tree whose edges may be negative."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    low = rng.choice((1, -10, -(10**6)))
    high = rng.choice((10, 10**6))
    shape = rng.choice((1, 3, size))
    names = list(range(1, size + 1))
    rng.shuffle(names)
    lines = []
    for i in range(1, size):
        lines.append(f"{names[rng.randint(max(0, i - shape), i - 1)]} {names[i]} {rng.randint(low, high)}")
    return f"{size}\n" + "".join(line + "\n" for line in lines)


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=10000)
    part = list(range(num + 1))
    for _ in range(num - 1):
        a, b, _ = given.ints(3, low=-(10**6), high=10**6)
        require(min(a, b) >= 1 and max(a, b) <= num, "hut")
        while part[a] != a:
            part[a] = part[part[a]]
            a = part[a]
        while part[b] != b:
            part[b] = part[part[b]]
            b = part[b]
        require(a != b, "a circle")
        part[a] = b


PROBLEM = Problem(
    name="long_trail",
    level="hard",
    en=Text(
        task="Mountain huts are joined by trails such that there is exactly one way between any two huts. Every "
        "trail has a number of points, which is negative where the view is spoilt. A hike starts at any hut, ends at "
        "any hut, maybe the same, and uses no trail twice. What is the greatest number of points of a hike?",
        given="A line with n (1 to 10000), then n - 1 lines with two huts and the points of the trail between them "
        "(-10^6 to 10^6).",
        wanted="The greatest sum of points; staying at a hut makes 0.",
    ),
    samples=(("4\n1 2 3\n2 3 -2\n2 4 5\n", "8\n"), ("2\n1 2 -4\n", "0\n")),
    generate=generate,
    validate=validate,
    small=7,
    large=10000,
    edges=("1\n", "3\n1 2 5\n2 3 -1\n", "5\n1 2 4\n1 3 4\n1 4 4\n4 5 -3\n", "4\n1 2 5\n2 3 -1\n3 4 5\n"),
    idea="From the leaves inwards, keep for each hut the best descent, at least 0; the best hike through a hut joins "
    "its two best.",
    solution="""\
import sys

data = list(map(int, sys.stdin.read().split()))
n = data[0]
near = [[] for _ in range(n + 1)]
for i in range(1, 3 * n - 2, 3):
    a, b, points = data[i:i + 3]
    near[a].append((b, points))
    near[b].append((a, points))
order, above = [1], [(0, 0)] * (n + 1)
for hut in order:
    for other, points in near[hut]:
        if other != above[hut][0]:
            above[other] = (hut, points)
            order.append(other)
down, best = [0] * (n + 1), 0
for hut in reversed(order):
    parent, points = above[hut]
    reach = max(0, down[hut] + points)
    best = max(best, down[parent] + reach)
    down[parent] = max(down[parent], reach)
print(best)
""",
    brute="""\
n = int(input())
near = {i: [] for i in range(1, n + 1)}
for _ in range(n - 1):
    a, b, p = map(int, input().split())
    near[a].append((b, p))
    near[b].append((a, p))

def best(hut, came):
    return max([0] + [p + best(other, hut) for other, p in near[hut] if other != came])

print(max(best(hut, 0) for hut in near))
""",
    wrong={
        "two searches": """\
n = int(input())
near = {i: [] for i in range(1, n + 1)}
for _ in range(n - 1):
    a, b, p = map(int, input().split())
    near[a].append((b, p))
    near[b].append((a, p))
def far(start):
    dist, stack = {start: 0}, [start]
    while stack:
        v = stack.pop()
        for w, p in near[v]:
            if w not in dist:
                dist[w] = dist[v] + p
                stack.append(w)
    end = max(dist, key=dist.get)
    return end, dist[end]
print(far(far(1)[0])[1])
""",
        "only from hut 1": """\
n = int(input())
near = {i: [] for i in range(1, n + 1)}
for _ in range(n - 1):
    a, b, p = map(int, input().split())
    near[a].append((b, p))
    near[b].append((a, p))
dist, stack = {1: 0}, [1]
while stack:
    v = stack.pop()
    for w, p in near[v]:
        if w not in dist:
            dist[w] = dist[v] + p
            stack.append(w)
print(max(dist.values()))
""",
        "recursion": """\
n = int(input())
near = {i: [] for i in range(1, n + 1)}
for _ in range(n - 1):
    a, b, p = map(int, input().split())
    near[a].append((b, p))
    near[b].append((a, p))
best = 0
def visit(v, came):
    global best
    top = 0
    for w, p in near[v]:
        if w != came:
            reach = max(0, visit(w, v) + p)
            best = max(best, top + reach)
            top = max(top, reach)
    return top
visit(1, 0)
print(best)
""",
    },
)
