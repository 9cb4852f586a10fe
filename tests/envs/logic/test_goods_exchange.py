"""Goods exchange against a replay of the prompt's own sentences."""

import json
import re

import pytest

from fulmen.envs import load
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "goods_exchange"


def read_prompt(prompt: str) -> dict[str, str]:
    """Plays the English prompt sentence by sentence, things moving instead of people."""
    owner = {thing: person for person, thing in re.findall(r"(\w+) has the (\w+)", prompt)}
    for a, b in re.findall(r"^\d+\. (.+) swaps with (.+)\.$", prompt, re.M):
        a, b = (owner[w[len("whoever holds the ") :]] if w.lower().startswith("whoever") else w for w in (a, b))
        owner = {thing: {a: b, b: a}.get(person, person) for thing, person in owner.items()}
    return {person: thing for thing, person in owner.items()}


@pytest.mark.parametrize("level", [1, 2, 3, 5])
def test_gold_is_what_the_prompt_says(level: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=40):
        end = read_prompt(task.prompt[0].content)
        assert dict(pair.split(": ") for pair in task.gold.split(", ")) == end
        assert env.check(task, json.dumps(end)).value == 1.0
        assert env.check(task, "\n".join(f"{p} = the {t}" for p, t in reversed(end.items()))).value == 1.0


def test_any_two_exchanged_or_a_changed_thing_scores_zero() -> None:
    env = load(NAME, level=2)
    for task in make(NAME, level=2, num=20):
        end = read_prompt(task.prompt[0].content)
        people = list(end)
        for i, a in enumerate(people):
            assert env.check(task, join(end | {a: "spade"})).value == 0.0
            assert env.check(task, join({p: t for p, t in end.items() if p != a})).value == 0.0
            for b in people[:i]:
                assert env.check(task, join(end | {a: end[b], b: end[a]})).value == 0.0
                assert env.check(task, join(end | {a: end[b]})).value == 0.0
        assert env.check(task, join(end | {"Nobody": "lamp"})).value == 0.0
        start = re.findall(r"(\w+) has the (\w+)", task.prompt[0].content)
        assert env.check(task, join(dict(start))).value == float(dict(start) == end)


def test_a_puzzle_by_hand() -> None:
    # a lamp, b kite, c drum; a<->b: a kite, b lamp; holder of lamp (b) <-> c: b drum, c lamp.
    swaps = [[["person", 0], ["person", 1]], [["thing", 0], ["person", 2]]]
    meta = {"people": ["Ada", "Ben", "Cora"], "things": ["lamp", "kite", "drum"], "swaps": swaps}
    task = Task(task_id="x", env=NAME, prompt=(), gold="", meta=meta)
    env = load(NAME)
    assert env.check(task, "Cora: lamp; ben: DRUM; ada: a kite").value == 1.0
    assert env.check(task, "Ada: lamp, Ben: kite, Cora: drum").value == 0.0
    assert env.check(task, "Ada: kite, Ben: drum, Cora: lamp, Ada: kite").value == 0.0


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    check_bounds(NAME, {"num_people": (1, 37), "num_swaps": (0, 201), "by_thing_percent": (-1, 101)})


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)


def join(pairs: dict[str, str]) -> str:
    return ", ".join(f"{person}: {thing}" for person, thing in pairs.items())
