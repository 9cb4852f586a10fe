"""DeepMind's mathematics dataset behind our rules. Runs where the package is installed."""

import pytest

pytest.importorskip("mathematics_dataset")

from fulmen.envs import SingleTurnEnv, load
from fulmen.envs.adapters.mathematics_dataset import is_same
from fulmen.envs.conformance import find_faults, make_tasks
from fulmen.errors import ConfigError


def load_module(dataset: str, **knobs: object) -> SingleTurnEnv:
    env = load(f"mathematics_dataset:{dataset}", **knobs)
    assert isinstance(env, SingleTurnEnv)
    return env


@pytest.mark.parametrize("dataset", ["arithmetic__add_or_sub", "numbers__gcd", "comparison__sort"])
def test_a_module_conforms(dataset: str) -> None:
    assert find_faults(load_module(dataset), num_tasks=10) == []


def test_answers_that_are_the_same() -> None:
    assert is_same("N**2+3*n", "n**2 + 3*n")
    assert is_same("1/2", "0.5")
    assert is_same("K,  2, m", "k, 2, m")
    # An order is an answer.
    assert not is_same("2, k, m", "k, 2, m")
    # The question is equal to its answer.
    assert not is_same("3 + 4", "7")
    assert not is_same("0.333", "1/3")


def test_difficulty_and_names() -> None:
    easy, hard = load_module("numbers__gcd"), load_module("numbers__gcd", difficulty=2)
    lengths = [sum(len(task.prompt[0].content) for task in make_tasks(env, 20)) for env in (easy, hard)]
    assert lengths[0] < lengths[1]
    with pytest.raises(ConfigError, match="allowed: algebra__linear_1d"):
        load_module("polynomials__expand")
    with pytest.raises(ConfigError, match="difficulty: 3; allowed: an integer from 0 to 2"):
        load_module("numbers__gcd", difficulty=3)
