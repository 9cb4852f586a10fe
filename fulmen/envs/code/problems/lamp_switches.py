"""Lamps left on after toggling multiples."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    num = rng.randint(1, 3)
    steps = [rng.randint(1, rng.choice((3, size))) for _ in range(rng.choice((num, min(60, size))))]
    return f"{size} {len(steps)}\n{' '.join(map(str, steps))}\n"


def validate(given: Given) -> None:
    _, num = given.ints(2, low=1, high=5000)
    require(num <= 60, "m")
    given.ints(num, low=1, high=5000)


PROBLEM = Problem(
    name="lamp_switches",
    level="easy",
    en=Text(
        task="Lamps 1 to n along a corridor are dark. Porters walk by one after another; a porter with the number s "
        "flips the switch of every lamp whose number is a multiple of s. Which lamps burn in the end?",
        given="A line with n (1 to 5000) and m (1 to 60), then a line with the m numbers of the porters (1 to 5000).",
        wanted="A line with how many lamps burn, then a line with their numbers in rising order; empty if none do.",
    ),
    zh=Text(
        task="走廊里编号 1 到 n 的灯都熄着。搬运工依次走过；编号为 s 的搬运工会拨动所有编号是 s 的倍数的灯的开关。"
        "最后哪些灯亮着？",
        given="第一行是 n（1 到 5000）和 m（1 到 60），第二行是 m 个搬运工的编号（1 到 5000）。",
        wanted="第一行是亮着的灯数，第二行按升序列出它们的编号；没有灯亮则为空行。",
    ),
    samples=(("6 2\n2 3\n", "3\n2 3 4\n"), ("4 2\n1 1\n", "0\n\n")),
    generate=generate,
    validate=validate,
    small=10,
    large=5000,
    edges=("1 1\n1\n", "3 1\n5\n", "5 3\n2 2 2\n"),
    idea="Simulate: each porter visits n / s lamps.",
    solution="""\
n, m = map(int, input().split())
burns = [False] * (n + 1)
for step in map(int, input().split()):
    for lamp in range(step, n + 1, step):
        burns[lamp] = not burns[lamp]
lit = [lamp for lamp in range(1, n + 1) if burns[lamp]]
print(len(lit))
print(*lit)
""",
    brute="""\
n, m = map(int, input().split())
steps = list(map(int, input().split()))
lit = [lamp for lamp in range(1, n + 1) if sum(lamp % s == 0 for s in steps) % 2]
print(len(lit))
print(" ".join(map(str, lit)))
""",
    wrong={
        "the last lamp is left out": """\
n, m = map(int, input().split())
on = [False] * n
for s in map(int, input().split()):
    for lamp in range(s, n, s):
        on[lamp] = not on[lamp]
lit = [i for i in range(n) if on[i]]
print(len(lit))
print(*lit)
""",
        "switches on, never off": """\
n, m = map(int, input().split())
lit = set()
for s in map(int, input().split()):
    lit |= set(range(s, n + 1, s))
print(len(lit))
print(*sorted(lit))
""",
        "porters of equal number once": """\
n, m = map(int, input().split())
steps = set(map(int, input().split()))
lit = [x for x in range(1, n + 1) if sum(x % s == 0 for s in steps) % 2]
print(len(lit))
print(*lit)
""",
    },
)
