"""Reading a rectangle in a spiral from its lower right corner."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    rows, columns = rng.choice(((size, size), (1, size), (size, 1), (size, rng.randint(1, size))))
    return [[[rng.randint(0, 99) for _ in range(columns)] for _ in range(rows)]]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    board = given.arguments[0]
    require(isinstance(board, list) and 1 <= len(board) <= 60, "rows")
    for row in board:
        require(1 <= len(check_ints(row, len(board[0]), low=0, high=99)) <= 60, "columns")


PROBLEM = Problem(
    name="spiral_walk",
    level="medium",
    en=Text(
        task="A snail starts on the lower right field of a board and crawls up along its edge, then left, down and "
        "right, in an ever narrower spiral, until it has been on every field once. Which numbers does it meet?",
        given="`board`: 1 to 60 rows of 1 to 60 integers from 0 to 99 each, all rows of one length, the top row first.",
        wanted="The list of numbers in the order of the walk.",
    ),
    samples=(([[[1, 2, 3], [4, 5, 6]]], [6, 3, 2, 1, 4, 5]), ([[[7, 8]]], [8, 7])),
    generate=generate,
    validate=validate,
    small=5,
    large=60,
    edges=([[[5]]], [[[1], [2], [3]]], [[[1, 2], [3, 4]]], [[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]),
    function="walk",
    signature="def walk(board: list[list[int]]) -> list[int]",
    judge=Judge(kind="json"),
    idea="Take off the last column from below, turn what is left so that the next edge becomes the last column, "
    "repeat.",
    solution="""\
def walk(board):
    top, bottom, left, right = 0, len(board) - 1, 0, len(board[0]) - 1
    met = []
    while top <= bottom and left <= right:
        met += [board[r][right] for r in range(bottom, top - 1, -1)]
        right -= 1
        met += [board[top][c] for c in range(right, left - 1, -1)]
        top += 1
        if left <= right:
            met += [board[r][left] for r in range(top, bottom + 1)]
            left += 1
        if top <= bottom:
            met += [board[bottom][c] for c in range(left, right + 1)]
            bottom -= 1
    return met
""",
    brute="""\
def walk(board):
    r, c = len(board) - 1, len(board[0]) - 1
    left = {(i, j) for i in range(len(board)) for j in range(len(board[0]))}
    dr, dc, met = -1, 0, []
    while left:
        left.discard((r, c))
        met.append(board[r][c])
        if (r + dr, c + dc) not in left:
            dr, dc = -dc, dr
        r, c = r + dr, c + dc
    return met
""",
    wrong={
        "meets the last line twice": """\
def walk(board):
    t, b, l, r = 0, len(board) - 1, 0, len(board[0]) - 1
    met = []
    while t <= b and l <= r:
        met += [board[i][r] for i in range(b, t - 1, -1)]
        r -= 1
        met += [board[t][j] for j in range(r, l - 1, -1)]
        t += 1
        met += [board[i][l] for i in range(t, b + 1)]
        l += 1
        met += [board[b][j] for j in range(l, r + 1)]
        b -= 1
    return met
""",
        "turns the other way": """\
def walk(board):
    board = [list(row)[::-1] for row in board][::-1]
    met = []
    while board:
        met += board.pop(0)
        board = [list(row) for row in zip(*board)][::-1]
    return met
""",
    },
)
