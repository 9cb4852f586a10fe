"""Shifting letters by their place in the text."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    alphabet = rng.choice(("abcxyz", "aZbY", "aA .-09zZ", "zZ"))
    return ["".join(rng.choice(alphabet) for _ in range(size)), rng.choice((0, 1, 25, 26, rng.randint(0, 10**9)))]


def validate(given: Given) -> None:
    require(len(given.arguments) == 2, "two arguments")
    letters = "abcdefghijklmnopqrstuvwxyz"
    check_word(given.arguments[0], low=0, high=3000, alphabet=letters + letters.upper() + "0123456789 .-")
    check_int(given.arguments[1], low=0, high=10**9)


PROBLEM = Problem(
    name="ring_cipher",
    level="easy",
    en=Text(
        task="A cipher ring moves every letter on in the alphabet, after z comes a again, and capitals stay "
        "capitals. The first letter of the text moves by `start` places, and each letter moves by one more place "
        "than the letter before it. Other characters stay as they are and do not turn the ring.",
        given="`text`: 0 to 3000 letters, digits, spaces, dots and hyphens. `start`: an integer from 0 to 10^9.",
        wanted="The text in cipher.",
    ),
    zh=Text(
        task="密码环把每个字母在字母表中向后移动，z 之后回到 a，大写仍为大写。文本的第一个字母移动 `start` 位，"
        "之后每个字母比前一个字母多移动一位。其他字符保持不变，也不转动密码环。",
        given="`text`：0 到 3000 个字母、数字、空格、点和连字符。`start`：0 到 10^9 的整数。",
        wanted="加密后的文本。",
    ),
    samples=((["abc-z", 1], "bdf-d"), (["Zz", 26], "Za")),
    generate=generate,
    validate=validate,
    small=8,
    large=3000,
    edges=(["", 0], ["a b", 25], ["...", 7], ["Z", 1], ["aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0]),
    function="encode",
    signature="def encode(text: str, start: int) -> str",
    judge=Judge(kind="json"),
    idea="Keep the shift beside the text and raise it after each letter; work modulo 26 within its own case.",
    solution="""\
def encode(text, start):
    out, shift = [], start
    for c in text:
        if c.isalpha():
            first = ord("a") if c.islower() else ord("A")
            out.append(chr((ord(c) - first + shift) % 26 + first))
            shift += 1
        else:
            out.append(c)
    return "".join(out)
""",
    brute="""\
from string import ascii_lowercase, ascii_uppercase

def encode(text, start):
    out, turned = "", 0
    for c in text:
        for ring in (ascii_lowercase, ascii_uppercase):
            if c in ring:
                at = (ring.index(c) + start % 26 + turned % 26) % 26
                out, turned = out + ring[at], turned + 1
                break
        else:
            out += c
    return out
""",
    wrong={
        "other characters turn the ring": """\
def encode(text, start):
    out = ""
    for i, c in enumerate(text):
        if c.isalpha():
            first = ord("a") if c.islower() else ord("A")
            c = chr((ord(c) - first + start + i) % 26 + first)
        out += c
    return out
""",
        "capitals become small": """\
def encode(text, start):
    out = ""
    for c in text:
        if c.isalpha():
            c = chr((ord(c.lower()) - 97 + start) % 26 + 97)
            start += 1
        out += c
    return out
""",
        "the same shift everywhere": """\
def encode(text, start):
    out = ""
    for c in text:
        if c.isalpha():
            first = ord("a") if c.islower() else ord("A")
            c = chr((ord(c) - first + start) % 26 + first)
        out += c
    return out
""",
    },
)
