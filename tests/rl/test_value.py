"""The value model: GAE and its loss against formulas, and a tiny regression that learns what it is shown."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.model import Model
from fulmen.rl import batch_advantages, ppo, rl_batch
from fulmen.rl.value import Critic, Estimate, ValueModel, ValueSettings, gae, value_loss
from fulmen.train import AdamW, Trainer
from fulmen.types import Batch, Rollout, RolloutGroup
from tests.rl.examples import make_group, make_rollout, make_task
from tests.train.examples import CONFIG, parameters_of

# One softmax layer, dense: the trunk itself is tested elsewhere.
SMALL = CONFIG.replace(num_layers=1, mixers="S", num_experts=1, num_experts_per_token=1, intermediate_size=32)


def make_policy(dtype: torch.dtype = torch.float64) -> Model:
    return Model(SMALL, seed=1).to(dtype)


def reward_batch(rewards: list[float | None], *, lengths: list[int]) -> Batch:
    """Returns one group as a batch whose advantages are its rewards."""
    return rl_batch(
        [make_group(rewards, lengths=lengths)], batch_advantages([rewards], advantage="value"), aggregation="sequence"
    )


def loop_gae(rewards: np.ndarray, values: np.ndarray, gamma: float, gae_lambda: float) -> list[float]:
    """Returns the advantages by the recursion of the paper, last token first."""
    advantages, following, next_value = [], 0.0, 0.0
    for reward, value in zip(rewards[::-1].tolist(), values[::-1].tolist(), strict=True):
        following = reward + gamma * next_value - value + gamma * gae_lambda * following
        next_value = value
        advantages.append(following)
    return advantages[::-1]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 64, 65, 1000])
@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 1.0), (1.0, 0.95), (0.99, 0.95), (0.9, 0.0), (0.0, 1.0)])
def test_gae_is_the_recursion(length: int, gamma: float, gae_lambda: float) -> None:
    rng = np.random.default_rng(length)
    rewards, values = rng.normal(size=length), rng.normal(size=length)
    kept = rewards.copy(), values.copy()
    found = gae(rewards, values, gamma=gamma, gae_lambda=gae_lambda)
    np.testing.assert_allclose(found, loop_gae(rewards, values, gamma, gae_lambda), rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal((rewards, values), kept)


def test_gae_of_three_tokens_by_hand() -> None:
    # gamma 1/2, lambda 1/2. delta = 1/4 - 1, 1 - 1/2, 4 - 2; A_3 = 2, A_2 = 1/2 + 2/4, A_1 = -3/4 + 1/4.
    found = gae(np.array([0.0, 0.0, 4.0]), np.array([1.0, 0.5, 2.0]), gamma=0.5, gae_lambda=0.5)
    np.testing.assert_allclose(found, [-0.5, 1.0, 2.0], rtol=1e-15)
    # lambda 1 without discount: the reward less the value.
    found = gae(np.array([0.0, 0.0, 4.0]), np.array([1.0, 0.5, 2.0]), gamma=1.0, gae_lambda=1.0)
    np.testing.assert_allclose(found, [3.0, 3.5, 2.0], rtol=1e-15)


def row(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.mark.parametrize(
    ("max_change", "value", "gradient"),
    [
        # Errors 1, -1, 3 and -4, squared.
        (None, 0.5 * (0.1 + 0.2 + 0.3 * 9 + 0.4 * 16), (0.1, -0.2, 0.9, -1.6)),
        # Moved by 0.5, -0.5, 4 and 2 from the old value, cut to at most 1 either way. The third went past its return
        # and its error stays the larger; the fourth moved towards it, so that of the cut value, -5, is the larger.
        (1.0, 0.5 * (0.1 + 0.2 + 0.3 * 9 + 0.4 * 25), (0.1, -0.2, 0.9, 0.0)),
    ],
)
def test_value_loss_and_its_gradient_are_those_worked_out_by_hand(
    max_change: float | None, value: float, gradient: tuple[float, ...]
) -> None:
    values = row(2.0, 1.0, 5.0, 0.0).requires_grad_()
    loss = value_loss(
        values, row(1.0, 2.0, 2.0, 4.0), row(1.5, 1.5, 1.0, -2.0), token_weights=row(0.1, 0.2, 0.3, 0.4),
        max_change=max_change,
    )  # fmt: skip
    assert loss.item() == pytest.approx(value, rel=1e-12)
    (found,) = torch.autograd.grad(loss, values)
    torch.testing.assert_close(found, row(*gradient), rtol=1e-12, atol=0.0)


def test_the_trunk_is_a_copy_of_the_policy_and_shares_nothing() -> None:
    policy = Model(CONFIG.replace(mtp_depth=1), seed=1).double()
    batch = reward_batch([1.0, 0.0], lengths=[3, 5])
    model = ValueModel(policy)
    token_ids, cu_seqlens = torch.from_numpy(batch.token_ids_T)[None], torch.from_numpy(batch.cu_seqlens)
    expected = policy.encode(token_ids, cu_seqlens=cu_seqlens).hidden
    assert torch.equal(model.trunk.encode(token_ids, cu_seqlens=cu_seqlens).hidden, expected)
    # Neither the head nor MTP modules are carried along.
    kept = {name for name in policy.state_dict() if not name.startswith(("mtp.", "lm_head."))}
    assert set(model.trunk.state_dict()) == kept < set(policy.state_dict())
    assert not {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in policy.parameters()}
    # A head that is known shows that values are of the token before each trained target.
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    by_hand = expected[0, torch.from_numpy(batch.mask_T)] @ model.head.weight[0]
    torch.testing.assert_close(model(batch), by_hand, rtol=1e-12, atol=0.0)


def test_half_precision_trunks_have_a_float32_head() -> None:
    model = ValueModel(make_policy(torch.bfloat16))
    assert model.head.weight.dtype == torch.float32
    assert {p.dtype for p in model.trunk.parameters()} == {torch.bfloat16}
    assert model(reward_batch([1.0], lengths=[3])).dtype == torch.float32


def test_estimates_are_gae_of_each_document_with_the_reward_at_its_last_token() -> None:
    batch = reward_batch([1.0, None, -2.0], lengths=[3, 9, 5])
    critic = Critic(make_policy(), ValueSettings(gamma=0.9, gae_lambda=0.8, micro_batch_tokens=4))
    torch.nn.init.normal_(critic.model.head.weight, generator=torch.Generator().manual_seed(0))
    estimate = critic.estimate(batch)
    values = critic.model(batch).detach().numpy()
    np.testing.assert_allclose(estimate.values_T[batch.mask_T], values, rtol=1e-6)
    assert values.std() > 0.1
    expected = [
        *loop_gae(np.array([0.0, 0.0, 1.0]), values[:3], 0.9, 0.8),
        *loop_gae(np.array([0.0, 0.0, 0.0, 0.0, -2.0]), values[3:], 0.9, 0.8),
    ]
    assert estimate.batch.advantages_T is not None
    np.testing.assert_allclose(estimate.batch.advantages_T[batch.mask_T], expected, rtol=1e-5)
    np.testing.assert_allclose(estimate.returns_T[batch.mask_T], np.array(expected) + values, rtol=1e-5)
    for array in (estimate.batch.advantages_T, estimate.returns_T, estimate.values_T):
        assert not array[~batch.mask_T].any()
        assert array.dtype == np.float32
    assert estimate.batch.old_logprobs_T is batch.old_logprobs_T


def test_tokens_that_the_policy_did_not_draw_are_passed_over() -> None:
    # Two turns in one document: 3 tokens drawn, 2 of a tool, 2 drawn.
    first = make_rollout(1.0, prompt_ids=(1, 2), token_ids=(3, 4, 5))
    second = make_rollout(1.0, prompt_ids=(1, 2, 3, 4, 5, 6, 7), token_ids=(8, 9))
    rollout = Rollout(task=first.task, completion=second.completion, score=second.score, earlier=(first.completion,))
    batch = rl_batch([RolloutGroup(task=make_task("task"), rollouts=(rollout,))], [[2.0]], aggregation="sequence")
    assert batch.mask_T.tolist() == [False, True, True, True, False, False, True, True]
    critic = Critic(make_policy(), ValueSettings(gamma=0.5, gae_lambda=1.0))
    # Values are 0 at first: a reward of 2 discounted once per drawn token.
    estimate = critic.estimate(batch)
    np.testing.assert_allclose(estimate.returns_T[batch.mask_T], [0.125, 0.25, 0.5, 1.0, 2.0], rtol=1e-6)


def test_a_step_does_not_depend_on_micro_batches_and_its_loss_is_that_of_the_formula() -> None:
    batch = reward_batch([1.0, 0.0, 0.5], lengths=[3, 7, 5])
    weights, losses = [], []
    for micro_batch_tokens in (1, 12, 10_000):
        critic = Critic(make_policy(), ValueSettings(lr=1e-3, micro_batch_tokens=micro_batch_tokens))
        estimate = critic.estimate(batch)
        losses.append(critic.step(estimate)["value_loss"])
        weights.append(critic.model.head.bias.item())
        # Values are 0 at first and returns the rewards: 1/2 the mean over completions of their square.
        assert losses[-1] == pytest.approx(0.5 * (1.0 + 0.25) / 3, rel=1e-6)
        assert critic.step(estimate)["value_loss"] < losses[-1]
    assert weights[1:] == pytest.approx(weights[:1] * 2, rel=1e-6)


def test_the_value_model_learns_a_constant_reward_and_advantages_vanish() -> None:
    batch = reward_batch([0.7, 0.7, 0.7], lengths=[3, 7, 5])
    critic = Critic(make_policy(torch.float32), ValueSettings(lr=1e-2))
    before = np.abs(critic.estimate(batch).batch.advantages_T[batch.mask_T])  # type: ignore[index]
    np.testing.assert_allclose(before, 0.7, rtol=1e-5)
    for _ in range(35):
        metrics = critic.step(critic.estimate(batch))
    estimate = critic.estimate(batch)
    np.testing.assert_allclose(estimate.values_T[batch.mask_T], 0.7, atol=0.06)
    assert metrics["value_loss"] < 1e-3
    assert math.isnan(metrics["explained_variance"])


def test_the_value_model_tells_documents_apart_and_says_how_well() -> None:
    group = RolloutGroup(
        task=make_task("task"),
        rollouts=(make_rollout(1.0, token_ids=(10, 11, 12)), make_rollout(0.0, token_ids=(20, 21, 22))),
    )
    batch = rl_batch([group], [[1.0, 0.0]], aggregation="sequence")
    critic = Critic(make_policy(torch.float32), ValueSettings(lr=1e-2))
    first = critic.step(critic.estimate(batch))
    assert first["explained_variance"] == pytest.approx(0.0, abs=1e-9)
    for _ in range(20):
        last = critic.step(critic.estimate(batch))
    # The value before the first token cannot know what comes: a half, an error of 1/4 on one token of three.
    assert last["explained_variance"] == pytest.approx(1 - (1 / 3) * 0.25 / 0.25, abs=0.05)
    values = critic.estimate(batch).values_T[batch.mask_T]
    np.testing.assert_allclose(values, [0.5, 1.0, 1.0, 0.5, 0.0, 0.0], atol=0.1)


def test_ppo_takes_the_advantages_and_moves_away_from_what_disappoints() -> None:
    policy = make_policy()
    trainer = Trainer(policy, AdamW(policy.parameters(), lr=1e-3))
    batch = reward_batch([1.0, -1.0], lengths=[3, 4])
    before = trainer.logprobs(batch)
    batch = dataclasses.replace(batch, old_logprobs_T=before.astype(np.float32))
    estimate = Critic(policy, ValueSettings()).estimate(batch)
    result = trainer.step(estimate.batch, ppo)
    np.testing.assert_array_equal(result.tokens["advantage"], [1.0] * 3 + [-1.0] * 4)
    change = (trainer.logprobs(batch) - before)[batch.mask_T]
    # Three tokens are the same in both, up to where the longer one goes on.
    assert change[3:].sum() < change[:3].sum()


def settle(critic: Critic, batch: Batch) -> torch.Tensor:
    for _ in range(3):
        critic.step(critic.estimate(batch))
    return parameters_of(critic.model)


def test_saved_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    batch = reward_batch([1.0, 0.0], lengths=[3, 5])
    critic = Critic(make_policy(), ValueSettings(lr=1e-2))
    settle(critic, batch)
    save_file(critic.state_tensors(), tmp_path / "value.safetensors")
    expected = settle(critic, batch)
    resumed = Critic(make_policy(), ValueSettings(lr=1e-2))
    tensors = load_file(tmp_path / "value.safetensors")
    resumed.load_tensors({**tensors, "optimizer/other": torch.zeros(1)})
    assert torch.equal(settle(resumed, batch), expected)
    # What was handed over is not shared: loading it again begins at the same place.
    resumed.load_tensors(tensors)
    assert torch.equal(settle(resumed, batch), expected)


def test_state_that_does_not_fit_is_refused() -> None:
    critic = Critic(make_policy(), ValueSettings())
    settle(critic, reward_batch([1.0, 0.0], lengths=[3, 5]))
    tensors = critic.state_tensors()
    with pytest.raises(CheckpointError, match=r"value/head\.weight: missing; allowed: \[1, 32\]"):
        critic.load_tensors({name: t for name, t in tensors.items() if name != "value/head.weight"})
    with pytest.raises(CheckpointError, match=r"value/head\.bias: \[2\]; allowed: \[1\]"):
        critic.load_tensors({**tensors, "value/head.bias": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"value_optimizer/adamw/no\.such/step: state of an unknown parameter"):
        critic.load_tensors({**tensors, "value_optimizer/adamw/no.such/step": torch.zeros(())})


def test_a_batch_without_rewards_is_refused() -> None:
    batch = dataclasses.replace(reward_batch([1.0], lengths=[3]), advantages_T=None)
    with pytest.raises(DataError, match="advantages_T=None; allowed: the reward"):
        Critic(make_policy(), ValueSettings()).estimate(batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": 1.1}, r"gamma=1\.1; allowed: from 0 to 1"),
        ({"gae_lambda": -0.1}, r"gae_lambda=-0\.1"),
        ({"lr": -1.0}, r"lr=-1\.0"),
        ({"lr": math.nan}, "lr=nan"),
        ({"value_max_change": 0.0}, r"value_max_change=0\.0; allowed: None or above 0"),
        ({"clip_norm": 0.0}, r"clip_norm=0\.0"),
        ({"micro_batch_tokens": 0}, "micro_batch_tokens=0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ValueSettings(**settings)


def test_the_clip_of_the_settings_reaches_the_loss() -> None:
    batch = reward_batch([1.0], lengths=[2])
    critic = Critic(make_policy(), ValueSettings(lr=0.0, value_max_change=0.25))
    estimate = critic.estimate(batch)
    # The values are 0 and were -1/2: they moved towards a return of 1, by more than a quarter.
    moved = Estimate(batch=estimate.batch, values_T=estimate.values_T - 0.5, returns_T=np.ones_like(estimate.returns_T))
    metrics = critic.step(moved)
    assert metrics["value_loss"] == pytest.approx(0.5 * 1.25**2, rel=1e-6)
    assert metrics["value_grad_norm"] == 0.0
