"""Rollouts of several turns: one sequence while the prompt goes on, and every drawn token trained once."""

import numpy as np

from fulmen.rl import rl_batch
from fulmen.rl.turns import sequences_of
from fulmen.types import Completion, Message, Rollout, RolloutGroup, Score
from tests.rl.examples import make_rollout, make_task


def turn(prompt: list[int], drawn: list[int], logprob: float, **more: object) -> Completion:
    return Completion(
        prompt_ids=np.array(prompt), token_ids=np.array(drawn), logprobs=np.full(len(drawn), logprob, np.float32),
        stop_reason="stop", message=Message(role="assistant", content=""), **more,
    )  # type: ignore[arg-type]  # fmt: skip


def rollout(*turns: Completion) -> Rollout:
    return Rollout(task=make_task("t"), completion=turns[-1], earlier=turns[:-1], score=Score(value=1.0))


def test_turns_that_go_on_are_one_sequence() -> None:
    (sequence,) = sequences_of(
        rollout(turn([1, 2], [3, 4], -0.1), turn([1, 2, 3, 4, 9, 9], [5], -0.2), turn([1, 2, 3, 4, 9, 9, 5], [6], -0.3))
    )
    assert sequence.token_ids.tolist() == [1, 2, 3, 4, 9, 9, 5, 6]
    assert sequence.mask.tolist() == [False, False, True, True, False, False, True, True]
    np.testing.assert_allclose(sequence.logprobs, [0, 0, -0.1, -0.1, 0, 0, -0.2, -0.3])


def test_a_rewritten_history_begins_a_sequence_of_its_own() -> None:
    first, second = sequences_of(rollout(turn([1, 2], [3, 4], -0.1), turn([1, 2, 4, 9], [5], -0.2)))
    assert (first.token_ids.tolist(), second.token_ids.tolist()) == ([1, 2, 3, 4], [1, 2, 4, 9, 5])
    assert (first.mask.sum(), second.mask.sum()) == (2, 1)
    # A prompt shorter than what came before goes on from nothing, even where it agrees.
    assert len(sequences_of(rollout(turn([1, 2], [3, 4], -0.1), turn([1, 2, 3], [5], -0.2)))) == 2


def test_forced_tokens_are_not_trained_and_turns_without_a_drawn_one_are_left_out() -> None:
    forced = turn([1], [2, 3, 4], -0.1, mask=np.array([True, False, True]))
    (sequence,) = sequences_of(rollout(forced))
    assert sequence.mask.tolist() == [False, True, False, True]
    assert sequences_of(rollout(turn([1], [], -0.1))) == []
    assert len(sequences_of(rollout(turn([1], [2], -0.1), turn([7], [], -0.1)))) == 1


def test_routes_are_those_that_each_token_was_drawn_along() -> None:
    early = turn([1, 2], [3], -0.1, expert_ids=np.array([[1], [2]], np.int8))
    late = turn([1, 2, 3, 9], [5], -0.2, expert_ids=np.array([[11], [12], [13], [14]], np.int8))
    (sequence,) = sequences_of(rollout(early, late))
    assert sequence.expert_ids is not None
    assert sequence.expert_ids.tolist() == [[1], [2], [13], [14]]
    assert late.expert_ids is not None
    assert late.expert_ids[0, 0] == 11


def test_a_rollout_of_two_sequences_weighs_as_one_completion() -> None:
    two = rollout(turn([1, 2], [3, 4], -0.1), turn([7], [5], -0.2))
    one = make_rollout(0.0, prompt_ids=(1,), token_ids=(2, 3, 4), logprobs=(-0.1, -0.2, -0.3))
    group = RolloutGroup(task=make_task("t"), rollouts=(two, one))
    expected = {"prompt_token": [1 / 6] * 6, "batch_token": [1 / 6] * 6, "sequence": [1 / 6] * 6}
    for aggregation, weights in expected.items():
        batch = rl_batch([group], [[1.0, -1.0]], aggregation=aggregation)  # type: ignore[arg-type]
        np.testing.assert_allclose(batch.token_weights_T[batch.mask_T], weights, rtol=1e-6)
        assert batch.cu_seqlens.tolist() == [0, 3, 4, 7]
        assert batch.advantages_T is not None
        assert batch.advantages_T.tolist() == [1.0] * 4 + [-1.0] * 3
    short = make_rollout(0.0, prompt_ids=(1,), token_ids=(2,), logprobs=(-0.1,))
    batch = rl_batch([RolloutGroup(task=make_task("t"), rollouts=(two, short))], [[1.0, -1.0]], aggregation="sequence")
    np.testing.assert_allclose(batch.token_weights_T[batch.mask_T], [1 / 6] * 3 + [1 / 2], rtol=1e-6)
