"""Numbers of a range with two equal neighbouring digits."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, require


def generate(rng: random.Random, size: int) -> str:
    top = rng.choice((300, 20000, 10**9))
    low = rng.randint(0, top)
    return f"{low} {low + size - 1}\n"


def validate(given: Given) -> None:
    low, high = given.ints(2, low=0, high=2 * 10**9)
    require(low <= high <= low + 100000 and low <= 10**9, "range")


PROBLEM = Problem(
    name="twin_digits",
    level="easy",
    en=Text(
        task="A raffle pays for tickets whose number shows the same digit twice in direct succession, such as 188 or "
        "3007. The tickets from a to b, both included, are sold. How many of them win? Numbers are written without "
        "leading zeros.",
        given="One line with a and b, where 0 <= a <= 10^9 and a <= b <= a + 100000.",
        wanted="The number of winning tickets.",
    ),
    zh=Text(
        task="抽奖规定：号码中有两个相邻数字相同（例如 188 或 3007）的奖券中奖。从 a 到 b（含两端）的奖券全部售出，"
        "其中有多少张中奖？号码没有前导零。",
        given="一行两个整数 a 和 b，0 <= a <= 10^9，a <= b <= a + 100000。",
        wanted="中奖奖券的数量。",
    ),
    samples=(("9 23\n", "2\n"), ("1000 1002\n", "3\n")),
    generate=generate,
    validate=validate,
    small=200,
    large=100001,
    edges=("0 0\n", "0 100\n", "11 11\n", "9 10\n", "999999999 1000000000\n"),
    idea="The range is short, so test each number by comparing its digits with their neighbours.",
    solution="""\
a, b = map(int, input().split())
wins = 0
for ticket in range(a, b + 1):
    digits = str(ticket)
    wins += any(x == y for x, y in zip(digits, digits[1:]))
print(wins)
""",
    brute="""\
a, b = map(int, input().split())
wins = 0
for ticket in range(a, b + 1):
    while ticket >= 10:
        if ticket % 10 == ticket // 10 % 10:
            wins += 1
            break
        ticket //= 10
print(wins)
""",
    wrong={
        "leaves the last ticket out": """\
a, b = map(int, input().split())
print(sum(any(x == y for x, y in zip(str(t), str(t)[1:])) for t in range(a, b)))
""",
        "equal digits anywhere": """\
a, b = map(int, input().split())
print(sum(len(set(str(t))) < len(str(t)) for t in range(a, b + 1)))
""",
        "counts every pair": """\
a, b = map(int, input().split())
print(sum(sum(x == y for x, y in zip(str(t), str(t)[1:])) for t in range(a, b + 1)))
""",
    },
)
