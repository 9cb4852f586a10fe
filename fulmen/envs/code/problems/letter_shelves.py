"""Grouping words that consist of the same letters."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_word, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    letters = rng.choice(("ab", "abc", "abcdefgh"))
    longest = rng.choice((2, 4, 8))
    return [["".join(rng.choice(letters) for _ in range(rng.randint(1, longest))) for _ in range(size)]]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    words = given.arguments[0]
    require(isinstance(words, list) and len(words) <= 4000, "words")
    for word in words:
        check_word(word, low=1, high=12, alphabet="abcdefghijklmnopqrstuvwxyz")


PROBLEM = Problem(
    name="letter_shelves",
    level="easy",
    en=Text(
        task="A printer keeps words on shelves: two words share a shelf exactly if they are made of the same "
        "letters, each as often. Return how many words the fullest shelf holds, and how many shelves there are.",
        given="`words`: 0 to 4000 words of 1 to 12 lower-case letters; equal words count each.",
        wanted="A list of two integers: the size of the fullest shelf (0 without words), and the number of shelves.",
    ),
    zh=Text(
        task="印刷工把单词放在架子上：当且仅当两个词由相同的字母组成且每个字母出现次数相同时，它们放在同一个架子上。"
        "返回最满的架子上有多少个词，以及共有多少个架子。",
        given="`words`：0 到 4000 个词，每个有 1 到 12 个小写字母；相同的词分别计数。",
        wanted="两个整数的列表：最满架子的词数（没有词时为 0）和架子的数量。",
    ),
    samples=(([["tea", "eat", "tee", "ate", "eta"]], [4, 2]), ([[]], [0, 0])),
    generate=generate,
    validate=validate,
    small=8,
    large=4000,
    edges=([["a"]], [["aab", "abb"]], [["ab", "ba", "ab"]], [["ad", "bc"]]),
    function="shelves",
    signature="def shelves(words: list[str]) -> list[int]",
    judge=Judge(kind="json"),
    idea="The sorted letters of a word name its shelf; count names.",
    solution="""\
def shelves(words):
    sizes = {}
    for word in words:
        key = "".join(sorted(word))
        sizes[key] = sizes.get(key, 0) + 1
    return [max(sizes.values(), default=0), len(sizes)]
""",
    brute="""\
from collections import Counter

def shelves(words):
    groups = []
    for word in words:
        for group in groups:
            if Counter(group[0]) == Counter(word):
                group.append(word)
                break
        else:
            groups.append([word])
    return [max([len(g) for g in groups] + [0]), len(groups)]
""",
    wrong={
        "sets of letters": """\
from collections import Counter

def shelves(words):
    sizes = Counter(frozenset(w) for w in words)
    return [max(sizes.values(), default=0), len(sizes)]
""",
        "sums of letters": """\
from collections import Counter

def shelves(words):
    sizes = Counter(sum(map(ord, w)) for w in words)
    return [max(sizes.values(), default=0), len(sizes)]
""",
        "equal words once": """\
from collections import Counter

def shelves(words):
    sizes = Counter("".join(sorted(w)) for w in set(words))
    return [max(sizes.values(), default=0), len(sizes)]
""",
    },
)
