"""The levels of an environment worth training on: hard enough for the model, not too hard for any.

Lower bound: the first level at which the model to be trained is right in less than half of its attempts, but not
never; where none is, the last one at which it is ever right. Upper bound: the last at which a strong model ever is.
Source: MiniMax-M1 report, section 4.1.1 (pass@10 above 0 of strong models; a pass rate in (0, 0.5) of the base model).
Differs: pass rates are taken to fall with the level, so that both bounds are found by bisection.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fulmen.envs.base import Env
from fulmen.envs.puzzle import LEVELS
from fulmen.errors import ConfigError
from fulmen.rollout import sample_groups
from fulmen.types import Generate, Sampling


@dataclass(frozen=True, kw_only=True)
class CalibrateSettings:
    """How a level is measured."""

    num_tasks: int = 32
    """Tasks per level."""
    num_samples: int = 10
    """Attempts per task."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_tasks < 1 or self.num_samples < 1:
            raise ConfigError(f"num_tasks={self.num_tasks}, num_samples={self.num_samples}; allowed: at least 1")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A model at a level."""

    pass_rate: float
    """Share of right attempts; nan if none had a score."""
    solved_frac: float
    """Share of tasks that any attempt solved."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Levels to train on."""

    low: str | None
    """First level; None if the model is never right, not even at the lowest."""
    high: str | None
    """Last level; None if the strong model is never right."""
    base: Mapping[str, Measured]
    """The model, at the levels that were measured."""
    strong: Mapping[str, Measured]

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels from low to high; none if the bounds have crossed."""
        if self.low is None or self.high is None:
            return ()
        return LEVELS[LEVELS.index(self.low) : LEVELS.index(self.high) + 1]


def calibrate(
    make_env: Callable[[str], Env], base: Generate, strong: Generate, settings: CalibrateSettings, *, sampling: Sampling
) -> Calibration:
    """Returns the levels between "the strong model is right sometimes" and "the base model in (0, 0.5)".

    `make_env` returns the environment at a level of `LEVELS`.
    """
    of_base: dict[str, Measured] = {}
    of_strong: dict[str, Measured] = {}

    def measured(index: int, generate: Generate, known: dict[str, Measured]) -> Measured:
        level = LEVELS[index]
        if level not in known:
            known[level] = measure(make_env(level), generate, settings, sampling=sampling)
        return known[level]

    # From the first level below one half on, the model may never be right; then the level before it is the last.
    below = first_true(len(LEVELS), lambda index: measured(index, base, of_base).pass_rate < 0.5)
    low = None
    if below < len(LEVELS) and measured(below, base, of_base).pass_rate > 0:
        low = LEVELS[below]
    elif below > 0:
        low = LEVELS[below - 1]
    unsolved = first_true(len(LEVELS), lambda index: measured(index, strong, of_strong).solved_frac == 0)
    high = LEVELS[unsolved - 1] if unsolved > 0 else None
    return Calibration(low=low, high=high, base=of_base, strong=of_strong)


def first_true(num: int, holds: Callable[[int], bool]) -> int:
    """Returns the first of `num` places at which a test holds, `num` if none; it holds from some place on."""
    low, high = 0, num
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def measure(env: Env, generate: Generate, settings: CalibrateSettings, *, sampling: Sampling) -> Measured:
    """Returns how a model does on the first training tasks of an environment."""
    tasks = [env.task("train", seed=settings.seed, index=index) for index in range(settings.num_tasks)]
    groups = sample_groups(generate, env, tasks, settings.num_samples, sampling, seed=settings.seed)
    right = [[r.score.value == 1.0 for r in group.rollouts if r.score.is_valid] for group in groups]
    values = [value for own in right for value in own]
    return Measured(
        pass_rate=float(np.mean(values)) if values else math.nan,
        solved_frac=float(np.mean([any(own) for own in right])),
    )
