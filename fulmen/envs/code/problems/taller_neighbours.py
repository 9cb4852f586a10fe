"""Distance to the nearest higher value on the left."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    high = rng.choice((3, 10**9))
    heights = [rng.randint(1, high) for _ in range(size)]
    if rng.random() < 0.3 or size > 1000:
        heights.sort(reverse=rng.random() < 0.3 and size <= 1000)
    return [heights]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    require(len(check_ints(given.arguments[0], low=1, high=10**9)) <= 20000, "heights")


PROBLEM = Problem(
    name="taller_neighbours",
    level="medium",
    en=Text(
        task="People queue for a photograph, the first at the left. Everyone looks to the left and sees the nearest "
        "person who is strictly taller. Add up, for all who see such a person, how many places away that person "
        "stands.",
        given="`heights`: 0 to 20000 integers from 1 to 10^9, from left to right.",
        wanted="The sum of distances.",
    ),
    samples=(([[5, 3, 4, 4, 1]], 7), ([[1, 2, 3]], 0)),
    generate=generate,
    validate=validate,
    small=8,
    large=20000,
    edges=([[]], [[7]], [[2, 2]], [[2, 1]], [[3, 1, 2, 1, 3]]),
    function="looks",
    signature="def looks(heights: list[int]) -> int",
    judge=Judge(kind="json"),
    idea="A stack holds those who can still be seen, heights falling; whoever is not taller than the newcomer leaves "
    "it.",
    solution="""\
def looks(heights):
    stack, total = [], 0
    for place, height in enumerate(heights):
        while stack and heights[stack[-1]] <= height:
            stack.pop()
        if stack:
            total += place - stack[-1]
        stack.append(place)
    return total
""",
    brute="""\
def looks(heights):
    total = 0
    for i, height in enumerate(heights):
        taller = [j for j in range(i) if heights[j] > height]
        total += i - taller[-1] if taller else 0
    return total
""",
    wrong={
        "looks one by one": """\
def looks(heights):
    total = 0
    for i in range(len(heights)):
        for j in range(i - 1, -1, -1):
            if heights[j] > heights[i]:
                total += i - j
                break
    return total
""",
        "as tall is enough": """\
def looks(heights):
    stack, total = [], 0
    for i, h in enumerate(heights):
        while stack and heights[stack[-1]] < h:
            stack.pop()
        total += i - stack[-1] if stack else 0
        stack.append(i)
    return total
""",
        "the tallest of all": """\
def looks(heights):
    total, best = 0, None
    for i, h in enumerate(heights):
        if best is not None and heights[best] > h:
            total += i - best
        else:
            best = i
    return total
""",
    },
)
