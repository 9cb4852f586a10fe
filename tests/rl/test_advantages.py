"""Advantages are eq. (2) over the valid rewards of a group, and the length penalty is DAPO's."""

import math

import pytest

from fulmen.errors import ConfigError
from fulmen.rl import LengthPenalty, batch_advantages, group_advantages


def test_advantages_of_a_group_with_two_right_answers_of_four() -> None:
    # mean 0.5, deviation of the population 0.5
    expected = 0.5 / (0.5 + 1e-6)
    assert group_advantages([1.0, 0.0, 0.0, 1.0]) == pytest.approx(
        [expected, -expected, -expected, expected], rel=1e-12
    )


def test_deviation_is_that_of_the_population() -> None:
    # mean 1/4, variance 3/16 (of the sample it would be 1/4)
    deviation = math.sqrt(3) / 4 + 1e-6
    expected = [0.75 / deviation, -0.25 / deviation, -0.25 / deviation, -0.25 / deviation]
    assert group_advantages([1.0, 0.0, 0.0, 0.0]) == pytest.approx(expected, rel=1e-12)


def test_small_deviations_are_bounded_by_eps() -> None:
    # deviation 1e-6: eps halves the advantage
    assert group_advantages([2e-6, 0.0]) == pytest.approx([0.5, -0.5], rel=1e-9)
    assert group_advantages([2e-6, 0.0], eps=3e-6) == pytest.approx([0.25, -0.25], rel=1e-9)


def test_without_deviation_advantages_are_differences_from_the_mean() -> None:
    assert group_advantages([1.0, 0.0, 0.0, 0.0], normalise_std=False) == [0.75, -0.25, -0.25, -0.25]


def test_equal_rewards_give_zero() -> None:
    assert group_advantages([1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]
    assert group_advantages([0.0]) == [0.0]


def test_none_is_left_out_of_mean_and_deviation_and_stays_none() -> None:
    full = group_advantages([1.0, 0.0, 0.0])
    assert group_advantages([1.0, None, 0.0, None, 0.0]) == [full[0], None, full[1], None, full[2]]
    assert group_advantages([None, None]) == [None, None]
    assert group_advantages([]) == []


def test_none_is_not_zero() -> None:
    assert group_advantages([1.0, None, 1.0]) == [0.0, None, 0.0]
    assert group_advantages([1.0, 0.0, 1.0])[0] != 0.0
    assert group_advantages([0.0, None]) == [0.0, None]


REWARDS: list[list[float | None]] = [[1.0, 0.0, None], [3.0, 1.0, 2.0]]


def test_a_batch_is_normalised_group_by_group_or_as_a_whole() -> None:
    by_std = batch_advantages(REWARDS)
    assert by_std == [group_advantages(own) for own in REWARDS]
    assert batch_advantages(REWARDS, advantage="group_mean") == [[0.5, -0.5, None], [1.0, -1.0, 0.0]]
    # R - mean of its group: 1/2, -1/2, 1, -1, 0, whose mean square is 2.5 / 5.
    scale = math.sqrt(0.5) + 1e-6
    found = batch_advantages(REWARDS, advantage="batch_std")
    assert found[0][:2] == pytest.approx([0.5 / scale, -0.5 / scale], rel=1e-12)
    assert found[0][2] is None
    assert found[1] == pytest.approx([1.0 / scale, -1.0 / scale, 0.0], rel=1e-12)


def test_a_value_model_is_handed_the_rewards_themselves() -> None:
    assert batch_advantages(REWARDS, advantage="value") == REWARDS


def test_batches_without_a_reward_or_a_difference_stay_finite() -> None:
    for advantage in ("group_std", "group_mean", "batch_std", "value"):
        assert batch_advantages([[None], []], advantage=advantage) == [[None], []]
    for advantage in ("group_std", "group_mean", "batch_std"):
        assert batch_advantages([[1.0, 1.0], [0.0]], advantage=advantage) == [[0.0, 0.0], [0.0]]


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(ConfigError, match="advantage='rank'; allowed: group_std, group_mean, batch_std, value"):
        batch_advantages.__wrapped__(REWARDS, advantage="rank")  # type: ignore[attr-defined]


def test_length_penalty_has_dapos_values() -> None:
    # DAPO: L_max 20,480 and L_cache 4,096
    penalty = LengthPenalty(window=20480, soft_zone_frac=0.2)
    for num_tokens, expected in ((1, 0.0), (16384, 0.0), (17408, -0.25), (18432, -0.5), (20480, -1.0), (30000, -1.0)):
        assert penalty(num_tokens) == pytest.approx(expected, abs=1e-12)


def test_length_penalty_scales_and_its_zone_is_a_fraction_of_the_window() -> None:
    penalty = LengthPenalty(window=100, soft_zone_frac=0.5, scale=0.3)
    assert [penalty(n) for n in (50, 75, 100, 101)] == pytest.approx([0.0, -0.15, -0.3, -0.3], abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"window": 0}, "window=0"),
        ({"window": 10, "soft_zone_frac": 0.0}, r"soft_zone_frac=0\.0"),
        ({"window": 10, "soft_zone_frac": 1.5}, r"soft_zone_frac=1\.5"),
        ({"window": 10, "scale": -1.0}, r"scale=-1\.0"),
    ],
)
def test_length_penalty_refuses_settings_out_of_range(settings: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        LengthPenalty(**settings)  # type: ignore[arg-type]
