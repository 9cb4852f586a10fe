"""reasoning-gym's datasets behind our rules. Runs where the package is installed."""

import pytest

pytest.importorskip("reasoning_gym")

from fulmen.envs import SingleTurnEnv, load
from fulmen.envs.conformance import find_faults, make_tasks
from fulmen.errors import ConfigError


def load_gym(dataset: str, **knobs: object) -> SingleTurnEnv:
    env = load(f"reasoning_gym:{dataset}", **knobs)
    assert isinstance(env, SingleTurnEnv)
    return env


@pytest.mark.parametrize("dataset", ["gcd", "letter_counting", "chain_sum", "word_sorting", "products"])
def test_a_dataset_conforms(dataset: str) -> None:
    assert find_faults(load_gym(dataset), num_tasks=10) == []


def test_containing_the_gold_answer_is_not_enough() -> None:
    env = load_gym("gcd")
    (task,) = make_tasks(env, 1)
    assert env.check(task, f"The answer is {task.gold}").value == 0.0
    assert env.check(task, task.gold).value == 1.0
    tagged = load_gym("gcd", answer_form="tags")
    (task,) = make_tasks(tagged, 1)
    assert tagged.check(task, f"It is <answer>{task.gold}</answer>, I think.").value == 1.0
    assert "<answer>" in task.prompt[0].content


def test_a_scorer_that_raises_on_an_answer_says_no() -> None:
    env = load_gym("prime_factorization")
    (task,) = make_tasks(env, 1)
    score = env.check(task, "x")
    assert (score.value, score.status) == (0.0, "policy_error")
    assert "ValueError" in score.info


def test_settings_reach_the_dataset() -> None:
    env = load_gym("chain_sum", config={"min_digits": 1, "max_digits": 1, "min_terms": 2, "max_terms": 2})
    assert all(len(task.gold) <= 2 for task in make_tasks(env, 20))
    with pytest.raises(ConfigError, match="unexpected keyword argument 'digits'"):
        load_gym("chain_sum", config={"digits": 1})
    with pytest.raises(ConfigError, match="dataset: 'nope'; allowed: ab, acre"):
        load_gym("nope")
    with pytest.raises(ConfigError, match="accepts any text"):
        load_gym("game_of_life_halting")
    with pytest.raises(ConfigError, match="no adapter 'gym'; allowed: reasoning_gym, mathematics_dataset, verifiers"):
        load("gym:gcd")
