"""Time sequence against single minutes of the calendars in the English prompt."""

import re

import pytest

from fulmen.envs import load
from fulmen.envs.logic.time_sequence import RULES
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "time_sequence"
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
SPAN = r"(\d\d):(\d\d)-(\d\d):(\d\d)"


def spans(text: str) -> list[range]:
    return [range(int(a) * 60 + int(b), int(c) * 60 + int(d)) for a, b, c, d in re.findall(SPAN, text)]


def free_minutes(line: str, day: str) -> set[int]:
    """Minutes of a day at which the person of a line can meet."""
    hours = spans(line.split(" every day.")[0])[0]
    own = spans(re.search(rf" {day}: (.*?)\.", line)[1])
    free = set(hours)
    for span in own:
        free -= set(span)
    for sentence in line.split(". "):
        if match := re.search(
            r"needs (\d+) minutes off (before|after) each appointment(?:.* than (\d+) minutes)?", sentence
        ):
            for span in own:
                if len(span) > int(match[3] or 0):
                    free -= set(
                        range(span.stop, span.stop + int(match[1]))
                        if match[2] == "after"
                        else range(span.start - int(match[1]), span.start)
                    )
        elif "at lunch" in sentence:
            free -= set(spans(sentence)[0])
        elif match := re.search(r"at least (\d+) appointments, \w+ can meet nobody from (\d\d):(\d\d) on", sentence):
            if len(own) >= int(match[1]):
                free -= set(range(int(match[2]) * 60 + int(match[3]), 24 * 60))
        elif match := re.search(r"is away all (\w+)", sentence):
            free = set() if match[1] == day else free
        else:
            assert re.search(r"at work|day: ", sentence), sentence
    return free


def answer(prompt: str) -> tuple[int, int]:
    """Lengthens a meeting minute by minute until it begins nowhere."""
    lines = re.findall(r"^\w+: at work .*$", prompt, re.M)
    days = [set.intersection(*(free_minutes(line, day) for line in lines)) for day in WEEK if f"{day}: " in prompt]
    length, begins = 1, days
    while longer := [[m for m in some if m + length in free] for some, free in zip(begins, days, strict=True)]:
        if not any(longer):
            break
        length, begins = length + 1, longer
    return length, sum(map(len, begins))


@pytest.mark.parametrize(("level", "num"), [(1, 40), (2, 30), (3, 25), (4, 12), (5, 4)])
def test_gold_is_what_the_prompt_says(level: int, num: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=num):
        length, times = answer(task.prompt[0].content)
        assert task.gold == f"{length}, {times}"
        for form in (
            f"[{length}, {times}]",
            f"{length} {times}",
            f"({length};{times})",
            f"{length} minutes, {times} times",
        ):
            assert env.check(task, form).value == 1.0, form
        wrong = [(length + 1, times), (length - 1, times), (length, times + 1), (length, times - 1), (-length, times)]
        for pair in [*wrong, (times, length)]:
            assert env.check(task, f"{pair[0]}, {pair[1]}").value == 0.0
        for text in (
            f"{length}",
            f"{times}",
            f"{length}{times}",
            f"{length}, {times}, {times}",
            f"{length} or {times}",
        ):
            assert env.check(task, text).value == 0.0


def test_every_rule_comes_and_half_of_the_gaps_are_not_alone() -> None:
    tasks = make(NAME, level=4, num=60)
    assert {rule["kind"] for task in tasks for person in task.meta["people"] for rule in person["rules"]} == set(RULES)
    for level in (1, 3, 5):
        several = sum(not task.gold.endswith(", 1") for task in make(NAME, level=level, num=60))
        assert 15 < several < 55


def test_a_puzzle_by_hand() -> None:
    # A works 9-12 with 10:00-10:30 and 15 minutes before; B works 9:15-13:00: 9:15-9:45 (30), 10:30-12:00 (90).
    # With lunch 11:00-11:30: 9:15-9:45, 10:30-11:00, 11:30-12:00, thrice 30.
    a = {"hours": [540, 720], "days": [[[600, 630]]], "rules": [{"kind": "before", "minutes": 15}]}
    b = {"hours": [555, 780], "days": [[]], "rules": []}
    eats = {**b, "rules": [{"kind": "lunch", "span": [660, 690]}]}
    # An appointment of 30 minutes is not longer than 30 minutes, but longer than 29: 30 more minutes off after it.
    env = load(NAME)
    rest = [{**a, "rules": [{"kind": "long", "minutes": 30, "limit": limit}]} for limit in (30, 29)]
    for people, right in (([a, b], "90, 1"), ([a, eats], "30, 3"), ([rest[0], b], "90, 1"), ([rest[1], b], "60, 1")):
        task = Task(task_id="x", env=NAME, prompt=(), gold="", meta={"people": people, "names": ["A", "B"]})
        for said in ("90, 1", "60, 1", "30, 3", "30, 2", "90, 2", "45, 1"):
            assert env.check(task, said).value == float(said == right)


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"num_people": (1, 9), "num_days": (0, 6), "num_appointments": (0, 9), "grid_minutes": (0, 7, 60)}
    check_bounds(NAME, bad | {"rules_percent": (-1, 101)})


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
