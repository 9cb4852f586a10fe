"""The loop at toy size: the same twice, the same when it is broken off, and only JSON between two steps."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fulmen.envs import Mixture, SingleTurn
from fulmen.errors import ConfigError
from fulmen.rl import Learner, cispo
from fulmen.rl.curriculum import Curriculum, sources_of
from fulmen.rl.loop import Hooks, Loop, LoopSettings, Step, sampling_metrics
from fulmen.rollout import Collected
from fulmen.serve import Engine
from fulmen.train import AdamW, Trainer
from fulmen.types import Message, RolloutGroup, Score, StopReason, Task
from tests.rl.examples import TOKENIZER, Lengths, make_rollout, make_task
from tests.train.examples import parameters_of, tiny_model

SETTINGS = LoopSettings(
    num_steps=3, num_groups=3, group_size=3, num_updates=2, max_rounds=2, window=6, lr=1e-2, warmup_steps=0
)
TIMES = ("rollout_s", "learn_s", "tokens_per_s", "learner_tokens_per_s")


def make_loop(
    settings: LoopSettings = SETTINGS, env: SingleTurn | None = None, *, hooks: Hooks | None = None, seed: int = 0
) -> Loop:
    model = tiny_model(vocab_size=TOKENIZER.vocab_size)
    trainer = Trainer(model, AdamW(model.parameters(), lr=settings.lr), clip_norm=settings.clip_norm)
    learner = Learner(trainer=trainer, loss=cispo, num_updates=settings.num_updates)
    engine = Engine(model, TOKENIZER, num_slots=5)
    curriculum = Curriculum(sources_of(Mixture([env or Lengths()])))
    return Loop(engine, curriculum, lambda stage: learner, settings=settings, seed=seed, hooks=hooks)


def run(loop: Loop) -> list[Step]:
    steps = []
    while not loop.is_done:
        steps.append(loop.step())
    return steps


def numbers(steps: list[Step]) -> list[str]:
    """Returns the metrics, to the last bit, without what a clock says."""
    return [json.dumps({name: value for name, value in step.metrics.items() if name not in TIMES}) for step in steps]


def weights(loop: Loop) -> Tensor:
    return parameters_of(loop.engine.model)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[Loop, list[Step]]:
    loop = make_loop()
    steps = run(loop)
    assert all(step.update is not None for step in steps), "no update: the tests would prove nothing"
    return loop, steps


def test_the_same_seed_gives_the_same_bits_and_another_does_not(undisturbed: tuple[Loop, list[Step]]) -> None:
    loop, steps = undisturbed
    again = make_loop(dataclasses.replace(SETTINGS, releases_cache=True))
    assert numbers(run(again)) == numbers(steps)
    assert torch.equal(weights(again), weights(loop))
    assert again.state() == loop.state()
    other = make_loop(seed=1).step()
    assert numbers([other]) != numbers(steps[:1])


def test_a_loop_goes_on_from_weights_optimizer_and_a_json_record(undisturbed: tuple[Loop, list[Step]]) -> None:
    loop, steps = undisturbed
    first = make_loop()
    first.step()
    record = json.loads(json.dumps(first.state()))
    second = make_loop()
    own, its = (loop.learner_at(loop.windows.stage).trainer for loop in (second, first))
    own.model.load_state_dict(its.model.state_dict())
    own.optimizer.load_state_dict(its.optimizer.state_dict())
    second.load(record)
    assert (second.num_done, second.is_done) == (1, False)
    assert numbers(run(second)) == numbers(steps[1:])
    assert torch.equal(weights(second), weights(loop))


def test_a_step_that_is_broken_off_has_not_happened(undisturbed: tuple[Loop, list[Step]]) -> None:
    loop, steps = undisturbed
    heard: list[int] = []

    def stop_at_four(num_tokens: int) -> None:
        heard.append(num_tokens)
        if len(heard) == 4:
            raise KeyboardInterrupt

    done: list[tuple[int, int]] = []
    broken = make_loop(hooks=Hooks(on_finish=stop_at_four, on_update=lambda i, n: done.append((i, n))))
    before, state = weights(broken), broken.state()
    with pytest.raises(KeyboardInterrupt):
        broken.step()
    assert torch.equal(weights(broken), before)
    assert broken.state() == state
    assert done == []
    assert numbers(run(broken)) == numbers(steps)
    assert torch.equal(weights(broken), weights(loop))
    assert done == [(1, 2), (2, 2)] * 3


def test_rollouts_carry_the_version_of_the_weights_and_tasks_follow_each_other(
    undisturbed: tuple[Loop, list[Step]],
) -> None:
    loop, steps = undisturbed
    versions = [{r.completion.policy_version for g in step.sampled for r in g.rollouts} for step in steps]
    assert versions == [{0}, {2}, {4}]
    assert loop.state()["policy_version"] == 6
    indices = [int(group.task.task_id.rsplit("-", 1)[1]) for step in steps for group in step.sampled]
    assert indices == list(range(loop.state()["tasks"]))


@dataclass(frozen=True, kw_only=True)
class AlwaysRight(Lengths):
    """Every answer is right."""

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1."""
        return Score(value=1.0)


def test_without_an_informative_group_nothing_is_learnt_and_the_loop_goes_on() -> None:
    loop = make_loop(env=AlwaysRight())
    before = weights(loop)
    step = loop.step()
    assert step.update is None
    assert torch.equal(weights(loop), before)
    assert (step.metrics["reward"], step.metrics["accept_frac"], step.metrics["num_groups"]) == (1.0, 0.0, 0)
    # Two rounds of three, then an estimate of 0.7 x 1 + 0.3 x 0.
    own = {name: loop.state()[name] for name in ("step", "tasks", "keep_frac", "policy_version")}
    assert own == {"step": 1, "tasks": 6, "keep_frac": 0.7, "policy_version": 0}
    assert loop.expected_completions == 3 * 5


def test_masked_truncations_do_not_make_a_group_informative() -> None:
    settings = dataclasses.replace(SETTINGS, window=1, num_groups=6, num_updates=1, group_size=6, max_rounds=1)
    masked = make_loop(dataclasses.replace(settings, truncated="mask"))
    assert make_loop(settings).step().update is not None
    # Completions of one token end in an end token (no text), or are cut off.
    assert masked.step().update is None


def test_metrics_of_a_generation_batch_by_hand() -> None:
    cut = make_rollout(0.5, token_ids=range(10))
    cut = dataclasses.replace(cut, completion=dataclasses.replace(cut.completion, stop_reason="length"))
    groups = [
        RolloutGroup(task=make_task("a"), rollouts=(make_rollout(1.0), make_rollout(0.0), make_rollout(None))),
        RolloutGroup(task=make_task("b"), rollouts=(cut,), num_lost=2),
    ]
    found = sampling_metrics(Collected(groups=groups[:1], sampled=groups, cursor=2, num_kept=1), group_size=3)
    expected = {
        "reward": 0.5, "reward/fake": 0.5, "length_mean": (3 + 3 + 3 + 10) / 4, "truncated_frac": 0.25,
        "staleness_mean": 0.0, "accept_frac": 0.5, "num_groups": 1, "invalid_frac": 0.5, "num_sampled_tokens": 19,
        "length_p99": np.quantile([3, 3, 3, 10], 0.99),
    }  # fmt: skip
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"group_size": 1}, "group_size=1; allowed: at least 2"),
        ({"num_updates": 4}, "num_updates=4; allowed: at most num_groups=3"),
        ({"repetition_p": 1.5}, "repetition_p=1.5; allowed: 0 to 1"),
        ({"clip_norm": 0.0}, "clip_norm=0.0; allowed: above 0"),
        ({"max_staleness": -1}, "max_staleness=-1; allowed: at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        dataclasses.replace(SETTINGS, **settings)
