"""What every environment is, and what all share: the seeded stream of tasks, the split, the way to a score.

An environment is a value: a frozen dataclass of its settings. It keeps no state, so any task of its unbounded stream
is made directly from (split, seed, index), in any order and in any process, and attempts never meet.

    Env             task, rollout (an attempt, of one or many turns), score
    SingleTurnEnv   also check: one reply in, a score out; `SingleTurn` makes an `Env` of it

`puzzle.py` has the usual base of one's own environment, `tools.py` that of several turns, `mixture.py` of mixtures.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.rewards.answer import AnswerForm, clean_answer, find_answer
from fulmen.types import (
    Attempt,
    Complete,
    Episode,
    Message,
    Score,
    Split,
    StopReason,
    Task,
    content_hash,
    stable_seed,
)

HELDOUT_ONE_IN = 8
"""One puzzle in so many is held out, chosen by its hash."""
MAX_DRAWS = 2000
"""Puzzles drawn for one task before the wanted split counts as empty."""

Meta = TypeVar("Meta")


@runtime_checkable
class Env(Protocol):
    """A stream of tasks, a way to attempt them, and their verifier."""

    @property
    def name(self) -> str:
        """What `Task.env` says; two settings of one environment in a mixture have two names."""
        ...

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of a seeded stream, the same on every machine.

        Raises:
            ConfigError: the settings leave no task in this split.
        """
        ...

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns one attempt at a task; `complete` is the policy.

        Raises:
            SandboxError: what the episode needs beside the policy broke; it is tried again.
        """
        ...

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the score of an attempt; no text of the policy makes it raise.

        Raises:
            SandboxError, VerifierError, JudgeError: nothing can be said; it is tried again, never taken as zero.
        """
        ...


@runtime_checkable
class SingleTurnEnv(Env, Protocol):
    """An environment that reads one reply."""

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns the score of a reply, 1.0 for a right one; no text makes it raise.

        Raises:
            TaskError: the task is another environment's, or lacks what its verifier needs.
        """
        ...

    def worked_solution(self, task: Task, rng: random.Random) -> Message | None:
        """Returns an assistant turn that thinks aloud, honestly, and ends in a right answer; None without a teacher."""
        ...


class SingleTurn:
    """Makes an `Env` of a class that has `task` and `check`."""

    def tasks(self: SingleTurnEnv, split: Split, *, seed: int, start: int = 0) -> Iterator[Task]:
        """Yields the stream of tasks from a place on, without end."""
        return stream(self, split, seed=seed, start=start)

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the episode of one reply to the prompt."""
        return Episode(completions=(await complete(attempt.request(task, task.prompt)),))

    async def score(self: SingleTurnEnv, task: Task, episode: Episode) -> Score:
        """Returns what `check` says of the reply."""
        return self.check(task, episode.reply, stop_reason=episode.completions[-1].stop_reason)

    def worked_solution(self, task: Task, rng: random.Random) -> Message | None:
        """Returns None: nobody taught this environment to show its work."""
        return None


def stream(env: Env, split: Split, *, seed: int, start: int = 0) -> Iterator[Task]:
    """Yields the tasks of an environment from a place on, without end."""
    index = start
    while True:
        yield env.task(split, seed=seed, index=index)
        index += 1


@dataclass(frozen=True, kw_only=True)
class Puzzle:
    """One problem before it has a place in a stream."""

    key: tuple[Any, ...]
    """JSON values, equal for two puzzles exactly when they are the same problem."""
    prompt: str
    """What the user says."""
    gold: str
    """One right answer."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the verifier needs; JSON values only."""


def split_of(puzzle_hash: str) -> Split:
    """Returns the split a puzzle belongs to, whatever the seed, settings or name of the stream it was drawn from."""
    return "heldout" if int(puzzle_hash, 16) % HELDOUT_ONE_IN == 0 else "train"


def draw_task(
    draw: Callable[[random.Random], Puzzle], *, kind: str, name: str, split: Split, seed: int, index: int
) -> Task:
    """Returns the first puzzle of the wanted split among those that `draw` makes from a generator keyed by place.

    `kind` names the rules and enters the hash; `name` is the environment's own and enters the seed.

    Raises:
        ConfigError: a negative index, or `MAX_DRAWS` puzzles without one of the split.
    """
    if index < 0:
        raise ConfigError(f"index: {index}; allowed: 0 or more")
    rng = random.Random(stable_seed(name, split, seed, index))
    for _ in range(MAX_DRAWS):
        puzzle = draw(rng)
        puzzle_hash = content_hash(kind, *puzzle.key)
        if split_of(puzzle_hash) == split:
            return Task(
                task_id=f"{name}-{split}-{seed}-{index}",
                env=name,
                prompt=(Message(role="user", content=puzzle.prompt),),
                gold=puzzle.gold,
                meta=puzzle.meta,
                content_hash=puzzle_hash,
            )
    raise ConfigError(f"{name}: no '{split}' puzzle in {MAX_DRAWS}; allowed: settings with more distinct puzzles")


def judge(
    answer: Message | str, *, stop_reason: StopReason, find_fault: Callable[[str], str], form: AnswerForm = "bare"
) -> Score:
    """Returns the score of a reply.

    `find_fault` gets the cleaned answer and returns what is wrong with it, or an empty string if it is right; it
    raises `DataError` where the answer is not in the grammar, which scores 0 as a `policy_error`.
    """
    if stop_reason == "length":
        return Score(value=0.0, status="truncated", info="no room left for an answer")
    if stop_reason == "repetition":
        return Score(value=0.0, status="repetition", info="halted while repeating itself")
    try:
        text = clean_answer(find_answer(answer if isinstance(answer, str) else answer.content, form))
        if not text:
            raise DataError("answer: empty; allowed: an answer")
        fault = find_fault(text)
    except TaskError:
        raise
    except DataError as error:
        return Score(value=0.0, status="policy_error", info=str(error))
    return Score(value=0.0 if fault else 1.0, info=fault or "right")


def read_meta(task: Task, field_name: str, *, kind: type[Meta], env: str = "") -> Meta:
    """Returns one field of a task's `meta`, checked; the task must be that of `env`, where one is named.

    Raises:
        TaskError: the task is not of this environment, or the field is missing or of another type.
    """
    if env and task.env != env:
        raise TaskError(f"task.env: {task.env!r}; allowed: {env!r}")
    value = task.meta.get(field_name)
    if not isinstance(value, kind):
        raise TaskError(f"task.meta[{field_name!r}] of {task.task_id}: {value!r}; allowed: a {kind.__name__}")
    return value


def require_between(field_name: str, value: int, *, low: int, high: int) -> None:
    """Accepts a setting within both bounds, included.

    Raises:
        ConfigError: it is not.
    """
    if not low <= value <= high:
        raise ConfigError(f"{field_name}: {value}; allowed: an integer from {low} to {high}")
