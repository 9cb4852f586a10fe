"""Gradient mass and perplexity along completions, by hand and on synthetic runs that pile up or collapse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.rl.monitors.entropy import entropy_metrics
from fulmen.rl.monitors.positions import position_metrics
from tests.rl.monitors.examples import make_table


def test_mass_and_perplexity_of_two_completions_by_hand() -> None:
    logprobs = np.log(np.concatenate([np.full(10, 0.5), np.full(20, 0.25)]))
    logprobs[9] = np.log(0.125)
    tokens = make_table(
        [10, 20], advantages=[2.0, -1.0], logprobs=logprobs, weight=np.repeat([1.0, 3.0], [10, 20]),
        token_weight=np.repeat([0.05, 0.025], [10, 20]),
    )  # fmt: skip
    metrics = position_metrics(tokens, min_length=10)
    np.testing.assert_allclose(metrics["decile_mass_pos"], [0.1] * 10, rtol=1e-6)
    np.testing.assert_allclose(metrics["decile_mass_neg"], [0.15] * 10, rtol=1e-6)
    assert metrics["mass_net"] == pytest.approx(1.0 - 1.5, rel=1e-6)
    # From place 15 on: five tokens of the second completion, none of the first.
    assert metrics["late_mass_pos"] == 0.0
    assert metrics["late_mass_neg"] == pytest.approx(5 * 0.075, rel=1e-6)
    assert metrics["late_net_negative"] == pytest.approx(5 * 0.075 / 2.5, rel=1e-6)
    # Geometric means of 1/p: one token of the first and two of the second in each tenth.
    expected = [(2 * 4 * 4) ** (1 / 3)] * 9 + [(8 * 4 * 4) ** (1 / 3)]
    np.testing.assert_allclose(metrics["decile_perplexity"], expected, rtol=1e-6)
    assert metrics["tail_perplexity_ratio"] == pytest.approx(4 ** (1 / 3), rel=1e-6)
    # Tokens count alike, whichever completion they are of.
    assert metrics["perplexity"] == pytest.approx((2**9 * 8 * 4**20) ** (1 / 30), rel=1e-6)


def test_perplexity_is_under_the_policy_that_drew_the_tokens() -> None:
    tokens = make_table([10]) | {"logprobs": np.full(10, -5.0)}
    assert position_metrics(tokens, min_length=10)["decile_perplexity"] == pytest.approx([math.e] * 10)


def test_short_completions_have_no_tail() -> None:
    logprobs = np.full(40, -1.0)
    # The ends of the short ones are garbled, those of the long one are not.
    logprobs[[9, 19]] = -9.0
    tokens = make_table([10, 10, 20], logprobs=logprobs)
    ratios = [position_metrics(tokens, min_length=n)["tail_perplexity_ratio"] for n in (10, 20, 21)]
    assert ratios == pytest.approx([math.exp(8 * 2 / 4), 1.0, math.nan], nan_ok=True)


def ragged(lengths_by_sign: dict[float, list[int]]) -> dict[str, np.ndarray]:
    advantages = [sign for sign, lengths in lengths_by_sign.items() for _ in lengths]
    return make_table([n for lengths in lengths_by_sign.values() for n in lengths], advantages=advantages)


def test_late_negative_mass_grows_with_a_window_that_negatives_fill_and_not_in_a_balanced_batch() -> None:
    """Each window is filled by negative completions, as the report saw it; positive ones keep their length."""
    rng = np.random.default_rng(0)
    found = []
    for window in (400, 480, 560, 640, 720, 800):
        positive = rng.integers(200, 400, 64).tolist()
        negative = np.minimum(rng.normal(window, 0.2 * window, 64), window).astype(int).tolist()
        late = position_metrics(ragged({1.0: positive, -1.0: negative}), min_length=64)["late_net_negative"]
        balanced = position_metrics(ragged({1.0: negative, -1.0: negative[::-1]}), min_length=64)["late_net_negative"]
        assert isinstance(late, float)
        assert balanced == pytest.approx(0.0, abs=1e-6)
        found.append(late)
    assert found[0] < 0.08
    assert min(found[1:]) > 0.1
    assert found[-1] > 1.5 * found[0]
    mirrored = position_metrics(ragged({-1.0: positive, 1.0: negative}), min_length=64)["late_net_negative"]
    assert mirrored == pytest.approx(-found[-1], rel=1e-6)


def test_the_combined_aggregation_halves_what_piles_up() -> None:
    """The report's second cure: weights of 1 / (S n_i) take away from long completions what 1 / N gives them."""
    lengths = {1.0: [200] * 8, -1.0: [800] * 8}
    by_token = ragged(lengths)
    by_sequence = by_token | {"token_weight": (1 / (16 * by_token["length"])).astype(np.float32)}
    late = [position_metrics(t, min_length=64)["late_net_negative"] for t in (by_token, by_sequence)]
    assert late == pytest.approx([200 / 1000, 0.25 / 2], rel=1e-6)


def test_a_batch_without_advantage_has_no_mass() -> None:
    metrics = position_metrics(make_table([12], advantages=[0.0]), min_length=10)
    assert metrics["decile_mass_pos"] == metrics["decile_mass_neg"] == [0.0] * 10
    assert metrics["late_net_negative"] == 0.0


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(0, 1000))
def test_the_order_of_tokens_does_not_matter_and_masses_add_up(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = sum(lengths)
    tokens = make_table(
        lengths, advantages=rng.normal(size=len(lengths)).tolist(), logprobs=-rng.exponential(size=count),
        weight=rng.uniform(0, 5, count), token_weight=rng.uniform(0, 1, count),
    )  # fmt: skip
    order = rng.permutation(count)
    shuffled = {name: values[order] for name, values in tokens.items()}
    one = position_metrics(tokens, min_length=10) | entropy_metrics(tokens)
    other = position_metrics(shuffled, min_length=10) | entropy_metrics(shuffled)
    for name, value in one.items():
        np.testing.assert_allclose(np.asarray(other[name]), np.asarray(value), rtol=1e-9, atol=1e-12, err_msg=name)
    signed = tokens["token_weight"].astype(np.float64) * tokens["weight"] * tokens["advantage"]
    assert np.sum(one["decile_mass_pos"]) == pytest.approx(signed[signed > 0].sum(), rel=1e-6, abs=1e-12)
    assert np.sum(one["decile_mass_neg"]) == pytest.approx(-signed[signed < 0].sum(), rel=1e-6, abs=1e-12)
    assert one["mass_net"] == pytest.approx(signed.sum(), rel=1e-6, abs=1e-9)


def test_entropy_is_averaged_over_tokens_tenths_and_signs() -> None:
    tokens = make_table([10, 10, 5], advantages=[1.0, -1.0, 0.0])
    tokens["entropy"] = np.concatenate([np.arange(10), 2.0 * np.arange(10), np.full(5, 7.0)]).astype(np.float32)
    metrics = entropy_metrics(tokens)
    assert metrics["entropy"] == pytest.approx((45 + 90 + 35) / 25)
    assert metrics["entropy_pos"] == pytest.approx(4.5)
    assert metrics["entropy_neg"] == pytest.approx(9.0)
    # The five tokens of the third lie in the even tenths.
    expected = [(3 * k + 7) / 3 if k % 2 == 0 else 3 * k / 2 for k in range(10)]
    np.testing.assert_allclose(metrics["decile_entropy"], expected, rtol=1e-6)
    alone = entropy_metrics(make_table([3], advantages=[1.0]))
    assert isinstance(alone["entropy_neg"], float)
    assert math.isnan(alone["entropy_neg"])
