"""Episodes of several turns, and what happens when infrastructure, verifiers or judges break."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fulmen.envs import SingleTurn
from fulmen.envs.composite import Composite, Part
from fulmen.errors import ConfigError, DataError, JudgeError, RunError, SandboxError, TaskError
from fulmen.rollout import CollectSettings, Failure, FailureLimit, FailureWatch, Lockstep, Patience, sample_groups
from fulmen.rollout.collect import collect
from fulmen.types import (
    Attempt,
    Complete,
    Completion,
    Episode,
    Message,
    Request,
    Rollout,
    RolloutGroup,
    Sampling,
    Score,
    Split,
    StopReason,
    Task,
)

SAMPLING = Sampling(max_tokens=8)
AT_ONCE = Patience(retries=2, backoff_s=0.0)


def make_task(env: str, split: str, seed: int, index: int) -> Task:
    prompt = (Message(role="user", content=str(index)),)
    return Task(task_id=f"{env}-{split}-{seed}-{index}", env=env, prompt=prompt, gold="")


def completion(text: str, *, prompt: Sequence[int] = (0,)) -> Completion:
    return Completion(
        prompt_ids=np.array(prompt),
        token_ids=np.array([1, 2]),
        logprobs=np.zeros(2, np.float32),
        stop_reason="stop",
        message=Message(role="assistant", content=text),
    )


class Policy:
    """Answers a conversation of n messages with `n`, and notes the size of every batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.seeds: list[int] = []

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request."""
        self.batches.append(len(requests))
        self.seeds += [request.seed for request in requests]
        return [completion(str(len(request.messages))) for request in requests]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """Task i asks for i + 1 replies."""

    name: str = "talk"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its index."""
        return make_task(self.name, split, seed, index)

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the replies, with a pause of the environment's own between them."""
        messages, replies = list(task.prompt), []
        for turn in range(int(task.prompt[0].content) + 1):
            replies.append(await complete(attempt.request(task, messages, turn=turn)))
            messages += [replies[-1].message, Message(role="user", content="go on")]
            await asyncio.sleep(0.001)
        return Episode(completions=tuple(replies), messages=tuple(messages))

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the number of replies."""
        return Score(value=float(len(episode.completions)))


def test_turns_go_in_lockstep_and_each_has_noise_of_its_own() -> None:
    policy, env = Policy(), Talk()
    tasks = [env.task("train", seed=0, index=index) for index in (2, 0, 1)]
    groups = sample_groups(policy, env, tasks, 2, SAMPLING, seed=3)
    assert policy.batches == [6, 4, 2]
    assert [[r.score.value for r in group.rollouts] for group in groups] == [[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]]
    assert [c.message.content for c in groups[0].rollouts[1].completions] == ["1", "3", "5"]
    assert groups[0].rollouts[0].num_tokens == 6
    assert len(set(policy.seeds)) == 12
    # The noise of a turn does not depend on who else plays.
    alone = Policy()
    sample_groups(alone, env, tasks[:1], 1, SAMPLING, seed=3)
    assert alone.seeds == [policy.seeds[0], policy.seeds[6], policy.seeds[10]]


def test_episodes_run_inside_a_running_loop() -> None:
    async def notebook() -> list[RolloutGroup]:
        env = Talk()
        return sample_groups(Policy(), env, [env.task("train", seed=0, index=1)], 2, SAMPLING, seed=0)

    assert [r.score.value for r in asyncio.run(notebook())[0].rollouts] == [2.0, 2.0]

    def broken(requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None) -> list[Completion]:
        raise DataError("a prompt too long")

    async def failing() -> None:
        sample_groups(broken, Talk(), [Talk().task("train", seed=0, index=1)], 2, SAMPLING, seed=0)

    with pytest.raises(DataError, match="a prompt too long"):
        asyncio.run(failing())


def test_several_requests_of_one_episode_are_answered_together() -> None:
    policy = Policy()
    lockstep = Lockstep(policy)

    async def job() -> list[str]:
        request = Request(messages=(Message(role="user", content="x"),), sampling=SAMPLING, seed=0)
        try:
            found = await asyncio.gather(*(lockstep.complete(request) for _ in range(3)))
        finally:
            lockstep.leave()
        return [c.message.content for c in found]

    assert lockstep.run([job()]) == [["1", "1", "1"]]
    assert policy.batches == [3]


@dataclass(frozen=True, kw_only=True)
class Flaky(SingleTurn):
    """A verifier that raises `error` the first `times` times that a task is scored."""

    error: Exception | Score
    times: int
    name: str = "flaky"
    calls: dict[str, int] = field(default_factory=dict)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its index."""
        return make_task(self.name, split, seed, index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 in the end."""
        self.calls[task.task_id] = self.calls.get(task.task_id, 0) + 1
        if self.calls[task.task_id] > self.times:
            return Score(value=1.0)
        if isinstance(self.error, Score):
            return self.error
        raise self.error


ERRORS: list[tuple[Exception | Score, str]] = [
    (SandboxError("no room"), "invalid_infra"),
    (JudgeError("no grade"), "invalid_judge"),
    (ZeroDivisionError("a bug"), "invalid_verifier"),
    (TaskError("no gold"), "invalid_verifier"),
    (Score(value=None, status="invalid_judge", info="mumbles"), "invalid_judge"),
]


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=lambda value: type(value).__name__)
def test_what_breaks_is_tried_again_then_named_and_never_zero(error: Exception | Score, status: str) -> None:
    failures: list[Failure] = []

    def scores(times: int) -> list[tuple[float | None, str]]:
        env = Flaky(error=error, times=times)
        groups = sample_groups(
            Policy(), env, [env.task("train", seed=0, index=0)], 1, SAMPLING, seed=0,
            on_failure=failures.append, patience=AT_ONCE,
        )  # fmt: skip
        assert env.calls["flaky-train-0-0"] == min(times, 2) + 1
        return [(rollout.score.value, rollout.score.status) for rollout in groups[0].rollouts]

    assert scores(2) == [(1.0, "ok")]
    assert not failures
    assert scores(3) == [(None, status)]
    (failure,) = failures
    assert (failure.status, failure.attempt, failure.reply) == (status, 0, "1")
    assert (str(error) if isinstance(error, Exception) else "mumbles") in failure.error
    assert Task.from_json(failure.to_json()["task"]) == failure.task


@dataclass(frozen=True, kw_only=True)
class Collapsing(Talk):
    """Every other attempt's tool machine is gone."""

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns an episode, or raises."""
        if attempt.index % 2:
            raise SandboxError("the machine is gone")
        return await super().rollout(task, complete, attempt)


def test_an_episode_that_cannot_be_played_is_counted_and_the_others_go_on() -> None:
    failures: list[Failure] = []
    env, policy = Collapsing(), Policy()
    tasks = [env.task("train", seed=0, index=index) for index in range(2)]
    groups = sample_groups(policy, env, tasks, 4, SAMPLING, seed=0, on_failure=failures.append, patience=AT_ONCE)
    assert [(len(group.rollouts), group.num_lost, group.num_valid) for group in groups] == [(2, 2, 2), (2, 2, 2)]
    assert policy.batches == [4, 2]
    assert [(f.task.task_id, f.attempt, f.status) for f in failures] == [
        (task.task_id, index, "invalid_infra") for task in tasks for index in (1, 3)
    ]
    watch = FailureWatch(FailureLimit(max_frac=0.5, window=8))
    watch.add(groups)
    assert watch.counts == {"ok": 4, "talk/lost": 4}


def test_an_error_of_the_policy_is_not_the_environments() -> None:
    def broken(requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None) -> list[Completion]:
        raise DataError("a prompt too long")

    env = Talk()
    with pytest.raises(DataError, match="a prompt too long"):
        sample_groups(broken, env, [env.task("train", seed=0, index=1)], 3, SAMPLING, seed=0)


def test_groups_with_too_few_scores_are_replaced() -> None:
    env = Flaky(error=SandboxError("gone"), times=9)
    env.calls["flaky-train-0-1"] = env.calls["flaky-train-0-3"] = 100
    found = collect(
        Policy(), env, CollectSettings(num_groups=2, group_size=3, patience=AT_ONCE), sampling=SAMPLING, seed=0,
        cursor=0, keep=lambda group: True,
    )  # fmt: skip
    # Nine failures are three attempts of three trials each.
    assert [group.task.task_id for group in found.groups] == ["flaky-train-0-1", "flaky-train-0-3"]
    assert [group.num_valid for group in found.sampled] == [0, 3, 0, 3]


def test_a_run_stops_when_too_much_is_broken() -> None:
    def group(num_valid: int, status: str | None = None) -> RolloutGroup:
        task = make_task("e", "train", 0, 0)
        valid = [Score(value=0.0)] * num_valid
        invalid: list[Any] = [Score(value=None, status=status)] if status else []
        rollouts = tuple(Rollout(task=task, completion=completion(""), score=score) for score in (*valid, *invalid))
        return RolloutGroup(task=task, rollouts=rollouts)

    watch = FailureWatch(FailureLimit(max_frac=0.1, window=20))
    watch.add([group(17, "invalid_judge"), group(1, "invalid_judge")])
    with pytest.raises(
        RunError, match="3 of the last 20 attempts have no score, 3 of them e/invalid_judge; allowed: 10%"
    ):
        watch.add([group(0, "invalid_judge")])
    watch = FailureWatch(FailureLimit(max_frac=0.0, window=20))
    watch.add([group(18, "invalid_infra")])
    with pytest.raises(RunError, match="allowed: 0%"):
        watch.add([group(1)])
    # What is further back than the window is forgotten.
    watch = FailureWatch(FailureLimit(max_frac=0.0, window=20))
    watch._last.extend(["ok"] * 5)
    watch.add([group(20)])


@pytest.mark.parametrize("bad", [{"retries": -1}, {"backoff_s": -0.1}])
def test_patience_is_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="allowed: 0 or more"):
        Patience(**bad)  # type: ignore[arg-type]


def test_a_composite_is_the_weighted_mean_times_its_gates() -> None:
    def grade(value: float | None, status: Any = "ok") -> Callable[[Task, Episode], Score]:
        return lambda task, episode: Score(value=value, status=status, info="said")

    async def later(task: Task, episode: Episode) -> Score:
        return Score(value=0.25)

    def score(*parts: Part, weight: float = 1.0) -> Score:
        env = Composite(env=Flaky(error=ValueError(), times=0), parts=parts, env_weight=weight)
        task = env.task("train", seed=0, index=0)
        return asyncio.run(env.score(task, Episode(completions=(completion("x"),))))

    assert score(Part(name="half", grade=grade(0.5), weight=3.0)).value == (1.0 + 3 * 0.5) / 4
    assert score(Part(name="half", grade=grade(0.5), weight=3.0)).parts == {"flaky": (1.0, 1.0), "half": (0.5, 3.0)}
    assert score(Part(name="later", grade=later), weight=3.0).value == (3 + 0.25) / 4
    assert score(Part(name="form", grade=grade(0.0), is_gate=True)).value == 0.0
    assert score(Part(name="half", grade=grade(0.5), is_gate=True), Part(name="nil", grade=grade(0.0))).value == 0.25
    invalid = score(Part(name="judge", grade=grade(None, "invalid_judge"), is_gate=True))
    assert (invalid.value, invalid.status, invalid.info) == (None, "invalid_judge", "judge: said")
    with pytest.raises(ConfigError, match="each name once"):
        score(Part(name="flaky", grade=grade(0.5)))
    with pytest.raises(ConfigError, match=r"weight of half: 0.0; allowed: above 0"):
        score(Part(name="half", grade=grade(0.5), weight=0.0))
