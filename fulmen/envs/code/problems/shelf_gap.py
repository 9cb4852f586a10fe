"""The smallest positive number that a list lacks."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((size + 1, size, 10**9))
    values = [rng.randint(1, max(1, high)) for _ in range(size)]
    if rng.random() < 0.5:
        values = list(range(1, size + 1))
        if rng.random() < 0.7:
            values[rng.randrange(size)] = rng.choice((-1, 0, 10**9))
        rng.shuffle(values)
    return f"{size}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=40000)
    given.ints(num, low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="shelf_gap",
    level="easy",
    en=Text(
        task="Jars are numbered from 1 upwards, but the storeman also finds damaged labels that read zero or less, "
        "and some numbers more than once. Which is the smallest number from 1 on that no jar carries?",
        given="A line with n (1 to 40000), then a line with n integers from -10^9 to 10^9: the labels.",
        wanted="The smallest missing number.",
    ),
    zh=Text(
        task="罐子从 1 开始编号，但仓库管理员还发现一些破损的标签写着零或负数，有些编号还重复出现。"
        "从 1 开始，没有任何罐子使用的最小编号是多少？",
        given="第一行是 n（1 到 40000），第二行是 n 个 -10^9 到 10^9 的整数，即各标签。",
        wanted="缺少的最小编号。",
    ),
    samples=(("5\n3 1 -2 1 4\n", "2\n"), ("3\n2 3 1\n", "4\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=40000,
    edges=("1\n1\n", "1\n2\n", "2\n0 -1\n", "4\n1 1 2 2\n"),
    idea="Put the labels in a set and count up from 1 until a number is not in it.",
    solution="""\
n = int(input())
labels = set(map(int, input().split()))
gap = 1
while gap in labels:
    gap += 1
print(gap)
""",
    brute="""\
n = int(input())
gap = 1
for label in sorted(map(int, input().split())):
    if label == gap:
        gap += 1
print(gap)
""",
    wrong={
        "searches a list each time": """\
n = int(input())
labels = list(map(int, input().split()))
gap = 1
while gap in labels:
    gap += 1
print(gap)
""",
        "counts equal labels as steps": """\
n = int(input())
labels = sorted(x for x in map(int, input().split()) if x > 0)
for i, x in enumerate(labels):
    if x != i + 1:
        print(i + 1)
        break
else:
    print(len(labels) + 1)
""",
        "between the least and the greatest only": """\
n = int(input())
labels = set(map(int, input().split()))
gap = max(1, min(labels))
while gap in labels:
    gap += 1
print(gap)
""",
    },
)
