"""A group is informative when its valid, unshaped rewards differ."""

import pytest

from fulmen.rl import LengthPenalty, group_advantages, is_informative
from tests.rl.examples import make_group


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ((1.0, 0.0), True),
        ((0.0, 0.0, 0.0, 1.0), True),
        ((0.1, 0.0, 0.1), True),
        ((1.0, None, 0.0), True),
        ((0.0, 0.0), False),
        ((1.0, 1.0, 1.0), False),
        ((1.0, None), False),
        ((0.0, None), False),
        ((None, None), False),
        ((), False),
    ],
)
def test_only_groups_whose_valid_rewards_differ_are_informative(
    rewards: tuple[float | None, ...], expected: bool
) -> None:
    assert is_informative(make_group(rewards)) is expected


def test_the_length_penalty_does_not_make_a_group_informative() -> None:
    penalty = LengthPenalty(window=10)
    group = make_group([1.0, 1.0], lengths=[2, 10])
    shaped = [1.0 + penalty(len(rollout.completion.token_ids)) for rollout in group.rollouts]
    assert group_advantages(shaped)[0] != 0.0
    assert not is_informative(group)
