"""The most bookings that do not overlap."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((8, 3 * size, 10**9))
    lines = []
    for _ in range(size):
        start = rng.randint(0, reach - 1)
        lines.append(f"{start} {rng.randint(start + 1, min(reach, start + rng.choice((2, 6, reach))))}")
    return f"{size}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=10000)
    for _ in range(num):
        start, end = given.ints(2, low=0, high=10**9)
        require(start < end, "booking")


PROBLEM = Problem(
    name="hall_bookings",
    level="medium",
    en=Text(
        task="A village hall gets requests, each from one minute to a later one. Between two events that follow each "
        "other, the hall must stand empty for at least one minute to be swept. How many requests can be granted at "
        "most?",
        given="A line with n (1 to 10000), then n lines with start and end, 0 <= start < end <= 10^9. A request that "
        "ends at 5 leaves the hall swept for one that starts at 6, not for one that starts at 5.",
        wanted="The greatest number of requests.",
    ),
    samples=(("3\n1 4\n4 6\n5 7\n", "2\n"), ("2\n0 9\n1 2\n", "1\n")),
    generate=generate,
    validate=validate,
    small=7,
    large=10000,
    edges=("1\n0 1\n", "2\n0 1\n1 2\n", "2\n0 1\n2 3\n", "4\n0 10\n1 2\n3 4\n5 6\n", "3\n0 5\n4 7\n6 11\n"),
    idea="Grant in order of the ends: whatever ends first leaves the most room.",
    solution="""\
n = int(input())
requests = [tuple(map(int, input().split())) for _ in range(n)]
free, granted = 0, 0
for start, end in sorted(requests, key=lambda request: request[1]):
    if start >= free:
        granted += 1
        free = end + 1
print(granted)
""",
    brute="""\
n = int(input())
requests = sorted(tuple(map(int, input().split())) for _ in range(n))
best = 0
for mask in range(2 ** n):
    chosen = [requests[i] for i in range(n) if mask >> i & 1]
    if all(a[1] < b[0] for a, b in zip(chosen, chosen[1:])):
        best = max(best, len(chosen))
print(best)
""",
    wrong={
        "in order of the starts": """\
n = int(input())
free = granted = 0
for s, e in sorted(tuple(map(int, input().split())) for _ in range(n)):
    if s >= free:
        granted, free = granted + 1, e + 1
print(granted)
""",
        "the shortest first": """\
n = int(input())
taken = []
for s, e in sorted((tuple(map(int, input().split())) for _ in range(n)), key=lambda r: (r[1] - r[0], r)):
    if all(e < a or b < s for a, b in taken):
        taken.append((s, e))
print(len(taken))
""",
        "no time to sweep": """\
n = int(input())
free = granted = 0
for s, e in sorted((tuple(map(int, input().split())) for _ in range(n)), key=lambda r: r[1]):
    if s >= free:
        granted, free = granted + 1, e
print(granted)
""",
    },
)
