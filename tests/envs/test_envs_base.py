"""The shared stream, split and score of environments."""

import random

import pytest

from fulmen.envs import Countdown, Sudoku
from fulmen.envs.base import HELDOUT_ONE_IN, Puzzle, draw_task, judge, split_of
from fulmen.errors import ConfigError, DataError
from fulmen.types import Message, Split, Task, content_hash


def test_split_holds_out_one_in_eight_by_hash_alone() -> None:
    assert HELDOUT_ONE_IN == 8
    assert [split_of(f"{number:016x}") for number in (0, 1, 7, 8, 15, 16)] == [
        "heldout",
        "train",
        "train",
        "heldout",
        "train",
        "heldout",
    ]


def test_split_does_not_depend_on_name_settings_or_seed() -> None:
    one, other = Countdown(max_number=5, max_target=15), Countdown(name="other", max_number=6, max_target=20)
    train = {one.task("train", seed=0, index=index).content_hash for index in range(400)}
    again = {other.task("train", seed=9, index=index).content_hash for index in range(400)}
    heldout = {other.task("heldout", seed=9, index=index).content_hash for index in range(400)}
    assert train & again
    assert not train & heldout


def test_an_empty_split_is_a_config_error() -> None:
    def draw(rng: random.Random) -> Puzzle:
        return Puzzle(key=("always the same",), prompt="?", gold="!")

    full: Split = split_of(content_hash("k", "always the same"))
    empty: Split = "train" if full == "heldout" else "heldout"
    assert draw_task(draw, kind="k", name="k", split=full, seed=0, index=0).gold == "!"
    with pytest.raises(ConfigError, match=f"no '{empty}' puzzle in 2000; allowed: settings with more distinct puzzles"):
        draw_task(draw, kind="k", name="k", split=empty, seed=0, index=0)


def test_bad_index() -> None:
    with pytest.raises(ConfigError, match="index: -1; allowed: 0 or more"):
        Sudoku().task("train", seed=0, index=-1)


def test_judge_maps_faults_and_grammar_errors() -> None:
    def find_fault(text: str) -> str:
        if text == "x":
            raise DataError("not in the grammar")
        return "" if text == "1" else "not 1"

    def verdict(answer: Message | str) -> tuple[float | None, str, str]:
        score = judge(answer, stop_reason="stop", find_fault=find_fault)
        return score.value, score.status, score.info

    assert verdict("$1$") == (1.0, "ok", "right")
    assert verdict("2") == (0.0, "ok", "not 1")
    assert verdict("x") == (0.0, "policy_error", "not in the grammar")
    assert verdict(Message(role="assistant", content="1", thinking="2")) == (1.0, "ok", "right")
    assert verdict(Message(role="assistant", content="", thinking="1"))[:2] == (0.0, "policy_error")


def test_tasks_of_others_or_without_meta_raise() -> None:
    task = Sudoku().task("train", seed=0, index=0)
    with pytest.raises(DataError, match=r"task\.env: 'sudoku'; allowed: 'countdown'"):
        Countdown().check(task, "1")
    with pytest.raises(DataError, match="numbers"):
        Countdown().check(Task(task_id="x", env="countdown", prompt=(), gold="", meta={"target": 3}), "1")
