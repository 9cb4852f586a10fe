"""Value of an arithmetic expression with precedence."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def expression(rng: random.Random, size: int) -> str:
    if size <= 1:
        return str(rng.choice((0, 1, 2, 9, 10, 37)))
    left = rng.randint(1, size - 1)
    text = expression(rng, left) + rng.choice("+--*") + expression(rng, size - left)
    return f"({text})" if rng.random() < 0.3 else text


def generate(rng: random.Random, size: int) -> list[str]:
    return [expression(rng, size)]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    check_word(given.arguments[0], low=1, high=4000, alphabet="0123456789+-*()")


PROBLEM = Problem(
    name="desk_sums",
    level="medium",
    en=Text(
        task="A desk calculator of a bank reads a whole line: non-negative integers joined by + - *, with "
        "parentheses. Products bind tighter than sums, and operators of one rank are worked off from left to right. "
        "There are no spaces and no signs in front of numbers. What does it show?",
        given="`line`: 1 to 4000 characters, a correct expression; intermediate results may be huge.",
        wanted="The value.",
    ),
    samples=((["2-3-4*(1+1)"], -9), (["(7)"], 7)),
    generate=generate,
    validate=validate,
    small=7,
    large=300,
    edges=(["0"], ["1-1-1"], ["2*3+4*5"], ["(1-(2-(3-4)))"], ["10-2*(3-5)*2"]),
    function="show",
    signature="def show(line: str) -> int",
    judge=Judge(kind="json"),
    idea="One stack of values and one of operators: before an operator is pushed, those that bind at least as "
    "tightly are worked off.",
    solution="""\
def show(line):
    values, operators = [], []
    rank = {"(": 0, "+": 1, "-": 1, "*": 2}

    def work_off():
        right, left = values.pop(), values.pop()
        operator = operators.pop()
        values.append(left + right if operator == "+" else left - right if operator == "-" else left * right)

    place = 0
    while place < len(line):
        c = line[place]
        if c.isdigit():
            start = place
            while place < len(line) and line[place].isdigit():
                place += 1
            values.append(int(line[start:place]))
            continue
        if c == "(":
            operators.append(c)
        elif c == ")":
            while operators[-1] != "(":
                work_off()
            operators.pop()
        else:
            while operators and rank[operators[-1]] >= rank[c]:
                work_off()
            operators.append(c)
        place += 1
    while operators:
        work_off()
    return values[0]
""",
    brute="""\
def show(line):
    depth = 0
    # The last operator of the lowest rank outside parentheses splits the line.
    for group in ("+-", "*"):
        for i in range(len(line) - 1, -1, -1):
            depth += (line[i] == ")") - (line[i] == "(")
            if depth == 0 and line[i] in group:
                a, b = show(line[:i]), show(line[i + 1:])
                return a + b if line[i] == "+" else a - b if line[i] == "-" else a * b
    return show(line[1:-1]) if line[0] == "(" else int(line)
""",
    wrong={
        "no precedence": """\
def show(line):
    tokens = list(line.replace("(", " ( ").replace(")", " ) ").replace("+", " + ").replace("-", " - ")
                  .replace("*", " * ").split())
    def read(pos):
        def atom(pos):
            if tokens[pos] == "(":
                v, pos = read(pos + 1)
                return v, pos + 1
            return int(tokens[pos]), pos + 1
        v, pos = atom(pos)
        while pos < len(tokens) and tokens[pos] != ")":
            op = tokens[pos]
            w, pos = atom(pos + 1)
            v = v + w if op == "+" else v - w if op == "-" else v * w
        return v, pos
    return read(0)[0]
""",
        "from right to left": """\
def show(line):
    for group in ("+-", "*"):
        depth = 0
        for i, c in enumerate(line):
            depth += (c == "(") - (c == ")")
            if depth == 0 and c in group:
                a, b = show(line[:i]), show(line[i + 1:])
                return a + b if c == "+" else a - b if c == "-" else a * b
    return show(line[1:-1]) if line[0] == "(" else int(line)
""",
    },
)
