"""The longest ending that all words share."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    ending = "".join(rng.choice("ab") for _ in range(rng.randint(0, 4)))
    words = []
    for _ in range(size):
        words.append("".join(rng.choice("ab") for _ in range(rng.randint(0, 3))) + ending)
    if rng.random() < 0.2:
        words[rng.randrange(size)] = ending[1:]
    return [words]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    words = given.arguments[0]
    require(isinstance(words, list) and 1 <= len(words) <= 2000, "words")
    for word in words:
        check_word(word, low=0, high=40, alphabet="abcdefghijklmnopqrstuvwxyz")


PROBLEM = Problem(
    name="common_ending",
    level="easy",
    en=Text(
        task="A poet wants lines that end alike. Given their last words, find the longest ending that all of them "
        "share; it may be a whole word, and it may be empty.",
        given="`words`: 1 to 2000 words of 0 to 40 lower-case letters.",
        wanted="The longest common ending.",
    ),
    zh=Text(
        task="诗人希望各行结尾相同。给定每行的最后一个词，求它们共有的最长结尾；它可以是整个词，也可以为空。",
        given="`words`：1 到 2000 个词，每个词有 0 到 40 个小写字母。",
        wanted="最长的公共结尾。",
    ),
    samples=(([["bright", "night", "light"]], "ight"), ([["sun", "moon", "star"]], "")),
    generate=generate,
    validate=validate,
    small=5,
    large=2000,
    edges=([[""]], [["abc"]], [["aa", "aaa", "a"]], [["ab", "cb", "ad"]], [["ba", "ba"]]),
    function="ending",
    signature="def ending(words: list[str]) -> str",
    judge=Judge(kind="json"),
    idea="Start with the first word and cut letters off its front until it ends every word.",
    solution="""\
def ending(words):
    common = words[0]
    for word in words:
        while not word.endswith(common):
            common = common[1:]
    return common
""",
    brute="""\
def ending(words):
    length = 0
    shortest = min(map(len, words))
    while length < shortest and len({w[len(w) - 1 - length] for w in words}) == 1:
        length += 1
    return words[0][len(words[0]) - length:]
""",
    wrong={
        "empty cut takes all": """\
def ending(words):
    length = 0
    while length < min(map(len, words)) and len({w[-1 - length] for w in words}) == 1:
        length += 1
    return words[0][-length:]
""",
        "compares neighbours only": """\
def ending(words):
    best = words[0]
    for a, b in zip(words, words[1:]):
        k = 0
        while k < min(len(a), len(b)) and a[-1 - k] == b[-1 - k]:
            k += 1
        best = a[len(a) - k:]
    return best
""",
    },
)
