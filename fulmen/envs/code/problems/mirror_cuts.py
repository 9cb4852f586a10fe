"""The fewest cuts into palindromes."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    letters = rng.choice(("a", "ab", "abc"))
    text = ""
    while len(text) < size:
        half = "".join(rng.choice(letters) for _ in range(rng.randint(1, 4)))
        text += half + half[::-1][rng.randint(0, 1) :]
    return [text[:size]]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    check_word(given.arguments[0], low=1, high=700, alphabet="abc")


PROBLEM = Problem(
    name="mirror_cuts",
    level="medium",
    en=Text(
        task="A ribbon with letters on it is cut into pieces, each of which must read the same from both ends. How "
        "few cuts are enough?",
        given="`ribbon`: 1 to 700 letters, each one of a, b, c.",
        wanted="The least number of cuts.",
    ),
    samples=((["abacc"], 1), (["abc"], 2), (["abba"], 0)),
    generate=generate,
    validate=validate,
    small=10,
    large=700,
    edges=(["a"], ["ab"], ["aabab"], ["aaab"], ["abaab"]),
    function="cuts",
    signature="def cuts(ribbon: str) -> int",
    judge=Judge(kind="json"),
    idea="Grow palindromes from every centre; each one from i to j offers best(i) + 1 for the prefix that ends at j.",
    solution="""\
def cuts(ribbon):
    n = len(ribbon)
    pieces = list(range(n + 1))
    for centre in range(n):
        for left, right in ((centre, centre), (centre, centre + 1)):
            while left >= 0 and right < n and ribbon[left] == ribbon[right]:
                if pieces[left] + 1 < pieces[right + 1]:
                    pieces[right + 1] = pieces[left] + 1
                left -= 1
                right += 1
    return pieces[n] - 1
""",
    brute="""\
def cuts(ribbon):
    n = len(ribbon)
    best = n
    for mask in range(2 ** (n - 1)):
        pieces, start = [], 0
        for i in range(n - 1):
            if mask >> i & 1:
                pieces.append(ribbon[start:i + 1])
                start = i + 1
        pieces.append(ribbon[start:])
        if all(p == p[::-1] for p in pieces):
            best = min(best, len(pieces) - 1)
    return best
""",
    wrong={
        "the longest piece from the left": """\
def cuts(ribbon):
    count = 0
    while ribbon:
        end = max(e for e in range(1, len(ribbon) + 1) if ribbon[:e] == ribbon[:e][::-1])
        ribbon = ribbon[end:]
        count += 1
    return count - 1
""",
        "pieces of odd length": """\
def cuts(ribbon):
    n = len(ribbon)
    pieces = list(range(n + 1))
    for c in range(n):
        i = j = c
        while i >= 0 and j < n and ribbon[i] == ribbon[j]:
            pieces[j + 1] = min(pieces[j + 1], pieces[i] + 1)
            i, j = i - 1, j + 1
    return pieces[n] - 1
""",
        "counts pieces": """\
def cuts(ribbon):
    pieces = [0]
    for j in range(1, len(ribbon) + 1):
        pieces.append(min(pieces[i] + 1 for i in range(j) if ribbon[i:j] == ribbon[i:j][::-1]))
    return pieces[-1]
""",
    },
)
