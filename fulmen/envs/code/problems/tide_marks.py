"""Counting strict records of a sequence."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    step = rng.choice((2, 50, 10**9))
    base = rng.choice((0, -step))
    return f"{size}\n{' '.join(str(base + rng.randint(0, step)) for _ in range(size))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=20000)
    given.ints(num, low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="tide_marks",
    level="easy",
    en=Text(
        task="A harbour warden paints a mark on the wall whenever the tide climbs above every level seen before. The "
        "first level of the day always gets a mark. How many marks are painted?",
        given="A line with n (1 to 20000), then a line with n integers from -10^9 to 10^9: the levels in order.",
        wanted="The number of marks.",
    ),
    zh=Text(
        task="每当潮位高于此前出现过的所有潮位时，港口管理员就在墙上画一道标记。当天的第一个潮位总会被标记。"
        "一共画了多少道标记？",
        given="第一行是 n（1 到 20000），第二行是 n 个 -10^9 到 10^9 的整数，依次为各潮位。",
        wanted="标记的数量。",
    ),
    samples=(("6\n3 1 4 4 5 2\n", "3\n"), ("3\n-5 -7 -5\n", "1\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=20000,
    edges=("1\n0\n", "4\n-4 -3 -2 -1\n", "3\n7 7 7\n"),
    idea="Keep the highest level so far; a level above it is a mark and becomes the highest.",
    solution="""\
n = int(input())
highest, marks = None, 0
for level in map(int, input().split()):
    if highest is None or level > highest:
        highest = level
        marks += 1
print(marks)
""",
    brute="""\
n = int(input())
a = list(map(int, input().split()))
print(sum(all(a[j] < a[i] for j in range(i)) for i in range(n)))
""",
    wrong={
        "counts equal levels": """\
n = int(input())
a = list(map(int, input().split()))
best, marks = a[0], 0
for x in a:
    if x >= best:
        best = x
        marks += 1
print(marks)
""",
        "starts from zero": """\
n = int(input())
best, marks = 0, 0
for x in map(int, input().split()):
    if x > best:
        best = x
        marks += 1
print(marks)
""",
    },
)
