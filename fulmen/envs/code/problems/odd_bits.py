"""The greatest exclusive or of two numbers."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    bits = rng.choice((2, 5, 30))
    values = [rng.randrange(2**bits) for _ in range(size)]
    if rng.random() < 0.2:
        values = [values[0]] * size
    return f"{size}\n{' '.join(map(str, values))}\n"


def validate(given: Given) -> None:
    (num,) = given.ints(1, low=2, high=20000)
    given.ints(num, low=0, high=2**30 - 1)


PROBLEM = Problem(
    name="odd_bits",
    level="hard",
    en=Text(
        task="Two cogwheels with the numbers a and b run with the noise a xor b: the number whose binary digits are "
        "1 just where those of a and b differ. Which noise is the loudest that two different wheels of a box make?",
        given="A line with n (2 to 20000), then a line with n numbers from 0 to 2^30 - 1; equal numbers on different "
        "wheels may occur.",
        wanted="The greatest a xor b.",
    ),
    samples=(("4\n3 10 5 25\n", "28\n"), ("2\n6 6\n", "0\n")),
    generate=lambda rng, size: generate(rng, max(2, size)),
    validate=validate,
    small=7,
    large=20000,
    edges=("2\n0 1073741823\n", "3\n8 7 15\n", "3\n4 4 4\n", "2\n1 2\n"),
    idea="Fix the answer bit by bit from the top: a bit can be 1 if two prefixes of the numbers differ by just the "
    "prefix hoped for.",
    solution="""\
input()
wheels = list(map(int, input().split()))
best = 0
for shift in range(29, -1, -1):
    prefixes = {wheel >> shift for wheel in wheels}
    hoped = 2 * best + 1
    best = hoped if any(prefix ^ hoped in prefixes for prefix in prefixes) else 2 * best
print(best)
""",
    brute="""\
from itertools import combinations

input()
print(max(a ^ b for a, b in combinations(map(int, input().split()), 2)))
""",
    wrong={
        "every pair": """\
n = int(input())
a = list(map(int, input().split()))
best = 0
for i in range(n):
    for j in range(i):
        best = max(best, a[i] ^ a[j])
print(best)
""",
        "the greatest and the least": """\
input()
a = list(map(int, input().split()))
print(max(a) ^ min(a))
""",
        "the greatest with any": """\
input()
a = list(map(int, input().split()))
print(max(max(a) ^ x for x in a))
""",
    },
)
