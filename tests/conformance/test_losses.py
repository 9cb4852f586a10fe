"""What holds for every policy loss: its value and gradient by hand, and the symmetries of both.

The losses, and their numbers on paper, are in `losses.py`. Axes: `B` rows, `T` tokens.
"""

import functools
import inspect
import math
import warnings

import pytest
import torch
from torch import Tensor

from fulmen.errors import ConfigError, DataError
from fulmen.rl.losses import cispo, dapo, dr_grpo, grpo, gspo, ppo, reinforce, unified
from fulmen.rl.losses.ratio import trust_region_mask
from fulmen.train import Loss, LossOutput
from tests.conformance.losses import (
    CASES,
    Case,
    Tokens,
    call,
    close,
    every_loss,
    expected_gradient,
    four_tokens,
    random_tokens,
    run,
)  # fmt: skip


@every_loss
def test_value_and_gradient_are_those_worked_out_by_hand(case: Case) -> None:
    output, gradient = run(case.loss, four_tokens())
    close(output.loss, torch.tensor(case.value, dtype=torch.float64))
    close(gradient, torch.tensor([case.gradient], dtype=torch.float64))


@every_loss
def test_gradient_is_minus_token_weight_times_w_times_advantage(case: Case) -> None:
    tokens = random_tokens(20, 10)
    output, gradient = run(case.loss, tokens)
    close(gradient, expected_gradient(case, tokens, output.tokens["weight"]))


@every_loss
def test_gradient_is_reinforce_where_the_ratio_is_one(case: Case) -> None:
    tokens = random_tokens(4, 10, spread=0.0)
    _, gradient = run(case.loss, tokens)
    assert torch.equal(gradient, -tokens.token_weights * tokens.advantages * tokens.mask)


@every_loss
@pytest.mark.parametrize("garbage", [-3.0, 1e30, math.inf, -math.inf, math.nan])
def test_masked_tokens_have_exactly_no_effect_whatever_they_hold(case: Case, garbage: float) -> None:
    tokens = random_tokens(4, 10)
    spoilt = Tokens(
        mask=tokens.mask,
        document_ids=tokens.document_ids.masked_fill(~tokens.mask, -1),
        **{
            name: tensor.masked_fill(~tokens.mask, garbage)
            for name, tensor in vars(tokens).items()
            if tensor.is_floating_point()
        },
    )
    clean_output, clean = run(case.loss, tokens)
    output, gradient = run(case.loss, spoilt)
    assert not gradient[~tokens.mask].any()
    assert torch.equal(gradient, clean)
    assert torch.equal(output.loss, clean_output.loss)
    for name, values in output.tokens.items():
        assert torch.equal(values[tokens.mask], clean_output.tokens[name][tokens.mask]), name
        assert values.isfinite().all(), name
    assert not output.tokens["is_capped"][~tokens.mask].any()


@every_loss
def test_gradient_reaches_logprobs_only(case: Case) -> None:
    tokens = random_tokens(2, 10).map(lambda x: x.requires_grad_() if x.is_floating_point() else x)
    output = call(case.loss, tokens)
    output.loss.backward()
    assert tokens.logprobs.grad is not None
    assert tokens.logprobs.grad.any()
    assert tokens.old_logprobs.grad is tokens.advantages.grad is tokens.token_weights.grad is None
    assert tokens.ref_logprobs.grad is None
    assert not any(values.requires_grad for values in output.tokens.values())


@every_loss
def test_loss_and_gradient_scale_with_the_advantage_and_with_the_token_weight(case: Case) -> None:
    tokens = random_tokens(4, 10)
    output, gradient = run(case.loss, tokens)
    for changed in (
        tokens.replace(advantages=tokens.advantages * 3),
        tokens.replace(token_weights=tokens.token_weights * 3),
    ):
        if case.kl_coefficient and changed.advantages is not tokens.advantages:
            continue
        scaled_output, scaled = run(case.loss, changed)
        close(scaled_output.loss, output.loss * 3)
        close(scaled, gradient * 3)


@every_loss
def test_order_of_rows_does_not_matter(case: Case) -> None:
    tokens = random_tokens(6, 10)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    output, gradient = run(case.loss, tokens)
    shuffled_output, shuffled = run(case.loss, tokens.map(lambda x: x[order]))
    close(shuffled_output.loss, output.loss)
    assert torch.equal(shuffled, gradient[order])


@every_loss
def test_padding_and_packing_do_not_matter(case: Case) -> None:
    tokens = random_tokens(6, 10)
    output, gradient = run(case.loss, tokens)
    padded_output, padded = run(case.loss, tokens.map(lambda x: torch.nn.functional.pad(x, (0, 7))))
    close(padded_output.loss, output.loss)
    assert torch.equal(padded[:, :10], gradient)
    packed_output, packed = run(case.loss, tokens.map(lambda x: x.flatten()[None]))
    close(packed_output.loss, output.loss)
    assert torch.equal(packed[0], gradient.flatten())


@every_loss
def test_micro_batches_add_up_and_each_token_or_document_depends_on_itself_alone(case: Case) -> None:
    def pieces(size: int, dim: int) -> tuple[list[LossOutput], list[Tensor]]:
        results = [run(case.loss, Tokens(**dict(zip(vars(tokens), inputs, strict=True)))) for inputs in cut(size, dim)]
        return [output for output, _ in results], [gradient for _, gradient in results]

    def cut(size: int, dim: int) -> list[tuple[Tensor, ...]]:
        return list(zip(*(tensor.split(size, dim) for tensor in vars(tokens).values()), strict=True))

    tokens = random_tokens(6, 10)
    output, gradient = run(case.loss, tokens)
    for size, dim in ((1, 0), (4, 0), (1, 1))[: 3 if case.is_per_token else 2]:
        outputs, gradients = pieces(size, dim)
        close(torch.stack([piece.loss for piece in outputs]).sum(), output.loss)
        assert torch.equal(torch.cat(gradients, dim), gradient)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_is_finite_at_extreme_ratios(case: Case, dtype: torch.dtype) -> None:
    log_ratio = torch.tensor([[50.0, 50.0, 50.0, -50.0, -50.0, -50.0]], dtype=dtype)
    tokens = Tokens(
        logprobs=torch.full((1, 6), -60.0, dtype=dtype),
        old_logprobs=-60.0 - log_ratio,
        advantages=torch.tensor([[1.0, -1.0, 0.0, 1.0, -1.0, 0.0]], dtype=dtype),
        mask=torch.ones(1, 6, dtype=torch.bool),
        token_weights=torch.full((1, 6), 0.25, dtype=dtype),
        document_ids=torch.arange(6)[None],
        ref_logprobs=-60.0 - log_ratio,
    )
    output, gradient = run(case.loss, tokens)
    assert output.loss.isfinite()
    assert output.loss.dtype == dtype
    assert all(values.isfinite().all() for values in output.tokens.values())
    expected = expected_gradient(case, tokens, output.tokens["weight"])
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=0.0)
    # Against its advantage, an exploded ratio is never dropped.
    assert gradient[0, 1] > 0


@every_loss
def test_quantities_for_metrics_are_complete_and_aligned(case: Case) -> None:
    tokens = random_tokens(3, 5)
    output, _ = run(case.loss, tokens)
    own = {"ref_kl"} if case.kl_coefficient else set()
    assert set(output.tokens) == {"log_ratio", "weight", "advantage", "is_capped"} | own
    assert {tuple(values.shape) for values in output.tokens.values()} == {(3, 5)}
    assert output.tokens["is_capped"].dtype == torch.bool
    close(output.tokens["log_ratio"], (tokens.logprobs - tokens.old_logprobs) * tokens.mask)
    close(output.tokens["advantage"], tokens.advantages * tokens.mask)


@every_loss
def test_no_tokens_give_a_loss_of_zero(case: Case) -> None:
    output, gradient = run(case.loss, random_tokens(1, 0))
    assert output.loss.item() == 0.0
    assert gradient.shape == (1, 0)


def at_ratio(ratio: float, advantage: float) -> Tokens:
    """Returns one token of weight 1 at a ratio."""
    logprob = torch.tensor([[-20.0]], dtype=torch.float64)
    return Tokens(
        logprobs=logprob,
        old_logprobs=logprob - math.log(ratio),
        advantages=torch.tensor([[advantage]], dtype=torch.float64),
        mask=torch.ones(1, 1, dtype=torch.bool),
        token_weights=torch.ones(1, 1, dtype=torch.float64),
        document_ids=torch.zeros(1, 1, dtype=torch.int64),
        ref_logprobs=logprob,
    )


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_cispo_by_default_attenuates_below_one_and_caps_at_five(advantage: float) -> None:
    assert inspect.signature(cispo).parameters["weight_max"].default == 5.0
    assert inspect.signature(cispo).parameters["weight_min"].default == 0.0
    for ratio, weight in ((1e-6, 1e-6), (0.1, 0.1), (1.0, 1.0), (4.9, 4.9), (5.1, 5.0), (1e6, 5.0)):
        output, gradient = run(cispo, at_ratio(ratio, advantage))
        assert output.tokens["weight"].item() == pytest.approx(weight, rel=1e-12)
        assert gradient.item() == pytest.approx(-weight * advantage, rel=1e-12)


def test_tokens_cispo_caps_keep_the_gradient_that_ppo_drops() -> None:
    for ratio, advantage, capped_weight in ((8.0, 1.0, 5.0), (0.5, -1.0, 0.5)):
        tokens = at_ratio(ratio, advantage)
        assert run(cispo, tokens)[1].item() == pytest.approx(-capped_weight * advantage, rel=1e-12)
        assert run(ppo, tokens)[1].item() == 0.0


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_cispo_counts_capped_tokens_of_either_sign(advantage: float) -> None:
    assert run(cispo, at_ratio(5.1, advantage))[0].tokens["is_capped"].item() is True
    assert run(cispo, at_ratio(4.9, advantage))[0].tokens["is_capped"].item() is False
    assert run(cispo, at_ratio(0.01, advantage))[0].tokens["is_capped"].item() is False


def test_ppo_counts_the_tokens_it_drops_by_sign() -> None:
    for ratio, advantage, is_dropped in (
        (1.3, 1.0, True),
        (1.3, -1.0, False),
        (0.7, 1.0, False),
        (0.7, -1.0, True),
        (1.1, 1.0, False),
        (9.0, 0.0, False),
    ):
        output, _ = run(ppo, at_ratio(ratio, advantage))
        assert output.tokens["is_capped"].item() is is_dropped
        assert output.tokens["weight"].item() == pytest.approx(0.0 if is_dropped else ratio, rel=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.8, 1.2), (0.8, 1.28), (0.0, 1.2), (0.9997, 1.0004), (1.0, 1.0)])
def test_the_unified_form_without_cap_and_with_ppo_bounds_has_exactly_the_gradient_of_ppo(
    low: float, high: float
) -> None:
    tokens = random_tokens(1, 1000, spread=0.3)
    uncapped = functools.partial(unified, weight_max=math.inf, mask_ratio_min=low, mask_ratio_max=high)
    ours_output, ours = run(uncapped, tokens)
    theirs_output, theirs = run(functools.partial(ppo, ratio_min=low, ratio_max=high), tokens)
    assert (ours - theirs).abs().max().item() == 0.0
    assert torch.equal(ours_output.tokens["weight"] * tokens.mask, theirs_output.tokens["weight"] * tokens.mask)
    assert 0 < ((theirs == 0) & tokens.mask).sum() < tokens.mask.sum()


def test_the_unified_form_without_mask_has_exactly_the_gradient_of_cispo_and_without_cap_of_reinforce() -> None:
    tokens = random_tokens(1, 1000)
    unmasked = functools.partial(unified, mask_ratio_min=None, mask_ratio_max=None)
    assert torch.equal(run(unmasked, tokens)[1], run(cispo, tokens)[1])
    uncapped = functools.partial(unmasked, weight_max=math.inf)
    assert torch.equal(run(uncapped, tokens)[1], run(reinforce, tokens)[1])
    assert not torch.equal(run(cispo, tokens)[1], run(reinforce, tokens)[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cispo_and_ppo_agree_on_tokens_within_rounding_of_a_bound(dtype: torch.dtype) -> None:
    steps = torch.arange(-50, 51, dtype=dtype) * torch.finfo(dtype).eps / 4
    for low, high in ((0.8, 1.2), (0.7, 1.28)):
        log_ratio = torch.cat([math.log(high) + steps, math.log(low) + steps])[None]
        tokens = Tokens(
            logprobs=log_ratio,
            old_logprobs=torch.zeros_like(log_ratio),
            advantages=torch.cat([torch.ones(101, dtype=dtype), -torch.ones(101, dtype=dtype)])[None],
            mask=torch.ones_like(log_ratio, dtype=torch.bool),
            token_weights=torch.ones_like(log_ratio),
            document_ids=torch.arange(202)[None],
            ref_logprobs=log_ratio,
        )
        masked = functools.partial(cispo, weight_max=math.inf, mask_ratio_min=low, mask_ratio_max=high)
        output, gradient = run(functools.partial(ppo, ratio_min=low, ratio_max=high), tokens)
        assert torch.equal(run(masked, tokens)[1], gradient)
        assert torch.equal(output.tokens["is_capped"], gradient == 0)


def test_cispo_is_additive_in_the_advantage() -> None:
    tokens = random_tokens(4, 10)
    other = random_tokens(4, 10, seed=1).advantages
    both, both_gradient = run(cispo, tokens.replace(advantages=tokens.advantages + other))
    first, first_gradient = run(cispo, tokens)
    second, second_gradient = run(cispo, tokens.replace(advantages=other))
    close(both.loss, first.loss + second.loss)
    close(both_gradient, first_gradient + second_gradient)


def test_cispo_weight_is_that_of_the_token_not_of_its_sequence() -> None:
    tokens = random_tokens(1, 10)
    old_logprobs = tokens.old_logprobs.clone()
    old_logprobs[0, 3] -= 1.0
    before, after = run(cispo, tokens)[0], run(cispo, tokens.replace(old_logprobs=old_logprobs))[0]
    assert (before.tokens["weight"] != after.tokens["weight"]).nonzero().tolist() == [[0, 3]]


def test_trust_region_follows_the_sign_of_the_advantage_and_none_switches_a_bound_off() -> None:
    log_ratio = torch.tensor([0.5, 1.0, 2.0] * 3, dtype=torch.float64).log()
    advantages = torch.tensor([1.0] * 3 + [-1.0] * 3 + [0.0] * 3, dtype=torch.float64)
    for low, high, dropped in (
        (None, None, []),
        (0.8, 1.2, [2, 3]),
        (0.8, None, [3]),
        (None, 1.2, [2]),
        (2.0, 0.5, [1, 2, 3, 4]),
    ):
        mask = trust_region_mask(log_ratio, advantages, ratio_min=low, ratio_max=high)
        assert (~mask).nonzero().flatten().tolist() == dropped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_of_zero_drop_nothing_below_and_everything_above(dtype: torch.dtype) -> None:
    # exp(-1000) is 0 in both dtypes, and 0 is not below 0.
    log_ratio = torch.tensor([-1000.0, -50.0, 0.0, 50.0] * 2, dtype=dtype)
    advantages = torch.tensor([1.0] * 4 + [-1.0] * 4, dtype=dtype)
    assert trust_region_mask(log_ratio, advantages, ratio_min=0.0, ratio_max=None).all()
    above = trust_region_mask(log_ratio, advantages, ratio_min=None, ratio_max=0.0)
    assert above[1:].tolist() == [False] * 3 + [True] * 4
    _, gradient = run(functools.partial(cispo, mask_ratio_min=0.0, mask_ratio_max=0.0), four_tokens())
    close(gradient, torch.tensor([[0.0, 0.6, 0.0, 0.2]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"weight_max": 0.0}, "weight_max=0.0"),
        ({"weight_max": -1.0}, "weight_max=-1.0"),
        ({"weight_max": math.nan}, "weight_max=nan"),
        ({"weight_min": -0.1}, "weight_min=-0.1"),
        ({"weight_min": 5.0}, "weight_min=5.0"),
        ({"mask_ratio_min": -9.0}, "mask_ratio_min=-9.0"),
        ({"mask_ratio_max": -0.2}, "mask_ratio_max=-0.2"),
        ({"mask_ratio_max": math.nan}, "mask_ratio_max=nan"),
        ({"mask_ratio_min": 1.2, "mask_ratio_max": 0.8}, "mask_ratio_min=1.2; allowed: at most mask_ratio_max=0.8"),
    ],
)
def test_cispo_refuses_settings_that_cannot_bound_a_ratio(settings: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        run(functools.partial(cispo, **settings), four_tokens())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ratio_min": -9.0}, "ratio_min=-9.0"),
        ({"ratio_min": 1.1}, "ratio_min=1.1"),
        ({"ratio_max": 0.2}, "ratio_max=0.2"),
        ({"ratio_max": math.nan}, "ratio_max=nan"),
    ],
)
@pytest.mark.parametrize("loss", [ppo, grpo, dapo, dr_grpo, gspo])
def test_clips_refuse_bounds_that_are_offsets_or_exclude_one(
    loss: Loss, settings: dict[str, float], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        run(functools.partial(loss, **settings), four_tokens())  # type: ignore[arg-type]


def test_a_ratio_of_sequences_needs_the_documents_and_a_penalty_its_reference() -> None:
    tokens = vars(four_tokens())
    inputs = [tokens[name] for name in ("logprobs", "old_logprobs", "advantages", "mask")]
    with pytest.raises(DataError, match="document_ids_B_T=None"):
        gspo(*inputs, token_weights_B_T=tokens["token_weights"])
    with pytest.raises(DataError, match=r"ref_logprobs_B_T=None.*kl_coefficient=0\.04"):
        grpo(*inputs, token_weights_B_T=tokens["token_weights"], kl_coefficient=0.04)
    for coefficient in (-0.1, math.nan):
        with pytest.raises(ConfigError, match=f"kl_coefficient={coefficient}"):
            grpo(*inputs, token_weights_B_T=tokens["token_weights"], kl_coefficient=coefficient)


def test_gspo_has_the_gradient_of_the_published_sequence_objective() -> None:
    # One weight and one advantage per document, written as eq. (5) of the paper: s with its gradient, clipped once.
    tokens = random_tokens(40, 10, spread=0.01)
    tokens = tokens.replace(
        advantages=tokens.advantages[:, :1].expand(40, 10),
        token_weights=(1.0 / (40 * tokens.mask.sum(1, keepdim=True).double())).expand(40, 10),
    )
    output, gradient = run(gspo, tokens)
    logprobs = tokens.logprobs.clone().requires_grad_()
    log_ratio = torch.where(tokens.mask, logprobs - tokens.old_logprobs, 0.0)
    s = (log_ratio.sum(1) / tokens.mask.sum(1)).exp()
    advantage = tokens.advantages[:, 0]
    loss = -torch.minimum(s * advantage, s.clamp(1 - 3e-4, 1 + 4e-4) * advantage).mean()
    close(output.loss, loss)
    close(gradient, torch.autograd.grad(loss, logprobs)[0])
    assert 5 < (gradient != 0).any(1).sum() < 35


def test_gspo_needs_no_order_of_documents() -> None:
    tokens = random_tokens(6, 10)
    _, gradient = run(gspo, tokens)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    _, mixed = run(gspo, tokens.map(lambda x: x.flatten()[order][None]))
    close(mixed[0], gradient.flatten()[order])


def test_no_loss_but_that_of_sequences_reads_documents_and_none_but_a_penalty_a_reference() -> None:
    tokens = random_tokens(4, 10)
    inputs = (tokens.logprobs.requires_grad_(), tokens.old_logprobs, tokens.advantages, tokens.mask)
    for case in CASES:
        if case.is_per_token and not case.kl_coefficient:
            alone = case.loss(*inputs, token_weights_B_T=tokens.token_weights).loss
            assert torch.equal(alone, call(case.loss, tokens).loss), case.name


def test_cispo_warns_of_a_cap_below_one_and_of_no_other() -> None:
    with pytest.warns(UserWarning, match=r"weight_max=0\.2 caps even on-policy tokens"):
        run(functools.partial(cispo, weight_max=0.2), four_tokens())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(functools.partial(cispo, weight_max=1.0), four_tokens())
