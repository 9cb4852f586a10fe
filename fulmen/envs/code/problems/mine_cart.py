"""The best way down a grid with blocked cells."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require


def generate(rng: random.Random, size: int) -> str:
    rows, columns = rng.choice(((size, size), (1, size), (size, max(1, size // 2))))
    blocked = rng.choice((0.0, 0.1, 0.35))
    low = rng.choice((0, -50))
    lines = [
        " ".join("#" if rng.random() < blocked else str(rng.randint(low, 50)) for _ in range(columns))
        for _ in range(rows)
    ]
    return f"{rows} {columns}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    rows, columns = given.ints(2, low=1, high=200)
    for _ in range(rows):
        words = given.line().split(" ")
        require(len(words) == columns, "row")
        check_ints([int(word) for word in words if word != "#"], low=-50, high=50)


PROBLEM = Problem(
    name="mine_cart",
    level="medium",
    en=Text(
        task="A cart rolls through a mine from the top left chamber to the bottom right one, always one chamber to "
        "the right or down. It collects the ore of every chamber on its way, first and last included; ore may be "
        "negative where the cart loses some. Chambers marked # are shut. How much ore can it bring?",
        given="A line with rows and columns (1 to 200 each), then the rows: per chamber an integer from -50 to 50 or "
        "#, with one space between.",
        wanted="The greatest sum, or SHUT if there is no way.",
    ),
    samples=(("2 3\n1 # 9\n4 -2 3\n", "6\n"), ("2 2\n1 #\n# 1\n", "SHUT\n")),
    generate=generate,
    validate=validate,
    small=4,
    large=200,
    edges=("1 1\n#\n", "1 1\n-5\n", "1 3\n1 # 1\n", "3 1\n-1\n-2\n-3\n", "2 2\n# 5\n5 5\n"),
    idea="The best sum up to a chamber is its ore and the better one of the chambers above and to the left.",
    solution="""\
rows, columns = map(int, input().split())
best = [None] * columns
for r in range(rows):
    for c, word in enumerate(input().split()):
        ways = [best[c]] + ([best[c - 1]] if c else [])
        ways = [way for way in ways if way is not None]
        if r == c == 0:
            ways = [0]
        best[c] = max(ways) + int(word) if ways and word != "#" else None
print("SHUT" if best[-1] is None else best[-1])
""",
    brute="""\
rows, columns = map(int, input().split())
grid = [input().split() for _ in range(rows)]

def walk(r, c):
    if r == rows or c == columns or grid[r][c] == "#":
        return []
    ore = int(grid[r][c])
    if (r, c) == (rows - 1, columns - 1):
        return [ore]
    return [ore + rest for rest in walk(r + 1, c) + walk(r, c + 1)]

print(max(walk(0, 0), default="SHUT"))
""",
    wrong={
        "goes where more is": """\
rows, columns = map(int, input().split())
g = [input().split() for _ in range(rows)]
r = c = 0
total = int(g[0][0]) if g[0][0] != "#" else None
while total is not None and (r, c) != (rows - 1, columns - 1):
    ways = [(int(g[i][j]), i, j) for i, j in ((r + 1, c), (r, c + 1)) if i < rows and j < columns and g[i][j] != "#"]
    if not ways:
        total = None
        break
    ore, r, c = max(ways)
    total += ore
print("SHUT" if total is None else total)
""",
        "shut chambers are empty ones": """\
rows, columns = map(int, input().split())
best = [-10**9] * columns
best[0] = 0
for r in range(rows):
    for c, word in enumerate(input().split()):
        best[c] = max(best[c], best[c - 1] if c else -10**9) + (0 if word == "#" else int(word))
print(best[-1])
""",
        "less than nothing is no way": """\
rows, columns = map(int, input().split())
best = [-1] * columns
for r in range(rows):
    for c, word in enumerate(input().split()):
        way = 0 if r == c == 0 else max(best[c], best[c - 1] if c else -1)
        best[c] = way + int(word) if word != "#" and way >= 0 else -1
print(best[-1] if best[-1] >= 0 else "SHUT")
""",
    },
)
