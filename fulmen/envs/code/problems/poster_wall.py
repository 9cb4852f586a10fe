"""The largest rectangle under a skyline."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((3, size, 10**9))
    heights = [rng.randint(0, high) for _ in range(size)]
    if rng.random() < 0.4:
        heights.sort(reverse=rng.random() < 0.5)
    if rng.random() < 0.2 and size <= 1000:
        heights = [high] * size
    return f"{size}\n{' '.join(map(str, heights))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=1, high=30000)
    given.ints(num, low=0, high=10**9)


PROBLEM = Problem(
    name="poster_wall",
    level="hard",
    en=Text(
        task="Houses of width one stand wall to wall along a street. A rectangular poster is to cover parts of "
        "neighbouring fronts and must not stick out above any of them; its lower edge lies on the ground. How large "
        "can it be?",
        given="A line with n (1 to 30000), then a line with n heights from 0 to 10^9.",
        wanted="The greatest area.",
    ),
    samples=(("6\n2 4 4 1 3 1\n", "8\n"), ("2\n0 0\n", "0\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=30000,
    edges=("1\n1000000000\n", "3\n1 2 3\n", "3\n3 2 1\n", "5\n2 1 2 1 2\n"),
    idea="A stack of rising heights: when a lower house comes, every higher one on the stack has met its right end.",
    solution="""\
n = int(input())
heights = list(map(int, input().split())) + [0]
stack, best = [], 0
for place, height in enumerate(heights):
    start = place
    while stack and stack[-1][1] >= height:
        start, tall = stack.pop()
        best = max(best, tall * (place - start))
    stack.append((start, height))
print(best)
""",
    brute="""\
n = int(input())
h = list(map(int, input().split()))
print(max(min(h[i:j]) * (j - i) for i in range(n) for j in range(i + 1, n + 1)))
""",
    wrong={
        "every start anew": """\
n = int(input())
h = list(map(int, input().split()))
best = 0
for i in range(n):
    low = h[i]
    for j in range(i, n):
        low = min(low, h[j])
        best = max(best, low * (j - i + 1))
print(best)
""",
        "looks to the right only": """\
n = int(input())
h = list(map(int, input().split())) + [-1]
best, stack = 0, []
for i, x in enumerate(h):
    while stack and h[stack[-1]] > x:
        j = stack.pop()
        best = max(best, h[j] * (i - j))
    stack.append(i)
print(best)
""",
        "forgets what reaches the end": """\
n = int(input())
h = list(map(int, input().split()))
stack, best = [], 0
for i, x in enumerate(h):
    start = i
    while stack and stack[-1][1] >= x:
        start, tall = stack.pop()
        best = max(best, tall * (i - start))
    stack.append((start, x))
print(best)
""",
    },
)
