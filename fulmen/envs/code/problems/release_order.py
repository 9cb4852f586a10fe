"""Sorting version names."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    high = rng.choice((2, 12, 2000))
    return [
        [
            ".".join(str(rng.randint(0, high)) for _ in range(rng.randint(1, 4))) + rng.choice(("", "", "-rc", "-b"))
            for _ in range(size)
        ]
    ]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    names = given.arguments[0]
    require(isinstance(names, list) and len(names) <= 1000, "names")
    for name in names:
        numbers, _, suffix = check_word(name, low=1, high=40, alphabet="0123456789.-rcb").partition("-")
        parts = numbers.split(".")
        require(1 <= len(parts) <= 4 and all(p.isdigit() and str(int(p)) == p for p in parts), "numbers")
        require(suffix in ("", "rc", "b") and name.endswith(suffix), "suffix")


PROBLEM = Problem(
    name="release_order",
    level="medium",
    en=Text(
        task="Releases are called `2.10.3`, `2.10-rc` or `2.9-b`: one to four numbers with dots between, then "
        "nothing, `-rc` or `-b`. Numbers are compared from left to right by value; missing ones count as 0. Where "
        "all numbers agree, a `-b` comes before an `-rc`, which comes before the release without either. Names that "
        "agree in all that, such as `1` and `1.0`, keep the order in which they were given.",
        given="`names`: 0 to 1000 such names; numbers have no leading zeros.",
        wanted="The list of names, oldest first.",
    ),
    samples=(([["1.10", "1.9", "1.9-rc", "1.9.0"]], ["1.9-rc", "1.9", "1.9.0", "1.10"]),),
    generate=generate,
    validate=validate,
    small=6,
    large=1000,
    edges=([[]], [["1", "1.0"]], [["1.0", "1"]], [["2-b", "2-rc", "2"]], [["0", "0-b"]], [["2", "10"]]),
    function="oldest_first",
    signature="def oldest_first(names: list[str]) -> list[str]",
    judge=Judge(kind="json"),
    idea="Sort with a stable sort by a key: the numbers padded to four, then the rank of the ending.",
    solution="""\
def oldest_first(names):
    def key(name):
        numbers, _, suffix = name.partition("-")
        parts = [int(part) for part in numbers.split(".")]
        return parts + [0] * (4 - len(parts)), ["b", "rc", ""].index(suffix)
    return sorted(names, key=key)
""",
    brute="""\
def older(a, b):
    x, y = ([*map(int, n.split("-")[0].split(".")), 0, 0, 0][:4] for n in (a, b))
    if x != y:
        return x < y
    rank = lambda n: 0 if n.endswith("b") else 1 if n.endswith("rc") else 2
    return rank(a) < rank(b)

def oldest_first(names):
    out = []
    for name in names:
        place = len(out)
        while place > 0 and older(name, out[place - 1]):
            place -= 1
        out.insert(place, name)
    return out
""",
    wrong={
        "as texts": """\
def oldest_first(names):
    return sorted(names, key=lambda n: (n.partition("-")[0].split("."), n.endswith("rc"), "-" not in n))
""",
        "shorter before longer": """\
def oldest_first(names):
    def key(name):
        numbers, _, suffix = name.partition("-")
        return [int(p) for p in numbers.split(".")], ["b", "rc", ""].index(suffix)
    return sorted(names, key=key)
""",
        "the plain release first": """\
def oldest_first(names):
    def key(name):
        numbers, _, suffix = name.partition("-")
        parts = [int(p) for p in numbers.split(".")]
        return parts + [0] * (4 - len(parts)), suffix
    return sorted(names, key=key)
""",
    },
)
