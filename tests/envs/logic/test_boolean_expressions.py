"""Boolean expressions: truth values by a parser of the printed text, and every set of options but the right one."""

import itertools
import random
import re

import pytest

from fulmen.envs.logic.boolean_expressions import CONNECTIVES, LABELS, BooleanExpressions, evaluate_tree
from fulmen.envs.puzzle import Language
from fulmen.types import Task
from tests.envs.logic import trials


def truth(text: str) -> bool:
    """Rewrites the innermost parentheses until a truth value is left; works on text alone."""
    while "(" in text:
        text = re.sub(r"\(([^()]*)\)", lambda match: str(truth(match[1])), text)
    text = re.sub(r"(\d+) \* (\d+)", lambda match: str(int(match[1]) * int(match[2])), text)
    text = re.sub(r"(\d+) \+ (\d+)", lambda match: str(int(match[1]) + int(match[2])), text)
    if match := re.fullmatch(r"(-?\d+) ([<>=!]+) (-?\d+)", text):
        a, b = int(match[1]), int(match[3])
        return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b, "==": a == b, "!=": a != b}[match[2]]
    while "not " in text:
        text = re.sub(r"not (True|False)", lambda match: str(match[1] == "False"), text)
    words = text.split(" ")
    if len(words) == 1:
        return {"True": True, "False": False}[text]
    left, name, right = words
    table = {"and": "TT", "or": "TT TF FT", "xor": "TF FT", "nand": "TF FT FF", "nor": "FF", "implies": "TT FT FF"}
    return left[0] + right[0] in table[name].split()


def options_of(task: Task) -> list[str]:
    return re.findall(r"^[A-J]: (.*)$", task.prompt[0].content, re.MULTILINE)


def test_agrees_with_the_printed_text_for_every_set_of_options() -> None:
    for level in range(1, 6):
        env = BooleanExpressions.at_level(level)
        for task in trials.draw(env, 12):
            options = options_of(task)
            assert len(options) == env.num_options
            right = {label for label, option in zip(LABELS, options, strict=False) if truth(option)}
            labels = LABELS[: len(options)]
            with trials.unchecked_types():
                for size in range(len(labels) + 1):
                    for named in itertools.combinations(labels, size):
                        score = env.check(task, ", ".join(named) or "none")
                        assert (score.value == 1.0) == (set(named) == right), (options, named)


def test_options_are_true_half_of_the_time_and_deep_enough() -> None:
    for level in (1, 3, 5):
        env = BooleanExpressions.at_level(level)
        with trials.unchecked_types():
            tasks = trials.draw(env, 200)
        share = sum(len(task.meta["right"]) for task in tasks) / (200 * env.num_options)
        assert 0.42 < share < 0.58
        assert max(depth(tree) for task in tasks[:20] for tree in task.meta["trees"]) == env.depth


def depth(tree: list) -> int:
    return 0 if len(tree) == 1 else 1 + max(map(depth, tree[1:]))


def test_connectives_have_their_tables() -> None:
    for name, pairs in CONNECTIVES.items():
        for a, b in itertools.product((True, False), repeat=2):
            assert pairs(a, b) == truth(f"{a} {name} {b}") == evaluate_tree([name, [str(a)], [str(b)]])


def test_forms() -> None:
    meta = {"trees": [["True"], ["False"], ["True"]], "right": ["A", "C"]}
    task = Task(task_id="x", env="boolean_expressions", prompt=(), gold="", meta=meta)
    env = BooleanExpressions()
    good = ("A, C", "C, A", "a c", "AC", "[A, C]", "(A), (C)", r"\boxed{\text{A, C}}", "A; C", "A、C", "['A', 'C']")
    assert trials.values(env, task, *good) == [1.0] * len(good)
    bad = (
        "A",
        "A, B, C",
        "B",
        "A, C, C",
        "A, D",
        "none",
        "A, none",
        "true",
        "A and C",
        "ABC",
        "CAC",
        "A: True, C: True",
    )
    assert trials.values(env, task, *bad) == [0.0] * len(bad)
    task = Task(task_id="x", env="boolean_expressions", prompt=(), gold="", meta={**meta, "right": []})
    assert trials.values(env, task, "none", "None.", "无", "A", "", "[]", "none none") == [1, 1, 1, 0, 0, 0, 0]


def test_meanings_are_told_for_the_connectives_that_occur() -> None:
    for task in trials.draw(BooleanExpressions.at_level(4), 20):
        prompt = task.prompt[0].content
        for name in ("xor", "nand", "nor", "implies"):
            assert (f"a {name} b:" in prompt) == any(f" {name} " in option for option in options_of(task))


def test_worked_reductions_are_true() -> None:
    env = BooleanExpressions.at_level(3)
    for task in trials.draw(env, 20):
        for line in env.solve_aloud(task, random.Random(0)).split("\n"):
            label, steps = line.split(": ")
            texts = steps.split(" -> ")
            assert len({truth(text) for text in texts}) == 1
            assert texts[-1] == str(label in task.meta["right"])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_gold(language: Language) -> None:
    trials.gold_scores_one_everywhere(BooleanExpressions, languages=(language,))


def test_common() -> None:
    trials.forms_hold(BooleanExpressions)
    trials.wrappers_change_nothing(BooleanExpressions)
    trials.streams_are_rich(BooleanExpressions)
    trials.phrases_are_complete(BooleanExpressions)


def test_attacks() -> None:
    trials.attacks_score_zero(BooleanExpressions, "A, B, C, D, E, F, G, H, I, J", "True", "all")


def test_settings() -> None:
    bad = {"num_options": (0, 11), "depth": (0, 9), "num_connectives": (0, 7), "leaves": ("facts",)}
    trials.settings_are_bounded(BooleanExpressions, **bad)
