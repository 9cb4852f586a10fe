"""A knapsack with at most one thing of each group."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    guilds = rng.randint(1, max(1, min(40, size)))
    room = rng.randint(1, min(4000, 12 * size))
    high = rng.choice((6, max(1, room)))
    lines = [
        f"{rng.randint(1, guilds)} {rng.randint(1, high)} {rng.randint(1, rng.choice((9, 10**6)))}" for _ in range(size)
    ]
    return f"{size} {room}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    num, _ = given.ints(2, low=1, high=4000)
    require(num <= 300, "n")
    for _ in range(num):
        guild, weight, _ = given.ints(3, low=1, high=10**6)
        require(guild <= 40 and weight <= 4000, "offer")


PROBLEM = Problem(
    name="one_per_guild",
    level="hard",
    en=Text(
        task="A fair sells n wares, each made by one guild, with a weight and a value. A buyer's cart carries at "
        "most w, and the rules of the fair allow at most one ware of each guild. What is the greatest total value?",
        given="A line with n (1 to 300) and w (1 to 4000), then n lines with guild (1 to 40), weight (1 to 4000) and "
        "value (1 to 10^6).",
        wanted="The greatest total value; 0 if nothing can be carried.",
    ),
    samples=(("3 5\n1 2 10\n1 3 12\n2 3 7\n", "17\n"), ("1 1\n1 2 9\n", "0\n")),
    generate=generate,
    validate=validate,
    small=9,
    large=300,
    edges=("2 2\n1 1 5\n1 1 5\n", "2 2\n1 1 5\n2 1 5\n", "3 6\n1 6 10\n2 3 6\n3 3 6\n"),
    cpu_s=4.0,
    idea="Guild by guild: the best value for each room is that before the guild, or one of its wares on top of what "
    "was best for the room it leaves.",
    solution="""\
n, room = map(int, input().split())
guilds = {}
for _ in range(n):
    guild, weight, value = map(int, input().split())
    guilds.setdefault(guild, []).append((weight, value))
best = [0] * (room + 1)
for wares in guilds.values():
    before = best[:]
    for weight, value in wares:
        for space in range(weight, room + 1):
            total = before[space - weight] + value
            if total > best[space]:
                best[space] = total
print(best[room])
""",
    brute="""\
n, room = map(int, input().split())
wares = [tuple(map(int, input().split())) for _ in range(n)]
best = 0
for mask in range(2 ** n):
    chosen = [wares[i] for i in range(n) if mask >> i & 1]
    if len({g for g, _, _ in chosen}) == len(chosen) and sum(w for _, w, _ in chosen) <= room:
        best = max(best, sum(v for _, _, v in chosen))
print(best)
""",
    wrong={
        "forgets the guilds": """\
n, room = map(int, input().split())
best = [0] * (room + 1)
for _ in range(n):
    g, w, v = map(int, input().split())
    for s in range(room, w - 1, -1):
        best[s] = max(best[s], best[s - w] + v)
print(best[room])
""",
        "the best value for its weight": """\
n, room = map(int, input().split())
wares = sorted((tuple(map(int, input().split())) for _ in range(n)), key=lambda x: -x[2] / x[1])
used, total = set(), 0
for g, w, v in wares:
    if g not in used and w <= room:
        used.add(g)
        room -= w
        total += v
print(total)
""",
        "the most valuable ware of each guild": """\
n, room = map(int, input().split())
top = {}
for _ in range(n):
    g, w, v = map(int, input().split())
    if w <= room and (g not in top or v > top[g][1]):
        top[g] = (w, v)
best = [0] * (room + 1)
for w, v in top.values():
    for s in range(room, w - 1, -1):
        best[s] = max(best[s], best[s - w] + v)
print(best[room])
""",
    },
)
