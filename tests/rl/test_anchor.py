"""The recomputed anchor against a computation by hand, and never both corrections at once."""

import dataclasses
import functools
import math

import numpy as np
import pytest

from fulmen.errors import ConfigError, DataError
from fulmen.rl import anchored, cispo, inert_cap, rl_batch
from fulmen.rl.anchor import mismatch_factors
from fulmen.train import AdamW, Trainer
from fulmen.types import Batch, RolloutGroup
from tests.rl.examples import make_rollout, make_task
from tests.train.examples import tiny_model


def sampled_batch() -> Batch:
    """Returns a prompt of two tokens with completions of two and three."""
    first = make_rollout(1.0, token_ids=(10, 11), logprobs=(-1.0, -2.0))
    second = make_rollout(0.0, token_ids=(20, 21, 22), logprobs=(-3.0, -4.0, -5.0))
    group = RolloutGroup(task=make_task("task"), rollouts=(first, second))
    return rl_batch([group], [[1.0, -1.0]])


# Of the targets: prompt, then completion, twice. Differences to the rollout: 0.5, -1, 2, 0, -50.
RECOMPUTED = np.array([7.0, -0.5, -3.0, 7.0, -1.0, -4.0, -55.0])


def test_recomputed_weighs_tokens_by_the_capped_mismatch_and_takes_its_own_logprobs_as_old() -> None:
    batch = sampled_batch()
    changed = anchored(batch, anchor="recomputed", recomputed_logprobs_T=RECOMPUTED, mismatch_max=2.0)
    assert batch.mask_T.tolist() == [False, True, True, False, True, True, True]
    factors = [math.exp(0.5), math.exp(-1.0), 2.0, 1.0, math.exp(-50.0)]
    np.testing.assert_allclose(changed.token_weights_T[batch.mask_T], np.array(factors) / 5, rtol=1e-6)
    np.testing.assert_array_equal(changed.token_weights_T[~batch.mask_T], batch.token_weights_T[~batch.mask_T])
    assert changed.old_logprobs_T is not None
    np.testing.assert_array_equal(changed.old_logprobs_T, RECOMPUTED.astype(np.float32))
    assert changed.old_logprobs_T.dtype == changed.token_weights_T.dtype == np.float32
    for name in ("token_ids_T", "target_ids_T", "cu_seqlens", "mask_T", "advantages_T"):
        assert getattr(changed, name) is getattr(batch, name)


def test_factors_are_one_on_tokens_that_are_not_trained_and_finite_everywhere() -> None:
    batch = sampled_batch()
    far = np.where(batch.mask_T, RECOMPUTED + 1000.0, np.nan)
    factors_T = mismatch_factors(batch, far, mismatch_max=3.0)
    np.testing.assert_allclose(factors_T, np.where(batch.mask_T, 3.0, 1.0), rtol=1e-12)


def test_rollout_is_the_batch_itself() -> None:
    batch = sampled_batch()
    assert anchored(batch) is batch


def test_both_corrections_at_once_are_refused() -> None:
    batch = sampled_batch()
    with pytest.raises(ConfigError, match=r"mismatch_max=2\.0; allowed: None with anchor='rollout'"):
        anchored(batch, mismatch_max=2.0)
    with pytest.raises(ConfigError, match="anchor='rollout' with recomputed_logprobs_T"):
        anchored(batch, recomputed_logprobs_T=RECOMPUTED)


@pytest.mark.parametrize("mismatch_max", [None, 0.5, -1.0, math.nan])
def test_recomputed_needs_a_cap_of_at_least_one(mismatch_max: float | None) -> None:
    with pytest.raises(ConfigError, match=f"mismatch_max={mismatch_max}; allowed: at least 1"):
        anchored(sampled_batch(), anchor="recomputed", recomputed_logprobs_T=RECOMPUTED, mismatch_max=mismatch_max)


def test_recomputed_needs_both_sides() -> None:
    batch = sampled_batch()
    recompute = functools.partial(anchored, anchor="recomputed", mismatch_max=2.0)
    for missing in (None, RECOMPUTED[:-1]):
        with pytest.raises(DataError, match=r"recomputed_logprobs_T of shape .*; allowed: \(7,\)"):
            recompute(batch, recomputed_logprobs_T=missing)
    with pytest.raises(DataError, match="old_logprobs_T=None"):
        recompute(dataclasses.replace(batch, old_logprobs_T=None), recomputed_logprobs_T=RECOMPUTED)


def make_trainer() -> Trainer:
    model = tiny_model()
    return Trainer(model, AdamW(model.parameters(), lr=1e-2))


def test_one_update_on_the_recomputed_anchor_is_inert_and_says_so_where_the_rollout_anchor_is_not() -> None:
    batch = sampled_batch()
    trainer = make_trainer()
    recomputed = anchored(batch, anchor="recomputed", recomputed_logprobs_T=trainer.logprobs(batch), mismatch_max=2.0)
    log_ratio = trainer.step(recomputed, cispo).tokens["log_ratio"]
    assert "cap (or clip) is inert" in inert_cap(log_ratio)
    # A second update on the same numbers is off-policy.
    assert inert_cap(np.concatenate([log_ratio, trainer.step(recomputed, cispo).tokens["log_ratio"]])) == ""
    assert inert_cap(make_trainer().step(anchored(batch), cispo).tokens["log_ratio"]) == ""


def test_one_update_on_the_recomputed_anchor_is_cispo_on_the_rollout_anchor_with_that_cap() -> None:
    # r is 1, so all of the weight is the factor: min(pi / pi_rollout, cap) either way.
    batch = sampled_batch()
    norms = []
    for is_recomputed in (True, False):
        trainer = make_trainer()
        logprobs_T = trainer.logprobs(batch)
        chosen = anchored(batch, anchor="recomputed", recomputed_logprobs_T=logprobs_T, mismatch_max=1.5)
        result = trainer.step(
            chosen if is_recomputed else batch, cispo if is_recomputed else functools.partial(cispo, weight_max=1.5)
        )
        norms.append((result.metrics["loss"], result.metrics["grad_norm"]))
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
