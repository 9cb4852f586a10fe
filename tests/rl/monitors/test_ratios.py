"""Ratios against numpy and numbers by hand."""

import numpy as np
import pytest

from fulmen.rl.monitors.ratios import EDGES, ppo_dropped, ratio_metrics

# r = 8, 2, 1, 0.5 with both signs, and 3 with neither; a cap of 5.
RATIOS = np.array([8.0, 2.0, 1.0, 0.5, 8.0, 6.0, 1.0, 0.5, 3.0])
TOKENS = {
    "log_ratio": np.log(RATIOS).astype(np.float32),
    "advantage": np.array([1, 1, 1, 1, -1, -1, -1, -1, 0], dtype=np.float32),
    "weight": np.minimum(RATIOS, 5.0).astype(np.float32),
    "is_capped": RATIOS > 5.0,
}


def test_capped_share_is_counted_for_each_sign_of_the_advantage() -> None:
    metrics = ratio_metrics(TOKENS, clip_min=0.8, clip_max=1.2)
    assert metrics["capped_frac_pos"] == 0.25
    assert metrics["capped_frac_neg"] == 0.5


def test_ppo_would_drop_ratios_that_left_in_the_direction_of_their_advantage() -> None:
    dropped = [True, True, False, False, False, False, False, True, False]
    assert ppo_dropped(TOKENS, clip_min=0.8, clip_max=1.2).tolist() == dropped
    assert ratio_metrics(TOKENS, clip_min=0.8, clip_max=1.2)["ppo_dropped_frac"] == pytest.approx(3 / 9)
    assert ratio_metrics(TOKENS, clip_min=0.4, clip_max=2.5)["ppo_dropped_frac"] == pytest.approx(1 / 9)


def test_quantiles_and_histogram_are_of_the_ratio_before_any_cap() -> None:
    metrics = ratio_metrics(TOKENS, clip_min=0.8, clip_max=1.2)
    assert metrics["ratio_q"] == pytest.approx(np.quantile(RATIOS, [0, 0.01, 0.5, 0.99, 1]).tolist(), rel=1e-6)
    assert metrics["weight_mean"] == pytest.approx((5 + 2 + 1 + 0.5 + 5 + 5 + 1 + 0.5 + 3) / 9, rel=1e-6)
    counts, edges = metrics["weight_hist"], metrics["weight_edges"]
    assert isinstance(counts, list)
    assert isinstance(edges, list)
    assert sum(counts) == len(RATIOS)
    for ratio, times in ((8.0, 2), (6.0, 1), (3.0, 1), (1.0, 2)):
        assert counts[np.searchsorted(edges, ratio) - 1] == times


def test_ratios_of_one_share_a_bin_whatever_their_rounding() -> None:
    tokens = {name: values[:3] for name, values in TOKENS.items()} | {"log_ratio": np.array([-1e-3, 0.0, 1e-3])}
    counts = ratio_metrics(tokens, clip_min=0.8, clip_max=1.2)["weight_hist"]
    assert isinstance(counts, list)
    assert max(counts) == 3


def test_ratios_beyond_the_histogram_count_into_its_outer_bins() -> None:
    tokens = {name: values[:4] for name, values in TOKENS.items()} | {
        "log_ratio": np.array([-200.0, -40.0, 40.0, 200.0], dtype=np.float32)
    }
    metrics = ratio_metrics(tokens, clip_min=0.8, clip_max=1.2)
    counts, quantiles = metrics["weight_hist"], metrics["ratio_q"]
    assert isinstance(counts, list)
    assert isinstance(quantiles, list)
    assert len(counts) == len(EDGES) - 1
    assert (counts[0], counts[-1], sum(counts)) == (2, 2, 4)
    assert np.isfinite(quantiles).all()


def test_a_sign_without_tokens_has_no_capped_share() -> None:
    tokens = {name: values[:4] for name, values in TOKENS.items()}
    metrics = ratio_metrics(tokens, clip_min=0.8, clip_max=1.2)
    assert (metrics["capped_frac_pos"], metrics["capped_frac_neg"]) == (0.25, 0.0)
