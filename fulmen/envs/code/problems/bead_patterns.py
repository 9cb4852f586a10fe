"""Different subsequences of a text, modulo m."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    letters = rng.choice(("a", "ab", "abc", "abcdefghij"))
    return ["".join(rng.choice(letters) for _ in range(size)), rng.choice((2, 1000, 10**9 + 7, rng.randint(1, 10**9)))]


def validate(given: Given) -> None:
    require(len(given.arguments) == 2, "two arguments")
    check_word(given.arguments[0], low=0, high=5000, alphabet="abcdefghij")
    check_int(given.arguments[1], low=1, high=10**9 + 7)


PROBLEM = Problem(
    name="bead_patterns",
    level="hard",
    en=Text(
        task="From a string of coloured beads some may be taken off, none or all of them, while the others stay in "
        "order. How many different rows of colours can be left, the empty one included? Give the number modulo "
        "`modulus`.",
        given="`beads`: 0 to 5000 letters from a to j. `modulus`: an integer from 1 to 10^9 + 7.",
        wanted="The number of different rows modulo `modulus`.",
    ),
    samples=((["aba", 1000], 7), (["", 5], 1), (["aaa", 3], 1)),
    generate=generate,
    validate=validate,
    small=9,
    large=5000,
    edges=(["a", 1], ["", 1], ["abab", 1000], ["aabb", 1000], ["abcabc", 7]),
    function="patterns",
    signature="def patterns(beads: str, modulus: int) -> int",
    judge=Judge(kind="json"),
    idea="A new bead doubles the rows, but those that ended in its colour before come twice: subtract what there was "
    "before its last one.",
    solution="""\
def patterns(beads, modulus):
    rows, before = 1, {}
    for bead in beads:
        rows, before[bead] = (2 * rows - before.get(bead, 0)) % modulus, rows
    return rows % modulus
""",
    brute="""\
def patterns(beads, modulus):
    rows = {""}
    for bead in beads:
        rows |= {row + bead for row in rows}
    return len(rows) % modulus
""",
    wrong={
        "counts equal rows each time": """\
def patterns(beads, modulus):
    return pow(2, len(beads), modulus)
""",
        "leaves the empty row out": """\
def patterns(beads, modulus):
    rows, before = 1, {}
    for b in beads:
        rows, before[b] = (2 * rows - before.get(b, 0)) % modulus, rows
    return (rows - 1) % modulus
""",
        "keeps them all": """\
def patterns(beads, modulus):
    rows = {""}
    for b in beads:
        rows |= {r + b for r in rows}
    return len(rows) % modulus
""",
    },
)
