"""Mismatch of sampler and learner against numpy and numbers by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.rl.monitors.mismatch import mismatch, mismatch_metrics, worst_tokens


def test_pearson_is_that_of_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    sampler = -rng.exponential(size=500).astype(np.float32)
    learner = (sampler + rng.normal(scale=0.3, size=500)).astype(np.float32)
    result = mismatch(sampler, learner)
    as_doubles = np.exp(sampler.astype(np.float64)), np.exp(learner.astype(np.float64))
    assert result.pearson == pytest.approx(np.corrcoef(*as_doubles)[0, 1], rel=1e-12)
    assert result.pearson != pytest.approx(np.corrcoef(sampler, learner)[0, 1], rel=1e-3)


def test_differences_are_those_of_the_logprobs() -> None:
    result = mismatch(np.array([-1.0, -2.0, -3.0]), np.array([-1.5, -2.0, -2.0]))
    assert result.abs_diff_max == 1.0
    assert result.abs_diff_mean == 0.5


def test_equal_logprobs_correlate_perfectly_and_opposite_ones_negatively() -> None:
    logprobs = np.log(np.array([0.1, 0.5, 0.9], dtype=np.float32))
    assert mismatch(logprobs, logprobs).pearson == pytest.approx(1.0, abs=1e-12)
    assert mismatch(logprobs, logprobs[::-1].copy()).pearson == pytest.approx(-1.0, abs=1e-12)


@pytest.mark.parametrize("constant", [-1.0, 0.0, math.log(0.1)])
def test_pearson_of_constant_probabilities_is_nan_not_the_correlation_of_rounding(constant: float) -> None:
    same, other = np.full(3, constant), np.array([-1.0, -2.0, -3.0])
    assert math.isnan(mismatch(same, other).pearson)
    assert math.isnan(mismatch(other, same).pearson)
    assert math.isnan(mismatch(same, same).pearson)
    assert math.isnan(mismatch(other[:1], other[:1]).pearson)


def pairs(count: int = 3000, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 log-probabilities of a sampler and of a learner that differs, now and then by a lot."""
    rng = np.random.default_rng(seed)
    sampler = -rng.exponential(size=count)
    return sampler.astype(np.float32), (sampler + 0.2 * rng.standard_t(3, size=count)).astype(np.float32)


def test_quantiles_and_shares_are_those_of_numpy_in_float64() -> None:
    sampler, learner = pairs()
    result = mismatch(sampler, learner)
    difference = learner.astype(np.float64) - sampler.astype(np.float64)
    quantiles = np.quantile(np.abs(difference), [0.5, 0.9, 0.99, 0.999, 1])
    np.testing.assert_allclose(result.abs_diff_q, quantiles, rtol=1e-12)
    assert result.abs_diff_q[-1] == result.abs_diff_max
    ratio = np.exp(difference)
    assert result.outside_frac == ((ratio < 0.5) | (ratio > 2)).mean() > 0.005
    assert result.kl_k3 == pytest.approx((ratio - 1 - np.log(ratio)).mean(), rel=1e-9)


def test_bounds_of_the_share_outside_are_both_sided() -> None:
    off = np.log(np.array([0.49, 0.51, 1.0, 1.99, 2.01, 3.0]))
    assert mismatch(np.full(6, -4.0), -4.0 + off).outside_frac == 0.5


def test_k3_estimates_the_divergence_of_sampler_from_learner_and_not_the_reverse() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    # As often as the sampler draws them.
    drawn = np.repeat([0, 1, 2], [500, 300, 200])
    estimate = mismatch(np.log(p)[drawn], np.log(q)[drawn]).kl_k3
    assert estimate == pytest.approx((p * np.log(p / q)).sum(), rel=1e-12)
    p, q = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    drawn = np.repeat([0, 1], [900, 100])
    found = mismatch(np.log(p)[drawn], np.log(q)[drawn]).kl_k3
    assert found == pytest.approx((p * np.log(p / q)).sum(), rel=1e-12)
    assert found != pytest.approx((q * np.log(q / p)).sum(), rel=0.1)


def test_tokens_of_older_weights_are_left_out_and_none_left_says_nothing() -> None:
    sampler, learner = pairs(200)
    stale = sampler.copy()
    stale[::3] = np.nan
    kept = ~np.isnan(stale)
    assert mismatch(stale, learner) == mismatch(sampler[kept], learner[kept])
    for empty in (mismatch(np.full(4, np.nan), np.zeros(4)), mismatch(np.zeros(0), np.zeros(0))):
        assert math.isnan(empty.pearson)
        assert math.isnan(empty.abs_diff_max)
        assert math.isnan(empty.kl_k3)
        assert len(empty.abs_diff_q) == 5


def test_extreme_differences_stay_finite() -> None:
    result = mismatch(np.array([-1000.0, -1.0]), np.array([-1.0, -1000.0]))
    assert math.isfinite(result.kl_k3)
    assert result.abs_diff_max == 999.0
    assert result.outside_frac == 1.0


@given(st.integers(2, 60), st.integers(0, 10_000))
def test_the_order_of_tokens_does_not_matter(count: int, seed: int) -> None:
    sampler, learner = pairs(count, seed=seed)
    order = np.random.default_rng(seed).permutation(count)
    one, other = mismatch(sampler, learner), mismatch(sampler[order], learner[order])
    assert other.abs_diff_q == one.abs_diff_q
    assert other.outside_frac == one.outside_frac
    assert other.pearson == pytest.approx(one.pearson, rel=1e-9, abs=1e-12)
    assert other.kl_k3 == pytest.approx(one.kl_k3, rel=1e-9)
    assert one.kl_k3 >= 0
    assert -1 - 1e-12 <= one.pearson <= 1 + 1e-12
    ids = np.arange(count)
    worst = worst_tokens(ids, sampler, learner, count=1)
    assert worst == worst_tokens(ids[order], sampler[order], learner[order], count=1)


def test_worst_tokens_come_with_their_values_and_the_worst_first() -> None:
    ids = np.array([7, 8, 9, 10])
    sampler = np.array([-1.0, -1.0, np.nan, -1.0])
    learner = np.array([-1.25, -3.0, -9.0, -0.5])
    assert worst_tokens(ids, sampler, learner, count=2) == [
        {"token_id": 8, "sampler_logprob": -1.0, "learner_logprob": -3.0},
        {"token_id": 10, "sampler_logprob": -1.0, "learner_logprob": -0.5},
    ]
    # A token of older weights never is among them.
    assert [w["token_id"] for w in worst_tokens(ids, sampler, learner)] == [8, 10, 7]


def test_metrics_keep_the_names_that_the_report_reads() -> None:
    sampler, learner = pairs(50)
    metrics, result = mismatch_metrics(np.arange(50), sampler, learner), mismatch(sampler, learner)
    assert metrics["logprob_pearson"] == result.pearson
    assert metrics["logprob_abs_diff_max"] == result.abs_diff_max
    assert metrics["logprob_abs_diff_mean"] == result.abs_diff_mean
    assert metrics["logprob_kl_k3"] == result.kl_k3
    assert metrics["logprob_worst"] == worst_tokens(np.arange(50), sampler, learner)
