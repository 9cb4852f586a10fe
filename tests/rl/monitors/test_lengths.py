"""Lengths by sign and length bias, and what sampling threw away, against numpy and numbers by hand."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

from fulmen.rl.monitors.lengths import length_metrics
from fulmen.rl.monitors.sampling import sampling_metrics
from fulmen.types import RolloutGroup, StopReason
from tests.rl.examples import make_group


def ended(group: RolloutGroup, reasons: Sequence[StopReason]) -> RolloutGroup:
    """Returns the group with these stop reasons."""
    rollouts = [
        dataclasses.replace(r, completion=dataclasses.replace(r.completion, stop_reason=reason))
        for r, reason in zip(group.rollouts, reasons, strict=True)
    ]
    return dataclasses.replace(group, rollouts=tuple(rollouts))


def test_lengths_and_limit_hits_go_by_the_sign_of_the_reward_within_its_group() -> None:
    groups = [
        ended(make_group([1.0, 0.0, 0.0, None], lengths=[10, 20, 40, 99]), ["stop", "length", "length", "length"]),
        # Everything is above the other group's mean; here 0.6 is the wrong answer.
        ended(make_group([1.0, 0.6], lengths=[12, 30]), ["length", "stop"]),
        # Equal rewards have no sign, whatever their mean rounds to.
        ended(make_group([0.1, 0.1, 0.1], lengths=[70, 80, 90]), ["length"] * 3),
    ]
    metrics = length_metrics(groups)
    assert metrics["length_mean_pos"] == 11.0
    assert metrics["length_mean_neg"] == 30.0
    assert metrics["length_p99_neg"] == pytest.approx(np.quantile([20, 40, 30], 0.99))
    assert metrics["length_p99_pos"] == pytest.approx(np.quantile([10, 12], 0.99))
    assert metrics["limit_frac_pos"] == 0.5
    assert metrics["limit_frac_neg"] == pytest.approx(2 / 3)


def random_groups(*, slope: float, seed: int = 0) -> list[RolloutGroup]:
    """Returns groups whose reward goes with the logarithm of length by `slope`, beside the prompt's difficulty."""
    rng = np.random.default_rng(seed)
    groups = []
    for _ in range(60):
        difficulty = rng.uniform(0, 3)
        lengths = np.exp(3 + difficulty + rng.normal(0, 0.4, 6)).astype(int) + 1
        rewards = slope * np.log(lengths) - 2.0 * difficulty + rng.normal(0, 0.2, 6)
        groups.append(make_group([float(reward) for reward in rewards], lengths=lengths.tolist()))
    return groups


@pytest.mark.parametrize("slope", [0.5, 0.0, -0.5])
def test_length_bias_is_measured_within_prompts(slope: float) -> None:
    groups = random_groups(slope=slope)
    metrics = length_metrics(groups)
    lengths = [np.array([r.num_tokens for r in g.rollouts], np.float64) for g in groups]
    rewards = [np.array([r.score.value for r in g.rollouts], np.float64) for g in groups]
    x, y = (np.concatenate([values - values.mean() for values in own]) for own in (lengths, rewards))
    assert metrics["length_reward_corr"] == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-9)
    logs = np.concatenate([np.log(values) - np.log(values).mean() for values in lengths])
    assert metrics["length_reward_slope"] == pytest.approx(np.polyfit(logs, y, 1)[0], rel=1e-9)
    assert metrics["length_reward_slope"] == pytest.approx(slope, abs=0.06)
    # Over all prompts together, difficulty would make long completions look bad whatever the judge likes.
    assert np.corrcoef(np.concatenate(lengths), np.concatenate(rewards))[0, 1] < -0.3


@pytest.mark.parametrize(
    "groups",
    [[], [make_group([None, None])], [make_group([1.0, 1.0])], [make_group([1.0, 0.0], lengths=[7, 7])]],
)
def test_nothing_to_say_is_nan(groups: list[RolloutGroup]) -> None:
    metrics = length_metrics(groups)
    for name in ("length_reward_corr", "length_reward_slope"):
        value = metrics[name]
        assert isinstance(value, float)
        assert math.isnan(value)
    assert metrics.keys() == length_metrics(random_groups(slope=0.0)).keys()


def test_the_order_of_rollouts_and_groups_does_not_matter() -> None:
    groups = random_groups(slope=0.3)
    turned = [dataclasses.replace(g, rollouts=g.rollouts[::-1]) for g in groups[::-1]]
    assert length_metrics(turned) == pytest.approx(length_metrics(groups), rel=1e-9)


def test_halts_are_counted_per_completion_and_discards_per_token() -> None:
    groups = [
        ended(make_group([1.0, 0.0], lengths=[10, 30]), ["stop", "repetition"]),
        ended(make_group([0.0, 0.0, 0.0], lengths=[5, 5, 10]), ["stop", "repetition", "length"]),
        make_group([1.0, None], lengths=[1, 1]),
    ]
    metrics = sampling_metrics(groups, num_trained_tokens=40)
    assert metrics["halted_frac"] == pytest.approx(2 / 7)
    assert metrics["accept_frac"] == pytest.approx(1 / 3)
    assert metrics["num_discarded_tokens"] == 22
    assert metrics["discarded_frac"] == pytest.approx(22 / 62)


def test_a_halt_in_an_earlier_turn_counts_once() -> None:
    halted, ended_well = ended(make_group([1.0, 0.0]), ["repetition", "stop"]).rollouts
    of_three_turns = dataclasses.replace(ended_well, earlier=(halted.completion, halted.completion))
    group = RolloutGroup(task=halted.task, rollouts=(of_three_turns, ended_well))
    assert sampling_metrics([group], num_trained_tokens=0)["halted_frac"] == 0.5


def test_tokens_of_earlier_batches_are_no_discard_of_this_one() -> None:
    metrics = sampling_metrics([make_group([1.0, 0.0])], num_trained_tokens=50)
    assert metrics["num_discarded_tokens"] == 0
    nothing = sampling_metrics([], num_trained_tokens=0)
    assert nothing.keys() == metrics.keys()
    assert isinstance(nothing["halted_frac"], float)
    assert math.isnan(nothing["halted_frac"])
