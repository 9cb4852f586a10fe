"""The `Env` protocol and what every environment shares: the seeded stream of tasks, the split, the way to a score.

An environment is a frozen dataclass of its settings. It keeps no state, so any task of its unbounded stream is made
directly from (split, seed, index), in any order and in any process.
Left out: multi-turn episodes and tools; an environment here reads one final answer.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.answer import clean_answer
from fulmen.types import Message, Score, Split, StopReason, Task, content_hash, stable_seed

HELDOUT_ONE_IN = 8
"""One puzzle in so many is held out, chosen by its hash."""
MAX_DRAWS = 2000
"""Puzzles drawn for one task before the wanted split counts as empty."""

Meta = TypeVar("Meta")


@runtime_checkable
class Env(Protocol):
    """A stream of tasks, their verifier, and a teacher who shows how they are solved."""

    @property
    def name(self) -> str:
        """What `Task.env` says; two settings of one environment in a mixture have two names."""
        ...

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of a seeded stream, the same on every machine.

        Raises:
            ConfigError: the settings leave no puzzle in this split.
        """
        ...

    def score(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 for a right final answer and 0.0 for any other; no text makes it raise.

        Raises:
            DataError: the task is another environment's, or lacks what its verifier needs.
        """
        ...

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Returns an assistant turn that thinks aloud, honestly, and ends in a right answer."""
        ...


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


def judge(answer: Message | str, *, stop_reason: StopReason, find_fault: Callable[[str], str]) -> Score:
    """Returns the score of a final answer.

    `find_fault` gets the cleaned answer and returns what is wrong with it, or an empty string if it is right; it
    raises `DataError` where the answer is not in the grammar, which scores 0 as a `policy_error`.
    """
    if stop_reason == "length":
        return Score(value=0.0, status="truncated", info="no room left for an answer")
    if stop_reason == "repetition":
        return Score(value=0.0, status="repetition", info="halted while repeating itself")
    try:
        text = clean_answer(answer if isinstance(answer, str) else answer.content)
        if not text:
            raise DataError("answer: empty; allowed: an answer")
        fault = find_fault(text)
    except DataError as error:
        return Score(value=0.0, status="policy_error", info=str(error))
    return Score(value=0.0 if fault else 1.0, info=fault or "right")


def read_meta(task: Task, field_name: str, *, env: str, kind: type[Meta]) -> Meta:
    """Returns one field of a task's `meta`, checked.

    Raises:
        DataError: the task is not of this environment, or the field is missing or of another type.
    """
    if task.env != env:
        raise DataError(f"task.env: {task.env!r}; allowed: {env!r}")
    value = task.meta.get(field_name)
    if not isinstance(value, kind):
        raise DataError(f"task.meta[{field_name!r}] of {task.task_id}: {value!r}; allowed: a {kind.__name__}")
    return value


def require_between(field_name: str, value: int, *, low: int, high: int) -> None:
    """Accepts a setting within both bounds, included.

    Raises:
        ConfigError: it is not.
    """
    if not low <= value <= high:
        raise ConfigError(f"{field_name}: {value}; allowed: an integer from {low} to {high}")
