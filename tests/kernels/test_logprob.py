"""The head: against torch.distributions and closed forms, and float32 whatever the model's dtype.

Axes: `T` tokens, `D` width, `V` vocabulary.
"""

import inspect
import math

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fulmen.errors import ConfigError, DataError
from fulmen.kernels import logprob, logprob_tiles, logprob_triton
from fulmen.kernels.logprob import head_logits, tiles, token_logprobs
from tests.kernels.reference import relative_error


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_logprobs_and_entropies_are_those_of_torch_distributions(temperature: float) -> None:
    hidden, weight, target_ids = draw(7, 5), draw(11, 5, seed=1), torch.tensor([0, 10, 3, 3, 7, 1, 9])
    result = token_logprobs(hidden, weight, target_ids, temperature=temperature)
    reference = torch.distributions.Categorical(logits=(hidden @ weight.T) / temperature)
    torch.testing.assert_close(result.logprob, reference.log_prob(target_ids), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(result.entropy, reference.entropy(), rtol=1e-12, atol=1e-12, check_stride=False)


def test_two_logits_give_the_logistic_closed_form() -> None:
    """log p = -log(1 + e^(-(a-b)/T)), and H = -p log p - q log q."""
    a, b, temperature = 1.7, -0.4, 2.0
    weight = torch.tensor([[a], [b]], dtype=torch.float64)
    result = token_logprobs(
        torch.ones(2, 1, dtype=torch.float64), weight, torch.tensor([0, 1]), temperature=temperature
    )
    p = 1 / (1 + math.exp(-(a - b) / temperature))
    assert result.logprob.tolist() == pytest.approx([math.log(p), math.log(1 - p)], rel=1e-14)
    assert result.entropy.tolist() == pytest.approx([-p * math.log(p) - (1 - p) * math.log(1 - p)] * 2, rel=1e-14)


def test_gradient_of_a_logprob_is_one_hot_minus_p() -> None:
    """d log p_y / d hidden = (e_y - p) W / T, d log p_y / d W = (e_y - p) hidden^T / T."""
    hidden, weight, target_ids, temperature = draw(3, 4), draw(6, 4, seed=1), torch.tensor([2, 5, 2]), 0.7
    result = token_logprobs(hidden, weight, target_ids, temperature=temperature)
    d_hidden, d_weight = torch.autograd.grad(result.logprob.sum(), (hidden, weight))
    with torch.no_grad():
        p = (hidden @ weight.T / temperature).softmax(-1)
        error = (torch.eye(6, dtype=torch.float64)[target_ids] - p) / temperature
        torch.testing.assert_close(d_hidden, error @ weight, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(d_weight, error.T @ hidden, rtol=1e-12, atol=1e-12)


def test_entropy_carries_no_gradient_unless_asked() -> None:
    result = token_logprobs(draw(3, 4), draw(6, 4, seed=1), torch.tensor([0, 1, 2]))
    assert result.logprob.requires_grad
    assert not result.entropy.requires_grad


def test_bfloat16_operands_give_float32_logits() -> None:
    """The logits 256 and 257 are one number in bfloat16; the head must tell them apart."""
    weight = torch.tensor([[256.0, 0.0], [256.0, 1.0]]).bfloat16()
    logits = head_logits(torch.ones(1, 2).bfloat16(), weight)
    assert logits.dtype == torch.float32
    assert logits.tolist() == [[256.0, 257.0]]
    result = token_logprobs(torch.ones(1, 2).bfloat16(), weight, torch.tensor([1]))
    assert result.logprob.dtype == result.entropy.dtype == torch.float32
    assert result.logprob.item() == pytest.approx(-math.log1p(math.exp(-1)), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_keep_leading_axes_and_the_wider_dtype(dtype: torch.dtype) -> None:
    hidden, weight = draw(2, 3, 4).to(dtype), draw(6, 4, seed=1).to(dtype)
    logits = head_logits(hidden, weight)
    assert logits.dtype == dtype
    torch.testing.assert_close(logits[1, 2], weight @ hidden[1, 2])


def test_huge_logits_stay_finite() -> None:
    weight = torch.tensor([[1e4], [-1e4], [0.0]])
    result = token_logprobs(torch.ones(3, 1), weight, torch.tensor([0, 1, 2]))
    assert result.logprob.tolist() == [0.0, -2e4, -1e4]
    assert result.entropy.tolist() == [0.0, 0.0, 0.0]


def naive(hidden: Tensor, weight: Tensor, target_ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logp = ((hidden @ weight.T) / temperature).log_softmax(-1)
    return logp.gather(-1, target_ids[:, None]).squeeze(-1), -(logp.exp() * logp).sum(-1)


def four_results(function, hidden: Tensor, weight: Tensor, target_ids: Tensor, cotangents: list[Tensor]):
    """Returns logprob, entropy and the gradients of hidden and weight."""
    leaves = [t.detach().clone().requires_grad_() for t in (hidden, weight)]
    outputs = function(*leaves, target_ids)
    return [*(t.detach() for t in outputs), *torch.autograd.grad(outputs, leaves, cotangents)]


def case(num_tokens: int, width: int, num_words: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Returns hidden, weight, targets and gradients of logprob and entropy; the first and last word are targets."""
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(n, width, dtype=torch.float64, generator=generator) for n in (num_tokens, num_words))
    target_ids = torch.randint(num_words, (num_tokens,), generator=generator)
    target_ids[0], target_ids[-1] = num_words - 1, 0
    cotangents = [torch.randn(num_tokens, dtype=torch.float64, generator=generator) for _ in range(2)]
    return hidden, 2 * weight / width**0.5, target_ids, cotangents


SHAPES = [(1, 1, 1), (1, 96, 50), (7, 5, 200), (33, 24, 129), (40, 8, 16)]


@pytest.mark.parametrize(("num_tokens", "width", "num_words"), SHAPES)
@pytest.mark.parametrize("tile_bytes", [1, 3000, 1 << 20])
@pytest.mark.parametrize("rows_max", [8, 8192])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_tiles_of_any_size_give_the_naive_result_with_gradients(
    num_tokens: int, width: int, num_words: int, tile_bytes: int, rows_max: int, temperature: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(logprob, "TILE_ROWS_MAX", rows_max)
    inputs = case(num_tokens, width, num_words)

    def ours(hidden: Tensor, weight: Tensor, target_ids: Tensor) -> tuple[Tensor, Tensor]:
        return token_logprobs(
            hidden, weight, target_ids, temperature=temperature, has_entropy_gradient=True, tile_bytes=tile_bytes
        )

    expected = four_results(lambda h, w, y: naive(h, w, y, temperature), *inputs)
    for found, reference in zip(four_results(ours, *inputs), expected, strict=True):
        torch.testing.assert_close(found, reference, rtol=1e-11, atol=1e-12)


def test_gradients_of_logprob_and_entropy_pass_gradcheck() -> None:
    hidden, weight, target_ids, _ = case(5, 3, 40)

    def ours(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return token_logprobs(
            hidden, weight, target_ids, temperature=0.7, has_entropy_gradient=True, tile_bytes=5 * 16 * 8
        )

    assert torch.autograd.gradcheck(ours, (hidden.requires_grad_(), weight.requires_grad_()))


def test_entropy_gradient_of_two_words_is_the_closed_form() -> None:
    """H(a - b): dH/da = -p q (a - b), zero where both words are as likely."""
    weight = torch.tensor([[1.5], [-0.5]], dtype=torch.float64, requires_grad=True)
    result = token_logprobs(torch.ones(1, 1, dtype=torch.float64), weight, torch.tensor([0]), has_entropy_gradient=True)
    (gradient,) = torch.autograd.grad(result.entropy.sum(), weight)
    p = 1 / (1 + math.exp(-2.0))
    assert gradient.flatten().tolist() == pytest.approx([-p * (1 - p) * 2.0, p * (1 - p) * 2.0], rel=1e-12)


def test_tiles_partition_the_logits_and_keep_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprob, "TILE_ROWS_MAX", 10)
    seen = torch.zeros(25, 100, dtype=torch.int64)
    for tile in tiles(25, 100, tile_bytes=10 * 32 * 4 + 9, itemsize=4):
        part = seen[tile.first_row : tile.last_row, tile.first_col : tile.last_col]
        assert part.shape[0] <= 10
        assert part.shape[1] <= 32
        part += 1
    assert (seen == 1).all()
    assert list(tiles(0, 100, tile_bytes=64, itemsize=4)) == []


class WatchSizes(TorchDispatchMode):
    """Notes the largest tensor any operation returns."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.largest = max([self.largest, *sizes])
        return result


def test_no_tensor_of_tokens_times_vocabulary_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 x 4096 logits in tiles of 16 x 64; the largest tensor left is the weight."""
    monkeypatch.setattr(logprob, "TILE_ROWS_MAX", 16)
    hidden, weight, target_ids, cotangents = case(64, 4, 4096)
    watch = WatchSizes()
    with watch:
        four_results(
            lambda *inputs: token_logprobs(*inputs, has_entropy_gradient=True, tile_bytes=16 * 64 * 8),
            hidden, weight, target_ids, cotangents,
        )  # fmt: skip
    assert watch.largest == weight.numel()


def test_only_inputs_and_two_numbers_a_token_are_saved() -> None:
    hidden, weight, target_ids, _ = case(64, 4, 1024)
    saved: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        token_logprobs(hidden.requires_grad_(), weight, target_ids)
    assert sorted(saved) == sorted([hidden.numel(), weight.numel(), 64, 64, 64])


def test_no_tokens_give_empty_results_and_zero_gradients() -> None:
    hidden, weight = draw(0, 3), draw(5, 3, seed=1)
    result = token_logprobs(hidden, weight, torch.zeros(0, dtype=torch.int64))
    d_hidden, d_weight = torch.autograd.grad(result.logprob.sum(), (hidden, weight))
    assert result.logprob.shape == result.entropy.shape == (0,)
    assert d_hidden.shape == (0, 3)
    assert not d_weight.any()


def test_a_frozen_side_gets_no_gradient() -> None:
    hidden, weight, target_ids = draw(3, 4), draw(6, 4, seed=1), torch.tensor([2, 5, 2])
    both = torch.autograd.grad(token_logprobs(hidden, weight, target_ids).logprob.sum(), (hidden, weight))
    for frozen, free, expected in ((weight, hidden, both[0]), (hidden, weight, both[1])):
        frozen.requires_grad_(False)
        (found,) = torch.autograd.grad(token_logprobs(hidden, weight, target_ids).logprob.sum(), free)
        assert torch.equal(found, expected)
        frozen.requires_grad_()


def test_a_row_of_nan_poisons_no_other_row() -> None:
    hidden, weight, target_ids, _ = case(5, 4, 60)
    expected = token_logprobs(hidden, weight, target_ids, tile_bytes=1)
    hidden[2] = torch.nan
    found = token_logprobs(hidden, weight, target_ids, tile_bytes=1)
    for ours, reference in zip(found, expected, strict=True):
        assert ours[2].isnan()
        assert torch.equal(ours[[0, 1, 3, 4]], reference[[0, 1, 3, 4]])


def test_bad_input_is_named() -> None:
    hidden, weight, target_ids, _ = case(3, 4, 6)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"temperature={temperature}"):
            token_logprobs(hidden, weight, target_ids, temperature=temperature)
    with pytest.raises(ConfigError, match="tile_bytes=0"):
        token_logprobs(hidden, weight, target_ids, tile_bytes=0)
    with pytest.raises(DataError, match=r"target_ids from 0 to 6; allowed: 0 to 5"):
        token_logprobs(hidden, weight, torch.tensor([0, 6, 1]))
    with pytest.raises(DataError, match="target_ids from -1"):
        token_logprobs(hidden, weight, torch.tensor([0, -1, 1]))
    with pytest.raises(DataError, match=r"target_ids is torch.int16"):
        token_logprobs(hidden, weight, target_ids.short())
    with pytest.raises(DataError, match=r"weight is torch.float32.*torch.float64"):
        token_logprobs(hidden, weight.float(), target_ids)
    with pytest.raises(DataError, match="weight is on meta"):
        token_logprobs(hidden, weight.to("meta"), target_ids)
    # Shapes are checked by jaxtyping too, but only in tests.
    unchecked = inspect.unwrap(token_logprobs)
    with pytest.raises(DataError, match=r"hidden \(3, 4\) and weight \(6, 3\)"):
        unchecked(hidden, weight[:, :3], target_ids)
    with pytest.raises(DataError, match=r"target_ids has shape \(2,\)"):
        unchecked(hidden, weight, target_ids[:2])


@pytest.mark.parametrize("num_cols", [1, 100, 4096, 5000])
@pytest.mark.parametrize("first_col", [0, 48])
@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
def test_triton_kernels_fold_and_differentiate_tiles_as_torch_in_float64(num_cols: int, first_col: int) -> None:
    """Two tiles, of which the second raises some maxima; targets in the first, in the second, and in neither."""
    generator = torch.Generator().manual_seed(num_cols)
    both = [torch.randn(3, num_cols, dtype=torch.float64, generator=generator) * scale for scale in (3.0, 30.0)]
    target_ids = torch.tensor([first_col, first_col + num_cols, first_col + 2 * num_cols])
    sums, sums_64 = (logprob_tiles.empty_sums(3, dtype, both[0].device) for dtype in (torch.float32, torch.float64))
    for i, logits in enumerate(both):
        place = {"first_col": first_col + i * num_cols, "temperature": 0.8}
        logprob_triton.fold_tile(logits.float(), target_ids, sums, **place)
        logprob_tiles.fold_tile(logits.clone(), target_ids, sums_64, **place)
    found, expected = logprob_tiles.finish(sums), logprob_tiles.finish(sums_64)
    assert found[0][2].isnan(), "a target in no tile"
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), reference, rtol=2e-6, atol=2e-5, equal_nan=True)
    lse, entropy = expected[2], expected[1]
    d_logprob, d_entropy = (torch.randn(3, dtype=torch.float64, generator=generator) for _ in range(2))
    for d_h in (None, d_entropy):
        exact = logprob_tiles.tile_gradient(
            both[1].clone(), target_ids, lse, entropy, d_logprob, d_h, dtype=torch.float64, **place
        )
        # The interpreter cuts off what a GPU rounds to the nearest bfloat16.
        for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 8e-3)):
            gradient = logprob_triton.tile_gradient(
                both[1].float(), target_ids, lse.float(), entropy.float(), d_logprob.float(),
                None if d_h is None else d_h.float(), dtype=dtype, **place,
            )  # fmt: skip
            assert gradient.dtype == dtype
            assert relative_error(gradient, exact) < bound


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs under the interpreter")
@pytest.mark.parametrize(("num_tokens", "width", "num_words"), SHAPES)
def test_the_whole_function_through_triton_kernels(
    num_tokens: int, width: int, num_words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprob, "_kernels", lambda x: logprob_triton)
    monkeypatch.setattr(logprob, "TILE_ROWS_MAX", 16)
    hidden, weight, target_ids, cotangents = case(num_tokens, width, num_words)

    def ours(hidden: Tensor, weight: Tensor, target_ids: Tensor) -> tuple[Tensor, Tensor]:
        return token_logprobs(
            hidden, weight, target_ids, temperature=0.6, has_entropy_gradient=True, tile_bytes=16 * 64 * 4
        )

    expected = four_results(lambda h, w, y: naive(h, w, y, 0.6), hidden, weight, target_ids, cotangents)
    found = four_results(ours, hidden.float(), weight.float(), target_ids, [c.float() for c in cotangents])
    for actual, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(actual.double(), reference, rtol=1e-5, atol=1e-5)


# Gradients come from a gradient of logits rounded once (a row may hang on one number: up to 3.9e-3 in bfloat16), and
# are rounded at the end.
GPU_BOUNDS = {torch.float32: (5e-6, 1e-5), torch.bfloat16: (5e-6, 6e-3), torch.float16: (5e-6, 2e-3)}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", list(GPU_BOUNDS))
@pytest.mark.parametrize(
    ("num_tokens", "width", "num_words"), [(1, 96, 50), (7, 200, 1001), (300, 576, 49152), (8200, 64, 5000)]
)
@pytest.mark.parametrize("tile_bytes", [8 << 20, logprob.TILE_BYTES])
def test_on_the_gpu_every_type_is_within_its_rounding(
    num_tokens: int, width: int, num_words: int, tile_bytes: int, dtype: torch.dtype
) -> None:
    """8,200 tokens are two blocks of rows, so that the weight's gradient is added up too."""
    hidden, weight, target_ids, cotangents = case(num_tokens, width, num_words)
    hidden, weight = hidden.to("cuda", dtype), weight.to("cuda", dtype)
    target_ids, cotangents = target_ids.cuda(), [c.cuda().float() for c in cotangents]

    def ours(hidden: Tensor, weight: Tensor, target_ids: Tensor) -> tuple[Tensor, Tensor]:
        return token_logprobs(
            hidden, weight, target_ids, temperature=0.8, has_entropy_gradient=True, tile_bytes=tile_bytes
        )

    exact = four_results(
        lambda h, w, y: naive(h, w, y, 0.8),
        hidden.double(), weight.double(), target_ids, [c.double() for c in cotangents],
    )  # fmt: skip
    inputs = (hidden, weight, target_ids, cotangents)
    first, second = four_results(ours, *inputs), four_results(ours, *inputs)
    assert [t.dtype for t in first] == [torch.float32, torch.float32, dtype, dtype]
    bounds = [bound for bound in GPU_BOUNDS[dtype] for _ in range(2)]
    for actual, again, reference, bound in zip(first, second, exact, bounds, strict=True):
        assert torch.equal(actual, again), "two runs differ"
        assert relative_error(actual, reference) < bound


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_the_gpu_head_logits_are_float32_sums_with_gradients(dtype: torch.dtype) -> None:
    hidden, weight, _, _ = case(6, 128, 500)
    hidden, weight = (t.to("cuda", dtype).requires_grad_() for t in (hidden.view(2, 3, 128), weight))
    logits = head_logits(hidden, weight)
    assert logits.dtype == torch.float32
    exact_leaves = [t.detach().double().requires_grad_() for t in (hidden, weight)]
    exact = exact_leaves[0] @ exact_leaves[1].T
    assert relative_error(logits, exact) < 2e-6
    cotangent = torch.randn_like(logits)
    found = torch.autograd.grad(logits, (hidden, weight), cotangent)
    expected = torch.autograd.grad(exact, exact_leaves, cotangent.double())
    for ours, reference in zip(found, expected, strict=True):
        assert relative_error(ours, reference) < (6e-3 if dtype == torch.bfloat16 else 2e-6)


@pytest.mark.gpu
def test_on_the_gpu_a_target_outside_the_vocabulary_is_nan() -> None:
    hidden, weight, _, _ = case(3, 16, 20)
    result = token_logprobs(hidden.cuda().bfloat16(), weight.cuda().bfloat16(), torch.tensor([0, 20, -1]).cuda())
    assert result.logprob.isnan().tolist() == [False, True, True]
    assert result.entropy.isfinite().all()
