"""Updates from groups: 16 mini-batches against 16 steps written out, and the engine's numbers against the learner's."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.envs import Mixture
from fulmen.errors import ConfigError, DataError
from fulmen.model import Model
from fulmen.rl import Learner, LengthPenalty, cispo, group_advantages, ppo
from fulmen.rollout import sample_groups
from fulmen.serve import Engine
from fulmen.train import AdamW, Loss, LossOutput, Trainer
from fulmen.types import RolloutGroup, Sampling
from tests.rl.examples import TOKENIZER, Lengths, make_group, make_rollout, make_task
from tests.train.examples import PlainAdam, clipped, document_logprobs, parameters_of, tiny_model

LR = 1e-2


def make_learner(model: Model, loss: Loss = cispo, *, clip_norm: float = 0.1, **settings: object) -> Learner:
    trainer = Trainer(model, AdamW(model.parameters(), lr=1.0), clip_norm=clip_norm, micro_batch_tokens=9)
    return Learner(trainer=trainer, loss=loss, **settings)  # type: ignore[arg-type]


class Spy:
    """CISPO that keeps the token weights of every call."""

    def __init__(self) -> None:
        self.token_weights: list[Tensor] = []

    def __call__(
        self,
        logprobs_B_T: Tensor,
        old_logprobs_B_T: Tensor,
        advantages_B_T: Tensor,
        mask_B_T: Tensor,
        *,
        token_weights_B_T: Tensor,
        document_ids_B_T: Tensor | None = None,
        ref_logprobs_B_T: Tensor | None = None,
    ) -> LossOutput:
        """Returns the loss."""
        self.token_weights.append(token_weights_B_T.detach())
        return cispo(logprobs_B_T, old_logprobs_B_T, advantages_B_T, mask_B_T, token_weights_B_T=token_weights_B_T)


def random_groups(num_groups: int, *, seed: int = 0) -> list[RolloutGroup]:
    """Returns groups of three ragged completions, one of them without a reward now and then."""
    rng = np.random.default_rng(seed)
    groups = []
    for index in range(num_groups):
        task = make_task(f"{index}")
        rewards: list[float | None] = [1.0, 0.0, None if index % 3 == 0 else float(rng.integers(2))]
        rollouts = [
            make_rollout(
                reward,
                prompt_ids=rng.integers(0, 290, 2).tolist(),
                token_ids=rng.integers(0, 290, length).tolist(),
                logprobs=rng.uniform(-7.0, -4.0, length).tolist(),
                task=task,
            )
            for reward, length in zip(rewards, rng.integers(1, 5, 3).tolist(), strict=True)
        ]
        groups.append(RolloutGroup(task=task, rollouts=tuple(rollouts)))
    return groups


def step_by_hand(model: Model, adam: PlainAdam, groups: Sequence[RolloutGroup]) -> list[float]:
    """Takes one step on the report's eq. (4), everything from the formulas; returns the ratios."""
    loss, ratios = torch.zeros((), dtype=torch.float64), []
    for group in groups:
        valid = [r for r in group.rollouts if r.score.value is not None]
        rewards = np.array([r.score.value for r in valid], dtype=np.float64)
        advantages = (rewards - rewards.mean()) / (np.sqrt(((rewards - rewards.mean()) ** 2).mean()) + 1e-6)
        num_tokens = sum(len(r.completion.token_ids) for r in valid)
        for rollout, advantage in zip(valid, advantages, strict=True):
            completion = rollout.completion
            tokens = np.concatenate([completion.prompt_ids, completion.token_ids])
            logprobs = document_logprobs(model, tokens)[len(completion.prompt_ids) - 1 :]
            old = torch.from_numpy(completion.logprobs).double()
            ratio = (logprobs.detach() - old).exp()
            # The batch holds float32.
            scale = float(np.float32(1.0 / (len(groups) * num_tokens))) * float(np.float32(advantage))
            loss = loss - (scale * ratio.clamp(max=5.0) * logprobs).sum()
            ratios += ratio.tolist()
    adam.step(clipped(torch.autograd.grad(loss, list(model.parameters())), 0.1))
    return ratios


@pytest.mark.parametrize(("num_groups", "num_updates"), [(16, 16), (7, 3)])
def test_mini_batches_are_that_many_separate_steps(num_groups: int, num_updates: int) -> None:
    groups = random_groups(num_groups)
    learner = make_learner(tiny_model(), num_updates=num_updates)
    update = learner.update(groups, lr=LR)

    model = tiny_model()
    adam = PlainAdam(model.parameters(), lr=LR)
    parts = [[group] for group in groups] if num_updates == 16 else [groups[:3], groups[3:5], groups[5:]]
    ratios = [ratio for part in parts for ratio in step_by_hand(model, adam, part)]
    np.testing.assert_allclose(np.exp(update.tokens["log_ratio"]), ratios, rtol=1e-5)
    # Parameters whose gradient is rounding are moved by the ratio of two roundings.
    difference = (parameters_of(learner.trainer.model) - parameters_of(model)).abs()
    moved = (parameters_of(model) - parameters_of(tiny_model())).abs() > LR
    assert difference[moved].max() < 1e-5 * num_updates * LR
    assert moved.double().mean() > 0.3
    assert update.metrics["num_updates"] == num_updates


def test_parameters_do_not_depend_on_the_size_of_micro_batches() -> None:
    groups, moved = random_groups(6), []
    for micro_batch_tokens in (4, 23, 10_000):
        model = tiny_model()
        trainer = Trainer(model, AdamW(model.parameters(), lr=1.0), micro_batch_tokens=micro_batch_tokens)
        update = Learner(trainer=trainer, loss=cispo, num_updates=3).update(groups, lr=LR)
        moved.append((parameters_of(model), update.metrics["loss"]))
    for parameters, loss in moved[1:]:
        difference = (parameters - moved[0][0]).abs()
        # Where a gradient is rounding alone, AdamW makes a step of it.
        assert difference.quantile(0.9) < 1e-9
        assert loss == pytest.approx(moved[0][1], rel=1e-12)


def test_mini_batches_are_whole_groups_with_their_own_denominators() -> None:
    groups = random_groups(5)
    spy = Spy()
    model = tiny_model()
    trainer = Trainer(model, AdamW(model.parameters(), lr=1.0), micro_batch_tokens=10_000)
    update = Learner(trainer=trainer, loss=spy, num_updates=2).update(groups, lr=LR)
    assert [weights.sum().item() for weights in spy.token_weights] == pytest.approx([1.0, 1.0], abs=1e-6)
    lengths = [
        sum(len(r.completion.token_ids) for r in group.rollouts if r.score.value is not None) for group in groups
    ]
    assert [weights.shape[1] for weights in spy.token_weights] == [sum(lengths[:3]), sum(lengths[3:])]
    expected = [1 / (3 * n) for n in lengths[:3] for _ in range(n)]
    np.testing.assert_allclose(spy.token_weights[0][0].numpy(), expected, rtol=1e-6)
    assert update.metrics["num_updates"] == 2


def test_advantages_are_those_of_whole_groups_in_training_order_however_the_batch_is_split() -> None:
    groups = [make_group([1.0, 0.0, 0.0, 0.0]), make_group([1.0, 1.0, 0.0, 0.0]), make_group([5.0, None, 3.0, 3.0])]
    expected = [
        advantage
        for group in groups
        for advantage in group_advantages([r.score.value for r in group.rollouts])
        if advantage is not None
        for _ in range(3)
    ]
    for num_updates in (1, 2, 3):
        update = make_learner(tiny_model(), num_updates=num_updates).update(groups, lr=LR)
        np.testing.assert_allclose(update.tokens["advantage"], expected, rtol=1e-6)


def test_fewer_groups_than_updates_give_one_step_each() -> None:
    assert make_learner(tiny_model(), num_updates=16).update(random_groups(3), lr=LR).metrics["num_updates"] == 3


def test_groups_without_rewards_are_left_out_before_the_split() -> None:
    groups = random_groups(4)
    failed = make_group([None, None])
    plain, mixed = (make_learner(tiny_model(), num_updates=4) for _ in range(2))
    plain.update(groups, lr=LR)
    mixed.update([*groups[:2], failed, failed, *groups[2:]], lr=LR)
    assert torch.equal(parameters_of(plain.trainer.model), parameters_of(mixed.trainer.model))


@pytest.mark.parametrize("groups", [[], [make_group([None, None])]])
def test_zero_groups_with_a_reward_are_an_error_and_no_step(groups: list[RolloutGroup]) -> None:
    learner = make_learner(tiny_model())
    with pytest.raises(DataError, match="groups, none with a reward; allowed: at least one"):
        learner.update(groups, lr=LR)
    assert torch.equal(parameters_of(learner.trainer.model), parameters_of(tiny_model()))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"num_updates": 0}, "num_updates=0"),
        ({"clip_min": -9.0}, r"clip_min=-9\.0"),
        ({"clip_max": 0.2}, r"clip_max=0\.2"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make_learner(tiny_model(), **settings)  # type: ignore[arg-type]


def test_the_length_penalty_enters_the_reward_and_spares_failures() -> None:
    group = make_group([1.0, 0.0, None, 1.0], lengths=[4, 2, 10, 10])
    penalty = LengthPenalty(window=10, soft_zone_frac=0.8)
    # Shaped: 1 - 2/8, 0, None, 1 - 1
    expected = group_advantages([0.75, 0.0, None, 0.0])
    update = make_learner(tiny_model(), length_penalty=penalty).update([group], lr=LR)
    np.testing.assert_allclose(
        update.tokens["advantage"], np.repeat([expected[0], expected[1], expected[3]], [4, 2, 10]), rtol=1e-6
    )
    plain = make_learner(tiny_model()).update([group], lr=LR)
    unshaped = group_advantages([1.0, 0.0, None, 1.0])
    np.testing.assert_allclose(
        plain.tokens["advantage"], np.repeat([unshaped[0], unshaped[1], unshaped[3]], [4, 2, 10]), rtol=1e-6
    )


@pytest.mark.parametrize(("aggregation", "expected"), [("prompt_token", (1 / 8,) * 8), ("sequence", (1 / 4, 1 / 12))])
def test_the_aggregation_reaches_the_loss(aggregation: str, expected: tuple[float, ...]) -> None:
    spy = Spy()
    group = make_group([1.0, 0.0], lengths=[2, 6])
    make_learner(tiny_model(), spy, aggregation=aggregation).update([group], lr=LR)
    weights = np.repeat(expected, [2, 6]) if len(expected) == 2 else np.array(expected)
    np.testing.assert_allclose(torch.cat(spy.token_weights, dim=1)[0].numpy(), weights, rtol=1e-6)


def test_a_truncated_completion_is_left_out_of_everything_when_it_is_masked() -> None:
    full = [make_rollout(reward, token_ids=(5, 6), logprobs=(-5.5, -5.5)) for reward in (1.0, 0.0)]
    cut = make_rollout(0.0, token_ids=(6, 6, 6), logprobs=(-5.5,) * 3)
    cut = dataclasses.replace(cut, completion=dataclasses.replace(cut.completion, stop_reason="length"))
    advantages = {}
    for truncated in ("penalise", "mask"):
        group = RolloutGroup(task=make_task("t"), rollouts=(*full, cut))
        update = make_learner(tiny_model(), truncated=truncated).update([group], lr=LR)
        advantages[truncated] = update.tokens["advantage"].tolist()
    assert advantages["mask"] == pytest.approx([1.0, 1.0, -1.0, -1.0], abs=1e-5)
    root = math.sqrt(2)
    assert advantages["penalise"] == pytest.approx([root] * 2 + [-root / 2] * 5, abs=1e-5)


@pytest.mark.parametrize("mismatch_max", [1.0, 1.3, 1e9])
def test_the_recomputed_anchor_is_the_learners_own_and_corrects_the_samplers_mismatch(
    mismatch_max: float,
) -> None:
    groups, model = random_groups(2), tiny_model()
    valid = [r.completion for group in groups for r in group.rollouts if r.score.value is not None]
    before = np.concatenate([
        document_logprobs(model, np.concatenate([c.prompt_ids, c.token_ids]))[len(c.prompt_ids) - 1 :].detach()
        for c in valid
    ])  # fmt: skip
    spy = Spy()
    learner = make_learner(model, spy, num_updates=2, anchor="recomputed", mismatch_max=mismatch_max)
    update = learner.update(groups, lr=LR)
    # The anchor of both mini-batches is taken before the first update.
    np.testing.assert_allclose(update.tokens["logprobs"] - update.tokens["log_ratio"], before, atol=1e-5)
    first = len(update.learner_logprobs)
    np.testing.assert_allclose(update.tokens["log_ratio"][:first], 0.0, atol=1e-6)
    assert np.abs(update.tokens["log_ratio"][first:]).max() > 1e-3
    plain = Spy()
    make_learner(tiny_model(), plain, num_updates=2).update(groups, lr=LR)
    weights, unweighted = (torch.cat([w.flatten() for w in s.token_weights]).numpy() for s in (spy, plain))
    sampled = np.concatenate([c.logprobs for c in valid])
    expected = np.minimum(np.exp(before - sampled), mismatch_max)
    np.testing.assert_allclose(weights / unweighted, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "is_inert"),
    [
        ({"num_updates": 1, "anchor": "recomputed", "mismatch_max": 2.0}, True),
        ({"num_updates": 2, "anchor": "recomputed", "mismatch_max": 2.0}, False),
        ({"num_updates": 1, "anchor": "rollout"}, True),
        ({"num_updates": 2, "anchor": "rollout"}, False),
    ],
)
def test_a_step_whose_ratios_are_all_one_says_so(settings: dict[str, object], is_inert: bool) -> None:
    model = tiny_model(vocab_size=TOKENIZER.vocab_size)
    update = make_learner(model, **settings).update(sampled_groups(model), lr=LR)
    assert update.metrics["is_cap_inert"] is is_inert


def test_metrics_summarise_all_updates_and_agreement_is_that_of_the_first() -> None:
    groups = random_groups(4)
    learner = make_learner(tiny_model(), num_updates=2)
    update = learner.update(groups, lr=LR)
    metrics, tokens = update.metrics, update.tokens
    trained = [r for group in groups for r in group.rollouts if r.score.value is not None]
    assert metrics["num_tokens"] == sum(len(r.completion.token_ids) + 1 for r in trained)
    assert metrics["lr"] == LR
    assert metrics["entropy"] == pytest.approx(tokens["entropy"].mean())
    sampled = np.concatenate([r.completion.logprobs for r in trained])
    target_ids = np.concatenate([r.completion.token_ids for r in trained])
    np.testing.assert_array_equal(tokens["target_ids"], target_ids)
    in_first = [r for group in groups[:2] for r in group.rollouts if r.score.value is not None]
    first = sum(len(r.completion.token_ids) for r in in_first)
    np.testing.assert_array_equal(update.sampler_logprobs, sampled[:first])
    np.testing.assert_array_equal(update.learner_logprobs, tokens["logprobs"][:first])
    difference = np.abs(sampled[:first].astype(np.float64) - tokens["logprobs"][:first])
    assert metrics["logprob_abs_diff_max"] == pytest.approx(difference.max())
    correlation = np.corrcoef(np.exp(sampled[:first].astype(np.float64)), np.exp(tokens["logprobs"][:first]))[0, 1]
    assert metrics["logprob_pearson"] == pytest.approx(correlation)


def test_ppo_share_of_dropped_tokens_uses_the_bounds_of_the_settings() -> None:
    groups = random_groups(4)
    dropped = {}
    for bounds in ((0.8, 1.2), (0.0, math.inf)):
        learner = make_learner(tiny_model(), clip_min=bounds[0], clip_max=bounds[1])
        dropped[bounds] = learner.update(groups, lr=LR).metrics["ppo_dropped_frac"]
    assert dropped[0.0, math.inf] == 0.0
    assert dropped[0.8, 1.2] != 0.0
    loss = functools.partial(ppo, ratio_min=0.8, ratio_max=1.2)
    by_ppo = make_learner(tiny_model(), loss).update(groups, lr=LR)
    assert by_ppo.metrics["ppo_dropped_frac"] == pytest.approx(by_ppo.tokens["is_capped"].mean())


def sampled_groups(model: Model) -> list[RolloutGroup]:
    """Returns groups that the engine sampled from the model."""
    engine = Engine(model, TOKENIZER, num_slots=5)
    env = Mixture([Lengths()])
    tasks = [env.task("train", seed=0, index=index) for index in range(4)]
    return sample_groups(engine, env, tasks, 3, Sampling(max_tokens=6), seed=3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_what_the_engine_sampled_has_ratio_one_in_the_first_mini_batch_and_not_afterwards(
    dtype: torch.dtype, tolerance: float
) -> None:
    model = tiny_model(dtype, vocab_size=TOKENIZER.vocab_size)
    update = make_learner(model, num_updates=2, clip_norm=1.0).update(sampled_groups(model), lr=LR)
    first = len(update.learner_logprobs)
    assert 0 < first < len(update.tokens["log_ratio"])
    assert np.abs(update.tokens["log_ratio"][:first]).max() < tolerance
    np.testing.assert_allclose(update.tokens["weight"][:first], 1.0, atol=tolerance)
    assert update.metrics["logprob_pearson"] == pytest.approx(1.0, abs=tolerance)
    assert update.metrics["logprob_abs_diff_max"] < tolerance  # type: ignore[operator]
    # The anchor stays the sampling policy: later mini-batches are off-policy, and the cap can act.
    assert np.abs(update.tokens["log_ratio"][first:]).max() > 1e-3
    assert np.abs(update.tokens["weight"][first:] - 1.0).max() > 1e-3


def test_a_padded_head_needs_the_tokenizers_size_for_a_ratio_of_one() -> None:
    for vocab_size, is_near in ((TOKENIZER.vocab_size, True), (None, False)):
        model = tiny_model(vocab_size=TOKENIZER.vocab_size + 20)
        groups = sampled_groups(model)
        trainer = Trainer(model, AdamW(model.parameters(), lr=1.0), vocab_size=vocab_size)
        log_ratio = Learner(trainer=trainer, loss=cispo, num_updates=1).update(groups, lr=LR).tokens["log_ratio"]
        assert bool(np.abs(log_ratio).max() < 1e-6) is is_near


def test_on_policy_cispo_and_ppo_take_the_same_step() -> None:
    groups = sampled_groups(tiny_model(vocab_size=TOKENIZER.vocab_size))
    stepped = []
    for loss in (cispo, ppo):
        learner = make_learner(tiny_model(vocab_size=TOKENIZER.vocab_size), loss, num_updates=1)
        update = learner.update(groups, lr=0.0)
        stepped.append((update.metrics["grad_norm"], update.tokens["weight"]))
    assert stepped[0][0] == pytest.approx(stepped[1][0], rel=1e-6)
    np.testing.assert_allclose(stepped[0][1], stepped[1][1], rtol=1e-6)


def test_a_reward_raises_the_probability_of_what_earned_it() -> None:
    model = tiny_model()
    good, bad = make_rollout(1.0, token_ids=(7, 8, 9)), make_rollout(0.0, token_ids=(17, 18, 19))

    def logprobs() -> list[float]:
        documents = [np.concatenate([r.completion.prompt_ids, r.completion.token_ids]) for r in (good, bad)]
        return [document_logprobs(model, document)[1:].sum().item() for document in documents]

    before = logprobs()
    make_learner(model).update([RolloutGroup(task=make_task("task"), rollouts=(good, bad))], lr=1e-3)
    after = logprobs()
    assert after[0] > before[0] + 1e-3
    assert after[1] < before[1] - 1e-3
