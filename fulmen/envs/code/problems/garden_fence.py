"""Length of the border of cells on a grid."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    rows, columns = (size, rng.randint(1, size)) if rng.random() < 0.5 else (rng.randint(1, size), size)
    density = rng.choice((0.1, 0.5, 0.9, 1.0))
    lines = ["".join("#" if rng.random() < density else "." for _ in range(columns)) for _ in range(rows)]
    return f"{rows} {columns}\n" + "\n".join(lines) + "\n"


def validate(given: Given) -> None:
    rows, columns = given.ints(2, low=1, high=150)
    for _ in range(rows):
        given.word(low=columns, high=columns, alphabet=".#")


PROBLEM = Problem(
    name="garden_fence",
    level="easy",
    en=Text(
        task="Beds of a garden are unit squares of a grid. Every side of a bed that does not touch another bed needs "
        "a metre of fence, also at the edge of the grid and around holes. How much fence is needed?",
        given="A line with the numbers of rows and columns (1 to 150 each), then the rows: `#` is a bed, `.` is none.",
        wanted="Metres of fence.",
    ),
    zh=Text(
        task="花园的花圃是网格中的单位方格。花圃的每条边只要不与另一块花圃相接，就需要一米篱笆，网格边缘和空洞四周也一样。"
        "一共需要多少篱笆？",
        given="第一行是行数和列数（均为 1 到 150），随后是各行：`#` 表示花圃，`.` 表示空地。",
        wanted="篱笆的米数。",
    ),
    samples=(("3 3\n###\n#.#\n###\n", "16\n"), ("1 2\n..\n", "0\n")),
    generate=generate,
    validate=validate,
    small=6,
    large=150,
    edges=("1 1\n#\n", "1 4\n#.##\n", "3 1\n#\n#\n#\n", "2 2\n#.\n.#\n"),
    idea="Each bed brings four sides; every neighbouring pair of beds takes two away.",
    solution="""\
rows, columns = map(int, input().split())
grid = [input() for _ in range(rows)]
fence = 0
for r in range(rows):
    for c in range(columns):
        if grid[r][c] == "#":
            fence += 4
            if r > 0 and grid[r - 1][c] == "#":
                fence -= 2
            if c > 0 and grid[r][c - 1] == "#":
                fence -= 2
print(fence)
""",
    brute="""\
rows, columns = map(int, input().split())
beds = {(r, c) for r in range(rows) for c, x in enumerate(input()) if x == "#"}
print(sum((r + a, c + b) not in beds for r, c in beds for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))))
""",
    wrong={
        "no fence around holes": """\
rows, columns = map(int, input().split())
grid = [input() for _ in range(rows)]
fence = 0
for row in list(grid) + ["".join(col) for col in zip(*grid)]:
    if "#" in row:
        fence += 2
print(fence)
""",
        "wraps around the edge": """\
rows, columns = map(int, input().split())
grid = [input() for _ in range(rows)]
fence = 0
for r in range(rows):
    for c in range(columns):
        if grid[r][c] == "#":
            fence += 4
            fence -= 2 * (grid[r - 1][c] == "#")
            fence -= 2 * (grid[r][c - 1] == "#")
print(fence)
""",
        "takes shared sides off once": """\
rows, columns = map(int, input().split())
grid = [input() for _ in range(rows)]
fence = 0
for r in range(rows):
    for c in range(columns):
        if grid[r][c] == "#":
            fence += 4
            fence -= r > 0 and grid[r - 1][c] == "#"
            fence -= c > 0 and grid[r][c - 1] == "#"
print(fence)
""",
    },
)
