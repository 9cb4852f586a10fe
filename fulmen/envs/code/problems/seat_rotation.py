"""Rotating a list by a huge number of places."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    steps = rng.choice((rng.randint(-size, size), rng.randint(-(10**12), 10**12), size * rng.randint(-2, 2)))
    return [[rng.randint(0, 99) for _ in range(size)], steps]


def validate(given: Given) -> None:
    require(len(given.arguments) == 2, "two arguments")
    require(len(check_ints(given.arguments[0], low=0, high=99)) <= 3000, "list")
    check_int(given.arguments[1], low=-(10**12), high=10**12)


PROBLEM = Problem(
    name="seat_rotation",
    level="easy",
    en=Text(
        task="Guests sit at a round table whose chairs are numbered clockwise. At each stroke of the bell everybody "
        "moves one chair on, clockwise, and whoever sits on the last chair takes the first. A negative number of "
        "strokes means that they move the other way. Who sits where in the end?",
        given="`guests`: 0 to 3000 integers from 0 to 99, by chair. `strokes`: an integer from -10^12 to 10^12.",
        wanted="The list of guests by chair after all moves.",
    ),
    zh=Text(
        task="客人围坐圆桌，椅子按顺时针编号。钟每响一次，每人顺时针移动一把椅子，坐在最后一把椅子上的人移到第一把。"
        "次数为负表示向相反方向移动。最后每把椅子上坐着谁？",
        given="`guests`：按椅子顺序的 0 到 3000 个整数（0 到 99）。`strokes`：-10^12 到 10^12 的整数。",
        wanted="移动结束后按椅子顺序的客人列表。",
    ),
    samples=(([[1, 2, 3, 4], 1], [4, 1, 2, 3]), ([[7, 8, 9], -4], [8, 9, 7])),
    generate=generate,
    validate=validate,
    small=7,
    large=3000,
    edges=([[], 5], [[], 0], [[3], -1000000000000], [[1, 2], 2], [[1, 2, 3], 0]),
    function="rotate",
    signature="def rotate(guests: list[int], strokes: int) -> list[int]",
    judge=Judge(kind="json"),
    idea="Only the remainder of the strokes modulo the number of chairs matters; cut there and swap the parts.",
    solution="""\
def rotate(guests, strokes):
    if not guests:
        return []
    cut = len(guests) - strokes % len(guests)
    return guests[cut:] + guests[:cut]
""",
    brute="""\
def rotate(guests, strokes):
    n = len(guests)
    after = [None] * n
    for chair, guest in enumerate(guests):
        after[(chair + strokes) % n] = guest
    return after
""",
    wrong={
        "the other way": """\
def rotate(guests, strokes):
    if not guests:
        return []
    cut = strokes % len(guests)
    return guests[cut:] + guests[:cut]
""",
        "fails without guests": """\
def rotate(guests, strokes):
    cut = len(guests) - strokes % len(guests)
    return guests[cut:] + guests[:cut]
""",
        "stroke by stroke": """\
def rotate(guests, strokes):
    for _ in range(abs(strokes)):
        guests = guests[-1:] + guests[:-1] if strokes > 0 else guests[1:] + guests[:1]
    return guests
""",
    },
)
