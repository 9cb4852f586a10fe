"""Mixture-of-experts products against a loop over tokens, in float64.

Axes: `T` tokens, `D` model width, `E` experts, `F` expert width, `A` experts per token.
"""

import pytest
import torch
from torch import Tensor

from fulmen.kernels.experts import expert_mlp

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
