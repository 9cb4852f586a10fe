"""Space reasoning on a tree against a search over single walks, read from the English prompt."""

import itertools
import re

import pytest

from fulmen.envs import load
from fulmen.envs.logic.space_reasoning_tree import TEXTS
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "space_reasoning_tree"


def distances(tree: dict[str, list[str]], start: str) -> dict[str, int]:
    """Roads from a place to every other."""
    joined = {(a, b) for a, below in tree.items() for b in below}
    joined |= {(b, a) for a, b in joined}
    far, front = {start: 0}, [start]
    for place in front:
        for a, b in joined:
            if a == place and b not in far:
                far[b] = far[a] + 1
                front.append(b)
    return far


def goes(tree: dict[str, list[str]], here: str, sentence: str) -> list[str]:
    """Where a sentence can take someone who is here."""
    below = tree.get(here, [])
    parents = [place for place, children in tree.items() if here in children]
    if match := re.search(r"goes (\d+) roads? up", sentence):
        for _ in range(int(match[1])):
            if not parents:
                return []
            here, parents = parents[0], [place for place, children in tree.items() if parents[0] in children]
        return [here]
    if match := re.search(r"takes road (\d+) down", sentence):
        return [child for number, child in enumerate(below, 1) if number == int(match[1])]
    if "rightmost road" in sentence:
        return below[len(below) - 1 :] if below else []
    if match := re.search(r"next place on the (right|left)", sentence):
        beside = tree[parents[0]] if parents else [here]
        pairs = list(itertools.pairwise(beside))
        return [b for a, b in pairs if a == here] if match[1] == "right" else [a for a, b in pairs if b == here]
    if match := re.search(r"roads down from here: (\d+)", sentence):
        return [here] if len(below) == int(match[1]) else []
    if "no road leads down" in sentence:
        return [] if below else [here]
    if "takes a road down" in sentence:
        return below
    if match := re.search(r"exactly (\d) roads? away", sentence):
        return [place for place, far in distances(tree, here).items() if far == int(match[1])]
    return [here] if re.search(rf"number of this place: {here}\.", sentence) else []


def answer(prompt: str) -> set[str]:
    tree = {a: below.split(", ") for a, below in re.findall(r"^(\d+): ([\d, ]+)$", prompt, re.M)}
    sentences = re.findall(r"^\d+\. (.*)$", prompt, re.M)
    start = re.search(r"(?:starts at|sets out from|, from) (\d+)", prompt)[1]
    ends, seen, stack = set(), set(), [(start, 0)]
    while stack:
        here, done = stack.pop()
        if (here, done) in seen:
            continue
        seen.add((here, done))
        if done == len(sentences):
            ends.add(here)
        else:
            stack += [(place, done + 1) for place in goes(tree, here, sentences[done])]
    return ends


@pytest.mark.parametrize(("level", "num"), [(1, 40), (2, 30), (3, 15), (4, 4), (5, 1)])
def test_gold_is_what_the_prompt_allows(level: int, num: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=num):
        right = answer(task.prompt[0].content)
        assert set(task.gold.split(", ")) == right
        assert 1 <= len(right) <= env.max_answers
        listed = sorted(right)
        for form in (
            " ".join(listed),
            f"[{', '.join(listed)}]",
            "\n".join(reversed(listed)),
            "{" + "，".join(listed) + "}",
        ):
            assert env.check(task, form).value == 1.0, form
        for label in map(str, task.meta["labels"][:40]):
            changed = [other for other in listed if other != label] if label in right else [*listed, label]
            assert env.check(task, ", ".join(changed)).value == 0.0
        assert env.check(task, ", ".join([*listed, listed[0]])).value == 0.0
        assert env.check(task, ", ".join(f"0{label}" for label in listed)).value == 0.0
        assert env.check(task, ", ".join(map(str, task.meta["labels"]))).value == 0.0


def test_every_kind_of_step_comes_and_several_places_are_possible() -> None:
    tasks = make(NAME, level=4, num=40)
    assert {step[0] for task in tasks for step in task.meta["steps"]} == set(TEXTS["en"]) - {"one", "many"}
    assert sum("," in task.gold for task in tasks) > 15
    assert sum("," in task.gold for task in make(NAME, level=1, num=40)) > 8


def test_a_puzzle_by_hand() -> None:
    # 0 -> 1 2 3; 1 -> 4 5; 3 -> 6. From 4: up 2 to 0, some road down: 1 2 3; right of it: 2 3; one road down: 3.
    children = [[1, 2, 3], [4, 5], [], [6], [], [], []]
    env = load(NAME)
    steps = [["up", 2], ["some"], ["right"], ["count", 1]]
    for num, right in ((1, "10"), (2, "11 12 13"), (3, "12 13"), (4, "13")):
        meta = {"children": children, "labels": list(range(10, 17)), "start": 4, "steps": steps[:num]}
        task = Task(task_id="x", env=NAME, prompt=(), gold="", meta=meta)
        for said in ("10", "11 12 13", "12 13", "13", "12", "11 13", "16"):
            assert env.check(task, said).value == float(said == right)
    far = Task(task_id="x", env=NAME, prompt=(), gold="", meta={**meta, "steps": [["far", 3]]})
    assert env.check(far, "12, 13").value == 1.0


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"num_nodes": (4, 301), "num_steps": (0, 61), "num_untold": (-1, 11), "max_answers": (0, 31)}
    check_bounds(NAME, bad)


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
