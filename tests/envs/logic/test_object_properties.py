"""Object properties against a reader of the English prompt."""

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

NAME = "object_properties"
Thing = dict[str, str]


def fits(thing: Thing, words: str) -> bool:
    """Whether `colour is red and size is not large` is true of a thing."""
    return all(is_true(thing, term) for term in words.split(" and "))


def is_true(thing: Thing, term: str) -> bool:
    feature, value = term.split(" is ")
    return thing[feature] != value[4:] if value.startswith("not ") else thing[feature] == value


def step(things: list[Thing], sentence: str) -> list[Thing]:
    if match := re.fullmatch(r"Every object whose (.*) is removed\.", sentence):
        return [thing for thing in things if not fits(thing, match[1])]
    if match := re.fullmatch(r"All at once, the (\w+) changes: (.*); any other \1 stays\.", sentence):
        new = dict(pair.split(" becomes ") for pair in match[2].split(", "))
        return [{**thing, match[1]: new.get(thing[match[1]], thing[match[1]])} for thing in things]
    copy = re.fullmatch(
        r"For every object whose (.*), one object is added that is like it in all but the (\w+), which is (\w+)\.",
        sentence,
    )
    if copy:
        return things + [{**thing, copy[2]: copy[3]} for thing in things if fits(thing, copy[1])]
    if match := re.fullmatch(
        r"If there are at least (\d+) objects whose (.*), every (.*); otherwise nothing.*", sentence
    ):
        if sum(fits(thing, match[2]) for thing in things) < int(match[1]):
            return things
        sentence = f"Every {match[3]}."
    match = re.fullmatch(r"Every object whose (.*) gets the (\w+) (\w+)\.", sentence)
    return [{**thing, match[2]: match[3]} if fits(thing, match[1]) else thing for thing in things]


def count(prompt: str) -> int:
    features = re.search(r"(?:properties \(|with its |table of )((?:\w+(?:, )?)+)", prompt)[1].strip(", ").split(", ")
    features = [f for f in features if f != "one"]
    things = []
    for line in re.findall(r"^\d+: (.*)$", prompt, re.M):
        things.append(dict(zip(features, line.split(", "), strict=True)))
    for sentence in re.findall(r"^\d+\. (.*)$", prompt, re.M):
        things = step(things, sentence)
    if match := re.search(r"at least one of these is true: (.*?)(?:\?|, after)", prompt):
        return sum(any(is_true(thing, term) for term in match[1].split("; ")) for thing in things)
    words = re.search(r"(?:are there now|Count the objects|number of objects) whose (.*?)(?:\?|, after)", prompt)[1]
    return sum(fits(thing, words) for thing in things)


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_gold_is_what_the_prompt_says(level: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=20):
        right = count(task.prompt[0].content)
        assert task.gold == str(right)
        assert right >= 1
        for wrong in (right - 1, right + 1, -right, right * 10, 0):
            assert env.check(task, str(wrong)).value == 0.0
        for form in (f"{right} objects", f"{right}.0", f"{right}个物体"):
            assert env.check(task, form).value == 1.0
        assert env.check(task, f"{right} or {right + 1}").value == 0.0


def test_every_kind_of_change_and_question_comes() -> None:
    tasks = make(NAME, level=4, num=20)
    assert {change["kind"] for task in tasks for change in task.meta["changes"]} == {
        *("set", "permute", "remove", "copy", "if")
    }
    prompts = [task.prompt[0].content for task in tasks]
    assert 0 < sum("at least one of these" in prompt for prompt in prompts) < 20
    assert any("is not" in prompt for prompt in prompts)


def test_a_puzzle_by_hand() -> None:
    # red/blue x tiny/small: (red tiny), (red small), (blue tiny). Permute red<->blue: blue tiny, blue small, red tiny.
    # Copy each blue as tiny: + blue tiny, blue tiny. At least 4 tiny now (4): small ones become tiny: 5 tiny, 4 blue.
    changes = [
        {"kind": "permute", "feature": 0, "values": [0, 1]},
        {"kind": "copy", "terms": [[0, 1, True]], "feature": 1, "value": 0},
        {"kind": "if", "also": [[1, 0, True]], "least": 4, "terms": [[1, 0, False]], "feature": 1, "value": 0},
    ]
    meta = {"features": ["colour", "size"], "objects": [[0, 0], [0, 1], [1, 0]], "changes": changes}
    env = load(NAME)
    for terms, right in (([[1, 0, True], [0, 0, False]], 4), ([[1, 0, True]], 5), ([[0, 0, True]], 1)):
        question = {"question": {"terms": terms, "is_any": False}}
        task = Task(task_id="x", env=NAME, prompt=(), gold="", meta=meta | question)
        assert [number for number in range(9) if env.check(task, str(number)).value] == [right]


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"num_objects": (1, 41), "num_features": (1, 8), "num_values": (1, 7), "num_changes": (0, 21)}
    check_bounds(NAME, bad | {"num_terms": (0, 4)})


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
