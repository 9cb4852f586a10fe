"""Verifiers that hang, workers that die, tools that never answer, engines that fail: named, replaced, never trained."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fulmen.errors import ConfigError, RunError, VerifierError
from fulmen.rewards.worker import WorkerError, WorkerPool
from fulmen.rollout import Collected, CollectSettings, Failure, FailureLimit, FailureWatch, Patience, collect
from fulmen.types import Attempt, Complete, Completion, Episode, Message, Request, Sampling, Score, Split, Task

HERE = "tests.rewards.worker_functions"
Trouble = Literal[
    "none", "hanging verifier", "dead worker", "endless tool", "endless score", "stubborn tool", "engine error"
]


@dataclass(frozen=True, kw_only=True)
class Troubled:
    """A task of two turns; every second one (by index) meets trouble. Attempt k of the others scores k."""

    trouble: Trouble
    pool: WorkerPool | None = None
    tool_s: float = 0.0
    score_s: float = 0.0
    name: str = "troubled"

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task that asks for its index."""
        prompt = (Message(role="user", content=str(index)),)
        return Task(task_id=f"{self.name}-{index}", env=self.name, prompt=prompt, gold="")

    def meets(self, task: Task, trouble: Trouble) -> bool:
        """Returns whether a task is one of those with trouble, and of this kind."""
        return self.trouble == trouble and int(task.prompt[0].content) % 2 == 1

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the last of two completions."""
        first = await complete(attempt.request(task, task.prompt))
        await asyncio.sleep(self.tool_s)
        while self.meets(task, "endless tool") or self.meets(task, "stubborn tool"):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if self.trouble == "stubborn tool":
                    raise OSError("the connection was lost while it was closed") from None
                raise
        last = await complete(attempt.request(task, [*task.prompt, first.message], turn=1))
        return Episode(completions=(first, last), state={"attempt": attempt.index})

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the attempt's number, from a worker where there is a pool."""
        await asyncio.sleep(3600 if self.meets(task, "endless score") else self.score_s)
        number = float(episode.state["attempt"])
        if self.pool is None:
            return Score(value=number)
        function, argument = "echo", number
        if self.meets(task, "hanging verifier"):
            function, argument = "sleep", 3600.0
        try:
            if self.meets(task, "dead worker"):
                await asyncio.to_thread(self.pool.call, f"{HERE}:kill_itself", timeout_s=30.0)
            timeout_s = 0.15 if function == "sleep" else 30.0
            found = await asyncio.to_thread(self.pool.call, f"{HERE}:{function}", argument, timeout_s=timeout_s)
        except WorkerError as error:
            raise VerifierError(str(error)) from error
        return Score(value=found)


class Policy:
    """Answers after `generate_s`; fails at the first turn of every second task where it is told to."""

    def __init__(self, *, generate_s: float = 0.0, fails: bool = False) -> None:
        self.generate_s, self.fails = generate_s, fails

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request."""
        time.sleep(self.generate_s)
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Completion:
        """Returns a completion of two tokens, or what an engine says of one that it could not give."""
        is_bad = self.fails and int(request.messages[0].content) % 2 == 1
        return Completion(
            prompt_ids=np.array([0]),
            token_ids=np.array([1, 2]),
            logprobs=np.zeros(2, np.float32),
            stop_reason="error" if is_bad else "stop",
            error="the model's logits are not finite" if is_bad else "",
            message=Message(role="assistant", content="x"),
        )


@pytest.fixture(scope="module")
def pool(project_root: Path) -> Iterator[WorkerPool]:
    with pytest.MonkeyPatch.context() as patch, WorkerPool(num_workers=2) as made:
        patch.syspath_prepend(str(project_root))
        made.warm_up(f"{HERE}:echo")
        made.warm_up(f"{HERE}:sleep")
        yield made


def collected(
    env: Troubled, policy: Policy, *, limit_s: float = 60.0, failures: list[Failure] | None = None
) -> Collected:
    return collect(
        policy, env,
        CollectSettings(num_groups=2, group_size=2, patience=Patience(retries=1, backoff_s=0.0, limit_s=limit_s)),
        sampling=Sampling(max_tokens=2), seed=0, cursor=0, keep=lambda group: True,
        on_failure=None if failures is None else failures.append,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("trouble", "status", "says", "num_lost"),
    [
        ("hanging verifier", "invalid_verifier", "VerifierError: .*no result within 0.15 s", 0),
        ("dead worker", "invalid_verifier", "VerifierError: .*ended with -9", 0),
        ("endless score", "invalid_verifier", "took more than 0.3 s of its own", 0),
        ("endless tool", "invalid_infra", "took more than 0.3 s of its own", 2),
        ("stubborn tool", "invalid_infra", "took more than 0.3 s of its own", 2),
        ("engine error", "invalid_infra", "the engine gave no completion: the model's logits are not finite", 2),
    ],
)
def test_trouble_is_named_its_group_is_replaced_and_the_run_goes_on(
    pool: WorkerPool, trouble: Trouble, status: str, says: str, num_lost: int
) -> None:
    has_pool = trouble in ("hanging verifier", "dead worker")
    env = Troubled(trouble=trouble, pool=pool if has_pool else None)
    failures: list[Failure] = []
    limit_s = 0.3 if trouble.startswith(("endless", "stubborn")) else 60.0
    result = collected(env, Policy(fails=trouble == "engine error"), limit_s=limit_s, failures=failures)
    # Task 1 had trouble; 2 took its place.
    assert [group.task.task_id for group in result.groups] == ["troubled-0", "troubled-2"]
    assert [[r.score.value for r in group.rollouts] for group in result.groups] == [[0.0, 1.0], [0.0, 1.0]]
    assert [group.task.task_id for group in result.sampled] == ["troubled-0", "troubled-1", "troubled-2"]
    bad = result.sampled[1]
    assert (bad.num_valid, bad.num_lost, len(bad.rollouts)) == (0, num_lost, 2 - num_lost)
    assert all((r.score.value, r.score.status) == (None, status) for r in bad.rollouts)
    assert [(f.task.task_id, f.attempt, f.status) for f in failures] == [("troubled-1", k, status) for k in range(2)]
    for failure in failures:
        with pytest.raises(AssertionError, match=says):
            raise AssertionError(failure.error.splitlines()[0])
    watch = FailureWatch(FailureLimit(max_frac=0.4, window=6))
    watch.add(result.sampled)
    with pytest.raises(RunError, match=r"4 of the last 6 attempts have no score, 4 of them troubled/.*allowed: 40%"):
        watch.add([bad])


def test_time_of_the_policy_is_not_the_environments() -> None:
    """Episodes wait for each other and for 0.5 s of generation in each turn; they may take 0.3 s themselves."""
    env = Troubled(trouble="none", tool_s=0.05, score_s=0.05)
    result = collected(env, Policy(generate_s=0.5), limit_s=0.3)
    assert [group.num_valid for group in result.groups] == [2, 2]


@dataclass(frozen=True, kw_only=True)
class Uneven(Troubled):
    """Odd tasks take one turn: they are scored while the others still generate."""

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the episode."""
        if int(task.prompt[0].content) % 2 == 0:
            return await super().rollout(task, complete, attempt)
        reply = await complete(attempt.request(task, task.prompt))
        return Episode(completions=(reply,), state={"attempt": attempt.index})


def test_generation_that_holds_up_a_score_is_not_counted_to_it() -> None:
    result = collected(Uneven(trouble="none", score_s=0.1), Policy(generate_s=0.6), limit_s=0.4)
    assert [group.num_valid for group in result.groups] == [2, 2]
    assert len(result.sampled) == 2


@dataclass(frozen=True, kw_only=True)
class Chatty(Troubled):
    """Three turns with a tool call after each of the first two."""

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the episode."""
        await complete(attempt.request(task, task.prompt))
        await asyncio.sleep(self.tool_s)
        return await super().rollout(task, complete, attempt)


def test_turns_add_up_to_the_limit() -> None:
    failures: list[Failure] = []
    result = collected(Chatty(trouble="none", tool_s=0.3), Policy(), limit_s=0.5, failures=failures)
    assert not result.groups
    assert {failure.status for failure in failures} == {"invalid_infra"}


@dataclass(frozen=True, kw_only=True)
class Impatient(Troubled):
    """Odd tasks do not wait for their second completion."""

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the episode."""
        first = await complete(attempt.request(task, task.prompt))
        if int(task.prompt[0].content) % 2:
            asked = asyncio.ensure_future(complete(attempt.request(task, task.prompt, turn=1)))
            await asyncio.sleep(0)
            asked.cancel()
        else:
            await complete(attempt.request(task, task.prompt, turn=1))
        return Episode(completions=(first,), state={"attempt": attempt.index})


def test_a_completion_that_nobody_waits_for_any_more_harms_nobody() -> None:
    result = collected(Impatient(trouble="none"), Policy())
    assert [group.num_valid for group in result.groups] == [2, 2]


def test_the_limit_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"limit_s=0\.0; allowed: above 0"):
        Patience(limit_s=0.0)
