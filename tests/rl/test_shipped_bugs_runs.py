"""Bugs of runs that others shipped, R14 to R18: each has a test that sees it.

Losses (R1 to R12) have theirs beside them. Of these five, part is seen elsewhere:
R14 `tests/train/test_trainer.py::test_dtypes_are_unchanged_by_rollouts_and_steps`; R15 `tests/recipes/test_kills.py`;
R16 `tests/serve/test_batching.py::test_new_weights_are_seen_at_once_and_drop_what_was_cached`;
R17 `tests/rollout/test_collect.py::test_each_completion_meets_its_own_request_whatever_ends_first`;
R18 `tests/rewards/test_math_checker.py::test_works_in_threads` and `tests/rollout/test_hangs.py`.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from fulmen.errors import SandboxError, VerifierError
from fulmen.model import Model
from fulmen.rewards.worker import WorkerError, WorkerPool
from fulmen.rl import Learner, cispo, group_advantages
from fulmen.rollout import Patience, sample_groups
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer
from fulmen.train.state import load_training, save_training
from fulmen.types import (
    Attempt,
    Complete,
    Completion,
    Episode,
    Message,
    Request,
    RolloutGroup,
    Sampling,
    Score,
    Split,
    Task,
)
from tests.rl.examples import make_group
from tests.train.examples import document_logprobs, tiny_model

TOKENIZER = Tokenizer.train(["1 2"], vocab_size=270)
AT_ONCE = Patience(retries=0, backoff_s=0.0)


def make_learner(model: Model, *, num_updates: int = 2) -> Learner:
    trainer = Trainer(model, AdamW(model.parameters(), lr=1e-2), vocab_size=TOKENIZER.vocab_size)
    return Learner(trainer=trainer, loss=cispo, num_updates=num_updates)


def ask(seed: int) -> Request:
    return Request(messages=(Message(role="user", content="1 2"),), sampling=Sampling(max_tokens=6), seed=seed)


GROUPS = [make_group([1.0, 0.0], lengths=[2, 6]), make_group([1.0, 0.0, 0.0], lengths=[3, 7, 5])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_r14_weights_masters_and_moments_keep_their_dtypes_over_rollouts_updates_and_resume(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    def dtypes(trainer: Trainer) -> set[str]:
        states = {
            f"{name}: {value.dtype}" for state in trainer.optimizer.state.values() for name, value in state.items()
        }
        return states | {f"weight: {p.dtype}" for p in trainer.model.parameters()}

    learner = make_learner(tiny_model(dtype))
    engine = Engine(learner.trainer.model, TOKENIZER, num_slots=2)
    wide = {f"{name}: torch.float32" for name in ("step", "exp_avg", "exp_avg_sq")}
    for version in range(2):
        engine([ask(version)])
        learner.update(GROUPS, lr=1e-2)
        engine.policy_version += 2
        assert dtypes(learner.trainer) == wide | {f"weight: {dtype}"}
    save_training(tmp_path / "rl-000002", learner.trainer, tokenizer=TOKENIZER, cursor={})
    resumed = make_learner(tiny_model(dtype))
    load_training(tmp_path / "rl-000002", resumed.trainer)
    assert dtypes(resumed.trainer) == wide | {f"weight: {dtype}"}
    # And with the same numbers: a master rounded to bfloat16 would move elsewhere.
    for each in (learner, resumed):
        each.update(GROUPS, lr=1e-2)
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(learner.trainer.optimizer.trained(), resumed.trainer.optimizer.trained(), strict=True)
    )


@pytest.mark.parametrize("releases", [False, True])
def test_r16_sampled_log_probabilities_are_those_of_a_fresh_forward_after_each_update(releases: bool) -> None:
    learner = make_learner(tiny_model(torch.float64, vocab_size=TOKENIZER.vocab_size))
    model = learner.trainer.model
    engine = Engine(model, TOKENIZER, num_slots=2)
    heads: list[torch.Tensor] = []
    for version in range(3):
        (completion,) = engine([ask(0)])
        tokens = np.concatenate([completion.prompt_ids, completion.token_ids])
        fresh = document_logprobs(model, tokens)[len(completion.prompt_ids) - 1 :].detach().numpy()
        np.testing.assert_allclose(completion.logprobs, fresh, atol=1e-6)
        assert completion.policy_version == 2 * version
        heads.append(model.lm_head.weight.detach().clone())
        if releases:
            engine.release()
        engine.policy_version += learner.update(GROUPS, lr=1e-2).num_updates
    # A stale copy of the head would be off by far more than the tolerance.
    assert (heads[1] - heads[0]).abs().max() > 1e-3


@dataclass(frozen=True, kw_only=True)
class Telling:
    """The score of an attempt is its first token; some attempts break: played (`lost`) or scored (`unscored`)."""

    lost: frozenset[tuple[str, int]] = frozenset()
    unscored: frozenset[tuple[str, int]] = frozenset()
    name: str = "telling"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its index."""
        prompt = (Message(role="user", content=str(index)),)
        return Task(task_id=f"{index}", env=self.name, prompt=prompt, gold="")

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the episode of one reply; attempts end in another order than they began in."""
        if (task.task_id, attempt.index) in self.lost:
            raise SandboxError("gone")
        reply = await complete(attempt.request(task, task.prompt))
        await asyncio.sleep(0.002 * ((7 * attempt.index) % 4))
        return Episode(completions=(reply,), state={"attempt": attempt.index})

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the first token, or raises."""
        await asyncio.sleep(0.002 * ((5 * int(episode.state["attempt"])) % 4))
        if (task.task_id, int(episode.state["attempt"])) in self.unscored:
            raise VerifierError("no extraction")
        return Score(value=float(episode.completions[0].token_ids[0]))


def number(requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None) -> list[Completion]:
    """Answers each request with a token of its own."""
    return [
        Completion(
            prompt_ids=np.array([1]),
            token_ids=np.array([request.seed % 250]),
            logprobs=np.full(1, -1.0, np.float32),
            stop_reason="stop",
            message=Message(role="assistant", content=""),
        )
        for request in requests
    ]


def test_r17_a_failing_attempt_shifts_no_other_ones_reward() -> None:
    lost, unscored = frozenset({("0", 1), ("2", 0)}), frozenset({("0", 2), ("1", 0)})
    env = Telling(lost=lost, unscored=unscored)
    tasks = [env.task("train", seed=0, index=index) for index in range(3)]
    groups = sample_groups(number, env, tasks, 4, Sampling(max_tokens=1), seed=3, patience=AT_ONCE)
    assert [[r.score.is_valid for r in group.rollouts] for group in groups] == [
        [True, False, True], [False, True, True, True], [True, True, True],
    ]  # fmt: skip
    for group in groups:
        attempts = [index for index in range(4) if (group.task.task_id, index) not in lost]
        for index, rollout in zip(attempts, group.rollouts, strict=True):
            (token,) = rollout.completion.token_ids
            request = Attempt(sampling=Sampling(), seed=3, index=index).request(group.task, group.task.prompt)
            assert token == request.seed % 250
            assert rollout.score.value in (None, token)
    assert_trained_as_scored(groups)


def assert_trained_as_scored(groups: Sequence[RolloutGroup]) -> None:
    """Each token is trained with the advantage of its own score, and those without a score are not trained."""
    update = make_learner(tiny_model(torch.float64)).update(groups, lr=1e-2)
    scores = [[r.score.value for r in group.rollouts if r.score.value is not None] for group in groups]
    expected = {int(score): a for own in scores for score, a in zip(own, group_advantages(own), strict=True)}
    found = dict(zip(update.tokens["target_ids"].tolist(), update.tokens["advantage"].tolist(), strict=True))
    assert len(found) == sum(map(len, scores)), "the tokens of this test are distinct"
    assert found == pytest.approx(expected, rel=1e-6)


@dataclass(frozen=True, kw_only=True)
class Verified(Telling):
    """Scores in a worker process, which hangs for attempt 1 of task 1."""

    pool: WorkerPool

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the first token, by way of the worker."""
        token, here = int(episode.completions[0].token_ids[0]), "tests.rewards.worker_functions"
        hangs = (task.task_id, episode.state["attempt"]) == ("1", 1)
        name, argument, timeout_s = ("sleep", 3600, 0.3) if hangs else ("echo", token, 30.0)
        try:
            found = await asyncio.to_thread(self.pool.call, f"{here}:{name}", argument, timeout_s=timeout_s)
        except WorkerError as error:
            raise VerifierError(str(error)) from error
        return Score(value=float(found))


def test_r18_scores_off_the_main_thread_are_right_and_one_hanging_answer_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, project_root: Path
) -> None:
    monkeypatch.syspath_prepend(str(project_root))
    groups: list[RolloutGroup] = []
    with WorkerPool(num_workers=2) as pool:
        env = Verified(pool=pool)
        tasks = [env.task("train", seed=0, index=index) for index in range(3)]

        def work() -> None:
            groups.extend(sample_groups(number, env, tasks, 3, Sampling(max_tokens=1), seed=0, patience=AT_ONCE))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(60.0)
        assert not thread.is_alive()
    values = [[r.score.value for r in group.rollouts] for group in groups]
    tokens = [[float(r.completion.token_ids[0]) for r in group.rollouts] for group in groups]
    failed = groups[1].rollouts[1].score
    assert (failed.value, failed.status) == (None, "invalid_verifier")
    tokens[1][1] = None  # type: ignore[call-overload]
    assert values == tokens
