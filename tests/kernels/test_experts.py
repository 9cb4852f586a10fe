"""Mixture-of-experts products against a loop over tokens, in float64.

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token.
"""

import inspect
import warnings

import pytest
import torch
from torch import Tensor

from fulmen.errors import DataError
from fulmen.kernels import experts
from fulmen.kernels.experts import count_tokens, expert_mlp
from tests.kernels.reference import relative_error

WIDTH, INNER, EXPERTS = 6, 5, 4


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def make_weights() -> tuple[Tensor, Tensor]:
    return draw(EXPERTS, 2 * INNER, WIDTH, seed=1), draw(EXPERTS, WIDTH, INNER, seed=2)


def route(num_tokens: int, per_token: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Distinct random experts of each token, and positive weights."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(num_tokens, EXPERTS, dtype=torch.float64, generator=generator)
    return scores.topk(per_token).indices, draw(num_tokens, per_token, seed=seed).detach().abs().requires_grad_()


def loop(x: Tensor, w13: Tensor, w2: Tensor, expert_ids: Tensor, weights: Tensor) -> Tensor:
    """sum_a weights_a * w2(silu(w1 x) * w3 x), one token and one expert at a time."""
    rows = []
    for t in range(len(x)):
        total = torch.zeros(WIDTH, dtype=x.dtype)
        for a in range(expert_ids.shape[1]):
            expert = int(expert_ids[t, a])
            w1, w3 = w13[expert, :INNER], w13[expert, INNER:]
            gate = w1 @ x[t]
            total = total + weights[t, a] * (w2[expert] @ (gate * torch.sigmoid(gate) * (w3 @ x[t])))
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize("per_token", [1, 2, 4])
@pytest.mark.parametrize("num_tokens", [1, 2, 37])
def test_products_equal_a_loop_over_tokens_with_gradients(num_tokens: int, per_token: int) -> None:
    x, (w13, w2), (expert_ids, weights) = draw(num_tokens, WIDTH), make_weights(), route(num_tokens, per_token)
    inputs = (x, w13, w2, weights)
    output, expected = expert_mlp(x, w13, w2, expert_ids, weights), loop(x, w13, w2, expert_ids, weights)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    cotangent = draw(num_tokens, WIDTH, seed=8).detach()
    gradients = torch.autograd.grad(output, inputs, cotangent)
    oracles = torch.autograd.grad(expected, inputs, cotangent)
    torch.testing.assert_close(gradients, oracles, rtol=1e-11, atol=1e-11)


def test_an_expert_without_tokens_has_a_zero_gradient() -> None:
    x, (w13, w2) = draw(5, WIDTH), make_weights()
    expert_ids = torch.tensor([[0, 2]]).expand(5, 2)
    output = expert_mlp(x, w13, w2, expert_ids, torch.ones(5, 2, dtype=torch.float64))
    d_w13, d_w2 = torch.autograd.grad(output.sum(), (w13, w2))
    assert not d_w13[[1, 3]].any()
    assert not d_w2[[1, 3]].any()
    assert d_w13[[0, 2]].all()


def test_all_tokens_may_choose_one_expert_and_none_is_dropped() -> None:
    x, (w13, w2) = draw(64, WIDTH), make_weights()
    expert_ids, weights = torch.full((64, 1), 3), torch.ones(64, 1, dtype=torch.float64)
    output = expert_mlp(x, w13, w2, expert_ids, weights)
    torch.testing.assert_close(output, loop(x, w13, w2, expert_ids, weights), rtol=1e-12, atol=1e-12)


def test_the_order_of_tokens_only_reorders_the_result() -> None:
    x, (w13, w2), (expert_ids, weights) = draw(20, WIDTH), make_weights(), route(20, 2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(4))
    shuffled = expert_mlp(x[order], w13, w2, expert_ids[order], weights[order])
    expected = expert_mlp(x, w13, w2, expert_ids, weights)[order]
    torch.testing.assert_close(shuffled, expected, rtol=1e-13, atol=1e-13)


def test_a_token_of_nan_poisons_no_other_token() -> None:
    x, (w13, w2), (expert_ids, weights) = draw(9, WIDTH), make_weights(), route(9, 2)
    expected = expert_mlp(x, w13, w2, expert_ids, weights)
    with torch.no_grad():
        x[4] = torch.nan
    output = expert_mlp(x, w13, w2, expert_ids, weights)
    others = [0, 1, 2, 3, 5, 6, 7, 8]
    assert torch.equal(output[others], expected[others])


def test_bfloat16_stays_bfloat16_and_close() -> None:
    x, (w13, w2), (expert_ids, weights) = draw(20, WIDTH), make_weights(), route(20, 2)
    x, w13, w2 = (t.detach().bfloat16() for t in (x, w13, w2))
    output = expert_mlp(x, w13, w2, expert_ids, weights.detach().float())
    assert output.dtype == torch.bfloat16
    exact = loop(x.double(), w13.double(), w2.double(), expert_ids, weights)
    assert (output - exact).norm() / exact.norm() < 0.01


def test_counts_are_those_of_bincount() -> None:
    expert_ids, _ = route(37, 2)
    expert_ids[expert_ids == 1] = 0
    assert torch.equal(count_tokens(expert_ids, EXPERTS), torch.bincount(expert_ids.flatten(), minlength=EXPERTS))


def wide_case(
    num_tokens: int, per_token: int, *, width: int = 24, inner: int = 40, num_experts: int = 5
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Returns x, w13, w2 and weights in float64, and expert ids that leave the second expert without tokens."""
    generator = torch.Generator().manual_seed(num_tokens)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    scores = torch.rand(num_tokens, num_experts, generator=generator)
    scores[:, 1] = -1
    w13, w2 = normal(num_experts, 2 * inner, width) / width**0.5, normal(num_experts, width, inner) / inner**0.5
    weights = normal(num_tokens, per_token).softmax(-1)
    return (normal(num_tokens, width), w13, w2, weights), scores.topk(per_token).indices


def output_and_gradients(inputs: tuple[Tensor, ...], expert_ids: Tensor, cotangent: Tensor) -> list[Tensor]:
    leaves = [t.detach().clone().requires_grad_() for t in inputs]
    x, w13, w2, weights = leaves
    output = expert_mlp(x, w13, w2, expert_ids, weights)
    return [output.detach(), *torch.autograd.grad(output, leaves, cotangent)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_tokens", "per_token"), [(1, 1), (1, 2), (37, 2), (64, 3)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="the same on the GPU below")
def test_grouped_products_equal_the_loop_with_gradients(
    num_tokens: int, per_token: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expert without tokens included, whose gradient is zero and not what memory held."""
    inputs, expert_ids = wide_case(num_tokens, per_token)
    rounded = tuple(t.to(dtype) for t in inputs)
    cotangent = draw(num_tokens, 24, seed=8).detach().to(dtype)
    exact = output_and_gradients(tuple(t.double() for t in rounded), expert_ids, cotangent.double())
    monkeypatch.setattr(experts, "_can_group", lambda rows, w2: True)
    monkeypatch.setattr(experts, "_looped_products", None)
    found = output_and_gradients(rounded, expert_ids, cotangent)
    for ours, reference in zip(found, exact, strict=True):
        assert ours.dtype == dtype
        assert relative_error(ours, reference) < (1e-6 if dtype == torch.float32 else 1.5e-2)
    assert not found[2][1].any()
    assert not found[3][1].any()


def test_bad_input_is_named() -> None:
    (x, w13, w2, weights), expert_ids = wide_case(6, 2)
    with pytest.raises(DataError, match="expert_ids from 0 to 5; allowed: 0 to 4"):
        expert_mlp(x, w13, w2, torch.tensor([[0, 5]] * 6), weights)
    with pytest.raises(DataError, match="expert_ids from -1"):
        expert_mlp(x, w13, w2, torch.tensor([[0, -1]] * 6), weights)
    with pytest.raises(DataError, match=r"w2 is torch\.float32"):
        expert_mlp(x, w13, w2.float(), expert_ids, weights)
    with pytest.raises(DataError, match="w13 is on meta"):
        expert_mlp(x, w13.to("meta"), w2, expert_ids, weights)
    with pytest.raises(DataError, match=r"w13 has shape \(5, 79, 24\); allowed: \(5, 80, 24\)"):
        expert_mlp(x, w13[:, :-1], w2, expert_ids, weights)
    # These shapes are checked by jaxtyping too, but only in tests.
    unchecked = inspect.unwrap(expert_mlp)
    with pytest.raises(DataError, match=r"x has shape \(6, 23\)"):
        unchecked(x[:, :-1], w13, w2, expert_ids, weights)
    with pytest.raises(DataError, match=r"expert_ids has shape \(5, 2\)"):
        unchecked(x, w13, w2, expert_ids[:5], weights[:5])
    with pytest.raises(DataError, match=r"weights has shape \(6, 1\)"):
        unchecked(x, w13, w2, expert_ids, weights[:, :1])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("num_tokens", "per_token", "width", "inner", "num_experts"),
    [(1, 1, 64, 96, 4), (37, 2, 24, 40, 5), (1000, 2, 512, 704, 32), (513, 3, 200, 104, 8)],
)
def test_on_the_gpu_every_type_is_within_its_rounding(
    num_tokens: int, per_token: int, width: int, inner: int, num_experts: int, dtype: torch.dtype
) -> None:
    inputs, expert_ids = wide_case(num_tokens, per_token, width=width, inner=inner, num_experts=num_experts)
    inputs, expert_ids = tuple(t.to("cuda", dtype) for t in inputs), expert_ids.cuda()
    cotangent = draw(num_tokens, width, seed=8).detach().to("cuda", dtype)
    exact = output_and_gradients(tuple(t.double() for t in inputs), expert_ids, cotangent.double())
    first, second = (output_and_gradients(inputs, expert_ids, cotangent) for _ in range(2))
    for ours, again, reference in zip(first, second, exact, strict=True):
        assert torch.equal(ours, again), "two runs differ"
        assert relative_error(ours, reference) < (3e-6 if dtype == torch.float32 else 1.5e-2)
    assert not first[2][1].any()
    assert not first[3][1].any()


@pytest.mark.gpu
def test_on_the_gpu_the_grouped_path_never_waits_for_the_device() -> None:
    inputs, expert_ids = wide_case(64, 2, width=64, inner=96)
    inputs, expert_ids = tuple(t.cuda().bfloat16() for t in inputs), expert_ids.cuda()
    cotangent = torch.ones(64, 64, device="cuda", dtype=torch.bfloat16)
    output_and_gradients(inputs, expert_ids, cotangent)
    with warnings.catch_warnings():
        # That this mode is a prototype and may miss some.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")
        try:
            output_and_gradients(inputs, expert_ids, cotangent)
            count_tokens(expert_ids, 5)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_on_the_gpu_widths_that_cannot_be_grouped_say_so() -> None:
    inputs, expert_ids = wide_case(9, 2, width=20, inner=40)
    inputs = tuple(t.cuda().bfloat16() for t in inputs)
    with pytest.warns(UserWarning, match=r"\(20, 40\)"):
        expert_mlp(*inputs[:3], expert_ids.cuda(), inputs[3])
