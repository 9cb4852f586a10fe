"""Word sorting mistake: the printed account is read back and checked by the method's definition in other terms."""

import itertools
import random
import re

from fulmen.envs.logic.word_sorting_mistake import METHODS, WordSortingMistake, first_wrong
from fulmen.types import Task
from tests.envs.logic import trials


def task_of(words: str, method: str, *lists: str) -> Task:
    meta = {"words": words.split(), "method": method, "lists": [shown.split() for shown in lists]}
    return Task(task_id="x", env="word_sorting_mistake", prompt=(), gold="", meta=meta)


def is_right(method: str, words: list[str], number: int, before: list[str], shown: list[str]) -> bool:
    """Whether a step follows, told by what was added and where."""
    if number == len(words) + 1:
        return shown == before
    added = [at for at in range(len(shown)) if shown[:at] + shown[at + 1 :] == before]
    if method == "selection":
        left = [word for word in words if word not in before]
        return len(shown) - 1 in added and shown[-1] == min(left) if left else shown == before
    word = words[number - 1]
    return any(
        shown[at] == word and all(other <= word for other in before[:at]) and (at == len(before) or before[at] > word)
        for at in added
    )


def first_wrong_in_prompt(prompt: str) -> int:
    steps = [line.split(". ")[1].split(", ") for line in re.findall(r"^\d+\. .*$", prompt, re.MULTILINE)]
    words = max(re.findall(r"[a-z]+(?:, [a-z]+)+", prompt.split("\n1. ")[0]), key=len).split(", ")
    method = "selection" if METHODS["en"]["selection"] in prompt else "insertion"
    assert METHODS["en"][method] in prompt
    assert len(steps) == len(words) + 1
    for number, shown in enumerate(steps, 1):
        if not is_right(method, words, number, steps[number - 2] if number > 1 else [], shown):
            return number
    return 0


def test_agrees_with_the_printed_account() -> None:
    for level in range(1, 6):
        env = WordSortingMistake.at_level(level)
        found = set()
        for task in trials.draw(env, 30):
            wrong = first_wrong_in_prompt(task.prompt[0].content)
            found.add(wrong)
            assert task.gold == str(wrong or "none")
            for number in range(env.num_words + 3):
                assert (env.check(task, str(number)).value == 1.0) == (number == wrong != 0)
            assert (env.check(task, "none").value == 1.0) == (wrong == 0)
        assert 0 in found
        assert len(found) >= min(env.num_words, 6)


def test_exactly_one_step_is_wrong_where_one_is() -> None:
    env = WordSortingMistake(mistake_percent=100, num_words=6)
    for task in trials.draw(env, 40):
        words, method, lists = (task.meta[name] for name in ("words", "method", "lists"))
        right = [
            is_right(method, words, number, lists[number - 2] if number > 1 else [], lists[number - 1])
            for number in range(1, 8)
        ]
        assert right.count(False) == 1
    right_ones = WordSortingMistake(mistake_percent=0)
    assert {task.gold for task in trials.draw(right_ones, 20)} == {"none"}
    assert all(task.meta["lists"][-1] == sorted(task.meta["words"]) for task in trials.draw(right_ones, 20))


def test_by_hand() -> None:
    env = WordSortingMistake()
    insertion = ("cow ant bee", "insertion")
    task = task_of(*insertion, "cow", "ant cow", "ant bee cow", "ant bee cow")
    assert trials.values(env, task, "none", "0", "1", "4") == [1, 0, 0, 0]
    task = task_of(*insertion, "cow", "cow ant", "bee cow ant", "bee cow ant")
    assert trials.values(env, task, "2", "Step 2", "3", "none", "2, 3", "step two") == [1, 1, 0, 0, 0, 0]
    selection = ("cow ant bee", "selection")
    assert env.check(task_of(*selection, "ant", "ant cow", "ant cow bee", "ant cow bee"), "2").value == 1.0
    # A word that was lost is taken again, since it is not in the list.
    assert env.check(task_of(*selection, "ant", "bee", "bee ant", "bee ant"), "2").value == 1.0
    assert env.check(task_of(*selection, "ant", "ant bee", "ant bee cow", "ant cow bee"), "4").value == 1.0


def test_agrees_on_all_accounts_of_two_words() -> None:
    words = ["b", "a"]
    lists = [[], ["a"], ["b"], ["a", "b"], ["b", "a"]]
    for method, shown in itertools.product(("insertion", "selection"), itertools.product(lists, repeat=3)):
        befores = [[], *shown]
        rights = [is_right(method, words, number, befores[number - 1], shown[number - 1]) for number in (1, 2, 3)]
        wrong = rights.index(False) + 1 if False in rights else 0
        assert first_wrong(words, method, shown) == wrong, (method, shown)


def test_worked_accounts_stop_at_the_mistake() -> None:
    for task in trials.draw(WordSortingMistake.at_level(3), 30):
        *lines, last = WordSortingMistake().solve_aloud(task, random.Random(0)).split("\n")
        assert last == task.gold
        verdicts = [line.rpartition(": ")[2] for line in lines]
        assert verdicts == ["ok"] * 9 if last == "none" else verdicts == ["ok"] * (int(last) - 1) + ["wrong"]


def test_common() -> None:
    trials.gold_scores_one_everywhere(WordSortingMistake)
    trials.forms_hold(WordSortingMistake)
    trials.wrappers_change_nothing(WordSortingMistake)
    trials.streams_are_rich(WordSortingMistake)
    trials.phrases_are_complete(WordSortingMistake)


def test_attacks() -> None:
    trials.attacks_score_zero(WordSortingMistake, "0", "-1", "99", "no mistake", "1, 2, 3, 4, 5, 6, 7, 8, 9")


def test_settings() -> None:
    bad = {"num_words": (1, 41), "num_initials": (0, 21), "mistake_percent": (-1, 101), "method": ("bubble", "")}
    trials.settings_are_bounded(WordSortingMistake, **bad)
