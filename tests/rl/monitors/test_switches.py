"""Each of the report's stability measures, on and off, as its monitor sees it: real engine, trainer and optimizer."""

import functools
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.envs import Mixture, SingleTurn
from fulmen.errors import RunPaused
from fulmen.kernels.logprob import head_logits
from fulmen.model import Model
from fulmen.rl import LengthPenalty, cispo, group_advantages, rl_batch
from fulmen.rl.monitors import Monitors, MonitorSettings, token_table
from fulmen.rl.monitors.lengths import length_metrics
from fulmen.rl.monitors.mismatch import mismatch_metrics
from fulmen.rl.monitors.positions import position_metrics
from fulmen.rl.monitors.ratios import ratio_metrics
from fulmen.rl.monitors.sampling import sampling_metrics
from fulmen.rollout import sample_groups
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Loss, Trainer
from fulmen.train.gradients import gradient_magnitudes
from fulmen.types import Message, RolloutGroup, Sampling, Score, Split, StopReason, Task
from tests.rl.examples import make_group
from tests.rl.monitors.examples import FakeUpdate
from tests.train.examples import tiny_model

TOKENIZER = Tokenizer.train(["0 1 2 3"], vocab_size=270)


@dataclass(frozen=True, kw_only=True)
class Parity(SingleTurn):
    """Answers of an odd number of characters are right."""

    name: str = "parity"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the index as a prompt."""
        prompt = (Message(role="user", content=str(index)),)
        return Task(task_id=f"{self.name}-{split}-{seed}-{index}", env=self.name, prompt=prompt, gold="")

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1 for an odd length."""
        text = answer if isinstance(answer, str) else answer.content
        return Score(value=float(len(text) % 2))

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Never asked for."""
        raise AssertionError


def sampled_groups(model: Model, sampling: Sampling, *, num_groups: int = 4) -> list[RolloutGroup]:
    env = Mixture([Parity()])
    tasks = [env.task("train", seed=0, index=index) for index in range(num_groups)]
    return sample_groups(Engine(model, TOKENIZER, num_slots=16), env, tasks, 4, sampling, seed=3)


def learn(
    model: Model,
    groups: Sequence[RolloutGroup],
    *,
    loss: Loss = cispo,
    penalty: LengthPenalty | None = None,
    lr: float = 0.0,
) -> FakeUpdate:
    """Returns what one optimizer step on these groups looked like."""
    trainer = Trainer(model, AdamW(model.parameters(), lr=lr), vocab_size=TOKENIZER.vocab_size)

    def reward(value: float | None, num_tokens: int) -> float | None:
        return value if value is None or penalty is None else value + penalty(num_tokens)

    advantages = [group_advantages([reward(r.score.value, r.num_tokens) for r in group.rollouts]) for group in groups]
    batch = rl_batch(groups, advantages)
    tokens = token_table([batch], [trainer.step(batch, loss)])
    return FakeUpdate(tokens=tokens, sampler_logprobs=tokens["old_logprobs"], learner_logprobs=tokens["logprobs"])


def sharp_model() -> Model:
    """Returns a bfloat16 model whose logits are large, as the report found them at the head."""
    model = tiny_model(torch.float32, vocab_size=TOKENIZER.vocab_size)
    with torch.no_grad():
        model.embed_tokens.weight.mul_(30.0)
        model.lm_head.weight.mul_(60.0)
    return model.to(torch.bfloat16)


def rounded_logits(model: Model, hidden: Tensor) -> Tensor:
    """Returns the logits of a head whose output is bfloat16."""
    return head_logits(hidden, model.lm_head.weight).bfloat16().float()


def test_the_fp32_head_raises_the_correlation_of_sampler_and_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for head in ("float32", "bfloat16"):
        model = sharp_model()
        if head == "bfloat16":
            monkeypatch.setattr(Model, "logits", rounded_logits)
        update = learn(model, sampled_groups(model, Sampling(max_tokens=12), num_groups=4))
        assert len(update.sampler_logprobs) > 60
        found[head] = mismatch_metrics(update.tokens["target_ids"], update.sampler_logprobs, update.learner_logprobs)
    on, off = found["float32"], found["bfloat16"]
    assert on["logprob_pearson"] > 1 - 0.3 * (1 - off["logprob_pearson"])  # type: ignore[operator]
    for name in ("logprob_abs_diff_mean", "logprob_abs_diff_max"):
        assert on[name] < 0.5 * off[name]  # type: ignore[operator]
    assert on["logprob_kl_k3"] < 0.3 * off["logprob_kl_k3"]  # type: ignore[operator]


def certain_model() -> Model:
    """Returns a model that always says "0", with probability almost 1."""
    model = tiny_model(torch.float32, vocab_size=TOKENIZER.vocab_size)
    with torch.no_grad():
        model.embed_tokens.weight[:, 0] = 100.0
        for block in model.blocks():
            block.self_attn.init_weights(0.0, torch.Generator())
            block.block_sparse_moe.experts.w2.zero_()
        model.lm_head.weight.zero_()
        model.lm_head.weight[TOKENIZER.encode("0")[0], 0] = 20.0
    return model


def test_the_repetition_halt_ends_loops_and_is_counted() -> None:
    model = certain_model()
    halted, unhalted = (
        sampled_groups(model, Sampling(max_tokens=12, repetition_window=window), num_groups=1) for window in (4, 13)
    )
    on, off = (sampling_metrics(groups, num_trained_tokens=0) for groups in (halted, unhalted))
    assert (on["halted_frac"], off["halted_frac"]) == (1.0, 0.0)
    assert (on["num_discarded_tokens"], off["num_discarded_tokens"]) == (4 * 4, 4 * 12)
    monitors = Monitors(MonitorSettings(patience=2, ema_decay=0.0))
    monitors.observe(0, unhalted, None)
    monitors.observe(1, halted, None)
    with pytest.raises(RunPaused, match=r"paused at step 2: halted_frac_ema=1, above .*the policy loops"):
        monitors.observe(2, halted, None)


def test_the_gradient_clip_lowers_the_norm_that_is_applied_and_the_magnitudes_with_it() -> None:
    applied, reported, medians = [], [], []
    groups = [make_group([1.0, 0.0], lengths=[5, 9])]
    batch = rl_batch(groups, [[1.0, -1.0]])
    for clip_norm in (math.inf, 1e-3):
        model = tiny_model()
        optimizer = AdamW(model.parameters(), lr=1e-3)

        def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            applied.append(math.sqrt(sum(float((g**2).sum()) for g in gradients)))
            medians.append(gradient_magnitudes(gradients, eps=1e-15).metrics()["grad_log10_q50"])

        optimizer.register_step_pre_hook(look)
        reported.append(Trainer(model, optimizer, clip_norm=clip_norm).step(batch, cispo).metrics["grad_norm"])
    # The metric is the norm before the clip: it shows what the clip took away.
    assert reported[0] == pytest.approx(reported[1], rel=1e-9)
    assert applied[0] == pytest.approx(reported[0], rel=1e-6)
    assert applied[0] > 1e-2
    assert applied[1] == pytest.approx(1e-3, rel=1e-4)
    assert medians[1] - medians[0] == pytest.approx(math.log10(1e-3 / reported[0]), abs=0.1)


def test_the_overlong_penalty_takes_the_advantage_of_long_completions() -> None:
    # Right ones are long here; only those beyond 24 of 30 tokens are punished.
    group = make_group([1.0, 1.0, 0.0, 0.0], lengths=[29, 12, 12, 12])
    updates = [learn(tiny_model(), [group], penalty=p) for p in (None, LengthPenalty(window=30))]
    plain, shaped = ([u.tokens["advantage"][u.tokens["document"] == i][0] for i in range(4)] for u in updates)
    assert plain == pytest.approx([1, 1, -1, -1], rel=1e-4)
    assert shaped[0] < 0.1
    assert shaped[1] > plain[1]
    late = [position_metrics(u.tokens, min_length=10)["late_net_negative"] for u in updates]
    assert late[0] < -0.05  # type: ignore[operator]
    assert late[1] > 0.0  # type: ignore[operator]
    # Signs of lengths are the verifier's, with the penalty and without.
    assert length_metrics([group])["length_mean_pos"] == 20.5


def test_a_lower_cap_on_the_weight_lowers_the_mass_where_ratios_grew() -> None:
    """The report's third cure: eps_high^IS, here its absolute cap, decreased at later stages."""
    groups = [make_group([1.0, 0.0], lengths=[10, 40])]
    late, capped = [], []
    for weight_max in (5.0, 2.0):
        tokens = learn(tiny_model(), groups, loss=functools.partial(cispo, weight_max=weight_max)).tokens
        # By hand as well: the ratio of these tokens is far below 1, so that of the late ones is made large.
        grown = tokens | {"log_ratio": np.where(tokens["position"] >= 30, 3.0, 0.0).astype(np.float32)}
        output = cispo(
            torch.from_numpy(grown["log_ratio"])[None], torch.zeros(1, 50),
            torch.from_numpy(grown["advantage"])[None], torch.ones(1, 50, dtype=torch.bool),
            token_weights_B_T=torch.from_numpy(grown["token_weight"])[None], weight_max=weight_max,
        )  # fmt: skip
        grown |= {name: values[0].numpy() for name, values in output.tokens.items()}
        late.append(position_metrics(grown, min_length=10)["late_mass_neg"])
        capped.append(ratio_metrics(grown, clip_min=0.8, clip_max=1.2))
    assert late[0] == pytest.approx(10 * 5.0 / 50, rel=1e-4)
    assert late[1] == pytest.approx(10 * 2.0 / 50, rel=1e-4)
    assert [(c["capped_frac_pos"], c["capped_frac_neg"]) for c in capped] == [(0.0, 0.25)] * 2


def test_a_real_step_has_all_metrics_and_none_that_json_cannot_hold() -> None:
    model = tiny_model(torch.float32, vocab_size=TOKENIZER.vocab_size)
    groups = sampled_groups(model, Sampling(max_tokens=14), num_groups=3)
    update = learn(model, groups, lr=1e-3)
    metrics = Monitors(MonitorSettings(min_length=10)).observe(0, groups, update)
    assert json.loads(json.dumps(metrics)).keys() == metrics.keys()
    for name in ("logprob_pearson", "late_net_negative", "tail_perplexity_ratio", "entropy", "length_reward_corr"):
        assert math.isfinite(metrics[name]), name  # type: ignore[arg-type]
    assert metrics["logprob_pearson"] == pytest.approx(1.0, abs=1e-4)
    # A random model's entropy and perplexity are near those of its vocabulary, all along.
    np.testing.assert_allclose(metrics["decile_perplexity"], TOKENIZER.vocab_size, rtol=0.3)
    np.testing.assert_allclose(metrics["decile_entropy"], math.log(TOKENIZER.vocab_size), rtol=0.1)
    assert metrics["discarded_frac"] == 0.0
