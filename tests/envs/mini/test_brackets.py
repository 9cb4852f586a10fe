"""Bracket completion against an oracle that cancels pairs."""

import random

import pytest

from fulmen.envs import Brackets
from fulmen.errors import ConfigError, DataError
from fulmen.types import Task


def cancel(text: str) -> str:
    """What is left when neighbouring partners vanish until none are left."""
    shorter = text
    for pair in ("()", "[]", "{}", "<>"):
        shorter = shorter.replace(pair, "")
    return text if shorter == text else cancel(shorter)


def is_right(prefix: str, answer: str) -> bool:
    return not cancel(prefix + answer) and len(answer) == len(cancel(prefix))


def make(num: int, env: Brackets | None = None) -> list[Task]:
    env = env or Brackets()
    return [env.task("train", seed=7, index=index) for index in range(num)]


@pytest.mark.parametrize("env", [Brackets(), Brackets(min_length=4, max_length=9, num_types=2), Brackets(num_types=1)])
def test_gold_is_right_by_oracle_and_within_settings(env: Brackets) -> None:
    opened = set()
    for task in make(300, env):
        prefix = task.meta["prefix"]
        assert task.prompt[0].content == f"Close {prefix}"
        assert is_right(prefix, task.gold)
        assert env.min_length <= len(prefix) <= env.max_length
        assert 3 <= len(task.gold) <= 9
        assert set(prefix) <= set("([{<"[: env.num_types] + ")]}>"[: env.num_types])
        depths = [len(cancel(prefix[:end])) for end in range(len(prefix) + 1)]
        assert max(depths) <= 9
        opened.add(len(task.gold))
    assert opened == set(range(3, 10))


def test_single_changes_score_what_the_oracle_says() -> None:
    for task in make(12):
        prefix, gold = task.meta["prefix"], task.gold
        for at in range(len(gold) + 1):
            for character in ("", *"()[]{}<>"):
                for changed in (gold[:at] + character + gold[at:], gold[:at] + character + gold[at + 1 :]):
                    if changed:
                        assert Brackets().check(task, changed).value == float(is_right(prefix, changed))


def test_more_than_needed_and_statuses() -> None:
    task = Task(task_id="x", env="brackets", prompt=(), gold="", meta={"prefix": "([]{<"})
    env = Brackets()
    assert env.check(task, ">})").value == 1.0
    assert env.check(task, "> } )").value == 1.0
    assert env.check(task, r"\boxed{>\})}").value == 1.0
    assert (env.check(task, "()>})").value, env.check(task, "()>})").status) == (0.0, "ok")
    assert env.check(task, ")}>").info == ") does not close <"
    assert env.check(task, ">})x").status == "policy_error"


def test_worked_thinking_by_hand_and_by_oracle() -> None:
    task = Task(task_id="x", env="brackets", prompt=(), gold=">})", meta={"prefix": "([]{<"})
    assert Brackets().worked_solution(task, random.Random(0)).thinking == "(1[2]1{2<3\n({<"
    for task in make(200):
        message = Brackets().worked_solution(task, random.Random(0))
        counted, still_open = message.thinking.split("\n")
        prefix = task.meta["prefix"]
        assert counted[::2] == prefix
        assert counted[1::2] == "".join(str(len(cancel(prefix[: end + 1]))) for end in range(len(prefix)))
        assert still_open == cancel(prefix)
        assert message.content == task.gold


@pytest.mark.parametrize(
    "settings", [{"min_length": 3}, {"max_length": 257}, {"num_types": 5}, {"min_length": 20, "max_length": 19}]
)
def test_bad_settings(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="; allowed: "):
        Brackets(**settings)  # type: ignore[arg-type]


def test_bad_task_is_not_the_policys_fault() -> None:
    task = Task(task_id="x", env="brackets", prompt=(), gold="", meta={"prefix": "(]"})
    with pytest.raises(DataError, match="well-nested"):
        Brackets().check(task, ")")
