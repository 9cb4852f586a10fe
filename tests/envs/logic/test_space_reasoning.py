"""Space reasoning against an enumeration of every walk that the English prompt allows."""

import itertools
import random
import re

import pytest

from fulmen.envs import load
from fulmen.envs.logic.space_reasoning import SpaceReasoning
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "space_reasoning"
MOVES = {"north": (-1, 0), "south": (1, 0), "west": (0, -1), "east": (0, 1)}


def follow(lines: list[str], places: dict[str, tuple[int, int]], rides: list[tuple[int, int]], item: str) -> object:
    """Returns where the item is if the untold rides end as given, or None if that contradicts what is told."""
    size = max(row for row, _ in places.values()) + 1
    rides = list(rides)
    here, left = (-1, -1), None
    for line in lines:
        if match := re.search(r"(?:sets out from|takes a taxi to) the (\w+)\.", line):
            here = places[match[1]]
        elif "not told" in line:
            here = rides.pop(0)
        elif match := re.search(r"walks (\d+) (\w+)\.", line):
            for _ in range(int(match[1])):
                here = (here[0] + MOVES[match[2]][0], here[1] + MOVES[match[2]][1])
                if here not in places.values():
                    return None
        elif match := re.search(r"this is the (\w+)\.", line):
            if here != places[match[1]]:
                return None
        elif match := re.search(r"ends here to the (\w+)\.", line):
            end = {
                "north": here[0] == 0,
                "south": here[0] == size - 1,
                "west": here[1] == 0,
                "east": here[1] == size - 1,
            }
            if not end[match[1]]:
                return None
        elif match := re.search(r"leaves the (\w+) here\.", line):
            left = here if match[1] == item else left
        else:
            raise AssertionError(line)
    return left or here


def answer(prompt: str) -> str:
    rows = [line.split(", ") for line in re.findall(r"^[a-z]+(?:, [a-z]+)+$", prompt, re.M)]
    places = {name: (r, c) for r, row in enumerate(rows) for c, name in enumerate(row)}
    lines = re.findall(r"^\d+\. (.*)$", prompt, re.M)
    item = re.search(r"(?:Where is|At which place is|place where) the (\w+)", prompt)[1]
    num_rides = sum("not told" in line for line in lines)
    ends = {follow(lines, places, rides, item) for rides in itertools.product(places.values(), repeat=num_rides)} - {
        None
    }
    assert ends
    return next(name for name in places if places[name] in ends) if len(ends) == 1 else "unknown"


@pytest.mark.parametrize(
    ("level", "knobs"),
    [(1, {}), (2, {}), (3, {"size": 3, "num_unknown": 3}), (4, {"size": 2}), (5, {"num_unknown": 1})],
)
def test_gold_is_what_the_prompt_allows(level: int, knobs: dict[str, int]) -> None:
    env = load(NAME, level=level, **knobs)
    for task in make(NAME, level=level, num=25 if level < 5 else 3, **knobs):
        right = answer(task.prompt[0].content)
        assert task.gold == right
        for name in [*itertools.chain(*task.meta["rows"]), "unknown"]:
            assert env.check(task, name).value == float(name == right)
            assert env.check(task, f"The {name.title()}").value == float(name == right)
        assert env.check(task, f"{right}, unknown").value == 0.0
        assert env.check(task, "palace").status == "policy_error"


def test_unknown_and_later_sights_are_asked_for() -> None:
    tasks = make(NAME, level=3, num=150)
    assert 10 < sum(task.gold == "unknown" for task in tasks) < 45
    env = load(NAME, level=3)
    assert isinstance(env, SpaceReasoning)
    stories = [env.solve_aloud(task, random.Random(0)).split("\n") for task in tasks]
    # The line where the thing is left says that several places are possible, the last one says which it is.
    later = [
        story[-1] != "unknown"
        and any(re.search(rf"^\d+\. {story[-2].split(':')[0]} (\d+ places|.*\), )", line) for line in story)
        for story in stories
    ]
    assert 15 < sum(later) < 100


def test_a_puzzle_by_hand() -> None:
    rows = [["inn", "zoo"], ["mill", "dock"]]
    events = [["start", 0, 0], ["lost"], ["drop", 0], ["walk", 0, 1], ["drop", 1], ["edge", "south"], ["lost"]]
    meta = {"rows": rows, "items": ["lamp", "kite", "drum"], "events": events}
    env = load(NAME)
    # A walk east means column 1 before; the southern border means row 2: left in the mill, then the dock.
    for asked, right in ((0, "mill"), (1, "dock"), (2, "unknown")):
        task = Task(task_id="x", env=NAME, prompt=(), gold="", meta={**meta, "asked": asked})
        for name in ("inn", "zoo", "mill", "dock", "unknown"):
            assert env.check(task, name).value == float(name == right)
    assert env.check(task, "未知").value == 1.0


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"size": (1, 9), "num_items": (0, 11), "num_steps": (1, 101), "num_unknown": (-1, 6)}
    check_bounds(NAME, bad | {"jump_percent": (-1, 101)})


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
