"""Any order that keeps all dependencies."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> str:
    order = list(range(1, size + 1))
    rng.shuffle(order)
    rules = []
    for _ in range(rng.choice((0, size, 2 * size)) if size > 1 else 0):
        i, j = sorted(rng.sample(range(size), 2))
        rules.append((order[i], order[j]))
    if size > 1 and rng.random() < 0.25:
        rules.append((order[-1], order[0]))
        rules.append((order[0], order[-1]))
    return f"{size} {len(rules)}\n" + "".join(f"{a} {b}\n" for a, b in rules)


def validate(given: Given) -> None:
    num, count = given.ints(2, low=0, high=20000)
    require(1 <= num <= 5000, "n")
    for _ in range(count):
        first, second = given.ints(2, low=1, high=num)
        require(first != second, "rule")


def accept(given: str, output: str, expected: str) -> str:
    """Returns what is wrong with an order of courses; any that keeps all rules is right."""
    rows = [[int(word) for word in line.split()] for line in given.splitlines()]
    words = output.split()
    if expected.split() == ["IMPOSSIBLE"] or words == ["IMPOSSIBLE"]:
        return "" if words == expected.split() else "whether there is an order"
    if sorted(words) != sorted(str(i) for i in range(1, rows[0][0] + 1)):
        return "not each course once"
    place = {word: i for i, word in enumerate(words)}
    broken = next((f"{a} after {b}" for a, b in rows[1:] if place[str(a)] > place[str(b)]), "")
    return broken


PROBLEM = Problem(
    name="course_order",
    level="medium",
    en=Text(
        task="An academy offers courses 1 to n. A rule (a, b) says that course a must be taken before course b. Find "
        "an order for all courses that keeps every rule; if there are several, any will do.",
        given="A line with n (1 to 5000) and the number m of rules (0 to 20000), then m lines with a and b, "
        "different numbers from 1 to n. A rule may be repeated.",
        wanted="One line with the courses in order, or IMPOSSIBLE.",
    ),
    samples=(("3 2\n3 1\n1 2\n", "3 1 2\n"), ("2 2\n1 2\n2 1\n", "IMPOSSIBLE\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=5000,
    edges=("1 0\n", "2 2\n2 1\n2 1\n", "3 3\n1 2\n2 3\n3 1\n", "4 2\n4 3\n2 1\n"),
    judge=Judge(kind="special", special="fulmen.envs.code.problems.course_order:accept"),
    idea="Take courses that no open rule holds back, one by one, and release what they held; a cycle leaves some over.",
    solution="""\
import sys

data = list(map(int, sys.stdin.read().split()))
n, m = data[:2]
after = [[] for _ in range(n + 1)]
held = [0] * (n + 1)
for a, b in zip(data[2::2], data[3::2]):
    after[a].append(b)
    held[b] += 1
ready = [c for c in range(1, n + 1) if held[c] == 0]
for course in ready:
    for later in after[course]:
        held[later] -= 1
        if held[later] == 0:
            ready.append(later)
print(*ready) if len(ready) == n else print("IMPOSSIBLE")
""",
    brute="""\
from itertools import permutations

n, m = map(int, input().split())
rules = [tuple(map(int, input().split())) for _ in range(m)]
for order in permutations(range(1, n + 1)):
    if all(order.index(a) < order.index(b) for a, b in rules):
        print(*order)
        break
else:
    print("IMPOSSIBLE")
""",
    wrong={
        "sorts by the number of rules": """\
n, m = map(int, input().split())
held = [0] * (n + 1)
for _ in range(m):
    a, b = map(int, input().split())
    held[b] += 1
print(*sorted(range(1, n + 1), key=lambda c: held[c])) if 0 in held[1:] else print("IMPOSSIBLE")
""",
        "prints what it has": """\
n, m = map(int, input().split())
rules = {tuple(map(int, input().split())) for _ in range(m)}
done = []
while True:
    free = [c for c in range(1, n + 1) if c not in done and not any(b == c and a not in done for a, b in rules)]
    if not free:
        break
    done += free[:1]
print(*done)
""",
    },
)
