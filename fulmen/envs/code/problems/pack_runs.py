"""Run-length packing of a text."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge

LETTERS = "abxyz"


def generate(rng: random.Random, size: int) -> list[str]:
    letters = LETTERS[: rng.randint(1, 5)]
    text = ""
    while len(text) < size:
        text += rng.choice(letters) * rng.choice((1, 1, 2, 3, 12))
    return [text[:size]]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    check_word(given.arguments[0], low=0, high=5000, alphabet=LETTERS)


PROBLEM = Problem(
    name="pack_runs",
    level="easy",
    en=Text(
        task="A telegraph office shortens messages: every longest stretch of one repeated letter becomes the letter "
        "followed by how often it stands there, except that a letter standing alone stays as it is.",
        given="`text`: 0 to 5000 letters, each one of a, b, x, y, z.",
        wanted="The shortened text.",
    ),
    zh=Text(
        task="电报局会缩短电文：把每一段最长的连续相同字母写成该字母加上它重复的次数；单独出现的字母保持不变。",
        given="`text`：0 到 5000 个字母，每个都是 a、b、x、y、z 之一。",
        wanted="缩短后的文本。",
    ),
    samples=((["aaabxx"], "a3bx2"), ([""], "")),
    generate=generate,
    validate=validate,
    small=12,
    large=5000,
    edges=([""], ["z"], ["aaaaaaaaaaaa"], ["abab"], ["abb"]),
    function="pack",
    signature="def pack(text: str) -> str",
    judge=Judge(kind="json"),
    idea="Walk from run to run: find where the run ends, write the letter, and its length if above one.",
    solution="""\
def pack(text):
    out = []
    start = 0
    while start < len(text):
        end = start
        while end < len(text) and text[end] == text[start]:
            end += 1
        out.append(text[start])
        if end - start > 1:
            out.append(str(end - start))
        start = end
    return "".join(out)
""",
    brute="""\
import re

def pack(text):
    return re.sub(r"(.)\\1+", lambda m: m[1] + str(len(m[0])), text)
""",
    wrong={
        "loses the last run": """\
def pack(text):
    out, last, count = "", "", 0
    for c in text:
        if c == last:
            count += 1
        else:
            if last:
                out += last + (str(count) if count > 1 else "")
            last, count = c, 1
    return out
""",
        "counts letters of the whole text": """\
def pack(text):
    out, seen = "", set()
    for c in text:
        if c not in seen:
            seen.add(c)
            out += c + (str(text.count(c)) if text.count(c) > 1 else "")
    return out
""",
        "writes the one": """\
from itertools import groupby

def pack(text):
    return "".join(c + str(len(list(run))) for c, run in groupby(text))
""",
    },
)
