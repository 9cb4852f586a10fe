"""Histograms of gradients against counting in numpy, and the correlation of successive ones against `corrcoef`."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fulmen.errors import CheckpointError, ConfigError
from fulmen.train import gradients as module
from fulmen.train.gradients import DECADES, GradientCorrelation, gradient_magnitudes
from fulmen.train.optim import AdamW, tiny_gradient_frac


def log_uniform(count: int, *, low: float, high: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Returns numbers of both signs whose log10 is uniform between the bounds."""
    rng = np.random.default_rng(seed)
    values = 10 ** rng.uniform(low, high, count) * rng.choice([-1.0, 1.0], count)
    return torch.from_numpy(values).to(dtype)


def test_every_magnitude_is_counted_in_its_decade() -> None:
    gradient = torch.tensor(
        [0.0, -0.0, 3e-21, 1e-20, -5e-18, 9.9e-16, 1e-15, 0.5, -1.0, 99.0, 100.0, 1e30, math.inf, -math.inf, math.nan],
        dtype=torch.float64,
    )
    found = gradient_magnitudes([gradient[:7], gradient[7:].reshape(2, 4)], eps=1e-15)
    expected = dict.fromkeys(DECADES, 0) | {-20: 1, -18: 1, -16: 1, -15: 1, -1: 1, 0: 1, 1: 1}
    assert dict(zip(DECADES, found.num_decade, strict=True)) == expected
    assert (found.num_zero, found.num_below, found.num_above, found.num_nonfinite) == (2, 1, 2, 3)
    assert found.num_entries == 15
    # 0, -0, 3e-21, 1e-20, -5e-18, 9.9e-16.
    assert found.num_tiny == 6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("eps", [1e-15, 1e-8, 3e-7, 1e-21, 1e3])
def test_counts_are_those_of_numpy_whatever_the_dtype_and_the_blocks(
    dtype: torch.dtype, eps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 1000)
    gradient = log_uniform(5003, low=-22, high=3, dtype=dtype)
    gradient[::7] = 0.0
    found = gradient_magnitudes([gradient[:2], gradient[2:]], eps=eps)
    magnitude = gradient.double().abs().numpy()
    wide = torch.promote_types(dtype, torch.float32)
    borders = torch.tensor([10.0**k for k in range(-20, 3)], dtype=wide).double().numpy()
    counts, _ = np.histogram(magnitude[magnitude < borders[-1]], borders)
    # The last bin of np.histogram holds its upper border too; none lies there.
    assert found.num_decade == tuple(counts.tolist())
    assert found.num_zero == (magnitude == 0).sum()
    assert found.num_below == ((magnitude > 0) & (magnitude < borders[0])).sum()
    assert found.num_above == (magnitude >= borders[-1]).sum()
    assert found.num_tiny == (magnitude < torch.tensor(eps, dtype=wide).item()).sum()
    parameter = nn.Parameter(torch.zeros_like(gradient))
    parameter.grad = gradient
    assert found.tiny_frac == pytest.approx(tiny_gradient_frac([parameter], eps).item(), abs=2e-3)


@given(st.lists(st.floats(allow_nan=True, width=32), max_size=40), st.randoms(use_true_random=False))
def test_order_sign_and_cutting_do_not_matter(values: list[float], random: object) -> None:
    found = gradient_magnitudes([torch.tensor(values)], eps=1e-15)
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    cut = len(values) // 3
    pieces = [torch.tensor(shuffled[:cut]), -torch.tensor(shuffled[cut:])]
    assert gradient_magnitudes(pieces, eps=1e-15) == found
    assert found.num_entries == len(values)


def test_tensors_of_several_dtypes_and_sizes_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 100)
    parts = [
        log_uniform(count, low=-19, high=1, seed=count, dtype=dtype)
        for count, dtype in ((30, torch.float32), (60, torch.float32), (20, torch.float32), (250, torch.bfloat16),
                             (1, torch.float64), (0, torch.float32), (100, torch.float32))
    ]  # fmt: skip
    found = gradient_magnitudes(parts, eps=1e-15)
    alone = [gradient_magnitudes([part], eps=1e-15) for part in parts]
    assert found.num_entries == 461
    assert found.num_tiny == sum(one.num_tiny for one in alone) > 50
    assert found.num_decade == tuple(map(sum, zip(*(one.num_decade for one in alone), strict=True)))


def test_quantiles_are_those_of_the_magnitudes_to_within_their_decade() -> None:
    gradient = log_uniform(20_000, low=-18, high=-5)
    found = gradient_magnitudes([gradient], eps=1e-15)
    for q in (0.01, 0.25, 0.5, 0.99):
        # Uniform within each decade, as the interpolation takes it.
        assert found.quantile(q) == pytest.approx(np.quantile(np.log10(gradient.abs().numpy()), q), abs=0.1)
    assert found.metrics()["grad_log10_q50"] == found.quantile(0.5)
    beyond = gradient_magnitudes([torch.tensor([1e-30, 1e30])], eps=1e-15)
    assert (beyond.quantile(0.5), beyond.quantile(0.99)) == (-20.0, 2.0)
    assert math.isnan(gradient_magnitudes([torch.zeros(3)], eps=1e-15).quantile(0.5))


def test_metrics_have_the_same_names_even_without_gradients() -> None:
    empty = gradient_magnitudes([], eps=1e-15)
    assert empty.num_entries == 0
    assert empty.tiny_frac == 0.0
    some = gradient_magnitudes([torch.tensor([0.0, math.nan, 1.0, 1e-16])], eps=1e-15)
    assert some.metrics().keys() == empty.metrics().keys()
    assert (some.metrics()["zero_grad_frac"], some.metrics()["nonfinite_grad_frac"]) == (0.25, 0.25)
    assert some.metrics()["tiny_grad_frac"] == 0.5


@pytest.mark.parametrize("eps", [0.0, -1e-8, math.inf, math.nan])
def test_an_eps_that_is_none_is_refused(eps: float) -> None:
    with pytest.raises(ConfigError, match=r"eps=.*; allowed: positive and finite"):
        gradient_magnitudes([torch.ones(1)], eps=eps)


@pytest.mark.parametrize(("eps", "low", "high"), [(1e-15, 0.7, 0.82), (1e-8, 0.15, 0.3)])
def test_the_reports_eps_moves_the_parameters_that_the_usual_one_leaves(eps: float, low: float, high: float) -> None:
    """Gradients from 1e-18 to 1e-5, as the report saw: the share that AdamW moves is that of |g| >= eps."""
    gradient = log_uniform(4000, low=-18, high=-5)
    parameter = nn.Parameter(torch.zeros_like(gradient))
    optimizer = AdamW([parameter], lr=1e-3, eps=eps)
    for _ in range(3):
        parameter.grad = gradient.clone()
        optimizer.step()
    # An entry of |g| = eps moves by half of what Adam moves one of any larger size.
    moved_frac = float((parameter.detach().abs() >= 3 * 0.5e-3).double().mean())
    assert low < moved_frac < high
    assert moved_frac == pytest.approx(1 - gradient_magnitudes([gradient], eps=eps).tiny_frac, abs=1e-3)


def two_parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(40, 30)), nn.Parameter(torch.zeros(500))]


def set_gradients(parameters: list[nn.Parameter], row: np.ndarray) -> None:
    pieces = torch.from_numpy(row.astype(np.float32)).split([p.numel() for p in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.reshape(parameter.shape)


def test_correlation_on_all_entries_is_that_of_numpy() -> None:
    parameters = two_parameters()
    # So many draws that they meet every entry.
    watch = GradientCorrelation(parameters, num_entries=60_000)
    rng = np.random.default_rng(0)
    before = rng.normal(size=1700).astype(np.float32)
    now = (0.5 * before + rng.normal(size=1700)).astype(np.float32)
    set_gradients(parameters, before)
    first = watch.observe()
    assert math.isnan(first.correlation)
    assert math.isnan(first.same_sign_frac)
    set_gradients(parameters, now)
    second = watch.observe()
    expected = np.corrcoef(before.astype(np.float64), now.astype(np.float64))[0, 1]
    assert second.correlation == pytest.approx(expected, rel=1e-12)
    assert second.same_sign_frac == ((before > 0) == (now > 0)).mean()


def test_a_subset_tells_steady_gradients_from_independent_ones() -> None:
    parameters = two_parameters()
    for share, correlation, same_sign in ((1.0, 1.0, 1.0), (0.0, 0.0, 0.5), (-1.0, -1.0, 0.0)):
        watch = GradientCorrelation(parameters, num_entries=600, seed=3)
        rng = np.random.default_rng(1)
        before, other = rng.normal(size=(2, 1700)) * 1e-16
        set_gradients(parameters, before)
        watch.observe()
        set_gradients(parameters, share * before + (1 - abs(share)) * other)
        found = watch.observe()
        assert found.correlation == pytest.approx(correlation, abs=0.1)
        assert found.same_sign_frac == pytest.approx(same_sign, abs=0.08)


def test_zeros_of_either_step_have_no_sign() -> None:
    parameters = [nn.Parameter(torch.zeros(8))]
    # So many draws that they meet all eight.
    watch = GradientCorrelation(parameters, num_entries=500)
    set_gradients(parameters, np.array([1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 2.0, 0.0]))
    watch.observe()
    set_gradients(parameters, np.array([2.0, -1.0, 3.0, -1.0, 1.0, 1.0, 0.0, 0.0]))
    assert watch.observe().same_sign_frac == 0.75


def test_the_state_survives_json_and_a_resumed_watch_says_the_same() -> None:
    parameters = two_parameters()
    watch, resumed = (GradientCorrelation(parameters, num_entries=300) for _ in range(2))
    rng = np.random.default_rng(2)
    assert watch.state() is None
    set_gradients(parameters, rng.normal(size=1700))
    watch.observe()
    resumed.load(json.loads(json.dumps(watch.state())))
    set_gradients(parameters, rng.normal(size=1700))
    assert resumed.observe() == watch.observe()
    with pytest.raises(CheckpointError, match=r"3 entries; allowed: \d+"):
        watch.load([1.0, 2.0, 3.0])


def test_constant_missing_and_broken_gradients_have_no_correlation() -> None:
    parameters = two_parameters()
    watch = GradientCorrelation(parameters, num_entries=300)
    watch.observe()
    assert math.isnan(watch.observe().correlation)
    rng = np.random.default_rng(3)
    set_gradients(parameters, rng.normal(size=1700))
    watch.observe()
    set_gradients(parameters, np.full(1700, np.inf))
    assert math.isnan(watch.observe().correlation)
    with pytest.raises(ConfigError, match="num_entries=1; allowed: at least 2"):
        GradientCorrelation(parameters, num_entries=1)
