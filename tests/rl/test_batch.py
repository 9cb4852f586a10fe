"""Batches: which token meets which number, and what each token weighs."""

from typing import get_args

import numpy as np
import pytest

from fulmen.errors import ConfigError, DataError
from fulmen.rl import Aggregation, rl_batch
from fulmen.types import Batch, RolloutGroup
from tests.rl.examples import make_group, make_rollout, make_task

AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

# Two prompts with 2 and 3 completions; the second of the first group has no reward.
LENGTHS = ((2, 9, 5), (1, 4, 7))
ADVANTAGES = ((0.5, None, -0.5), (1.0, 2.0, -3.0))


def ragged() -> list[RolloutGroup]:
    return [
        make_group([None if a is None else 1.0 for a in own], lengths=lengths)
        for own, lengths in zip(ADVANTAGES, LENGTHS, strict=True)
    ]


def make_batch(aggregation: Aggregation) -> Batch:
    return rl_batch(ragged(), ADVANTAGES, aggregation=aggregation, window=10)


def trained_weights(batch: Batch) -> np.ndarray:
    return batch.token_weights_T[batch.mask_T].astype(np.float64)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_weights_of_trained_tokens_sum_to_one_or_to_the_filled_share_of_the_window(aggregation: Aggregation) -> None:
    batch = make_batch(aggregation)
    total = 19 / (5 * 10) if aggregation == "constant" else 1.0
    assert trained_weights(batch).sum() == pytest.approx(total, abs=1e-6)
    assert len(trained_weights(batch)) == 2 + 5 + 1 + 4 + 7


def test_prompt_token_is_equation_4_as_it_stands() -> None:
    batch = rl_batch(ragged(), ADVANTAGES)
    terms = np.random.default_rng(0).normal(size=19)
    # Written out: the mean over two prompts of 1 / (sum of lengths) * the sum over their tokens.
    first = terms[0:7].sum() / (2 + 5)
    second = terms[7:19].sum() / (1 + 4 + 7)
    assert (trained_weights(batch) * terms).sum() == pytest.approx((first + second) / 2, rel=1e-6)


def test_weights_of_each_aggregation_by_hand() -> None:
    # Lengths with a reward: 2, 5 | 1, 4, 7; P = 2, S = 5, N = 19, N_p = 7 and 12.
    by_hand: dict[Aggregation, tuple[float, ...]] = {
        "prompt_token": (1 / 14, 1 / 14, 1 / 24, 1 / 24, 1 / 24),
        "batch_token": (1 / 19,) * 5,
        "sequence": (1 / 10, 1 / 25, 1 / 5, 1 / 20, 1 / 35),
        "constant": (1 / 50,) * 5,
        "combined": (1 / 38 + 1 / 20, 1 / 38 + 1 / 50, 1 / 38 + 1 / 10, 1 / 38 + 1 / 40, 1 / 38 + 1 / 70),
    }
    assert set(by_hand) == set(AGGREGATIONS)
    for aggregation, expected in by_hand.items():
        batch = make_batch(aggregation)
        np.testing.assert_allclose(trained_weights(batch), np.repeat(expected, [2, 5, 1, 4, 7]), rtol=1e-6)


@pytest.mark.parametrize(("share", "like"), [(0.0, "batch_token"), (1.0, "sequence")])
def test_combined_goes_from_the_mean_over_tokens_to_that_over_sequences(share: float, like: Aggregation) -> None:
    combined = rl_batch(ragged(), ADVANTAGES, aggregation="combined", combined_share=share)
    np.testing.assert_array_equal(combined.token_weights_T, make_batch(like).token_weights_T)
    quarter = rl_batch(ragged(), ADVANTAGES, aggregation="combined", combined_share=0.25)
    expected = 0.75 * trained_weights(make_batch("batch_token")) + 0.25 * trained_weights(make_batch("sequence"))
    np.testing.assert_allclose(trained_weights(quarter), expected, rtol=1e-6)


def test_a_long_answer_weighs_as_much_per_token_as_a_short_one_under_constant() -> None:
    for window in (10, 20):
        batch = rl_batch(ragged(), ADVANTAGES, aggregation="constant", window=window)
        np.testing.assert_allclose(trained_weights(batch), 1 / (5 * window), rtol=1e-6)


def test_aggregations_refuse_what_they_cannot_work_with() -> None:
    for window in (None, 0, -3):
        with pytest.raises(ConfigError, match=f"window={window}; allowed: at least 1 with aggregation='constant'"):
            rl_batch(ragged(), ADVANTAGES, aggregation="constant", window=window)
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=f"combined_share={share}; allowed: from 0 to 1"):
            rl_batch(ragged(), ADVANTAGES, aggregation="combined", combined_share=share)


def test_the_default_is_the_reports_aggregation() -> None:
    default, named = rl_batch(ragged(), ADVANTAGES), rl_batch(ragged(), ADVANTAGES, aggregation="prompt_token")
    np.testing.assert_array_equal(default.token_weights_T, named.token_weights_T)


def test_every_number_lands_on_the_token_it_belongs_to() -> None:
    def routes(length: int, start: int) -> np.ndarray:
        return np.arange(start, start + 2 * length, dtype=np.int8).reshape(length, 2)

    first = make_rollout(
        1.0, prompt_ids=(100, 101, 102), token_ids=(10, 11), logprobs=(-0.1, -0.2), expert_ids=routes(4, 0)
    )
    second = make_rollout(
        0.0, prompt_ids=(100, 101, 102), token_ids=(20, 21, 22), logprobs=(-0.3, -0.4, -0.5), expert_ids=routes(5, 50)
    )
    group = RolloutGroup(task=make_task("task"), rollouts=(first, second))
    batch = rl_batch([group], [[0.75, -0.25]])
    # Position t holds the token before the one it predicts; the last token of a document is no input.
    assert batch.token_ids_T.tolist() == [100, 101, 102, 10, 100, 101, 102, 20, 21]
    assert batch.target_ids_T.tolist() == [101, 102, 10, 11, 101, 102, 20, 21, 22]
    assert batch.cu_seqlens.tolist() == [0, 4, 9]
    assert batch.mask_T.tolist() == [False, False, True, True, False, False, True, True, True]
    assert batch.old_logprobs_T is not None
    assert batch.advantages_T is not None
    assert batch.expert_ids_T_LK is not None
    trained = batch.mask_T
    assert batch.target_ids_T[trained].tolist() == [10, 11, 20, 21, 22]
    np.testing.assert_array_equal(batch.old_logprobs_T[trained], np.array([-0.1, -0.2, -0.3, -0.4, -0.5], np.float32))
    np.testing.assert_array_equal(batch.advantages_T[trained], np.array([0.75, 0.75, -0.25, -0.25, -0.25], np.float32))
    # Row t is where the token at position t was routed.
    np.testing.assert_array_equal(batch.expert_ids_T_LK, np.concatenate([routes(4, 0), routes(5, 50)]))


def test_dtypes_are_those_of_the_record() -> None:
    batch = rl_batch(ragged(), ADVANTAGES)
    assert batch.old_logprobs_T is not None
    assert batch.advantages_T is not None
    assert batch.token_ids_T.dtype == batch.target_ids_T.dtype == batch.cu_seqlens.dtype == np.int64
    assert batch.mask_T.dtype == np.bool_
    assert batch.token_weights_T.dtype == batch.old_logprobs_T.dtype == batch.advantages_T.dtype == np.float32
    assert batch.expert_ids_T_LK is None


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_rollouts_without_reward_are_absent_from_tokens_and_denominators(aggregation: Aggregation) -> None:
    with_failures = rl_batch(
        [make_group([1.0, None, 0.0], lengths=[3, 9, 4]), make_group([None, None])],
        [[1.0, None, -1.0], [None, None]],
        aggregation=aggregation,
        window=10,
    )
    without = rl_batch([make_group([1.0, 0.0], lengths=[3, 4])], [[1.0, -1.0]], aggregation=aggregation, window=10)
    for name in ("token_ids_T", "cu_seqlens", "mask_T", "token_weights_T", "advantages_T"):
        np.testing.assert_array_equal(getattr(with_failures, name), getattr(without, name))


def test_an_advantage_of_zero_is_trained_on_unlike_none() -> None:
    batch = rl_batch([make_group([0.5, 1.0, 0.0])], [[0.0, 1.0, -1.0]])
    assert len(batch.cu_seqlens) - 1 == 3
    assert batch.mask_T.sum() == 9


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_completions_without_a_token_are_left_out(aggregation: Aggregation) -> None:
    group = make_group([1.0, 0.0], lengths=[3, 0])
    batch = rl_batch([group], [[1.0, -1.0]], aggregation=aggregation, window=3)
    assert trained_weights(batch).tolist() == pytest.approx([1 / 3] * 3, rel=1e-6)


def test_a_batch_needs_a_reward_and_a_known_aggregation() -> None:
    with pytest.raises(DataError, match="no rollout has a reward"):
        rl_batch([make_group([None])], [[None]])
    with pytest.raises(DataError, match="no rollout has a reward"):
        rl_batch([], [])
    # In production, where no call is checked.
    with pytest.raises(ConfigError, match="aggregation='mean'; allowed: prompt_token"):
        rl_batch.__wrapped__(ragged(), ADVANTAGES, aggregation="mean")  # type: ignore[attr-defined]
