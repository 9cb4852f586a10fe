"""Object counting against a reader of the English story."""

import re

import pytest

from fulmen.envs import load
from fulmen.envs.logic.object_counting import TELL
from fulmen.envs.things import CATEGORIES
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "object_counting"
PLURAL = {word: noun.plural for c in CATEGORIES for noun in c.members for word in (noun.en, noun.plural)}
KIND = {noun.plural: c.en for c in CATEGORIES for noun in c.members}
N = r"(\d+) (\w+)"


def total(prompt: str) -> int:
    """Plays the English story sentence by sentence and counts what is asked."""
    prompt = prompt.replace("such as 250", "").replace("form 250", "").replace("like 250", "")
    have: dict[str, int] = {}
    sentences = re.split(r"(?<=[.?])\s+|\n", prompt)
    for number, word in re.findall(N, next(s for s in sentences if re.search(N, s))):
        have[PLURAL[word]] = int(number)
    start = next(i for i, s in enumerate(sentences) if re.search(N, s))
    for sentence in sentences[start + 1 :]:
        found = [(int(n), PLURAL[w]) for n, w in re.findall(N, sentence)]
        if re.match(r"I (buy|find) \d|\w+ gives me", sentence):
            have[found[0][1]] += found[0][0]
        elif re.match(r"I (sell|lose) |I give \d+ \w+ to \w+ for good", sentence):
            have[found[0][1]] -= found[0][0]
        elif "in return" in sentence:
            (lost, item), (gained, other) = found
            have[item] -= lost
            have[other] += gained
        elif half := re.match(r"I give exactly half of my (\w+)", sentence):
            assert have[half[1]] % 2 == 0
            have[half[1]] //= 2
        elif more := re.match(r"I count my (\w+) and buy", sentence):
            have[more[1]] *= 2
        elif match := re.match(r"I buy as many (\w+) as I have (\w+),", sentence):
            have[match[1]] += have[match[2]] + found[0][0]
        elif "gives me half of them" in sentence:
            assert found[0][0] % 2 == 0
            have[found[0][1]] += found[0][0] // 2
        else:
            assert not found or re.search(r"buy nothing|owns|keeps everything|get everything back", sentence), sentence
        assert min(have.values()) >= 0
    question = re.search(r"(?:How many|number of) ((?:[a-z]+,? ?)+?) (?:do I have|that)", prompt)[1]
    asked = re.split(r", | and ", question)
    assert set(asked) <= {c.en for c in CATEGORIES}
    return sum(number for word, number in have.items() if KIND[word] in asked)


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_gold_is_what_the_prompt_says(level: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=12 if level < 4 else 4):
        right = total(task.prompt[0].content)
        assert task.gold == str(right)
        for wrong in (right - 1, right + 1, -right, right * 10, 0):
            assert env.check(task, str(wrong)).value == 0.0
        for form in (f"{right}.0", f"+{right}", f"{right} items", f"{right}个", rf"{right}\text{{ things}}"):
            assert env.check(task, form).value == 1.0, form
        for form in (f"{right} or {right + 1}", f"{right}, {right}", f"{right}%", f"about {right}", f"{right} {right}"):
            assert env.check(task, form).value == 0.0, form


def test_the_unit_is_what_was_counted() -> None:
    env = load(NAME, level=1)
    for task in make(NAME, level=1, num=30):
        asked = CATEGORIES[task.meta["asked"][0]]
        assert env.check(task, f"{task.gold} {asked.en.upper()}").value == 1.0
        assert env.check(task, f"{task.gold}{asked.zh}").value == 1.0
        other = next(c for c in CATEGORIES if c != asked)
        assert env.check(task, f"{task.gold} {other.en}").value == 0.0


def test_every_kind_of_sentence_comes() -> None:
    kinds = {event[0] for task in make(NAME, level=5, num=3) for event in task.meta["events"]}
    assert kinds == set(TELL["en"]) == set(TELL["zh"])


def test_a_puzzle_by_hand() -> None:
    # 4 apples, 3 pears, 5 owls; lend 2 apples; half of the apples away: 2; pears + 2 + 1 = 6; trade 1 owl for 4 pears.
    meta = {
        "items": [[0, 0], [0, 1], [3, 3]],
        "start": [4, 3, 5],
        "events": [
            ["lend", 0, 2, 1, 0],
            ["halve", 0, 1, 1, 0],
            ["match", 1, 1, 0, 0],
            ["trade", 2, 1, 1, 4],
            ["theirs", 0, 9, 1, 0],
        ],
        "asked": [0],
    }
    task = Task(task_id="x", env=NAME, prompt=(), gold="12", meta=meta)
    assert [load(NAME).check(task, text).value for text in ("12", "11", "21", "13", "16")] == [1, 0, 0, 0, 0]


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"num_events": (0, 201), "num_categories": (0, 9), "num_items": (1, 11), "num_asked": (0, 4)}
    bad |= {"max_count": (4, 101), "foreign_percent": (-1, 81), "relative_percent": (-1, 101)}
    check_bounds(NAME, bad)


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
