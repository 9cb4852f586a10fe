"""The shortest stretch that reaches a sum."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    high = rng.choice((3, 10**9))
    values = [rng.randint(1, high) for _ in range(size)]
    total = sum(values)
    wanted = min(10**14, rng.choice((1, total, total + 1, (total + 1) // 2, (total + 2) // 3, max(values))))
    if size > 1000:
        wanted = total // 2
    return f"{size} {wanted}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    num, _ = given.ints(2, low=1, high=10**14)
    require(num <= 30000, "n")
    given.ints(num, low=1, high=10**9)


PROBLEM = Problem(
    name="full_crate",
    level="medium",
    en=Text(
        task="Apples roll down a belt in a fixed order. A packer opens the gate once and closes it once, and takes "
        "all apples in between; together they must weigh at least s grams. How few apples can that be?",
        given="A line with n (1 to 30000) and s (1 to 10^14), then a line with n weights from 1 to 10^9.",
        wanted="The least number of consecutive apples, or 0 if all of them are too light.",
    ),
    samples=(("5 7\n2 3 1 4 3\n", "2\n"), ("2 10\n4 5\n", "0\n")),
    generate=generate,
    validate=validate,
    small=8,
    large=30000,
    edges=("1 1\n1\n", "1 2\n1\n", "3 6\n1 2 3\n", "3 3\n1 1 1\n"),
    idea="Two pointers: move the end on until the sum is enough, then the start while it still is.",
    solution="""\
n, wanted = map(int, input().split())
weights = list(map(int, input().split()))
start = total = best = 0
for end, weight in enumerate(weights):
    total += weight
    while total >= wanted:
        if best == 0 or end - start + 1 < best:
            best = end - start + 1
        total -= weights[start]
        start += 1
print(best)
""",
    brute="""\
n, wanted = map(int, input().split())
w = list(map(int, input().split()))
print(min((j - i for i in range(n) for j in range(i + 1, n + 1) if sum(w[i:j]) >= wanted), default=0))
""",
    wrong={
        "every start anew": """\
n, wanted = map(int, input().split())
w = list(map(int, input().split()))
best = 0
for i in range(n):
    total = 0
    for j in range(i, n):
        total += w[j]
        if total >= wanted:
            if best == 0 or j - i + 1 < best:
                best = j - i + 1
            break
print(best)
""",
        "the heaviest, wherever they lie": """\
n, wanted = map(int, input().split())
total = count = 0
for w in sorted(map(int, input().split()), reverse=True):
    total, count = total + w, count + 1
    if total >= wanted:
        break
print(count if total >= wanted else 0)
""",
        "more than s": """\
n, wanted = map(int, input().split())
w = list(map(int, input().split()))
start = total = best = 0
for end in range(n):
    total += w[end]
    while total > wanted:
        best = min(best or n, end - start + 1)
        total -= w[start]
        start += 1
print(best)
""",
    },
)
