"""Noise and tokens, against SplitMix64 in Python integers and a numpy reference of the distribution sampled from.

Statistical tests have fixed seeds: they pass or fail for good. Axes: `R` rows, `V` vocabulary.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.serve.sampling import Sampled, sample, uniform

VOCAB = 12
CHI_SQUARE = {11: 31.3, 4: 18.5, 99: 148.2}
"""99.9 % points, by degrees of freedom."""


def splitmix64(seed: int, position: int) -> float:
    mask = (1 << 64) - 1

    def mix(x: int) -> int:
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    x = (mix(seed & mask) + (position + 1) * 0x9E3779B97F4A7C15) & mask
    return (mix(x) >> 11) / 2**53


def noise(seeds: list[int], positions: list[int]) -> Tensor:
    return uniform(torch.tensor(seeds), torch.tensor(positions))


def chi_square(counts: np.ndarray, p: np.ndarray) -> float:
    expected = p * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def draw_logits(rows: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(rows, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def run(logits: Tensor, u: Tensor, *, temperature: float = 1.0, top_p: float = 1.0) -> Sampled:
    rows = torch.ones(len(logits), dtype=logits.dtype)
    return sample(logits, rows * temperature, rows * top_p, u)


def distribution(logits: np.ndarray, temperature: float, top_p: float) -> np.ndarray:
    """The probabilities that one row is sampled from, in float64."""
    z = logits / temperature
    p = np.exp(z - z.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    kept, mass = [], 0.0
    for token in order:
        kept.append(token)
        mass += p[token]
        if mass >= top_p:
            break
    q = np.zeros_like(p)
    q[kept] = p[kept] / p[kept].sum()
    return q


def test_noise_is_splitmix64_of_seed_and_position() -> None:
    seeds = [0, 1, -1, 12345, 2**62, 2**63 - 1, -(2**63)]
    positions = [0, 1, 2, 1000, 2**31, 7, 99]
    assert noise(seeds, positions).tolist() == [splitmix64(s, p) for s, p in zip(seeds, positions, strict=True)]


def test_noise_lies_in_the_half_open_unit_interval_and_is_uniform() -> None:
    for u in (
        uniform(torch.full((100_000,), 7), torch.arange(100_000)),
        uniform(torch.arange(100_000), torch.zeros(100_000, dtype=torch.int64)),
    ):
        assert u.dtype == torch.float64
        assert u.min() >= 0
        assert u.max() < 1
        assert u.unique().numel() == 100_000
        counts = torch.histc(u.float(), 100, 0, 1).numpy()
        assert chi_square(counts, np.full(100, 0.01)) < CHI_SQUARE[99]


def test_noise_of_neighbouring_positions_and_seeds_is_uncorrelated() -> None:
    """|r| < 4 / sqrt(n) for lags of one in position, in seed, and in both."""
    seed, position = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    u = uniform(seed.flatten(), position.flatten()).unflatten(0, (200, 200)) - 0.5
    for shifted, original in ((u[1:], u[:-1]), (u[:, 1:], u[:, :-1]), (u[1:, :-1], u[:-1, 1:])):
        correlation = float((shifted * original).mean() * 12)
        assert abs(correlation) < 4 / original.numel() ** 0.5


def test_noise_depends_on_its_own_seed_and_position_only() -> None:
    alone = noise([5], [9])
    assert noise([1, 5, 8], [3, 9, 9])[1] == alone
    assert noise([5, 5], [9, 10])[1] != alone
    assert noise([5, 6], [9, 9])[1] != alone


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.7), (1.5, 0.9)])
def test_frequencies_follow_the_distribution(temperature: float, top_p: float) -> None:
    count = 20_000
    logits = draw_logits(1)
    u = uniform(torch.full((count,), 3), torch.arange(count))
    drawn = run(logits.expand(count, -1), u, temperature=temperature, top_p=top_p).token_ids
    expected = distribution(logits[0].numpy(), temperature, top_p)
    counts = np.bincount(drawn.numpy(), minlength=VOCAB)
    inside = expected > 0
    assert counts[~inside].sum() == 0
    if top_p < 1:
        assert inside.sum() < VOCAB
    # Tokens with fewer than five expected draws are counted as one.
    often = expected * count >= 5
    parts, shares = np.append(counts[often], counts[~often].sum()), np.append(expected[often], expected[~often].sum())
    parts, shares = parts[shares > 0], shares[shares > 0]
    assert chi_square(parts, shares) < CHI_SQUARE[11]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.0, 0.8), (0.7, 0.95), (3.0, 0.3)])
def test_tokens_and_logprobs_equal_the_numpy_reference(temperature: float, top_p: float) -> None:
    """Inversion in vocabulary order: the first token whose cumulative probability exceeds the noise."""
    logits = draw_logits(200, seed=1)
    u = uniform(torch.arange(200), torch.zeros(200, dtype=torch.int64))
    result = run(logits, u, temperature=temperature, top_p=top_p)
    for row in range(200):
        q = distribution(logits[row].numpy(), temperature, top_p)
        token = int(np.searchsorted(q.cumsum(), u[row].item(), side="right"))
        assert result.token_ids[row] == token
        assert result.logprob[row].item() == pytest.approx(np.log(q[token]), abs=1e-12)
        model = distribution(logits[row].numpy(), 1.0, 1.0)
        assert result.model_p[row].item() == pytest.approx(model[token], rel=1e-12)


def nucleus(p: list[float], top_p: float) -> set[int]:
    """Returns the tokens that can be drawn, found with noise all over the unit interval."""
    count = 4000
    logits = torch.tensor(p, dtype=torch.float64).log().expand(count, -1)
    return set(run(logits, torch.arange(count) / count, top_p=top_p).token_ids.tolist())


@pytest.mark.parametrize(
    ("top_p", "tokens"),
    [
        (1e-6, {2}),
        (0.49, {2}),
        (0.5, {2}),
        (0.51, {0, 2}),
        (0.75, {0, 2}),
        (0.76, {0, 1, 2}),
        (0.9, {0, 1, 2, 4}),
        (0.999, {0, 1, 2, 3, 4}),
        (1.0, {0, 1, 2, 3, 4}),
    ],
)
def test_the_nucleus_is_the_smallest_set_whose_mass_reaches_top_p(top_p: float, tokens: set[int]) -> None:
    assert nucleus([0.25, 0.125, 0.5, 0.03125, 0.09375], top_p) == tokens


def test_the_most_probable_token_is_always_in_the_nucleus() -> None:
    result = run(draw_logits(50, seed=2), torch.full((50,), 0.999, dtype=torch.float64), top_p=1e-9)
    assert torch.equal(result.token_ids, draw_logits(50, seed=2).argmax(-1))
    assert result.logprob.abs().max() < 1e-12


def test_of_equal_tokens_the_first_enters_the_nucleus() -> None:
    assert nucleus([0.25, 0.25, 0.25, 0.25], 0.3) == {0, 1}


def test_temperature_zero_takes_the_most_probable_token_with_logprob_zero() -> None:
    logits = draw_logits(30, seed=3)
    u = uniform(torch.arange(30), torch.zeros(30, dtype=torch.int64))
    for top_p in (1.0, 0.5):
        result = run(logits, u, temperature=0.0, top_p=top_p)
        assert torch.equal(result.token_ids, logits.argmax(-1))
        assert not result.logprob.any()
        torch.testing.assert_close(result.model_p, logits.softmax(-1).amax(-1))


@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
def test_the_ends_of_the_noise_draw_tokens_that_exist(u: float) -> None:
    """Zero-probability tokens at either end of the vocabulary are never drawn, with and without a nucleus."""
    logits = torch.tensor([[-torch.inf, 0.0, 1.0, 0.5, -torch.inf, -torch.inf]])
    for top_p, first, last in ((1.0, 1, 3), (0.7, 2, 3), (0.4, 2, 2)):
        result = run(logits, torch.tensor([u], dtype=torch.float64), top_p=top_p)
        assert result.token_ids.item() == (first if u == 0 else last)
        assert result.logprob.isfinite().all()


def test_rows_do_not_see_each_other() -> None:
    """Greedy, hot, cold and truncated rows in one batch draw what each draws alone."""
    logits = draw_logits(8, seed=4)
    u = uniform(torch.arange(8), torch.full((8,), 5))
    temperature = torch.tensor([1, 0, 0.5, 1, 2, 1, 0, 1], dtype=torch.float64)
    top_p = torch.tensor([1, 1, 0.9, 0.5, 0.9, 1, 0.3, 1], dtype=torch.float64)
    together = sample(logits, temperature, top_p, u)
    for row in range(8):
        one = slice(row, row + 1)
        alone = sample(logits[one], temperature[one], top_p[one], u[one])
        assert all(torch.equal(mine[one], its) for mine, its in zip(together, alone, strict=True))


def test_a_row_without_a_nucleus_keeps_its_tail_beside_one_that_has_one() -> None:
    """The mass before the tail rounds to 1: a neighbour's nucleus must not cut the tail off."""
    logits = torch.tensor([[30.0, 0.0, 1.0], [30.0, 0.0, 1.0]])
    u = torch.tensor([1 - 2**-53, 0.5], dtype=torch.float64)
    ones = torch.ones(2)
    alone = sample(logits[:1], ones[:1], ones[:1], u[:1])
    together = sample(logits, ones, torch.tensor([1.0, 0.9]), u)
    assert alone.token_ids.item() == together.token_ids[0].item() == 2
    assert torch.equal(together.logprob[:1], alone.logprob)


def test_float32_logits_give_float32_logprobs_close_to_the_exact_ones() -> None:
    logits = draw_logits(100, seed=5)
    u = uniform(torch.arange(100), torch.zeros(100, dtype=torch.int64))
    exact, rounded = run(logits, u, top_p=0.9), run(logits.float(), u, top_p=0.9)
    assert rounded.logprob.dtype == rounded.model_p.dtype == torch.float32
    assert torch.equal(rounded.token_ids, exact.token_ids)
    torch.testing.assert_close(rounded.logprob.double(), exact.logprob, rtol=1e-5, atol=1e-6)
