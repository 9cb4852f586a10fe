"""Tokens, and every policy loss with its value and gradient by hand: what the conformance suite runs over.

A new loss is one line of `CASES` whose numbers are worked out on paper. Axes: `B` rows, `T` tokens.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from fulmen.rl.losses import cispo, dapo, dr_grpo, grpo, gspo, ppo, reinforce, unified
from fulmen.train import Loss, LossOutput

# Four tokens, r = 0.1, 1.5, 8 and 0.5. Where the advantage and the ratio point the same way (the third and the
# fourth), clipping losses drop the token. The first two are one document, the others another; the reference policy
# is 1, 2, 1/2 and 4 times as sure.
LOGPROBS = (-4.0, -2.0, -0.5, -3.0)
OLD_LOGPROBS = (-1.6974149070059540, -2.4054651081081644, -2.5794415416798357, -2.3068528194400547)
ADVANTAGES = (1.0, -2.0, 0.5, -1.0)
TOKEN_WEIGHTS = (0.1, 0.2, 0.3, 0.4)
DOCUMENT_IDS = (0, 0, 1, 1)
REF_LOGPROBS = (-4.0, -1.3068528194400547, -1.1931471805599454, -1.6137056388801094)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A loss, and its value and gradient on the four tokens."""

    name: str
    loss: Loss
    value: float
    gradient: tuple[float, float, float, float]
    is_per_token: bool = True
    """Whether a token's weight is its own, and not that of its document."""
    kl_coefficient: float = 0.0
    """The gradient has a second part, kl_coefficient * token_weight * (1 - pi_ref / pi)."""


# gradient = -token_weight * w * A; a REINFORCE-like value is the sum of gradient * logprob.
CASES = (
    # w = 0.1, 1.5, 5, 0.5: only r = 8 is capped, and r = 0.1 has no floor.
    Case(name="cispo", loss=cispo, value=-1.385, gradient=(-0.01, 0.6, -0.75, 0.2)),
    # w = 0.1, 1.25, 1.25, 0.5
    Case(
        name="cispo cap 1.25",
        loss=functools.partial(cispo, weight_max=1.25),
        value=-1.46625,
        gradient=(-0.01, 0.5, -0.1875, 0.2),
    ),
    # w = 0.75, 1.5, 5, 0.75
    Case(
        name="cispo floor 0.75",
        loss=functools.partial(cispo, weight_min=0.75),
        value=-1.425,
        gradient=(-0.075, 0.6, -0.75, 0.3),
    ),
    # w = r, as in eq. (3): plain off-policy REINFORCE.
    Case(
        name="cispo cap off",
        loss=functools.partial(cispo, weight_max=math.inf),
        value=-1.16,
        gradient=(-0.01, 0.6, -1.2, 0.2),
    ),
    # M = 1, 1, 0, 0 and w = r: PPO's gradient, with another value.
    Case(
        name="cispo as ppo",
        loss=functools.partial(cispo, weight_max=math.inf, mask_ratio_min=0.8, mask_ratio_max=1.2),
        value=-1.16,
        gradient=(-0.01, 0.6, 0.0, 0.0),
    ),
    # M = 1, 1, 0, 1 and w = 0.1, 1.25, -, 0.5: the bounds of the mask are not the cap's.
    Case(
        name="cispo cap 1.25, mask 0.4 to 4",
        loss=functools.partial(cispo, weight_max=1.25, mask_ratio_min=0.4, mask_ratio_max=4.0),
        value=-1.56,
        gradient=(-0.01, 0.5, 0.0, 0.2),
    ),
    # Only the upper bound: M = 1, 1, 0, 1.
    Case(
        name="cispo mask above only",
        loss=functools.partial(cispo, mask_ratio_max=1.2),
        value=-1.76,
        gradient=(-0.01, 0.6, 0.0, 0.2),
    ),
    # w = r
    Case(name="reinforce", loss=reinforce, value=-1.16, gradient=(-0.01, 0.6, -1.2, 0.2)),
    # w = 0.1, 1.25, 1.25, 0.5
    Case(
        name="reinforce cap 1.25",
        loss=functools.partial(reinforce, weight_max=1.25),
        value=-1.46625,
        gradient=(-0.01, 0.5, -0.1875, 0.2),
    ),
    # M = 1, 1, 0, 0 and w = 0.1, 1.5
    Case(name="unified", loss=unified, value=-1.16, gradient=(-0.01, 0.6, 0.0, 0.0)),
    # M = 1, 1, 0, 0 and w = 0.1, 1.25
    Case(
        name="unified cap 1.25",
        loss=functools.partial(unified, weight_max=1.25),
        value=-0.96,
        gradient=(-0.01, 0.5, 0.0, 0.0),
    ),
    # w = 0.1, 1.5, 5, 0.5
    Case(
        name="unified as cispo",
        loss=functools.partial(unified, mask_ratio_min=None, mask_ratio_max=None),
        value=-1.385,
        gradient=(-0.01, 0.6, -0.75, 0.2),
    ),
    # min(r A, clip(r) A) = 0.1, -3, 0.6, -0.8
    Case(name="ppo", loss=ppo, value=0.73, gradient=(-0.01, 0.6, 0.0, 0.0)),
    # min(r A, clip(r) A) = 0.1, -3, 4, -0.5: nothing is outside.
    Case(
        name="ppo 0.4 to 10",
        loss=functools.partial(ppo, ratio_min=0.4, ratio_max=10.0),
        value=-0.41,
        gradient=(-0.01, 0.6, -1.2, 0.2),
    ),
    Case(name="grpo", loss=grpo, value=0.73, gradient=(-0.01, 0.6, 0.0, 0.0)),
    # k3 = 0, 1 - ln 2, ln 2 - 1/2, 3 - 2 ln 2, and its gradient is 0, -1, 1/2, -3, each times token_weight / 2.
    Case(
        name="grpo with a penalty",
        loss=functools.partial(grpo, kl_coefficient=0.5),
        value=0.73 + 0.3823984868040192,
        gradient=(-0.01, 0.5, 0.075, -0.6),
        kl_coefficient=0.5,
    ),
    # min(r A, clip(r) A) = 0.1, -3, 0.64, -0.8
    Case(name="dapo", loss=dapo, value=0.718, gradient=(-0.01, 0.6, 0.0, 0.0)),
    Case(name="dr_grpo", loss=dr_grpo, value=0.73, gradient=(-0.01, 0.6, 0.0, 0.0)),
    # s = sqrt(0.15) and 2; min(s A, clip(s) A) = 0.3873, -1.9994, 0.5002, -2: the second and third are dropped.
    Case(
        name="gspo",
        loss=gspo,
        value=0.8 + 0.39988 - 0.15006 - 0.03872983346207417,
        gradient=(-0.03872983346207417, 0.0, 0.0, 0.8),
        is_per_token=False,
    ),
    # s A = 0.3873, -0.7746, 1, -2: nothing is outside.
    Case(
        name="gspo 0 to 10",
        loss=functools.partial(gspo, ratio_min=0.0, ratio_max=10.0),
        value=0.5 + 0.15491933384829668 - 0.03872983346207417,
        gradient=(-0.03872983346207417, 0.15491933384829668, -0.3, 0.8),
        is_per_token=False,
    ),
)
every_loss = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The aligned inputs of a loss, `[B, T]`."""

    logprobs: Tensor
    old_logprobs: Tensor
    advantages: Tensor
    mask: Tensor
    token_weights: Tensor
    document_ids: Tensor
    ref_logprobs: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> "Tokens":
        """Returns the same change made to every input."""
        return Tokens(**{name: function(tensor) for name, tensor in vars(self).items()})

    def replace(self, **changes: Tensor) -> "Tokens":
        """Returns a copy with some inputs changed."""
        return Tokens(**(vars(self) | changes))


def four_tokens() -> Tokens:
    def row(values: tuple[float, ...]) -> Tensor:
        return torch.tensor([values], dtype=torch.float64)

    return Tokens(
        logprobs=row(LOGPROBS),
        old_logprobs=row(OLD_LOGPROBS),
        advantages=row(ADVANTAGES),
        mask=torch.ones(1, 4, dtype=torch.bool),
        token_weights=row(TOKEN_WEIGHTS),
        document_ids=torch.tensor([DOCUMENT_IDS]),
        ref_logprobs=row(REF_LOGPROBS),
    )


def random_tokens(rows: int, length: int, *, seed: int = 0, spread: float = 1.0) -> Tokens:
    """Returns rows of one document each, a quarter of it masked; log r is normal with deviation `spread`."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(rows, length, dtype=torch.float64, generator=generator)

    logprobs = -normal().abs()
    return Tokens(
        logprobs=logprobs,
        old_logprobs=logprobs - spread * normal(),
        advantages=normal(),
        mask=torch.rand(rows, length, generator=generator) < 0.75,
        token_weights=normal().abs(),
        document_ids=torch.arange(rows)[:, None].expand(rows, length).clone(),
        ref_logprobs=logprobs + spread * normal(),
    )


def call(loss: Loss, tokens: Tokens) -> LossOutput:
    """Returns the loss's output on these very tensors."""
    return loss(
        tokens.logprobs,
        tokens.old_logprobs,
        tokens.advantages,
        tokens.mask,
        token_weights_B_T=tokens.token_weights,
        document_ids_B_T=tokens.document_ids,
        ref_logprobs_B_T=tokens.ref_logprobs,
    )


def run(loss: Loss, tokens: Tokens) -> tuple[LossOutput, Tensor]:
    """Returns the loss's output and the gradient with respect to `logprobs`."""
    logprobs = tokens.logprobs.detach().clone().requires_grad_()
    output = call(loss, tokens.replace(logprobs=logprobs))
    (gradient,) = torch.autograd.grad(output.loss, logprobs)
    return output, gradient


def expected_gradient(case: Case, tokens: Tokens, weight: Tensor) -> Tensor:
    """Returns the gradient that every loss has, given the weights it reports."""
    penalty = case.kl_coefficient * (1.0 - (tokens.ref_logprobs - tokens.logprobs).exp())
    return torch.where(tokens.mask, tokens.token_weights * (penalty - weight * tokens.advantages), 0.0)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)
