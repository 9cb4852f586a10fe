"""One regression test per bug that shipped in a public RL framework, by its number in docs/rl.md.

Each repeats what went wrong elsewhere and shows that it cannot here; the conformance suite holds the same for every
loss on random tokens.
"""

import functools
import inspect
import math
import warnings

import numpy as np
import pytest
import torch

from fulmen.errors import ConfigError
from fulmen.model import Model
from fulmen.rl import (
    Learner,
    LossSettings,
    anchored,
    cispo,
    gspo,
    inert_cap,
    ppo,
    reinforce,
    rl_batch,
    unified,
)  # fmt: skip
from fulmen.rl.monitors.ratios import ratio_metrics
from fulmen.train import AdamW, Trainer
from fulmen.types import RolloutGroup
from tests.conformance.losses import Tokens, close, random_tokens, run
from tests.rl.examples import make_group, make_rollout, make_task
from tests.train.examples import CONFIG, tiny_model


def at_ratios(ratios: list[float], advantages: list[float]) -> Tokens:
    """Returns tokens of one document, each of weight 1 and log-probability -20, at these ratios."""
    count = len(ratios)
    logprobs = torch.full((1, count), -20.0, dtype=torch.float64)
    return Tokens(
        logprobs=logprobs,
        old_logprobs=logprobs - torch.tensor([ratios], dtype=torch.float64).log(),
        advantages=torch.tensor([advantages], dtype=torch.float64),
        mask=torch.ones(1, count, dtype=torch.bool),
        token_weights=torch.ones(1, count, dtype=torch.float64),
        document_ids=torch.zeros(1, count, dtype=torch.int64),
        ref_logprobs=logprobs,
    )


def test_r1_the_gradient_is_that_of_log_pi_with_a_constant_weight() -> None:
    # What shipped: -A clamp(r), whose gradient is -A r below the cap and 0 above it.
    tokens = at_ratios([0.5, 2.0, 8.0], [1.0, 1.0, 1.0])
    _, gradient = run(cispo, tokens)
    close(gradient, torch.tensor([[-0.5, -2.0, -5.0]], dtype=torch.float64))
    logprobs = tokens.logprobs.clone().requires_grad_()
    shipped = -(tokens.advantages * (logprobs - tokens.old_logprobs).exp().clamp(max=5.0)).sum()
    assert torch.autograd.grad(shipped, logprobs)[0][0, 2] == 0.0
    # Doubling log pi at a fixed ratio doubles the loss: there is a log pi in it.
    doubled = tokens.replace(logprobs=2 * tokens.logprobs, old_logprobs=tokens.old_logprobs + tokens.logprobs)
    close(run(cispo, doubled)[0].loss, 2 * run(cispo, tokens)[0].loss)


def test_r2_every_name_has_its_own_formula() -> None:
    # What shipped: CISPO's formula under GRPO's name. At r = 8 with A > 0 the two cannot be confused.
    tokens = at_ratios([8.0], [1.0])
    expected = {"cispo": -5.0, "reinforce": -8.0, "unified": 0.0, "ppo": 0.0, "grpo": 0.0, "dapo": 0.0, "gspo": 0.0}
    for name, gradient in expected.items():
        close(run(LossSettings(name=name).loss(), tokens)[1], torch.tensor([[gradient]], dtype=torch.float64))
    # And r = 1.25 with A > 0 tells DAPO's clip from GRPO's.
    inside = at_ratios([1.25], [1.0])
    assert run(LossSettings(name="dapo").loss(), inside)[1].item() == pytest.approx(-1.25)
    assert run(LossSettings(name="grpo").loss(), inside)[1].item() == 0.0


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_r3_by_default_a_token_that_became_unlikely_is_attenuated(advantage: float) -> None:
    # What shipped: a floor of 1. No argument is given here, on purpose.
    for loss in (cispo, LossSettings().loss()):
        output, gradient = run(loss, at_ratios([0.1], [advantage]))
        assert output.tokens["weight"].item() == pytest.approx(0.1, rel=1e-12)
        assert gradient.item() == pytest.approx(-0.1 * advantage, rel=1e-12)


def test_r4_an_absent_cap_is_five_and_one_below_one_warns() -> None:
    # What shipped: a silent fall-back to 0.2, so that every token weighed 0.2.
    for settings in (LossSettings(), LossSettings(weight_max=None), LossSettings(weight_max=5.0)):
        weights = run(settings.loss(), at_ratios([1.0, 4.9, 6.0], [1.0, 1.0, 1.0]))[0].tokens["weight"]
        close(weights, torch.tensor([[1.0, 4.9, 5.0]], dtype=torch.float64))
    with pytest.warns(UserWarning, match=r"weight_max=0\.2 caps even on-policy tokens"):
        LossSettings(weight_max=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LossSettings(weight_max=1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "cispo", "weight_min": -9.0},
        {"name": "cispo", "mask_ratio_min": -9.0},
        {"name": "ppo", "ratio_min": -9.0},
        {"name": "ppo", "ratio_min": 10.0},
        {"name": "ppo", "ratio_max": 0.2},
    ],
)
def test_r5_a_bound_is_a_ratio_and_never_an_offset(settings: dict[str, float]) -> None:
    # What shipped: clip_ratio_low=10, that is a bound of -9.
    with pytest.raises(ConfigError, match="allowed: "):
        LossSettings(**settings)  # type: ignore[arg-type]


class Recorder(AdamW):
    """Keeps every gradient it steps with."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__(model.parameters(), lr=0.0)
        self.gradients: list[torch.Tensor] = []

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Records, then steps."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        self.gradients.append(torch.cat([p.grad.flatten().clone() for p in parameters]))
        super().step()


def sixteen_groups() -> list[RolloutGroup]:
    rng = np.random.default_rng(0)
    groups = []
    for index in range(16):
        task = make_task(f"{index}")
        rollouts = [
            make_rollout(
                reward,
                prompt_ids=rng.integers(0, 290, 2).tolist(),
                token_ids=rng.integers(0, 290, length).tolist(),
                logprobs=rng.uniform(-7.0, -4.0, length).tolist(),
                task=task,
            )
            for reward, length in ((1.0, 1 + index % 4), (0.0, 4))
        ]
        groups.append(RolloutGroup(task=task, rollouts=tuple(rollouts)))
    return groups


def test_r6_sixteen_mini_batches_are_sixteen_steps_of_full_size() -> None:
    # What shipped: a loss divided by the number of mini-batches, so 16 times too small in the report's shape.
    groups = sixteen_groups()
    model = Model(CONFIG.replace(num_layers=1, mixers="S"), seed=1).double()
    together = Recorder(model)
    Learner(trainer=Trainer(model, together, clip_norm=math.inf), loss=cispo, num_updates=16).update(groups, lr=0.0)
    assert len(together.gradients) == 16
    # Mean 1/2 and deviation 1/2.
    advantage = 0.5 / (0.5 + 1e-6)
    for micro_batch_tokens, num_groups in ((10_000, 16), (1, 2)):
        alone = Recorder(model)
        trainer = Trainer(model, alone, clip_norm=math.inf, micro_batch_tokens=micro_batch_tokens)
        for group in groups[:num_groups]:
            trainer.step(rl_batch([group], [[advantage, -advantage]]), cispo)
        assert len(alone.gradients) == num_groups
        for ours, expected in zip(together.gradients, alone.gradients, strict=False):
            assert expected.abs().max() > 1e-4
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_r7_ratios_of_one_are_noticed_and_the_rollout_anchor_has_others() -> None:
    # What shipped: pi_old recomputed right before the only update, so that no cap ever acted.
    batch = rl_batch([make_group([1.0, 0.0])], [[1.0, -1.0]])
    model = tiny_model()
    trainer = Trainer(model, AdamW(model.parameters(), lr=0.0))
    recomputed = anchored(batch, anchor="recomputed", recomputed_logprobs_T=trainer.logprobs(batch), mismatch_max=100.0)
    assert "inert" in inert_cap(trainer.step(recomputed, cispo).tokens["log_ratio"])
    sampled = trainer.step(anchored(batch), cispo).tokens["log_ratio"]
    assert inert_cap(sampled) == ""
    assert np.abs(sampled).min() > 1.0
    with pytest.warns(UserWarning, match="no cap or clip ever acts"):
        LossSettings(anchor="recomputed", mismatch_max=2.0).check(num_updates=1, group_size=8)


def test_r8_capped_tokens_are_counted_for_either_sign_of_the_advantage() -> None:
    # What shipped: the share of capped tokens with A > 0 alone. Of four with A < 0, three are capped here.
    tokens = at_ratios([6.0, 2.0, 0.1, 0.1, 6.0, 7.0, 8.0, 0.1], [1.0] * 4 + [-1.0] * 4)
    output, _ = run(cispo, tokens)
    assert output.tokens["is_capped"][0].tolist() == [True, False, False, False, True, True, True, False]
    metrics = ratio_metrics(
        {name: values[0].numpy() for name, values in output.tokens.items()}, clip_min=0.8, clip_max=1.2
    )
    assert (metrics["capped_frac_pos"], metrics["capped_frac_neg"]) == (0.25, 0.75)
    # PPO would have dropped r > 1.2 with A > 0 and r < 0.8 with A < 0.
    assert metrics["ppo_dropped_frac"] == 3 / 8


def test_r9_weights_are_of_tokens_and_a_sequence_ratio_is_the_exponential_of_a_sum() -> None:
    # What shipped: one ratio of the whole answer on all of its tokens, with the mean of logs taken for their product.
    generator = torch.Generator().manual_seed(0)
    log_ratio = torch.randn(80, generator=generator, dtype=torch.float64) * 0.01
    log_ratio += (math.log(0.569) - log_ratio.sum()) / 80
    tokens = at_ratios(log_ratio.exp().tolist(), [1.0] * 80)
    for loss in (cispo, reinforce, unified, ppo):
        close(run(loss, tokens)[0].tokens["weight"], log_ratio.exp()[None])
    # GSPO alone weighs sequences, by the geometric mean that it publishes; the product is its 80th power.
    weight = run(functools.partial(gspo, ratio_min=0.0), tokens)[0].tokens["weight"]
    assert weight[0, 0].item() == pytest.approx(0.993, abs=5e-4)
    assert (weight**80)[0, 0].item() == pytest.approx(0.569, rel=1e-9)
    # The factor of the recomputed anchor, where it shipped: token by token.
    group = RolloutGroup(task=make_task("task"), rollouts=(make_rollout(1.0), make_rollout(0.0)))
    batch = rl_batch([group], [[1.0, -1.0]])
    moved = np.where(batch.mask_T, -1.0, 0.0)
    moved[1] = -1.5
    changed = anchored(batch, anchor="recomputed", recomputed_logprobs_T=moved, mismatch_max=2.0)
    assert (changed.token_weights_T != batch.token_weights_T).nonzero()[0].tolist() == [1]


def test_r12_the_mask_and_the_cap_are_set_apart_and_give_ppo_exactly() -> None:
    # What shipped: one eps for both, with which neither PPO nor CISPO is in reach.
    tokens = random_tokens(1, 1000, spread=0.3)
    uncapped = functools.partial(unified, weight_max=math.inf)
    assert (run(uncapped, tokens)[1] - run(ppo, tokens)[1]).abs().max().item() == 0.0
    # A cap inside the mask, and a mask inside the cap.
    for weight_max, mask_ratio_max, weights in ((1.1, 3.0, [1.0, 1.1, 1.1, 0.0]), (5.0, 1.5, [1.0, 1.2, 0.0, 0.0])):
        settings = LossSettings(name="unified", weight_max=weight_max, mask_ratio_max=mask_ratio_max)
        found = run(settings.loss(), at_ratios([1.0, 1.2, 2.0, 4.0], [1.0] * 4))[0].tokens["weight"]
        close(found, torch.tensor([weights], dtype=torch.float64))
    assert inspect.signature(unified).parameters.keys() >= {"weight_max", "mask_ratio_min", "mask_ratio_max"}
