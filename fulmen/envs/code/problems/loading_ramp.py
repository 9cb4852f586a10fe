"""The largest sum of a window of fixed length."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    reach = rng.choice((5, 10**9))
    shift = rng.choice((0, -reach, reach))
    width = rng.choice((1, size, max(1, size // 2), rng.randint(1, size)))
    values = [max(-(10**9), min(10**9, rng.randint(-reach, reach) + shift)) for _ in range(size)]
    return f"{size} {width}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    num, width = given.ints(2, low=1, high=20000)
    require(width <= num, "k")
    given.ints(num, low=-(10**9), high=10**9)


PROBLEM = Problem(
    name="loading_ramp",
    level="easy",
    en=Text(
        task="Crates pass a scale one after another; a damaged scale may show negative weights. The ramp always "
        "holds k crates that follow each other. What is the greatest total it shows at any time?",
        given="A line with n and k (1 <= k <= n <= 20000), then a line with n integers from -10^9 to 10^9.",
        wanted="The greatest sum of k consecutive integers.",
    ),
    zh=Text(
        task="货箱依次经过磅秤；磅秤损坏时可能显示负数。坡道上始终有 k 个相邻的货箱。任意时刻显示的总重最大是多少？",
        given="第一行是 n 和 k（1 <= k <= n <= 20000），第二行是 n 个 -10^9 到 10^9 的整数。",
        wanted="k 个连续整数之和的最大值。",
    ),
    samples=(("5 2\n1 5 -2 4 4\n", "8\n"), ("3 3\n-1 -2 -3\n", "-6\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=20000,
    edges=("1 1\n-5\n", "4 1\n-3 -2 -9 -2\n", "4 2\n0 0 3 3\n", "4 2\n3 3 0 0\n"),
    idea="Slide the window: add the crate that enters, take off the one that leaves.",
    solution="""\
n, k = map(int, input().split())
a = list(map(int, input().split()))
total = best = sum(a[:k])
for i in range(k, n):
    total += a[i] - a[i - k]
    best = max(best, total)
print(best)
""",
    brute="""\
n, k = map(int, input().split())
a = list(map(int, input().split()))
print(max(sum(a[i:i + k]) for i in range(n - k + 1)))
""",
    wrong={
        "sums every window anew": """\
n, k = map(int, input().split())
a = list(map(int, input().split()))
best = None
for i in range(n - k + 1):
    total = 0
    for j in range(i, i + k):
        total += a[j]
    best = total if best is None else max(best, total)
print(best)
""",
        "best starts at zero": """\
n, k = map(int, input().split())
a = list(map(int, input().split()))
best, total = 0, sum(a[:k])
for i in range(k, n):
    best = max(best, total)
    total += a[i] - a[i - k]
print(max(best, total))
""",
        "leaves the last window out": """\
n, k = map(int, input().split())
a = list(map(int, input().split()))
best = total = sum(a[:k])
for i in range(k, n - 1):
    total += a[i] - a[i - k]
    best = max(best, total)
print(best)
""",
    },
)
