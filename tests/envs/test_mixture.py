"""Mixtures: proportions, dispatch, settings that cannot work."""

import random
from collections import Counter

import pytest

from fulmen.envs import Brackets, Countdown, Env, Mixture, Sudoku
from fulmen.errors import ConfigError, DataError


def test_proportions_follow_the_weights() -> None:
    mixture = Mixture([Countdown(), Sudoku(), Brackets()], [6.0, 3.0, 1.0])
    counts = Counter(mixture.task("train", seed=1, index=index).env for index in range(2000))
    # Three standard deviations of a binomial draw of 2,000 are below 70.
    for name, expected in (("countdown", 1200), ("sudoku", 600), ("brackets", 200)):
        assert abs(counts[name] - expected) < 70


def test_zero_weight_leaves_an_environment_out() -> None:
    mixture = Mixture([Sudoku(), Countdown(), Brackets()], [0.0, 1.0, 0.0])
    assert {mixture.task("train", seed=0, index=index).env for index in range(200)} == {"countdown"}


def test_dispatches_by_the_tasks_environment() -> None:
    easy, hard = Countdown(name="easy"), Countdown(name="hard", num_numbers=5)
    mixture = Mixture([easy, hard, Sudoku()])
    seen = set()
    for index in range(60):
        task = mixture.task("heldout", seed=0, index=index)
        seen.add(task.env)
        assert mixture.env_of(task).name == task.env
        assert mixture.env_of(task).task("heldout", seed=0, index=index) == task
        message = mixture.worked_solution(task, random.Random(index))
        assert mixture.check(task, message).value == 1.0
        assert mixture.check(task, message, stop_reason="length").status == "truncated"
        assert mixture.check(task, "0").value == 0.0
    assert seen == {"easy", "hard", "sudoku"}
    with pytest.raises(DataError, match="'brackets'; allowed: easy, hard, sudoku"):
        mixture.env_of(Brackets().task("train", seed=0, index=0))


def test_bad_settings() -> None:
    two: list[Env] = [Countdown(), Sudoku()]
    with pytest.raises(ConfigError, match="envs: empty"):
        Mixture([])
    with pytest.raises(ConfigError, match="allowed: each name once"):
        Mixture([Countdown(), Countdown(num_numbers=4)])
    for weights in ([1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")], [1.0, float("inf")]):
        with pytest.raises(ConfigError, match="weights: "):
            Mixture(two, weights)
