import itertools
import json
import re
from typing import Any

import pytest

from fulmen.envs.solve.houses import holds
from tests.envs.logic import every_puzzle as every

NAME = "zebra_puzzle"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=4 if level < 4 else 1, is_taught=level < 3)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50, is_taught=level < 3)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME)
    every.check_bounds(NAME, {"num_houses": 1}, {"num_houses": 7}, {"num_attributes": 1}, {"num_attributes": 7})


def streets(meta: dict[str, Any]) -> list[list[dict[str, str]]]:
    """All streets with the values of a task."""
    orders = [list(itertools.permutations(row)) for row in meta["values"]]
    return [
        [dict(zip(meta["attributes"], house, strict=True)) for house in zip(*rows, strict=True)]
        for rows in itertools.product(*orders)
    ]


def test_one_street_fits_the_clues_and_only_it_is_accepted() -> None:
    for env, task in every.make(NAME, 2, 4):
        right = []
        for street in streets(task.meta):
            things = [value for row in task.meta["values"] for value in row]
            house_of = [next(h for h, house in enumerate(street) if thing in house.values()) for thing in things]
            fits = all(holds(clue, house_of) for clue in task.meta["clues"])
            answer = json.dumps({str(number): house for number, house in enumerate(street, 1)})
            assert env.check(task, answer).value == float(fits)
            right += [answer] if fits else []
        assert right == [task.gold]


def is_so(line: str, street: list[dict[str, str]], values: list[str]) -> bool:
    """Reads a printed clue and says whether it is true."""
    found = sorted((line.lower().index(v.lower()), v) for v in values if re.search(rf"\b{v.lower()}\b", line.lower()))
    places = [next(h for h, house in enumerate(street) if v in house.values()) for _, v in found]
    if match := re.search(r"live(s| does not live|s not)? in house (\d)", line) or re.search(r"in house (\d)", line):
        number = int(re.search(r"in house (\d)", line)[1])  # type: ignore[index]
        assert match
        return (places[0] + 1 == number) != ("not" in line)
    one, other = places
    if "same person" in line:
        return one == other
    if "different people" in line:
        return one != other
    if "directly" in line:
        return other - one == 1
    if "somewhere" in line:
        return one < other
    assert "next-door" in line
    return abs(one - other) == 1


def test_the_printed_clues_leave_one_street() -> None:
    for _, task in every.make(NAME, 1, 30):
        lines = re.findall(r"^\d+\. (.*)$", task.prompt[0].content, re.M)
        assert len(lines) == len(task.meta["clues"])
        values = [value for row in task.meta["values"] for value in row]
        fitting = [street for street in streets(task.meta) if all(is_so(line, street, values) for line in lines)]
        assert fitting == [task.meta["solution"]]


def test_no_clue_is_spare_unless_asked_for() -> None:
    (_, task), *_ = every.make(NAME, 2, 1, has_spare_clues=False)
    for spare in task.meta["clues"]:
        things = [value for row in task.meta["values"] for value in row]
        num_fitting = 0
        for street in streets(task.meta):
            house_of = [next(h for h, house in enumerate(street) if thing in house.values()) for thing in things]
            num_fitting += all(holds(clue, house_of) for clue in task.meta["clues"] if clue is not spare)
        assert num_fitting > 1


def test_forms_that_a_person_would_accept() -> None:
    for language in ("en", "zh"):
        for env, task in every.make(NAME, 2, 3, language=language):
            gold = json.loads(task.gold)
            for text in (
                json.dumps(gold, indent=2),
                f"```json\n{json.dumps(gold, indent=1, ensure_ascii=False)}\n```",
                json.dumps(dict(reversed(gold.items()))),
                json.dumps(list(gold.values())),
                json.dumps({f"House {number}": house for number, house in gold.items()}),
                task.gold.upper(),
                json.dumps({n: dict(sorted(house.items(), reverse=True)) for n, house in gold.items()}),
            ):
                assert env.check(task, text).value == 1.0, text


def test_wrong_objects_score_zero() -> None:
    (env, task), *_ = every.make(NAME, 2, 1)
    gold = json.loads(task.gold)
    attributes = task.meta["attributes"]
    for text in (
        "{}",
        "[]",
        "null",
        json.dumps({"1": gold["1"]}),
        json.dumps({**gold, "4": gold["1"]}),
        json.dumps({number: {**house, "extra": "x"} for number, house in gold.items()}),
        json.dumps({number: {a: [house[a]] for a in attributes} for number, house in gold.items()}),
        json.dumps({number: {attributes[0]: house[attributes[0]]} for number, house in gold.items()}),
        json.dumps({number: list(house.values()) for number, house in gold.items()}),
        task.gold[:-1] + ', "1": ' + json.dumps(gold["1"]) + "}",
        task.gold.replace('"1"', '"01"'),
        task.gold.replace('"', "'"),
        json.dumps([gold]),
    ):
        assert env.check(task, text).value == 0.0, text
    for number, attribute in itertools.product(gold, attributes):
        for value in [*task.meta["values"][attributes.index(attribute)], ""]:
            if value != gold[number][attribute]:
                changed = {**gold, number: {**gold[number], attribute: value}}
                assert env.check(task, json.dumps(changed)).value == 0.0
