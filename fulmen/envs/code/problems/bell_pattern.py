"""The shortest block that a text repeats, the last time perhaps cut short."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text


def generate(rng: random.Random, size: int) -> str:
    letters = rng.choice(("a", "ab", "abc"))
    length = rng.choice((1, 2, max(1, size // 3), max(1, size // 2), size))
    block = "".join(rng.choice(letters) for _ in range(length))
    text = (block * (size // length + 1))[:size]
    if rng.random() < 0.3:
        at = rng.choice((size - 1, rng.randrange(size)))
        text = text[:at] + rng.choice("abc") + text[at + 1 :]
    return text + "\n"


def validate(given: Given) -> None:
    given.word(low=1, high=40000, alphabet="abc")


PROBLEM = Problem(
    name="bell_pattern",
    level="hard",
    en=Text(
        task="Bell ringers repeat a block of strokes over and over until the clock stops them, maybe in the middle "
        "of a block. Given all strokes, how long is the shortest block that they can have repeated, and how many "
        "whole blocks did they ring?",
        given="One line with 1 to 40000 letters a, b or c.",
        wanted="The length of the shortest block and the number of whole blocks.",
    ),
    samples=(("abcabcab\n", "3 2\n"), ("aab\n", "3 1\n")),
    generate=generate,
    validate=validate,
    small=10,
    large=40000,
    edges=("a\n", "aa\n", "aba\n", "aabaa\n", "abab\n", "abacabab\n"),
    idea="The longest proper border of the text, found as in Knuth-Morris-Pratt, leaves the shortest period.",
    solution="""\
text = input()
border = [0] * len(text)
k = 0
for i in range(1, len(text)):
    while k and text[i] != text[k]:
        k = border[k - 1]
    if text[i] == text[k]:
        k += 1
    border[i] = k
period = len(text) - border[-1]
print(period, len(text) // period)
""",
    brute="""\
text = input()
n = len(text)
period = next(p for p in range(1, n + 1) if all(text[i] == text[i % p] for i in range(n)))
print(period, n // period)
""",
    wrong={
        "whole blocks only": """\
text = input()
n = len(text)
period = next(p for p in range(1, n + 1) if n % p == 0 and text[:p] * (n // p) == text)
print(period, n // period)
""",
        "letter by letter for every length": """\
text = input()
n = len(text)
for p in range(1, n + 1):
    good = True
    total = 0
    for i in range(n):
        total += text[i] == text[i % p]
    if total == n:
        break
print(p, n // p)
""",
        "stops at the first return of the beginning": """\
text = input()
n = len(text)
p = text.find(text[0], 1)
p = n if p < 0 else p
print(p, n // p)
""",
    },
)
