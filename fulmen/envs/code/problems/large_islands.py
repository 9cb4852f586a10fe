"""Islands of at least some size, diagonals included."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    rows, columns = (size, rng.randint(max(1, size // 2), size))
    density = rng.choice((0.2, 0.4, 0.7, 1.0))
    least = rng.choice((1, 2, 3, 5, rows * columns))
    lines = ["".join("#" if rng.random() < density else "." for _ in range(columns)) for _ in range(rows)]
    return f"{rows} {columns} {least}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    rows, columns, _ = given.ints(3, low=1, high=40000)
    require(rows <= 200 and columns <= 200, "size")
    for _ in range(rows):
        given.word(low=columns, high=columns, alphabet=".#")


PROBLEM = Problem(
    name="large_islands",
    level="medium",
    en=Text(
        task="On a map of squares, land squares that touch at a side or at a corner belong to one island. The "
        "cartographer names only islands of at least k squares. How many names are needed?",
        given="A line with rows, columns (1 to 200 each) and k (1 to 40000), then the rows: `#` is land, `.` is water.",
        wanted="The number of islands with at least k squares.",
    ),
    samples=(("3 4 2\n#..#\n.#..\n...#\n", "1\n"), ("2 2 1\n..\n..\n", "0\n")),
    generate=generate,
    validate=validate,
    small=5,
    large=200,
    edges=("1 1 1\n#\n", "1 1 2\n#\n", "2 2 2\n#.\n.#\n", "2 3 2\n..#\n##.\n", "1 5 2\n##.##\n"),
    idea="Flood each island from its first square with a stack of its own, and count the squares.",
    solution="""\
rows, columns, least = map(int, input().split())
land = {(r, c) for r in range(rows) for c, x in enumerate(input()) if x == "#"}
named = 0
while land:
    stack, size = [land.pop()], 0
    while stack:
        r, c = stack.pop()
        size += 1
        for near in [(r + a, c + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
            if near in land:
                land.remove(near)
                stack.append(near)
    named += size >= least
print(named)
""",
    brute="""\
rows, columns, least = map(int, input().split())
grid = [input() for _ in range(rows)]
label = {(r, c): r * columns + c for r in range(rows) for c in range(columns) if grid[r][c] == "#"}
changed = True
while changed:
    changed = False
    for r, c in label:
        for s, t in label:
            if abs(r - s) <= 1 and abs(c - t) <= 1 and label[s, t] < label[r, c]:
                label[r, c] = label[s, t]
                changed = True
sizes = list(label.values())
print(sum(sizes.count(x) >= least for x in set(sizes)))
""",
    wrong={
        "recursion": """\
rows, columns, least = map(int, input().split())
land = {(r, c) for r in range(rows) for c, x in enumerate(input()) if x == "#"}

def flood(r, c):
    if (r, c) not in land:
        return 0
    land.remove((r, c))
    return 1 + sum(flood(r + a, c + b) for a in (-1, 0, 1) for b in (-1, 0, 1))

named = 0
for r in range(rows):
    for c in range(columns):
        named += flood(r, c) >= least
print(named)
""",
        "sides only": """\
rows, columns, least = map(int, input().split())
land = {(r, c) for r in range(rows) for c, x in enumerate(input()) if x == "#"}
named = 0
while land:
    stack, size = [land.pop()], 0
    while stack:
        r, c = stack.pop()
        size += 1
        for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
            if near in land:
                land.remove(near)
                stack.append(near)
    named += size >= least
print(named)
""",
        "more than k": """\
rows, columns, least = map(int, input().split())
land = {(r, c) for r in range(rows) for c, x in enumerate(input()) if x == "#"}
named = 0
while land:
    stack, size = [land.pop()], 0
    while stack:
        r, c = stack.pop()
        size += 1
        for near in [(r + a, c + b) for a in (-1, 0, 1) for b in (-1, 0, 1)]:
            if near in land:
                land.remove(near)
                stack.append(near)
    named += size > least
print(named)
""",
    },
)
