"""An absolute majority, if there is one."""

import random

from fulmen.envs.code.authoring import Given, Problem, Text, check_ints, require
from fulmen.rewards.judge import Judge


def generate(rng: random.Random, size: int) -> list[object]:
    votes = [rng.randint(0, rng.choice((2, 5))) for _ in range(size)]
    if rng.random() < 0.6:
        count = size // 2 + rng.choice((0, 1))
        votes = [7] * count + votes[: size - count]
        rng.shuffle(votes)
    return [votes]


def validate(given: Given) -> None:
    require(len(given.arguments) == 1, "one argument")
    require(len(check_ints(given.arguments[0], low=0, high=10**9)) <= 10000, "votes")


PROBLEM = Problem(
    name="guild_vote",
    level="easy",
    en=Text(
        task="A guild elects its master: whoever gets more than half of all votes wins; else nobody does. Who wins?",
        given="`votes`: 0 to 10000 integers from 0 to 10^9, the candidates that the members chose.",
        wanted="The winner, or -1 if there is none.",
    ),
    zh=Text(
        task="行会选举会长：得票超过总票数一半者当选，否则无人当选。谁当选？",
        given="`votes`：0 到 10000 个 0 到 10^9 的整数，即各成员所选的候选人。",
        wanted="当选者；若无人当选则为 -1。",
    ),
    samples=(([[4, 2, 4, 4]], 4), ([[1, 2, 1, 2]], -1)),
    generate=generate,
    validate=validate,
    small=7,
    large=10000,
    edges=([[]], [[0]], [[1, 1, 2]], [[1, 2]], [[1, 2, 3, 3]], [[2, 1, 1, 3, 3]], [[3, 3, 1, 2]]),
    function="winner",
    signature="def winner(votes: list[int]) -> int",
    judge=Judge(kind="json"),
    idea="Votes for different candidates cancel out in pairs; only who is left can have a majority, so count that one.",
    solution="""\
def winner(votes):
    left, count = -1, 0
    for vote in votes:
        if count == 0:
            left, count = vote, 1
        elif vote == left:
            count += 1
        else:
            count -= 1
    return left if 2 * votes.count(left) > len(votes) else -1
""",
    brute="""\
def winner(votes):
    for candidate in set(votes):
        if sum(vote == candidate for vote in votes) > len(votes) / 2:
            return candidate
    return -1
""",
    wrong={
        "most votes are enough": """\
from collections import Counter

def winner(votes):
    return Counter(votes).most_common(1)[0][0] if votes else -1
""",
        "half is enough": """\
from collections import Counter

def winner(votes):
    for who, count in Counter(votes).items():
        if 2 * count >= len(votes):
            return who
    return -1
""",
        "does not verify who is left": """\
def winner(votes):
    left, count = -1, 0
    for vote in votes:
        if count == 0:
            left, count = vote, 1
        else:
            count += 1 if vote == left else -1
    return left if count else -1
""",
    },
)
