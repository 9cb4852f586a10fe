"""Runs many episodes at once against a batched `Generate`, and scores them; what breaks is tried again, then named.

Episodes run in lockstep: as soon as every one of them waits for a completion, all waiting requests are generated in
one batch. A completion is a function of its request, so the batches do not show in the results.
Failures of infrastructure, verifier or judge never become a number. An episode whose completions exist keeps them with
a score of None; one that could not be played is left out of its group and counted there.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from fulmen.envs.base import Env
from fulmen.errors import ConfigError, DataError, JudgeError, SandboxError
from fulmen.rollout.limits import OutOfTimeError, Policy, within
from fulmen.types import (
    Attempt,
    Completion,
    Episode,
    Generate,
    Request,
    Rollout,
    RolloutGroup,
    Sampling,
    Score,
    ScoreStatus,
    Task,
)

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How failures that say nothing of the model are met."""

    retries: int = 2
    """Times that a failed episode or score is tried again."""
    backoff_s: float = 0.5
    """Seconds before the first of these; doubled for each further one."""
    limit_s: float = 600.0
    """Longest that an environment may play an episode, or score one, without the time of the policy; not retried."""

    def __post_init__(self) -> None:
        if self.retries < 0 or self.backoff_s < 0:
            raise ConfigError(f"retries={self.retries}, backoff_s={self.backoff_s}; allowed: 0 or more")
        if not self.limit_s > 0:
            raise ConfigError(f"limit_s={self.limit_s}; allowed: above 0")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An attempt that could not be played or scored."""

    task: Task
    attempt: int
    """Place in the group."""
    status: ScoreStatus
    error: str
    """The last error, with its place in the code."""
    reply: str = ""
    """What was to be scored."""

    def to_json(self) -> dict[str, Any]:
        """Returns the failure with its whole task, so that it can be looked at and tried again."""
        return {
            "task": self.task.to_json(), "attempt": self.attempt, "status": self.status, "error": self.error,
            "reply": self.reply,
        }  # fmt: skip


def sample_groups(
    generate: Generate,
    env: Env,
    tasks: Sequence[Task],
    group_size: int,
    sampling: Sampling,
    *,
    seed: int,
    on_finish: Callable[[int], None] | None = None,
    on_failure: Callable[[Failure], None] | None = None,
    patience: Patience | None = None,
) -> list[RolloutGroup]:
    """Returns one scored group per task; attempt i of a task always has the same sampling seed.

    `on_finish` hears of the tokens of each completion, `on_failure` of attempts that stayed without a score.
    Raises: DataError when `generate` does not return one completion per request.
    """
    patience = patience or Patience()
    attempts = [Attempt(sampling=sampling, seed=seed, index=index) for index in range(group_size)]
    lockstep = Lockstep(generate, on_finish=on_finish)
    jobs = [play(env, task, attempt, lockstep, patience) for task in tasks for attempt in attempts]
    outcomes = lockstep.run(jobs)
    groups = []
    for position, task in enumerate(tasks):
        own = outcomes[position * group_size : (position + 1) * group_size]
        for outcome in own:
            if outcome.failure is not None and on_failure is not None:
                on_failure(outcome.failure)
        rollouts = tuple(outcome.rollout for outcome in own if outcome.rollout is not None)
        groups.append(RolloutGroup(task=task, rollouts=rollouts, num_lost=group_size - len(rollouts)))
    return groups


def run_to_end(job: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Returns the result of a coroutine; inside a running event loop (a notebook) it runs in a thread of its own."""
    results: list[Result] = []

    async def keep() -> None:
        # asyncio.run writes out what its coroutine returned, to no end: thousands of arrays take seconds.
        results.append(await job())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(keep())
    else:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: asyncio.run(keep())).result()
    return results[0]


class Lockstep:
    """Many coroutines that ask for completions, one batched `Generate` that gives them."""

    def __init__(self, generate: Generate, *, on_finish: Callable[[int], None] | None = None) -> None:
        """Takes the policy."""
        self._generate = generate
        self._on_finish = on_finish
        self._waiting: list[tuple[Request, asyncio.Future[Completion]]] = []
        self._num_playing = 0
        self._progress = asyncio.Event()
        self._policy_s = 0.0

    def run(self, jobs: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
        """Returns the results of the jobs, in their order. Each job must call `leave` when it needs no completion more.

        Inside a running event loop (a notebook) the jobs run in a thread of their own.
        """
        return run_to_end(lambda: self._run(jobs))

    async def complete(self, request: Request) -> Completion:
        """Returns the completion of a request, when the batch it falls into is done."""
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._progress.set()
        return await future

    def now(self) -> float:
        """Returns seconds of a clock that stands while the policy generates: that holds up every environment."""
        return time.monotonic() - self._policy_s

    def leave(self) -> None:
        """Says that the calling job needs no completion any more."""
        self._num_playing -= 1
        self._progress.set()

    async def _run(self, jobs: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
        self._progress = asyncio.Event()
        self._num_playing = len(jobs)
        tasks = [asyncio.ensure_future(job) for job in jobs]
        while self._num_playing:
            await self._progress.wait()
            self._progress.clear()
            if self._waiting and len(self._waiting) >= self._num_playing:
                self._answer()
        return list(await asyncio.gather(*tasks))

    def _answer(self) -> None:
        """Generates what is asked for, in the thread of the loop: the policy's numbers depend on its thread."""
        asked, self._waiting = self._waiting, []
        started = time.monotonic()
        completions = self._generate([request for request, _ in asked], on_finish=self._on_finish)
        self._policy_s += time.monotonic() - started
        if len(completions) != len(asked):
            raise DataError(
                f"generate: {len(completions)} completions for {len(asked)} requests; allowed: one for each"
            )
        for (_, future), completion in zip(asked, completions, strict=True):
            # An environment may have stopped waiting.
            if not future.done():
                future.set_result(completion)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt; without a rollout it is lost."""

    rollout: Rollout | None = None
    failure: Failure | None = None


class Answers(Policy, Protocol):
    """Whoever answers the requests of an attempt."""

    def leave(self) -> None:
        """Hears that the attempt needs no completion any more."""
        ...


async def play(env: Env, task: Task, attempt: Attempt, answers: Answers, patience: Patience) -> Outcome:
    """Returns one attempt, scored if that can be done."""
    try:
        episode, status, error = await _persist(
            lambda: within(patience.limit_s, lambda complete: env.rollout(task, complete, attempt), answers),
            patience,
            default="invalid_infra",
        )
    finally:
        answers.leave()
    if episode is None:
        return Outcome(failure=Failure(task=task, attempt=attempt.index, status=status, error=error))
    return await _judge(env, task, episode, attempt, answers, patience)


async def _judge(
    env: Env, task: Task, episode: Episode, attempt: Attempt, answers: Answers, patience: Patience
) -> Outcome:
    score, status, error = await _persist(
        lambda: within(patience.limit_s, lambda _: env.score(task, episode), answers),
        patience,
        default="invalid_verifier",
    )
    if score is None:
        score = Score(value=None, status=status, info=error.splitlines()[0])
    *earlier, last = episode.completions
    rollout = Rollout(task=task, completion=last, score=score, earlier=tuple(earlier))
    if score.is_valid:
        return Outcome(rollout=rollout)
    reply = episode.reply.content
    failure = Failure(task=task, attempt=attempt.index, status=score.status, error=error or score.info, reply=reply)
    return Outcome(rollout=rollout, failure=failure)


async def _persist(
    action: Callable[[], Awaitable[Result]], patience: Patience, *, default: ScoreStatus
) -> tuple[Result | None, ScoreStatus, str]:
    """Returns what an action returned, or None with the status and text of its last error.

    A score of None counts as an error of the action's own.
    """
    status, error = default, ""
    for trial in range(patience.retries + 1):
        if trial:
            await asyncio.sleep(patience.backoff_s * 2 ** (trial - 1))
        try:
            result = await action()
        except Exception as problem:  # any error of an environment is a failure of its own, never the model's
            status, error = _status_of(problem, default), _describe(problem)
            if isinstance(problem, OutOfTimeError):
                break
            continue
        if not isinstance(result, Score) or result.is_valid or trial == patience.retries:
            return result, "ok", ""
    return None, status, error


def _status_of(problem: Exception, default: ScoreStatus) -> ScoreStatus:
    if isinstance(problem, JudgeError):
        return "invalid_judge"
    return "invalid_infra" if isinstance(problem, SandboxError) else default


def _describe(problem: Exception) -> str:
    """Returns the error in one line, and below it where it was raised."""
    return f"{type(problem).__name__}: {problem}\n{''.join(traceback.format_tb(problem.__traceback__)[-3:])}"
