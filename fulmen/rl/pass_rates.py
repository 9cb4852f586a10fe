"""How often tasks are solved, and what is left out for it: measured before a run, and rolling while it trains.

Before a run: what `fulmen calibrate` wrote, by environment and level. While it trains: the last rollouts of each
environment (a level is an environment of its own), and, where the tasks are a finite set, each task's last group.
`Curriculum` acts on both. Source: MiniMax-M1 report, sections 4.1.1 and 5 (pass rates filter the data).
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fulmen.envs.puzzle import LEVELS
from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.types import RolloutGroup


@dataclass(frozen=True, kw_only=True)
class PassRateSettings:
    """What counts as solved, and what follows from it."""

    num_rollouts: int = 256
    """Scored rollouts of an environment that its rolling pass rate is taken over."""
    right_from: float = 1.0
    """Score from which a rollout is right."""
    solved_scale: float = 0.1
    """Factor on the share of an environment that is solved too often; 0 leaves it out for good."""
    retire_after: int = 3
    """Groups in a row that all got right, after which a task of a finite set is not drawn again; 0: never."""
    max_tasks: int = 20_000
    """Tasks of finite sets that are remembered; beyond them, those seen longest ago are forgotten and come again."""

    def __post_init__(self) -> None:
        for name, least in (("num_rollouts", 1), ("retire_after", 0), ("max_tasks", 1)):
            if self.__dict__[name] < least:
                raise ConfigError(f"{name}={self.__dict__[name]}; allowed: at least {least}")
        if not math.isfinite(self.right_from):
            raise ConfigError(f"right_from={self.right_from}; allowed: a number")
        if not 0 <= self.solved_scale <= 1:
            raise ConfigError(f"solved_scale={self.solved_scale}; allowed: 0 to 1")


class PassRates:
    """Rolling pass rates; their size is bounded by the number of environments and by `max_tasks`."""

    def __init__(self, settings: PassRateSettings) -> None:
        """Begins without a measurement."""
        self.settings = settings
        # Newest last: one character per rollout, as the state keeps them.
        self._outcomes: dict[str, str] = {}
        self._num_seen: dict[str, int] = {}
        # Hash of the problem to (groups in a row that all got right, share of the last group), seen longest ago first.
        self._tasks: dict[str, tuple[int, float]] = {}

    def observe(self, groups: Sequence[RolloutGroup], *, finite: Collection[str] = ()) -> None:
        """Takes all groups that were sampled, rejected ones included: those kept are neither solved nor hopeless.

        `finite` names the environments whose tasks are remembered one by one. Rollouts without a score say nothing.
        """
        for group in groups:
            values = [rollout.score.value for rollout in group.rollouts if rollout.score.value is not None]
            right = [value >= self.settings.right_from for value in values]
            name = group.task.env
            outcomes = self._outcomes.get(name, "") + "".join("01"[is_right] for is_right in right)
            self._outcomes[name] = outcomes[-self.settings.num_rollouts :]
            self._num_seen[name] = self._num_seen.get(name, 0) + len(right)
            if name in finite and right:
                is_whole = len(right) == len(group.rollouts) + group.num_lost
                self._remember(group.task.content_hash, sum(right) / len(right), is_whole=is_whole)

    def _remember(self, task_hash: str, rate: float, *, is_whole: bool) -> None:
        streak, _ = self._tasks.pop(task_hash, (0, 0.0))
        if rate == 0:
            return
        # A group that lost a member has not shown that all get it right; nor has it shown that one does not.
        self._tasks[task_hash] = (0 if rate < 1 else streak + is_whole, rate)
        if len(self._tasks) > self.settings.max_tasks:
            del self._tasks[next(iter(self._tasks))]

    def rate(self, env: str) -> float | None:
        """Returns the share of right rollouts among the last ones of an environment; None before the first."""
        outcomes = self._outcomes.get(env, "")
        return outcomes.count("1") / len(outcomes) if outcomes else None

    def num_seen(self, env: str) -> int:
        """Returns the number of scored rollouts of an environment since the start, or since it was forgotten."""
        return self._num_seen.get(env, 0)

    def forget(self, env: str) -> None:
        """Begins an environment's measurement anew."""
        self._outcomes.pop(env, None)
        self._num_seen.pop(env, None)

    def settled_rate(self, env: str) -> float | None:
        """Returns the pass rate of an environment; None before `num_rollouts` scored rollouts."""
        return self.rate(env) if self.num_seen(env) >= self.settings.num_rollouts else None

    def scale(self, env: str, *, pass_rate_max: float) -> float:
        """Returns the factor on an environment's share: below 1 where it is solved more often than allowed."""
        rate = self.settled_rate(env)
        return self.settings.solved_scale if rate is not None and rate > pass_rate_max else 1.0

    def dropped(self, *, pass_rate_max: float) -> frozenset[str]:
        """Returns the hashes of tasks that are retired, or whose last group was right more often than allowed."""
        retire_after = self.settings.retire_after
        return frozenset(
            task_hash
            for task_hash, (streak, rate) in self._tasks.items()
            if rate > pass_rate_max or (0 < retire_after <= streak)
        )

    def state(self) -> dict[str, Any]:
        """Returns all of it as JSON; tasks as a list, whose order says which is forgotten first."""
        tasks = [[task_hash, streak, rate] for task_hash, (streak, rate) in self._tasks.items()]
        return {"outcomes": dict(self._outcomes), "num_seen": dict(self._num_seen), "tasks": tasks}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned. Raises: CheckpointError where it did not."""
        try:
            self._outcomes, self._num_seen = dict(state["outcomes"]), dict(state["num_seen"])
            self._tasks = {task_hash: (streak, rate) for task_hash, streak, rate in state["tasks"]}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"pass rates: {error!r}; allowed: what PassRates.state returned") from error


def read_calibration(path: Path) -> dict[str, dict[str, Any]]:
    """Returns what `fulmen calibrate --out` wrote: environment to levels and pass rates.

    Raises: DataError when the file is not there or is something else.
    """
    try:
        found = json.loads(path.read_text())
        for calibration in found.values():
            if calibration["high"] not in (None, *LEVELS):
                raise ValueError(f"high={calibration['high']!r}")
            for level, measured in calibration["base"].items():
                LEVELS.index(level)
                float(measured["pass_rate"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: {error!r}; allowed: a file written by `fulmen calibrate --out`") from error
    return dict(found)


def levels_between(
    calibration: Mapping[str, Any], *, pass_rate_min: float = 0.0, pass_rate_max: float = 1.0
) -> tuple[str, ...]:
    """Returns the levels, easiest first, that the model may solve at a rate within the bounds.

    Rates are taken to fall with the level, as `calibrate` does. So levels below one that is too easy, or above one
    that is too hard, are left out, and levels between measured ones stay in until a measurement excludes them.
    Levels that the strong model never solved are left out too.
    Raises: ConfigError for bounds that are none.
    """
    if not 0 <= pass_rate_min <= pass_rate_max <= 1:
        raise ConfigError(
            f"pass_rate_min={pass_rate_min}, pass_rate_max={pass_rate_max}; allowed: 0 <= min <= max <= 1"
        )
    if calibration["high"] is None:
        return ()
    rates = {LEVELS.index(level): float(measured["pass_rate"]) for level, measured in calibration["base"].items()}
    first = max((index + 1 for index, rate in rates.items() if rate > pass_rate_max), default=0)
    after = min((index for index, rate in rates.items() if rate < pass_rate_min), default=len(LEVELS))
    return LEVELS[first : min(after, LEVELS.index(calibration["high"]) + 1)]
