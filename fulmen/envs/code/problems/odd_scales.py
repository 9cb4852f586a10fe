"""Writing integers to the base minus two."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[int]:
    reach = 2 ** min(size, 200)
    return [rng.choice((rng.randint(-reach, reach), reach, -reach, reach - 1))]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    check_int(given.arguments[0], low=-(2**200), high=2**200)


PROBLEM = Problem(
    name="odd_scales",
    level="easy",
    en=Text(
        task="A merchant owns one weight each of 1, -2, 4, -8, 16, ... grams; the negative ones are balloons. Every "
        "whole number of grams, negative or not, can be put together in just one way. Write down, from the largest "
        "weight used to the smallest weight there is, 1 for each weight that is used and 0 for each that is not.",
        given="`grams`: an integer from -2^200 to 2^200.",
        wanted="The text of zeros and ones without leading zeros; `0` for no grams.",
    ),
    zh=Text(
        task="商人有 1、-2、4、-8、16…… 克的砝码各一个，负的是气球。任何整数克数（可以为负）都恰有一种组合方式。"
        "从用到的最大砝码写到最小的砝码：用到写 1，没用到写 0。",
        given="`grams`：-2^200 到 2^200 的整数。",
        wanted="由 0 和 1 组成、没有前导零的文本；0 克写作 `0`。",
    ),
    samples=(([3], "111"), ([-2], "10"), ([0], "0")),
    generate=generate,
    validate=validate,
    small=6,
    large=200,
    edges=([1], [-1], [2], [-3], [5], [-10]),
    function="weights",
    signature="def weights(grams: int) -> str",
    judge=Judge(kind="json"),
    idea="Divide by -2 again and again, always with remainder 0 or 1; the remainders are the digits from the end.",
    solution="""\
def weights(grams):
    if grams == 0:
        return "0"
    digits = []
    while grams != 0:
        bit = grams % 2
        digits.append(str(bit))
        grams = (grams - bit) // -2
    return "".join(reversed(digits))
""",
    brute="""\
def weights(grams):
    code = 0
    while True:
        text = bin(code)[2:]
        if sum((-2) ** i for i, c in enumerate(reversed(text)) if c == "1") == grams:
            return text
        code += 1
""",
    wrong={
        "plain binary": """\
def weights(grams):
    return bin(grams)[2:] if grams >= 0 else "-" + bin(grams)[3:]
""",
        "negative remainders": """\
def weights(grams):
    digits = ""
    while grams:
        quotient = grams // -2
        digits = str(abs(grams - quotient * -2)) + digits
        grams = quotient
    return digits or "0"
""",
        "nothing for zero": """\
def weights(grams):
    digits = ""
    while grams:
        digits = str(grams % 2) + digits
        grams = (grams - grams % 2) // -2
    return digits
""",
    },
)
