"""Shuffled objects against a replay of the prompt's own sentences."""

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

NAME = "shuffled_objects"


def do(owner: dict[str, str], sentence: str) -> dict[str, str]:
    """Returns the owner of each thing after an unconditional sentence."""
    if sentence == "nothing happens":
        return owner
    if swap := re.fullmatch(r"(\w+) and (\w+) swap things", sentence):
        takers = {swap[1]: swap[2], swap[2]: swap[1]}
    else:
        a, b, c = re.fullmatch(r"(\w+) gives to (\w+), \2 to (\w+) and \3 to \1, all at once", sentence).groups()
        takers = {a: b, b: c, c: a}
    return {thing: takers.get(person, person) for thing, person in owner.items()}


def read_prompt(prompt: str) -> dict[str, str]:
    head, *lines = re.split(r"^\d+\. ", prompt, flags=re.M)
    owner = {thing: person for person, thing in re.findall(r"(\w+) has the (\w+)", head)}
    for line in lines:
        sentence = line.split(".")[0]
        test = re.fullmatch(r"If (\w+) (holds|does not hold) the (\w+), then (.*); otherwise (.*)", sentence)
        if test:
            is_true = (owner[test[3]] == test[1]) == (test[2] == "holds")
            sentence = test[4] if is_true else test[5]
        owner = do(owner, sentence)
    return {person: thing for thing, person in owner.items()}


@pytest.mark.parametrize("level", [1, 2, 3, 5])
def test_gold_is_what_the_prompt_says(level: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=40):
        end = read_prompt(task.prompt[0].content)
        assert dict(pair.split(": ") for pair in task.gold.split(", ")) == end
        assert env.check(task, "; ".join(f"{p}={t.upper()}" for p, t in reversed(end.items()))).value == 1.0


def test_mutated_answers_score_zero() -> None:
    env = load(NAME, level=3)
    for task in make(NAME, num=20):
        end = dict(pair.split(": ") for pair in task.gold.split(", "))
        for a in end:
            assert env.check(task, join({p: t for p, t in end.items() if p != a})).value == 0.0
            for b in end:
                if a < b:
                    assert env.check(task, join(end | {a: end[b], b: end[a]})).value == 0.0
                    assert env.check(task, join(end | {a: end[b]})).value == 0.0


def test_conditions_are_true_and_false_and_matter() -> None:
    prompts = [task.prompt[0].content for task in make(NAME, num=60, conditional_percent=100)]
    text = "\n".join(prompts)
    assert min(text.count("does not hold"), text.count("otherwise nothing"), text.count("all at once")) > 50
    ignoring = [re.sub(r"If .*, then (.*); otherwise .*\.", r"\1.", prompt) for prompt in prompts]
    changed = [read_prompt(a) != read_prompt(b) for a, b in zip(prompts, ignoring, strict=True)]
    assert sum(changed) > 50


def test_a_puzzle_by_hand() -> None:
    # lamp, kite, drum -> round: Ada to Ben to Cora to Ada: Ada drum, Ben lamp, Cora kite. Ada has no lamp: Ada, Cora.
    events = [
        {"moves": [0, 1, 2], "test": [], "otherwise": []},
        {"moves": [0, 1], "test": [0, 0, True], "otherwise": [0, 2]},
        {"moves": [1, 2], "test": [1, 0, False], "otherwise": []},
    ]
    meta = {"people": ["Ada", "Ben", "Cora"], "things": ["lamp", "kite", "drum"], "events": events}
    task = Task(task_id="x", env=NAME, prompt=(), gold="", meta=meta)
    env = load(NAME)
    assert env.check(task, "Ada: kite, Ben: lamp, Cora: drum").value == 1.0
    assert env.check(task, "Ada: drum, Ben: lamp, Cora: kite").value == 0.0
    assert env.check(task, "Ada: lamp, Ben: kite, Cora: drum").value == 0.0


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"num_people": (2, 13), "num_events": (0, 201), "conditional_percent": (-1, 101), "round_percent": (-1, 101)}
    check_bounds(NAME, bad)


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)


def join(pairs: dict[str, str]) -> str:
    return ", ".join(f"{person}: {thing}" for person, thing in pairs.items())
