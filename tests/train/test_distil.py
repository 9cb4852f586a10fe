"""Distillation losses against their formulas, values and gradients, in float64."""

import pytest
import torch
from torch import Tensor

from fulmen.model import Model
from fulmen.model.block import Carried
from fulmen.model.hybrid import make_hybrid
from fulmen.model.layout import make_layout
from fulmen.train.distil import logit_loss, mean_loss, mixer_losses
from tests.model.test_hybrid import draw_tokens, make_source


@pytest.fixture(scope="module")
def pair() -> tuple[Model, Model]:
    """Returns a teacher and its hybrid in float64."""
    source = make_source().double()
    return source, make_hybrid(source, "LS", draw_tokens(2, 48)).requires_grad_(True)


def direct_divergence(student: Model, teacher: Model, token_ids: Tensor) -> Tensor:
    p = teacher(token_ids).logits.softmax(-1)
    return (p * (p.log() - student(token_ids).logits.log_softmax(-1))).sum(-1).mean()


@pytest.mark.parametrize("chunk_tokens", [7, 1000])
def test_the_logit_loss_is_the_divergence_and_so_is_its_gradient(pair: tuple[Model, Model], chunk_tokens: int) -> None:
    teacher, student = pair
    token_ids = draw_tokens(2, 20, seed=4)
    parameters = list(student.parameters())
    expected = direct_divergence(student, teacher, token_ids)
    loss = logit_loss(student, teacher, token_ids, chunk_tokens=chunk_tokens)
    assert expected > 0.01
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-12)
    for mine, its in zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-7, atol=1e-10)


def test_the_logit_loss_of_a_copy_is_zero(pair: tuple[Model, Model]) -> None:
    teacher, _ = pair
    assert abs(float(logit_loss(teacher, teacher, draw_tokens(1, 10)))) < 1e-12


def test_mixer_losses_are_relative_errors_on_the_teachers_own_activations(pair: tuple[Model, Model]) -> None:
    teacher, student = pair
    token_ids = draw_tokens(2, 20, seed=5)
    losses = mixer_losses(student, teacher, token_ids)
    assert list(losses) == [0, 2]
    layout, carried = make_layout(token_ids, None, None), Carried(teacher.embed_tokens(token_ids.flatten()))
    for index, block in enumerate(teacher.blocks()):
        if index in losses:
            x = block.close(carried, block.input_layernorm).normed
            y = block.self_attn(x, layout)
            found = student.layers[index].self_attn(x, layout)
            torch.testing.assert_close(losses[index], ((found - y) ** 2).sum() / (y**2).sum())
        carried, _ = block(carried, layout)
    losses[2].backward()
    touched = {name.rsplit(".", 2)[0] for name, p in student.named_parameters() if p.grad is not None}
    assert touched == {"layers.2.self_attn"}
    student.zero_grad()


def test_the_mean_loss_is_the_cross_entropy_of_the_next_token(pair: tuple[Model, Model]) -> None:
    teacher, _ = pair
    windows = draw_tokens(5, 12, seed=6)
    logp = teacher(windows).logits.log_softmax(-1)
    expected = -logp[:, :-1].gather(-1, windows[:, 1:, None]).mean()
    for options in ({}, {"batch_rows": 2, "chunk_tokens": 5}):
        assert mean_loss(teacher, windows, **options) == pytest.approx(float(expected), rel=1e-10)
