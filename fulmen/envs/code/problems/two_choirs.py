"""Two-colouring of a graph, or a proof by an odd circle; any will do."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> str:
    side = [rng.randrange(2) for _ in range(size)]
    edges = []
    for _ in range(rng.choice((0, size // 2, size, 2 * size)) if size > 1 else 0):
        a, b = rng.sample(range(size), 2)
        if side[a] != side[b] or rng.random() < 0.5 / size:
            edges.append((a + 1, b + 1))
    if rng.random() < 0.4 and size >= 3:
        circle = rng.sample(range(1, size + 1), rng.choice((3, size - 1 + size % 2)))
        edges += list(zip(circle, circle[1:] + circle[:1], strict=True))
    rng.shuffle(edges)
    return f"{size} {len(edges)}\n" + "".join(f"{a} {b}\n" for a, b in edges)


def validate(given: Given) -> None:
    num, count = given.ints(2, low=0, high=20000)
    require(1 <= num <= 5000, "n")
    for _ in range(count):
        a, b = given.ints(2, low=1, high=num)
        require(a != b, "pair")


def accept(given: str, output: str, expected: str) -> str:
    """Returns what is wrong with two choirs, or with a circle of odd length that shows there are none."""
    head, *pairs = (tuple(map(int, line.split())) for line in given.splitlines())
    words = output.split()
    if words[:1] != expected.split()[:1]:
        return "whether there are two choirs"
    if not all(len(w) <= 5 and w.isascii() and w.isdigit() for w in words[1:]):
        return "something that is no singer"
    names = [int(w) for w in words[1:]]
    if words[0] == "YES":
        if len(names) != head[0] or not set(names) <= {1, 2}:
            return "not a choir for each singer"
        return next((f"{a} and {b} sing together" for a, b in pairs if names[a - 1] == names[b - 1]), "")
    feuds = {frozenset(pair) for pair in pairs}
    if len(names) % 2 == 0 or len(names) < 3 or len(set(names)) != len(names):
        return "not a circle of odd length"
    steps = zip(names, names[1:] + names[:1], strict=True)
    return next((f"{a} and {b} get on" for a, b in steps if frozenset((a, b)) not in feuds), "")


PROBLEM = Problem(
    name="two_choirs",
    level="hard",
    en=Text(
        task="Singers 1 to n are to be divided into choirs 1 and 2 so that no two who cannot stand each other sing "
        "in one choir. If that is impossible, show it by an odd number of different singers in a circle, each of "
        "whom cannot stand the next one, nor the last the first. Any division and any circle will do.",
        given="A line with n (1 to 5000) and m (0 to 20000), then m lines with two different singers who cannot "
        "stand each other; a pair may be repeated.",
        wanted="YES and a line with the choir of each singer, or NO and a line with the singers of a circle in order.",
    ),
    samples=(("3 2\n1 2\n2 3\n", "YES\n1 2 1\n"), ("3 3\n1 2\n2 3\n3 1\n", "NO\n1 2 3\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=5000,
    edges=("1 0\n", "2 2\n1 2\n2 1\n", "5 5\n1 2\n2 3\n3 4\n4 5\n5 1\n", "6 4\n2 3\n4 5\n5 6\n6 4\n"),
    judge=Judge(kind="special", special="fulmen.envs.code.problems.two_choirs:accept"),
    idea="Breadth-first search gives each singer the other choir than the one it came from; where two of one choir "
    "feud, the ways back to their common ancestor close an odd circle.",
    solution="""\
import sys

def main():
    data = list(map(int, sys.stdin.read().split()))
    n, m = data[:2]
    near = [[] for _ in range(n + 1)]
    for a, b in zip(data[2::2], data[3::2]):
        near[a].append(b)
        near[b].append(a)
    choir, parent = [0] * (n + 1), [0] * (n + 1)
    for start in range(1, n + 1):
        if choir[start]:
            continue
        choir[start] = 1
        queue = [start]
        for a in queue:
            for b in near[a]:
                if not choir[b]:
                    choir[b], parent[b] = 3 - choir[a], a
                    queue.append(b)
                elif choir[b] == choir[a]:
                    left, right = [a], [b]
                    while left[-1] != right[-1]:
                        left.append(parent[left[-1]])
                        right.append(parent[right[-1]])
                    print("NO")
                    print(*left, *reversed(right[:-1]))
                    return
    print("YES")
    print(*choir[1:])

main()
""",
    brute="""\
from itertools import permutations, product

n, m = map(int, input().split())
pairs = [tuple(map(int, input().split())) for _ in range(m)]
feuds = set(pairs) | {(b, a) for a, b in pairs}
for choirs in product((1, 2), repeat=n):
    if all(choirs[a - 1] != choirs[b - 1] for a, b in pairs):
        print("YES")
        print(*choirs)
        break
else:
    print("NO")
    print(*next(
        c for size in range(3, n + 1, 2) for c in permutations(range(1, n + 1), size)
        if all((a, b) in feuds for a, b in zip(c, c[1:] + c[:1]))
    ))
""",
    wrong={
        "in order of the pairs": """\
n, m = map(int, input().split())
choir = [0] * (n + 1)
good = True
for _ in range(m):
    a, b = map(int, input().split())
    if not choir[a]:
        choir[a] = 3 - choir[b] if choir[b] else 1
    if not choir[b]:
        choir[b] = 3 - choir[a]
    good &= choir[a] != choir[b]
print("YES" if good else "NO")
print(*(c or 1 for c in choir[1:]))
""",
        "one component only": """\
n, m = map(int, input().split())
near = [[] for _ in range(n + 1)]
for _ in range(m):
    a, b = map(int, input().split())
    near[a].append(b)
    near[b].append(a)
choir = [0, 1] + [0] * (n - 1)
queue = [1]
for a in queue:
    for b in near[a]:
        if not choir[b]:
            choir[b] = 3 - choir[a]
            queue.append(b)
print("YES")
print(*(c or 1 for c in choir[1:]))
""",
        "names a triangle, there or not": """\
n, m = map(int, input().split())
near = [[] for _ in range(n + 1)]
for _ in range(m):
    a, b = map(int, input().split())
    near[a].append(b)
    near[b].append(a)
choir, bad = [0] * (n + 1), None
for start in range(1, n + 1):
    if not choir[start]:
        choir[start] = 1
        queue = [start]
        for a in queue:
            for b in near[a]:
                if not choir[b]:
                    choir[b] = 3 - choir[a]
                    queue.append(b)
                elif choir[b] == choir[a]:
                    bad = (a, b, near[a][0])
print("NO" if bad else "YES")
print(*(bad or choir[1:]))
""",
    },
)
