"""The kernel that draws tokens, against torch's path on float64 logits: under the interpreter, and on the GPU.

Noise and logits have fixed seeds; that no draw lies within rounding of a border is part of what is fixed.
Axes: `R` rows, `V` vocabulary.
"""

import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.kernels import sample_triton
from fulmen.serve.sampling import Sampled, sample, uniform

interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
HALF = 0.5


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles in a small vocabulary."""
    monkeypatch.setattr(sample_triton, "BLOCK", 16)
    monkeypatch.setattr(sample_triton, "SEARCH_BLOCK", 32)


def kernel(logits: Tensor, temperature: Tensor, top_p: Tensor, u: Tensor | None = None, **options: object) -> Sampled:
    """Returns the kernel's result through the arguments of `sample`."""
    names = ("top_k_R", "min_p_R", "model_logits", "barred_R")
    rest = {name: options.get(name) for name in names}
    num_real = options.get("num_real") or logits.shape[1]
    noise, position = (options["seed_R"], options["position_R"]) if u is None else (u, None)
    return Sampled(
        *sample_triton.sample_triton(logits, temperature, top_p, noise, position_R=position, num_real=num_real, **rest)
    )


def draw(num_rows: int, vocab: int, seed: int = 0) -> Tensor:
    """Returns float32 logits that are as spread as a model's, no two of a row alike."""
    return 3 * torch.randn(num_rows, vocab, generator=torch.Generator().manual_seed(seed))


def settings(num_rows: int, seed: int = 1) -> dict[str, Tensor]:
    """Returns every combination of what a row may ask for, in a random order, and noise."""
    generator = torch.Generator().manual_seed(seed)

    def choose(*values: float) -> Tensor:
        return torch.tensor(values)[torch.randint(len(values), (num_rows,), generator=generator)]

    return {
        "temperature_R": choose(0.0, 0.6, 1.0, 1.0, 1.7),
        "top_p_R": choose(1.0, 1.0, 0.95, 0.6, 0.05),
        "top_k_R": choose(0, 0, 1, 5, 20, 1000).long(),
        "min_p_R": choose(0.0, 0.0, 0.02, 0.4),
        "uniform_R": uniform(torch.arange(num_rows), torch.arange(num_rows)),
    }


def check(found: Sampled, expected: Sampled) -> None:
    assert torch.equal(found.token_ids, expected.token_ids)
    for mine, its in zip(found[1:], expected[1:], strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine.double(), its, rtol=2e-6, atol=2e-6)


def exact(logits: Tensor, options: dict[str, Tensor]) -> Sampled:
    """Returns torch's result in float64."""
    doubled = {name: x.double() if x.dtype == torch.float32 else x for name, x in options.items()}
    return sample(logits.double(), **doubled)


@interpreted
@pytest.mark.parametrize(
    ("num_rows", "vocab"),
    [(8, 2), (6, 16), (5, 40), *(pytest.param(400, v, marks=pytest.mark.slow) for v in (5, 33, 61))],
)
def test_the_kernel_draws_what_torch_draws(num_rows: int, vocab: int) -> None:
    """The interpreter needs about half a second for a row."""
    logits, options = draw(num_rows, vocab, seed=vocab), settings(num_rows)
    found = kernel(logits, *(options[name] for name in ("temperature_R", "top_p_R", "uniform_R")), **options)
    check(found, exact(logits, options))


@interpreted
def test_noise_is_that_of_seed_and_position_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits are so flat that a draw tells twelve bits of the noise, and all its bits are mixed into each."""
    seeds = torch.tensor([0, 1, -1, 12345, 2**62, 2**63 - 1, -(2**63), 77])
    positions = torch.tensor([0, 1, 2, 1000, 2**31, 7, 99, 5])
    monkeypatch.setattr(sample_triton, "BLOCK", 4096)
    logits, ones = torch.zeros(8, 4096), torch.ones(8)
    u = uniform(seeds, positions)
    found = kernel(logits, ones, ones, seed_R=seeds, position_R=positions)
    assert torch.equal(found.token_ids, (u * 4096).long())


@interpreted
def test_padding_and_barred_tokens_are_never_drawn() -> None:
    num_rows = 8
    logits, options = draw(num_rows, 40), settings(num_rows)
    logits[:, 33:] = 50.0
    logits[::3, 4] = 40.0
    options |= {"barred_R": torch.where(torch.arange(num_rows) % 2 == 0, 4, -1), "num_real": 33}
    wide = torch.full((num_rows, 64), torch.nan)
    wide[:, :40] = logits
    names = ("temperature_R", "top_p_R", "uniform_R")
    found = kernel(wide[:, :40], *(options[name] for name in names), **options)
    expected = sample(logits.double(), **{n: x.double() if n in ("temperature_R", "top_p_R", "min_p_R") else x
                                          for n, x in options.items()})  # fmt: skip
    check(found, expected)
    assert found.token_ids.max() < 33
    assert not (found.token_ids[::2] == 4).any()
    assert (found.token_ids[3::6] == 4).all()
    # The model knows nothing of the bar: a token it all but rules out is still as improbable.
    assert found.model_p[::6].max() < 1e-6


@interpreted
def test_adjusted_logits_leave_the_models_probability_alone() -> None:
    num_rows = 8
    model_logits, options = draw(num_rows, 30), settings(num_rows)
    logits = model_logits + draw(num_rows, 30, seed=9)
    names = ("temperature_R", "top_p_R", "uniform_R")
    found = kernel(logits, *(options[name] for name in names), **options, model_logits=model_logits)
    check(found, exact(logits, options | {"model_logits": model_logits}))
    logp = model_logits.log_softmax(-1).gather(-1, found.token_ids[:, None])[:, 0]
    torch.testing.assert_close(found.model_logprob, logp, rtol=1e-5, atol=1e-5)


def reachable(logits: Tensor, function: object, **options: object) -> set[int]:
    """Returns the tokens that can be drawn, found with noise all over the unit interval; of the kernel's the last."""
    count = 64 if function is sample else 1
    u = torch.linspace(1 - 2**-53, 0, count, dtype=torch.float64)
    rows = {name: torch.full((count,), value) for name, value in options.items()}
    ones = torch.ones(count)
    top_p = rows.pop("top_p_R", ones)
    return set(function(logits.expand(count, -1), ones, top_p, u, **rows).token_ids.tolist())


@pytest.mark.parametrize("function", [sample, pytest.param(kernel, marks=interpreted)])
@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"top_k_R": 3}, {0, 1, 2}),
        ({"top_k_R": 4}, {0, 1, 2, 3}),
        ({"top_k_R": 5}, {0, 1, 2, 3, 18}),
        ({"top_p_R": 0.3}, {0, 1}),
        ({"top_p_R": 0.75}, {0, 1, 2, 3}),
        ({"top_k_R": 3, "top_p_R": 0.5}, {0, 1}),
        ({"top_k_R": 3, "top_p_R": 0.7}, {0, 1, 2}),
        ({"top_k_R": 6, "min_p_R": 0.7}, {0, 1, 2, 3}),
        ({"min_p_R": 0.4}, {0, 1, 2, 3, 18, 19}),
        ({"top_p_R": 0.3, "min_p_R": 1.0}, {0, 1}),
    ],
)
def test_of_equal_tokens_the_first_stay(function: object, options: dict[str, float], tokens: set[int]) -> None:
    """Four of 0.1875 at the front and two of 0.125 in another tile; every mass is a sum of few powers of two."""
    p = torch.zeros(40)
    p[[0, 1, 2, 3]], p[[18, 19]] = 0.1875, 0.125
    found = reachable(p.log(), function, **options)
    assert found == (tokens if function is sample else {max(tokens)})


@interpreted
def test_equal_tokens_far_apart_are_counted_over_tiles() -> None:
    logits = torch.zeros(40)
    logits[5] = 1.0
    zeros = torch.tensor([0.0, -0.0]).repeat(20)
    for row, top_k, last in ((logits, 23, 22), (-logits, 23, 23), (zeros, 7, 6)):
        assert reachable(row, kernel, top_k_R=top_k) == {last}


@interpreted
@pytest.mark.parametrize("u", [0.0, 1 - 2**-53])
def test_the_ends_of_the_noise_draw_tokens_that_exist(u: float) -> None:
    logits = torch.full((1, 40), -torch.inf)
    logits[0, [7, 20, 21]] = torch.tensor([0.0, 1.0, 0.5])
    one = torch.ones(1)
    for top_p, first, last in ((1.0, 7, 21), (0.7, 20, 21), (0.4, 20, 20)):
        found = kernel(logits, one, one * top_p, torch.tensor([u], dtype=torch.float64))
        assert found.token_ids.item() == (first if u == 0 else last)


@interpreted
def test_temperature_zero_takes_the_first_of_the_greatest() -> None:
    logits = draw(4, 40)
    logits[:, [9, 17, 30]] = 30.0
    zeros = torch.zeros(4)
    found = kernel(logits, zeros, zeros + HALF, zeros.double() + HALF, top_k_R=zeros.long() + 2)
    assert found.token_ids.tolist() == [9] * 4
    assert not found.logprob.any()
    barred = kernel(logits, zeros, zeros + 1, zeros.double(), barred_R=torch.tensor([9, -1, 17, 9]))
    assert barred.token_ids.tolist() == [17, 9, 9, 17]


def test_torch_truncates_in_the_documented_order() -> None:
    """Each row against the definition, one token after another, in numpy."""
    num_rows = 300
    logits, options = draw(num_rows, 50).double(), settings(num_rows)
    expected = []
    for row in range(num_rows):
        temperature, top_p, top_k, min_p, u = (
            options[name][row].item() for name in ("temperature_R", "top_p_R", "top_k_R", "min_p_R", "uniform_R")
        )
        z = logits[row].numpy()
        if temperature == 0:
            expected.append((int(z.argmax()), 0.0))
            continue
        p = np.exp(z / temperature - (z / temperature).max())
        order = np.argsort(-p, kind="stable")
        order = order[: top_k or None]
        if top_p < 1:
            mass = p[order].cumsum() / p[order].sum()
            order = order[: int(np.searchsorted(mass, top_p)) + 1]
        order = order[p[order] >= min_p * p.max()]
        q = np.zeros_like(p)
        q[order] = p[order] / p[order].sum()
        token = int(np.searchsorted(q.cumsum(), u, side="right"))
        expected.append((token, float(np.log(q[token]))))
    found = sample(logits, **{n: x.double() if x.dtype == torch.float32 else x for n, x in options.items()})
    assert found.token_ids.tolist() == [token for token, _ in expected]
    torch.testing.assert_close(
        found.logprob.double(), torch.tensor([v for _, v in expected]).double(), rtol=1e-6, atol=1e-6
    )


def test_a_row_without_top_k_is_drawn_as_if_nobody_had_one() -> None:
    logits, options = draw(64, 50), settings(64)
    options["temperature_R"] = options["temperature_R"].clamp(min=HALF)
    plain = sample(logits, options["temperature_R"], options["top_p_R"], options["uniform_R"])
    mixed = sample(logits, **options)
    without = (options["top_k_R"] == 0) & (options["min_p_R"] == 0)
    assert without.sum() > 5
    for mine, its in zip(mixed, plain, strict=True):
        assert torch.equal(mine[without], its[without])


def test_seeds_and_positions_are_noise() -> None:
    logits, ones, ids = draw(20, 50), torch.ones(20), torch.arange(20)
    found = sample(logits, ones, ones, seed_R=ids, position_R=3 * ids)
    assert all(torch.equal(a, b) for a, b in zip(found, sample(logits, ones, ones, uniform(ids, 3 * ids)), strict=True))
    with pytest.raises(AssertionError, match="noise"):
        inspect.unwrap(sample)(logits, ones, ones)


@pytest.mark.gpu
@pytest.mark.parametrize("vocab", [50, 151_936, 200_064])
def test_on_the_gpu_the_kernel_draws_what_torch_draws(vocab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for draws within rounding of a border, of which there are few."""
    monkeypatch.undo()
    num_rows = 512
    logits, options = draw(num_rows, vocab, seed=vocab).cuda(), {n: x.cuda() for n, x in settings(num_rows).items()}
    expected = exact(logits, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
        try:
            found, again = sample(logits, **options), sample(logits, **options)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    same = found.token_ids == expected.token_ids
    assert same.double().mean() > 0.99
    for mine, its in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(mine[same].double(), its[same], rtol=1e-5, atol=1e-5)
    alone = sample(logits[7:8], **{n: x[7:8] for n, x in options.items()})
    assert all(torch.equal(a, b[7:8]) for a, b in zip(alone, found, strict=True))


@pytest.mark.gpu
def test_on_the_gpu_frequencies_follow_the_distribution() -> None:
    count = 200_000
    logits = draw(1, 12).cuda()
    ones, rows = torch.ones(count, device="cuda"), torch.arange(count, device="cuda")
    p = logits[0].double().softmax(-1).cpu().numpy()
    found = sample(logits.expand(count, -1), ones, ones, seed_R=rows * 0 + 3, position_R=rows)
    counts = np.bincount(found.token_ids.cpu().numpy(), minlength=12)
    assert ((counts - p * count) ** 2 / (p * count)).sum() < 31.3


@pytest.mark.gpu
def test_on_the_gpu_a_row_of_nothing_but_nan_draws_a_token_that_exists() -> None:
    nan, one = torch.full((1, 40), torch.nan, device="cuda"), torch.ones(1, device="cuda")
    for temperature in (0.0, 1.0):
        for top_p in (1.0, 0.5):
            found = kernel(nan, one * temperature, one * top_p, one.double() * HALF, num_real=37, top_k_R=one.long())
            assert 0 <= found.token_ids.item() < 37
