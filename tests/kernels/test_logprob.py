"""The head: against torch.distributions and closed forms, and float32 whatever the model's dtype."""

import math

import pytest
import torch
from torch import Tensor

from fulmen.kernels.logprob import head_logits, token_logprobs


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


def test_entropy_carries_no_gradient() -> None:
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
