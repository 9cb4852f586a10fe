"""An environment's score put together with others': format, constraints, length, a judge.

The value is the weighted mean of the parts, times every gate. A part without a value leaves the whole without one:
what could not be judged is never taken as zero.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from fulmen.envs.base import Env, stream
from fulmen.errors import ConfigError
from fulmen.types import Attempt, Complete, Episode, Score, Split, Task

Grade = Callable[[Task, Episode], Score | Awaitable[Score]]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One more opinion of an episode."""

    name: str
    grade: Grade
    weight: float = 1.0
    """Share in the mean, above 0; unused for a gate."""
    is_gate: bool = False
    """Whether its value multiplies the whole instead: a format gate of 0 leaves nothing."""


@dataclass(frozen=True, kw_only=True)
class Composite:
    """An environment whose episodes are scored by several parts."""

    env: Env
    parts: tuple[Part, ...]
    env_weight: float = 1.0
    """Share of the environment's own score, above 0."""

    def __post_init__(self) -> None:
        """Checks names and weights."""
        names = [self.env.name, *(part.name for part in self.parts)]
        if len(set(names)) != len(names):
            raise ConfigError(f"parts: names {names}; allowed: each name once")
        for name, weight in zip(names, (self.env_weight, *(part.weight for part in self.parts)), strict=True):
            if not 0 < weight < float("inf"):
                raise ConfigError(f"weight of {name}: {weight}; allowed: above 0")

    @property
    def name(self) -> str:
        """The environment's."""
        return self.env.name

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the environment's task."""
        return self.env.task(split, seed=seed, index=index)

    def tasks(self, split: Split, *, seed: int, start: int = 0) -> Iterator[Task]:
        """Yields the stream of tasks from a place on, without end."""
        return stream(self, split, seed=seed, start=start)

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns the environment's episode."""
        return await self.env.rollout(task, complete, attempt)

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the weighted mean of environment and parts, times the gates; its `parts` hold each."""
        own = await self.env.score(task, episode)
        scores = [(self.env.name, own, self.env_weight)]
        gates: list[tuple[str, Score, float]] = []
        for part in self.parts:
            graded = part.grade(task, episode)
            score = await graded if inspect.isawaitable(graded) else graded
            (gates if part.is_gate else scores).append((part.name, score, 0.0 if part.is_gate else part.weight))
        return _combine(scores, gates)


def _combine(scores: Sequence[tuple[str, Score, float]], gates: Sequence[tuple[str, Score, float]]) -> Score:
    """Returns the mean of scores times gates; its status is the environment's, or that of the first without a value."""
    for name, score, _ in (*scores, *gates):
        if not score.is_valid:
            return Score(value=None, status=score.status, info=f"{name}: {score.info}")
    parts = {name: (score.value or 0.0, weight) for name, score, weight in (*scores, *gates)}
    value = sum(parts[name][0] * weight for name, _, weight in scores) / sum(weight for _, _, weight in scores)
    for name, _, _ in gates:
        value *= parts[name][0]
    own = scores[0][1]
    info = "; ".join(f"{name}: {score.info}" for name, score, _ in (*scores, *gates) if score.info)
    return Score(value=value, status=own.status, info=info, parts=parts)
