"""Several environments as one stream, in fixed proportions.

Weights do not change inside a mixture; a curriculum makes a new one.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from fulmen.envs.base import Env, SingleTurnEnv, stream
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.types import Attempt, Complete, Episode, Message, Score, Split, StopReason, Task, stable_seed


class Mixture:
    """A stream whose place (seed, index) decides both the environment and the task.

    Raises:
        ConfigError: no environments, a name twice, or weights that are no proportions.
    """

    def __init__(self, envs: Sequence[Env], weights: Sequence[float] | None = None) -> None:
        """Takes the environments and one weight each (equal by default; a zero leaves one out)."""
        names = [env.name for env in envs]
        if not names:
            raise ConfigError("envs: empty; allowed: one or more environments")
        if len(set(names)) != len(names):
            raise ConfigError(f"envs: names {names}; allowed: each name once")
        weights = [1.0] * len(names) if weights is None else [float(weight) for weight in weights]
        if len(weights) != len(names):
            raise ConfigError(f"weights: {len(weights)} of them; allowed: {len(names)}, one per environment")
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) <= 0:
            raise ConfigError(f"weights: {weights}; allowed: finite, 0 or more, and not all 0")
        self.name = "mixture"
        self.envs = tuple(envs)
        self.weights = tuple(weight / sum(weights) for weight in weights)
        # The infinite last edge takes what rounding leaves, and goes to an environment that has weight.
        used = [i for i, weight in enumerate(weights) if weight > 0]
        self._choices = tuple(self.envs[i] for i in used)
        self._edges = (*list(accumulate(self.weights[i] for i in used))[:-1], math.inf)
        self._by_name = {env.name: env for env in envs}

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the mixed stream; its environment depends on (seed, index) alone."""
        fraction = stable_seed(self.name, seed, index) / 2**63
        return self._choices[bisect_right(self._edges, fraction)].task(split, seed=seed, index=index)

    def env_of(self, task: Task) -> Env:
        """Returns the environment that made a task.

        Raises:
            TaskError: none of the mixture did.
        """
        if task.env not in self._by_name:
            raise TaskError(f"task.env: {task.env!r}; allowed: {', '.join(self._by_name)}")
        return self._by_name[task.env]

    def tasks(self, split: Split, *, seed: int, start: int = 0) -> Iterator[Task]:
        """Yields the mixed stream from a place on, without end."""
        return stream(self, split, seed=seed, start=start)

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns an attempt in the task's own environment."""
        return await self.env_of(task).rollout(task, complete, attempt)

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the score by the task's own environment."""
        return await self.env_of(task).score(task, episode)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns the score of a reply by the task's own environment. Raises: DataError where it reads episodes."""
        return self._single_turn_of(task).check(task, answer, stop_reason=stop_reason)

    def worked_solution(self, task: Task, rng: random.Random) -> Message | None:
        """Returns a worked solution by the task's own environment. Raises: DataError where it reads episodes."""
        return self._single_turn_of(task).worked_solution(task, rng)

    def _single_turn_of(self, task: Task) -> SingleTurnEnv:
        env = self.env_of(task)
        if not isinstance(env, SingleTurnEnv):
            raise DataError(f"task.env: {task.env!r} has episodes of several turns; allowed: one reply")
        return env
