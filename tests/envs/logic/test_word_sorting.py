"""Word sorting: the prompt is read back and every pair compared; all orders of few words; forms of lists."""

import itertools
import random
import re
import string

import pytest

from fulmen.envs.logic.word_sorting import WordSorting, in_order, moved
from fulmen.types import Task
from tests.envs.logic import trials


def comes_before(one: str, other: str, alphabet: str) -> bool:
    for a, b in zip(one, other, strict=False):
        if a != b:
            return alphabet.index(a) < alphabet.index(b)
    return len(one) < len(other)


def read_back(prompt: str) -> tuple[list[str], str, bool]:
    """Words, alphabet and direction by the English prompt alone."""
    letters = list(string.ascii_lowercase)
    for letter, to, other in re.findall(
        r"\b([a-z]) (becomes the first|becomes the last|moves to right before|moves to right after) (letter|[a-z])\b",
        prompt,
    ):
        letters.remove(letter)
        if to.startswith("becomes"):
            letters.insert(0 if to.endswith("first") else len(letters), letter)
        else:
            letters.insert(letters.index(other) + to.endswith("after"), letter)
    lists = re.findall(r"[a-z]+(?:, [a-z]+)+", prompt)
    listed = next(text for text in (line.rpartition(": ")[2] for line in prompt.split("\n")) if text in lists)
    return listed.split(", "), "".join(letters), "descending" in prompt


def test_agrees_with_the_printed_prompt() -> None:
    directions = set()
    for level in range(1, 6):
        env = WordSorting.at_level(level)
        for task in trials.draw(env, 25):
            words, alphabet, is_descending = read_back(task.prompt[0].content)
            assert len(set(words)) == env.num_words
            assert sorted(alphabet) == list(string.ascii_lowercase)
            directions.add((env.has_descending, is_descending))
            gold = task.gold.split(", ")
            assert sorted(gold) == sorted(words)
            for one, other in itertools.pairwise(gold[::-1] if is_descending else gold):
                assert comes_before(one, other, alphabet)
            for place in range(len(gold) - 1):
                swapped = [*gold[:place], gold[place + 1], gold[place], *gold[place + 2 :]]
                assert env.check(task, ", ".join(swapped)).value == 0.0
    assert directions == {(False, False), (True, False), (True, True)}


def test_moves_by_hand() -> None:
    assert moved("abcd", "c", kind="first", other="a") == "cabd"
    assert moved("abcd", "b", kind="last", other="a") == "acdb"
    assert moved("abcd", "a", kind="before", other="d") == "bcad"
    assert moved("abcd", "d", kind="after", other="a") == "adbc"
    with pytest.raises(Exception, match="allowed: another letter than 'a'"):
        moved("abcd", "a", kind="after", other="a")


def test_prefixes_come_first_and_descending_reverses_all() -> None:
    alphabet = "z" + string.ascii_lowercase[:-1]
    assert in_order(["car", "card", "zoo", "ant", "cap"], alphabet) == ["zoo", "ant", "cap", "car", "card"]
    assert in_order(["car", "card", "zoo"], alphabet, is_descending=True) == ["card", "car", "zoo"]


def test_every_order_of_few_words() -> None:
    env = WordSorting.at_level(2)
    for task in trials.draw(env, 3):
        with trials.unchecked_types():
            right = [
                order
                for order in itertools.permutations(task.meta["words"])
                if env.check(task, ", ".join(order)).value == 1.0
            ]
        assert [", ".join(order) for order in right] == [task.gold]


def test_forms() -> None:
    meta = {"words": ["pear", "ant", "zoo"], "alphabet": string.ascii_lowercase, "is_descending": False}
    task = Task(task_id="x", env="word_sorting", prompt=(), gold="", meta=meta)
    good = (
        "ant, pear, zoo",
        "ant pear zoo",
        "ANT,PEAR,ZOO",
        "['ant', 'pear', 'zoo']",
        "ant\npear\nzoo",
        "ant、pear、zoo",
    )
    good += (r"\boxed{\text{ant, pear, zoo}}", '["ant","pear","zoo"]', "ant; pear; zoo.")
    assert trials.values(WordSorting(), task, *good) == [1.0] * len(good)
    bad = ("ant, pear", "ant, pear, zoo, zoo", "ant, pear, pear", "zoo, pear, ant", "ant, pear, zoos", "a, p, z", "ant")
    assert trials.values(WordSorting(), task, *bad) == [0.0] * len(bad)


def test_moved_letters_change_the_order() -> None:
    env = WordSorting.at_level(3)
    with trials.unchecked_types():
        tasks = trials.draw(env, 100)
    plain = [", ".join(sorted(task.meta["words"], reverse=task.meta["is_descending"])) for task in tasks]
    assert sum(task.gold != text for task, text in zip(tasks, plain, strict=True)) > 75


def test_worked_groups_hold_all_words() -> None:
    env = WordSorting.at_level(3)
    for task in trials.draw(env, 20):
        first, *lines = env.solve_aloud(task, random.Random(0)).split("\n")
        assert first == f"alphabet: {task.meta['alphabet']}"
        groups = [line.partition(" -> ")[2].split() for line in lines if " -> " in line]
        ascending = [word for group in groups for word in group]
        assert task.gold == ", ".join(ascending[::-1] if task.meta["is_descending"] else ascending) == lines[-1]


def test_common() -> None:
    trials.gold_scores_one_everywhere(WordSorting)
    trials.forms_hold(WordSorting)
    trials.wrappers_change_nothing(WordSorting)
    trials.streams_are_rich(WordSorting)
    trials.phrases_are_complete(WordSorting)


def test_attacks() -> None:
    trials.attacks_score_zero(WordSorting, "pear, plum", string.ascii_lowercase)


def test_settings() -> None:
    trials.settings_are_bounded(WordSorting, num_words=(1, 61), num_moves=(-1, 13), num_initials=(0, 21))
