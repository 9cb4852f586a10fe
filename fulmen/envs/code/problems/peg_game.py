"""Who wins a game of taking pegs from heaps by given steps."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    steps = rng.sample(range(1, 12), rng.randint(1, 5))
    return [[rng.randint(0, size) for _ in range(rng.choice((1, 2, 3, 3 if size < 100 else 100)))], sorted(steps)]


def validate(given: Given) -> None:
    require(len(given.arguments) == 2, "two arguments")
    require(1 <= len(check_ints(given.arguments[0], low=0, high=3000)) <= 100, "heaps")
    steps = check_ints(given.arguments[1], low=1, high=50)
    require(1 <= len(steps) <= 10 and sorted(set(steps)) == steps, "steps")


PROBLEM = Problem(
    name="peg_game",
    level="hard",
    en=Text(
        task="Two players move in turn. A move takes pegs from one heap, as many as one of the allowed numbers says. "
        "Whoever cannot move loses. Both play as well as possible. In how many ways can the first player make a "
        "first move that wins? Moves on different heaps, or of different numbers, are different ways.",
        given="`heaps`: 1 to 100 integers from 0 to 3000. `allowed`: 1 to 10 different integers from 1 to 50, rising.",
        wanted="The number of winning first moves; 0 if the second player wins.",
    ),
    samples=(([[3], [1, 2]], 0), ([[4, 1], [1, 3]], 3), ([[5], [1, 2]], 1)),
    generate=generate,
    validate=validate,
    small=4,
    large=3000,
    edges=(
        [[0], [1]],
        [[1, 1, 1], [1]],
        [[0, 0], [2, 3]],
        [[2, 2], [1]],
        [[7, 5, 3], [1, 3, 4]],
        [[1, 2, 3], [1, 2, 3]],
    ),
    function="winning_moves",
    signature="def winning_moves(heaps: list[int], allowed: list[int]) -> int",
    judge=Judge(kind="json"),
    idea="Sprague-Grundy: the value of a heap is the least number that none of its moves leads to; a move wins if "
    "the exclusive or of all values becomes 0.",
    solution="""\
def winning_moves(heaps, allowed):
    value = []
    for pegs in range(max(heaps) + 1):
        reached = {value[pegs - step] for step in allowed if step <= pegs}
        least = 0
        while least in reached:
            least += 1
        value.append(least)
    total = 0
    for heap in heaps:
        total ^= value[heap]
    return sum(
        total ^ value[heap] ^ value[heap - step] == 0 for heap in heaps for step in allowed if step <= heap
    )
""",
    brute="""\
from functools import cache

def winning_moves(heaps, allowed):
    @cache
    def wins(heaps):
        return any(not wins(after) for after in moves(heaps))

    def moves(heaps):
        for i, heap in enumerate(heaps):
            for step in allowed:
                if step <= heap:
                    yield tuple(sorted(heaps[:i] + (heap - step,) + heaps[i + 1:]))

    return sum(not wins(after) for after in moves(tuple(heaps)))
""",
    wrong={
        "exclusive or of the heaps": """\
def winning_moves(heaps, allowed):
    total = 0
    for heap in heaps:
        total ^= heap
    return sum(total ^ heap ^ (heap - step) == 0 for heap in heaps for step in allowed if step <= heap)
""",
        "the remainder by the greatest step": """\
def winning_moves(heaps, allowed):
    base = max(allowed) + 1
    total = 0
    for heap in heaps:
        total ^= heap % base
    return sum(total ^ heap % base ^ (heap - s) % base == 0 for heap in heaps for s in allowed if s <= heap)
""",
        "heaps of one kind once": """\
def winning_moves(heaps, allowed):
    value = []
    for pegs in range(max(heaps) + 1):
        reached = {value[pegs - s] for s in allowed if s <= pegs}
        value.append(next(x for x in range(99) if x not in reached))
    total = 0
    for heap in heaps:
        total ^= value[heap]
    return len({(h, s) for h in heaps for s in allowed if s <= h and total ^ value[h] ^ value[h - s] == 0})
""",
    },
)
