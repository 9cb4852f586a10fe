"""Two places whose values differ by a given amount; any will do."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((4, 3 * size, 10**9))
    values = [rng.randint(0, high) for _ in range(size)]
    gap = rng.choice((0, 1, abs(values[0] - values[-1]), rng.randint(0, high)))
    return f"{size} {gap}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    num, _ = given.ints(2, low=0, high=10**9)
    require(1 <= num <= 20000, "n")
    given.ints(num, low=0, high=10**9)


def accept(given: str, output: str, expected: str) -> str:
    """Returns what is wrong with a pair of places; any pair of the right difference is right."""
    words = output.split()
    if expected.split() == ["NONE"] or words == ["NONE"]:
        return "" if words == expected.split() else "whether there is a pair"
    head, row = given.splitlines()
    values, gap = row.split(), int(head.split()[1])
    if len(words) != 2 or not all(len(w) <= 6 and w.isascii() and w.isdigit() for w in words):
        return "not two places"
    i, j = map(int, words)
    if not (1 <= i < j <= len(values)):
        return "places out of range or order"
    return "" if abs(int(values[i - 1]) - int(values[j - 1])) == gap else "another difference"


PROBLEM = Problem(
    name="twin_offsets",
    level="medium",
    en=Text(
        task="Two stars of a catalogue form a twin if their magnitudes differ by exactly d. Name the places of any "
        "twin.",
        given="A line with n (1 to 20000) and d (0 to 10^9), then a line with n integers from 0 to 10^9.",
        wanted="Two places i < j, counted from 1, or NONE if there is no twin.",
    ),
    samples=(("4 3\n8 1 5 4\n", "1 3\n"), ("2 1\n3 3\n", "NONE\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=20000,
    edges=("1 0\n5\n", "2 0\n5 5\n", "3 0\n1 2 3\n", "2 1000000000\n1000000000 0\n"),
    judge=Judge(kind="special", special="fulmen.envs.code.problems.twin_offsets:accept"),
    idea="Remember the place of each magnitude seen; ask for the magnitude d below and d above.",
    solution="""\
n, gap = map(int, input().split())
seen = {}
for place, value in enumerate(map(int, input().split()), start=1):
    for other in (value - gap, value + gap):
        if other in seen:
            print(seen[other], place)
            raise SystemExit
    seen[value] = place
print("NONE")
""",
    brute="""\
n, gap = map(int, input().split())
a = list(map(int, input().split()))
pairs = [(i + 1, j + 1) for i in range(n) for j in range(i + 1, n) if abs(a[i] - a[j]) == gap]
print(*pairs[-1]) if pairs else print("NONE")
""",
    wrong={
        "a star is its own twin": """\
n, gap = map(int, input().split())
a = list(map(int, input().split()))
at = {x: i + 1 for i, x in enumerate(a)}
for i, x in enumerate(a, start=1):
    if x + gap in at:
        print(*sorted((i, at[x + gap])))
        break
else:
    print("NONE")
""",
        "rising magnitudes only": """\
n, gap = map(int, input().split())
seen = {}
for i, x in enumerate(map(int, input().split()), start=1):
    if x - gap in seen:
        print(seen[x - gap], i)
        break
    seen[x] = i
else:
    print("NONE")
""",
        "places from zero": """\
n, gap = map(int, input().split())
seen = {}
for i, x in enumerate(map(int, input().split())):
    found = seen.get(x - gap, seen.get(x + gap))
    if found is not None:
        print(found, i)
        break
    seen[x] = i
else:
    print("NONE")
""",
    },
)
