"""Edit distance where neighbours may also be swapped."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[str]:
    letters = rng.choice(("ab", "abc", "abcdefgh"))
    word = [rng.choice(letters) for _ in range(size)]
    other = list(word)
    for _ in range(rng.choice((1, 3, size))):
        at = rng.randrange(len(other) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            other.insert(at, rng.choice(letters))
        elif kind == 1:
            del other[at : at + 1]
        elif kind == 2:
            other[at : at + 1] = [rng.choice(letters)]
        else:
            other[at : at + 2] = reversed(other[at : at + 2])
    return ["".join(word), "".join(other[: size + 50])]


def validate(given: Given) -> None:
    require(len(given.arguments) == 2, "two arguments")
    for word in given.arguments:
        check_word(word, low=0, high=450, alphabet="abcdefgh")


PROBLEM = Problem(
    name="scribe_errors",
    level="hard",
    en=Text(
        task="A scribe copies a word and makes mistakes: a letter is left out, a letter is put in, a letter is "
        "replaced by another, or two neighbouring letters of the original change places. No mistake touches a letter "
        "that another mistake touched: letters that changed places stand next to each other in the copy too, with "
        "nothing put between. What is the least number of mistakes that explains the copy?",
        given="`original`, `copy`: texts of 0 to 450 letters from a to h.",
        wanted="The least number of mistakes.",
    ),
    samples=((["abcd", "bacd"], 1), (["ab", "ba"], 1), (["ba", "acb"], 3)),
    generate=generate,
    validate=validate,
    small=5,
    large=400,
    edges=(["", ""], ["", "abc"], ["abc", ""], ["abab", "baba"], ["ca", "abc"], ["aab", "aba"]),
    function="mistakes",
    signature="def mistakes(original: str, copy: str) -> int",
    judge=Judge(kind="json"),
    cpu_s=4.0,
    idea="The table of edit distances of prefixes with one more case: the last two letters of one are those of the "
    "other, swapped.",
    solution="""\
def mistakes(original, copy):
    rows = [list(range(len(copy) + 1))]
    for i, a in enumerate(original, start=1):
        row = [i]
        for j, b in enumerate(copy, start=1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == copy[j - 2] and b == original[i - 2]:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
""",
    brute="""\
from functools import cache

def mistakes(original, copy):
    @cache
    def least(a, b):
        if not a or not b:
            return len(a) + len(b)
        ways = [least(a[1:], b) + 1, least(a, b[1:]) + 1, least(a[1:], b[1:]) + (a[0] != b[0])]
        if len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0]:
            ways.append(least(a[2:], b[2:]) + 1)
        return min(ways)
    return least(original, copy)
""",
    wrong={
        "no change of places": """\
def mistakes(original, copy):
    row = list(range(len(copy) + 1))
    for i, a in enumerate(original, start=1):
        last, row[0] = row[0], i
        for j, b in enumerate(copy, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]
""",
        "compares place by place": """\
def mistakes(original, copy):
    return sum(a != b for a, b in zip(original, copy)) + abs(len(original) - len(copy))
""",
        "plain recursion": """\
def mistakes(a, b):
    if not a or not b:
        return len(a) + len(b)
    ways = [mistakes(a[1:], b) + 1, mistakes(a, b[1:]) + 1, mistakes(a[1:], b[1:]) + (a[0] != b[0])]
    if len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0]:
        ways.append(mistakes(a[2:], b[2:]) + 1)
    return min(ways)
""",
    },
)
