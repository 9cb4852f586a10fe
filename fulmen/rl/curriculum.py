"""What a step draws its tasks from: weights that change with the step, levels that follow the pass rate.

`Curriculum.mixture(step)` is a snapshot: all its tasks are a pure function of (split, seed, index) and of the state
that the curriculum had when it was made. So a step is drawn again, to the last task, from the state of a checkpoint
that was saved before it; what is observed meanwhile shows in the next step's mixture only. Every snapshot can score
the tasks of every other: all levels are in each, those not drawn from with weight 0.
Source: MiniMax-M1 report, sections 4.3 (rule-checked tasks first, general ones mixed in gradually), 4.1.1 (difficulty
rises with the model) and 5 (less synthetic reasoning in long windows). Differs: it gives no weights and no schedule.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fulmen.envs import Env, Mixture, load
from fulmen.envs.catalogue import logic_names
from fulmen.envs.puzzle import LEVELS
from fulmen.errors import CheckpointError, ConfigError
from fulmen.rl.pass_rates import PassRates, PassRateSettings, levels_between, read_calibration
from fulmen.types import RolloutGroup, Split, Task, stable_seed

MAX_REDRAWS = 32
"""Tasks drawn in place of one that is left out, before it is taken after all."""
MAX_WAIT_DOUBLINGS = 4
"""A level that was fallen back to is left upwards after up to 2 to this power times the usual number of rollouts."""

Weights = tuple[tuple[int, float], ...]
"""(step, weight) corners of a piecewise linear function, constant before the first and after the last."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One environment of a curriculum, at one or several levels."""

    name: str
    """In metrics."""
    envs: tuple[Env, ...]
    """The environment at each level that training may come to, easiest first; it begins with the first."""
    weights: Weights = ((0, 1.0),)
    """Share of the tasks by step, before normalisation over the sources. A domain's sources have the same corners."""
    first_level: int = 1
    """Number of the first of them, in metrics."""
    is_synthetic: bool = False
    """Whether `synthetic_scale` applies: generated puzzles, whose completions turn alike in long windows."""
    is_finite: bool = False
    """Whether tasks come back, so that solved ones are worth remembering."""

    def __post_init__(self) -> None:
        if not self.name or not self.envs:
            raise ConfigError(f"source {self.name!r} of {len(self.envs)} environments; allowed: a name, one or more")
        steps, values = [step for step, _ in self.weights], [weight for _, weight in self.weights]
        is_ascending = bool(steps) and steps[0] >= 0 and all(a < b for a, b in pairwise(steps))
        if not is_ascending or not all(0 <= value < math.inf for value in values):
            raise ConfigError(
                f"{self.name}: weights={self.weights}; allowed: (step, weight) pairs, steps ascending from 0 or later, "
                "weights of 0 or more"
            )

    def weight(self, step: int) -> float:
        """Returns the weight at a step."""
        return float(np.interp(step, [at for at, _ in self.weights], [weight for _, weight in self.weights]))


@dataclass(frozen=True, kw_only=True)
class CurriculumSettings:
    """When the level of an environment changes."""

    level_up: float = 0.75
    """Rolling pass rate above which the next level begins."""
    level_down: float = 0.15
    """Rolling pass rate below which the level before comes back."""

    def __post_init__(self) -> None:
        if not 0 <= self.level_down < self.level_up <= 1:
            raise ConfigError(
                f"level_down={self.level_down}, level_up={self.level_up}; allowed: 0 <= level_down < level_up <= 1"
            )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a source stands among its levels."""

    level: int = 0
    """Index into its environments."""
    num_falls: int = 0
    """Times it came back to an easier level, since two rises in a row."""
    has_risen: bool = False
    """Whether the last change was a rise."""


class StepMixture(Mixture):
    """A mixture that passes over tasks that are left out."""

    def __init__(self, envs: Sequence[Env], weights: Sequence[float], *, dropped: Collection[str] = ()) -> None:
        """Takes environments, weights, and the content hashes of the tasks to pass over."""
        super().__init__(envs, weights)
        self.dropped = frozenset(dropped)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream; one that is left out gives way to another of its environment."""
        task = super().task(split, seed=seed, index=index)
        if split != "train" or task.content_hash not in self.dropped:
            return task
        env = self.env_of(task)
        for trial in range(MAX_REDRAWS):
            other = env.task(split, seed=stable_seed("redraw", seed, trial), index=index)
            if other.content_hash not in self.dropped:
                return other
        return task


class Curriculum:
    """Weights, levels and what is left out, from the step and from what was sampled so far."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        settings: CurriculumSettings | None = None,
        pass_rates: PassRateSettings | None = None,
    ) -> None:
        """Begins every source at its first level.

        Raises: ConfigError for no source, a name twice, or a step at which no source has weight.
        """
        self.sources = tuple(sources)
        self.settings = settings or CurriculumSettings()
        self.pass_rates = PassRates(pass_rates or PassRateSettings())
        self._envs = tuple(env for source in self.sources for env in source.envs)
        self._finite = frozenset(env.name for source in self.sources if source.is_finite for env in source.envs)
        self._places = {source.name: Place() for source in self.sources}
        Mixture(self._envs)  # raises for none, and where two have one name
        if len(self._places) != len(self.sources):
            raise ConfigError(f"sources: {[source.name for source in self.sources]}; allowed: each name once")
        for step in sorted({0, *(step for source in self.sources for step, _ in source.weights)}):
            if not any(source.weight(step) for source in self.sources):
                raise ConfigError(f"sources: none has weight at step {step}; allowed: at least one at every step")

    @property
    def heldout(self) -> Mixture:
        """Every environment at its first level: the same all through a run, for looks at held-out tasks."""
        return Mixture([source.envs[0] for source in self.sources])

    def env(self, source: Source) -> Env:
        """Returns the environment of a source at the level it stands on."""
        return source.envs[self._places[source.name].level]

    def mixture(self, step: int, *, synthetic_scale: float = 1.0, pass_rate_max: float = 1.0) -> StepMixture:
        """Returns what a step draws from. `synthetic_scale` and `pass_rate_max` are those of the window's stage.

        Where all sources are solved so well that nothing would be left, none is left out.
        """
        shares = {
            self.env(source).name: source.weight(step) * (synthetic_scale if source.is_synthetic else 1.0)
            for source in self.sources
        }
        scaled = {name: w * self.pass_rates.scale(name, pass_rate_max=pass_rate_max) for name, w in shares.items()}
        chosen = scaled if any(scaled.values()) else shares
        weights = [chosen.get(env.name, 0.0) for env in self._envs]
        return StepMixture(self._envs, weights, dropped=self.pass_rates.dropped(pass_rate_max=pass_rate_max))

    def observe(self, groups: Sequence[RolloutGroup]) -> None:
        """Takes all groups that a step sampled, rejected ones included; moves each source by one level at most."""
        self.pass_rates.observe(groups, finite=self._finite)
        for source in self.sources:
            place = self._places[source.name]
            moved = self._move(source, place)
            if moved is not place:
                self._places[source.name] = moved
                # What was measured there long ago says nothing of the policy of now.
                self.pass_rates.forget(source.envs[moved.level].name)

    def _move(self, source: Source, place: Place) -> Place:
        """Returns the place of a source after its rolling pass rate."""
        name = source.envs[place.level].name
        rate = self.pass_rates.settled_rate(name)
        if rate is None:
            return place
        # Between a level that is too easy and one that is too hard, each return takes longer to try again.
        wait = self.pass_rates.settings.num_rollouts << min(place.num_falls, MAX_WAIT_DOUBLINGS)
        has_next = place.level + 1 < len(source.envs)
        if rate > self.settings.level_up and has_next and self.pass_rates.num_seen(name) >= wait:
            return Place(level=place.level + 1, num_falls=0 if place.has_risen else place.num_falls, has_risen=True)
        if rate < self.settings.level_down and place.level > 0:
            return Place(level=place.level - 1, num_falls=place.num_falls + 1, has_risen=False)
        return place

    def metrics(self, mixture: StepMixture) -> dict[str, float]:
        """Returns share, level and rolling pass rate of every source, and the number of tasks passed over."""
        shares = dict(zip((env.name for env in mixture.envs), mixture.weights, strict=True))
        metrics = {"curriculum/num_dropped": float(len(mixture.dropped))}
        for source in self.sources:
            metrics[f"curriculum/weight/{source.name}"] = sum(shares[env.name] for env in source.envs)
            rate = self.pass_rates.rate(self.env(source).name)
            if rate is not None:
                metrics[f"curriculum/pass_rate/{source.name}"] = rate
            if len(source.envs) > 1:
                level = source.first_level + self._places[source.name].level
                metrics[f"curriculum/level/{source.name}"] = float(level)
        return metrics

    def state(self) -> dict[str, Any]:
        """Returns all that the next mixtures depend on beside the step, as JSON."""
        return {
            "places": {name: vars(place).copy() for name, place in self._places.items()},
            "pass_rates": self.pass_rates.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned. Raises: CheckpointError for the state of other sources, or none."""
        num_levels = {source.name: len(source.envs) for source in self.sources}
        try:
            places = {name: Place(**record) for name, record in state["places"].items()}
            is_ours = places.keys() == num_levels.keys()
            if not is_ours or any(not 0 <= place.level < num_levels[name] for name, place in places.items()):
                raise CheckpointError(f"curriculum state: {places}; allowed: places in {num_levels}")
            self.pass_rates.load(state["pass_rates"])
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"curriculum state: {error!r}; allowed: what Curriculum.state returned") from error
        self._places = places


def load_sources(
    specs: Sequence[str],
    *,
    calibration: Path | None = None,
    pass_rate_min: float = 0.0,
    pass_rate_max: float = 1.0,
) -> tuple[Source, ...]:
    """Returns sources written as `NAME[@LEVEL[..LEVEL]][=WEIGHT[..WEIGHT:STEP..STEP]]`.

    `sudoku@2..5` begins at level 2 and may rise to 5; `constraints=0..0.3:100..400` is mixed in between these steps.
    Where `calibration` (a file of `fulmen calibrate`) knows an environment, its levels between the pass rates remain.
    Logic puzzles count as synthetic; code problems and `verifiers` tasksets as finite.

    >>> [env.name for env in load_sources(["sudoku@1..3=2"])[0].envs]
    ['sudoku@intro', 'sudoku@easy', 'sudoku@medium']

    Raises: ConfigError for an unknown name or level, a text of another form, or levels none of which remain.
    """
    known = {} if calibration is None else read_calibration(calibration)
    sources = []
    for spec in specs:
        head, has_weight, tail = spec.partition("=")
        name, has_level, levels = head.partition("@")
        chosen: tuple[str, ...] = _level_range(spec, levels) if has_level else ()
        if has_level and name in known:
            allowed = levels_between(known[name], pass_rate_min=pass_rate_min, pass_rate_max=pass_rate_max)
            chosen = tuple(level for level in chosen if level in allowed)
            if not chosen:
                raise ConfigError(f"tasks: {spec!r}; allowed by {calibration}: {', '.join(allowed) or 'no level'}")
        envs = tuple(_at_level(name, level, head) for level in chosen) or (load(name),)
        sources.append(
            Source(
                name=envs[0].name if len(envs) == 1 else _shown(head),
                envs=envs,
                weights=_corners(spec, tail) if has_weight else ((0, 1.0),),
                first_level=LEVELS.index(chosen[0]) + 1 if chosen else 1,
                is_synthetic=name in logic_names() or name.startswith(("mini_", "reasoning_gym:")),
                is_finite=name == "code" or name.startswith("verifiers:"),
            )
        )
    return tuple(sources)


def sources_of(mixture: Mixture) -> tuple[Source, ...]:
    """Returns sources that stay as they are in a mixture: each environment at its one level, with its weight."""
    return tuple(
        Source(name=env.name, envs=(env,), weights=((0, weight),))
        for env, weight in zip(mixture.envs, mixture.weights, strict=True)
    )


def _at_level(name: str, level: str, head: str) -> Env:
    """Returns an environment at a level; where it has no other, it is called as it was written."""
    return load(name, level=level, name=_shown(f"{name}@{level}" if ".." in head else head))


def _shown(text: str) -> str:
    """Returns an environment's text without the path of a file of one's own, which does not belong into task ids."""
    return text.rpartition(".py:")[2]


def _level_range(spec: str, text: str) -> tuple[str, ...]:
    """Returns the names of the levels in `2`, `easy`, `2..5` or `easy..expert`."""
    first, _, last = text.partition("..")
    numbers = {name: number for number, level in enumerate(LEVELS) for name in (level, str(number + 1))}
    low, high = numbers.get(first, -1), numbers.get(last or first, -1)
    if not 0 <= low <= high:
        raise ConfigError(f"tasks: levels {text!r} of {spec}; allowed: 1 to {len(LEVELS)} or {', '.join(LEVELS)}, A..B")
    return LEVELS[low : high + 1]


def _corners(spec: str, text: str) -> Weights:
    """Returns the weights written as `2` or `0..0.3:100..400`."""
    values, has_steps, steps = text.partition(":")
    try:
        if not has_steps:
            return ((0, float(values)),)
        (first, last), (start, end) = values.split(".."), steps.split("..")
        return ((int(start), float(first)), (int(end), float(last)))
    except ValueError:
        raise ConfigError(f"tasks: weight {text!r} of {spec}; allowed: WEIGHT or WEIGHT..WEIGHT:STEP..STEP") from None
