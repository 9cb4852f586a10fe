"""Steps until repeated products of digits leave one digit."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_int, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[int]:
    digits = rng.choice(("0123456789", "123456789", "6789", "12"))
    return [int(rng.choice("123456789") + "".join(rng.choice(digits) for _ in range(size - 1)))]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    check_int(given.arguments[0], low=0, high=10**300 - 1)


PROBLEM = Problem(
    name="digit_dust",
    level="easy",
    en=Text(
        task="A mill grinds numbers: in one turn, a number becomes the product of those of its digits that are not "
        "zero. How many turns does it take until a single digit is left?",
        given="`number`: an integer from 0 to 10^300 - 1.",
        wanted="The number of turns.",
    ),
    zh=Text(
        task="磨坊研磨数字：每转一圈，一个数就变成它所有非零数位的乘积。需要转多少圈才只剩一位数？",
        given="`number`：0 到 10^300 - 1 的整数。",
        wanted="圈数。",
    ),
    samples=(([10507], 3), ([7], 0)),
    generate=generate,
    validate=validate,
    small=8,
    large=300,
    edges=([0], [10], [99], [1000000], [25], [39]),
    function="turns",
    signature="def turns(number: int) -> int",
    judge=Judge(kind="json"),
    idea="Do as it says: the product has fewer digits than the number, so there are few turns.",
    solution="""\
def turns(number):
    count = 0
    while number >= 10:
        product = 1
        for digit in str(number):
            if digit != "0":
                product *= int(digit)
        number = product
        count += 1
    return count
""",
    brute="""\
def turns(number):
    if number < 10:
        return 0
    product, rest = 1, number
    while rest:
        rest, digit = divmod(rest, 10)
        product *= max(digit, 1)
    return 1 + turns(product)
""",
    wrong={
        "multiplies zeros too": """\
from math import prod

def turns(number):
    count = 0
    while number >= 10:
        number = prod(int(c) for c in str(number))
        count += 1
    return count
""",
        "stops at ten": """\
from math import prod

def turns(number):
    count = 0
    while number > 10:
        number = prod(int(c) for c in str(number) if c != "0")
        count += 1
    return count
""",
        "sums": """\
def turns(number):
    count = 0
    while number >= 10:
        number = sum(int(c) for c in str(number))
        count += 1
    return count
""",
    },
)
