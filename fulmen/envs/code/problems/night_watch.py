"""Total length that intervals cover."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((6, 3 * size, 10**9))
    lines = []
    for _ in range(size):
        start = rng.randint(0, reach - 1)
        lines.append(f"{start} {rng.randint(start + 1, min(reach, start + rng.choice((1, 3, reach))))}")
    return f"{size}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=10000)
    for _ in range(num):
        start, end = given.ints(2, low=0, high=10**9)
        require(start < end, "interval")


PROBLEM = Problem(
    name="night_watch",
    level="easy",
    en=Text(
        task="Guards keep watch over a vault, each from one second to another. For how many seconds is at least one "
        "of them there? A watch from 2 to 5 lasts three seconds.",
        given="A line with n (1 to 10000), then n lines with start and end, 0 <= start < end <= 10^9.",
        wanted="The number of guarded seconds.",
    ),
    zh=Text(
        task="守卫们看守金库，每人从某一秒守到另一秒。有多少秒至少有一名守卫在场？从 2 守到 5 共三秒。",
        given="第一行是 n（1 到 10000），随后 n 行是开始和结束，0 <= 开始 < 结束 <= 10^9。",
        wanted="有人看守的秒数。",
    ),
    samples=(("3\n5 9\n1 3\n2 4\n", "7\n"), ("2\n0 10\n3 4\n", "10\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=10000,
    edges=("1\n0 1000000000\n", "2\n0 1\n1 2\n", "3\n0 10\n1 2\n5 6\n", "2\n3 4\n3 4\n"),
    idea="Sort by start and keep the end reached so far; each watch adds what lies beyond it.",
    solution="""\
n = int(input())
watches = sorted(tuple(map(int, input().split())) for _ in range(n))
reached, guarded = 0, 0
for start, end in watches:
    if end > reached:
        guarded += end - max(start, reached)
        reached = end
print(guarded)
""",
    brute="""\
n = int(input())
watches = [tuple(map(int, input().split())) for _ in range(n)]
marks = sorted({t for watch in watches for t in watch})
print(sum(b - a for a, b in zip(marks, marks[1:]) if any(s <= a and b <= e for s, e in watches)))
""",
    wrong={
        "adds all lengths": """\
n = int(input())
print(sum(-s + e for s, e in (map(int, input().split()) for _ in range(n))))
""",
        "does not sort": """\
n = int(input())
reached, guarded = 0, 0
for _ in range(n):
    start, end = map(int, input().split())
    if end > reached:
        guarded += end - max(start, reached)
        reached = end
print(guarded)
""",
        "takes the last end, not the latest": """\
n = int(input())
watches = sorted(tuple(map(int, input().split())) for _ in range(n))
guarded, last = 0, 0
for start, end in watches:
    guarded += max(0, end - max(start, last))
    last = end
print(guarded)
""",
    },
)
