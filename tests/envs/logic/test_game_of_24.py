"""Game of 24: values by an independent search, operators, and the public verifier's holes."""

import itertools
import random
import re
from fractions import Fraction

import pytest

from fulmen.envs.logic.game_of_24 import GameOf24
from fulmen.types import Task
from tests.envs.logic import trials


def task_of(numbers: list[int], target: int, operators: str = "+-*/") -> Task:
    meta = {"numbers": numbers, "target": target, "operators": list(operators), "steps": []}
    return Task(task_id="x", env="game_of_24", prompt=(), gold="", meta=meta)


def expressions(numbers: tuple[int, ...]) -> list[tuple[str, Fraction]]:
    """All fully parenthesised expressions over the numbers in this order, with their values."""
    if len(numbers) == 1:
        return [(str(numbers[0]), Fraction(numbers[0]))]
    found = []
    for cut in range(1, len(numbers)):
        for (left, a), (right, b) in itertools.product(expressions(numbers[:cut]), expressions(numbers[cut:])):
            found += [(f"({left}+{right})", a + b), (f"({left}-{right})", a - b), (f"({left}*{right})", a * b)]
            found += [(f"({left}/{right})", a / b)] if b else []
    return found


def test_agrees_with_a_search_over_all_expressions() -> None:
    env = GameOf24()
    for numbers, target in (((8, 3, 3), 8), ((2, 5, 7), 17), ((6, 4, 12), 18)):
        task = task_of(list(numbers), target)
        texts = [item for order in sorted(set(itertools.permutations(numbers))) for item in expressions(order)]
        right = [value == target for _, value in texts]
        assert 0 < sum(right) < len(texts)
        assert [env.check(task, text).value == 1.0 for text, _ in texts] == right


def test_fractions_on_the_way_are_exact() -> None:
    task = task_of([8, 3, 8, 3], 24)
    env = GameOf24()
    assert trials.values(env, task, "8/(3-8/3)", "8÷(3−8÷3) = 24", r"8\div(3-8\div3)", "8/(3-(8/3))=24") == [1.0] * 4
    assert trials.values(env, task, "8/(3-8/3)=25", "8/(3-8/3)=24=24", "24=8/(3-8/3)", "8*3+8-3-3") == [0.0] * 4


def test_a_wrong_value_scores_zero() -> None:
    # The public verifier compares the value of the expression with itself.
    task = task_of([4, 7, 8, 8], 24)
    assert trials.values(GameOf24(), task, "4+7+8+8", "(7-8/8)*4", "24", "4*7-8/8-3", "4*7-8+8") == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "12+12",
        "(1+2)*8",
        "1*2*3*4*1",
        "1*2*34",
        "1*2*(3)(4)",
        "-1+1*2*3*4",
        "2**3*(4-1)",
        "4!*1*(3-2)",
        "4*3*2*1.0",
        "6*4*1*1",
        "24*1*1*1",
    ],
)
def test_other_numbers_or_grammars_score_zero(text: str) -> None:
    assert GameOf24().check(task_of([1, 2, 3, 4], 24), text).value == 0.0
    assert GameOf24().check(task_of([1, 2, 3, 4], 24), "4*3*2*1").value == 1.0


def test_only_allowed_operators_count() -> None:
    task = task_of([2, 3, 4], 24, "+*")
    assert trials.values(GameOf24(), task, "2*3*4", "2×3·4", r"2\times3\cdot 4") == [1.0] * 3
    task = task_of([2, 6, 12], 24, "+-")
    assert trials.values(GameOf24(), task, "2*6+12", "2×6+12", r"2\cdot6+12", "12÷6*2") == [0.0] * 4
    assert "uses *" in GameOf24().check(task, "2*6+12").info


def test_puzzles_keep_their_settings_and_changes_of_the_gold_are_seen() -> None:
    for level in range(1, 6):
        env = GameOf24.at_level(level)
        for task in trials.draw(env, 40):
            numbers, target = task.meta["numbers"], task.meta["target"]
            assert len(numbers) == env.num_numbers
            assert max(numbers) <= env.max_number
            assert env.min_target <= target <= env.max_target
            assert str(target) in task.prompt[0].content
            assert len(task.meta["operators"]) >= env.min_operators
            for match in re.finditer(r"\d+", task.gold):
                changed = f"{task.gold[: match.start()]}{int(match[0]) + 1}{task.gold[match.end() :]}"
                assert env.check(task, changed).value == 0.0


def test_worked_plays_are_true_and_end_in_the_target() -> None:
    env = GameOf24.at_level(2)
    num_lines = set()
    for index, task in enumerate(trials.draw(env, 60)):
        *plays, last = env.solve_aloud(task, random.Random(index)).split("\n")
        num_lines.add(len(plays))
        assert last == task.gold
        for play in plays:
            steps, verdict = play.split(": ")
            result = ""
            for step in steps.split(", "):
                a, operator, b, result = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", step).groups()
                left, right = int(a), int(b)
                value = {"+": left + right, "-": left - right, "*": left * right, "/": Fraction(left, right or 1)}
                assert value[operator] == int(result)
            assert (int(result) == task.meta["target"]) == (verdict == "yes")
    assert len(num_lines) > 2


def test_common() -> None:
    trials.gold_scores_one_everywhere(GameOf24)
    trials.forms_hold(GameOf24)
    trials.wrappers_change_nothing(GameOf24)
    trials.streams_are_rich(GameOf24)
    trials.phrases_are_complete(GameOf24)


def test_attacks() -> None:
    trials.attacks_score_zero(GameOf24)


def test_settings() -> None:
    bad = {
        "num_numbers": (1, 9),
        "max_number": (1, 101),
        "min_number": (0, 20),
        "min_target": (0, 25),
        "max_target": (0, 1001),
    }
    trials.settings_are_bounded(GameOf24, **bad, min_operators=(1, 5))
    with pytest.raises(Exception, match="max_target: 1000; allowed: what 2 numbers up to 3 reach"):
        GameOf24(num_numbers=2, max_number=3, min_target=900, max_target=1000).draw(random.Random(0))
