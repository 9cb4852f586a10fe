"""The monitors of a run together, and the thresholds that pause it.

Watched metrics are averaged over steps; one beyond its bound for `patience` steps in a row pauses the run. A step in
which a metric says nothing (nan) neither counts nor forgives.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fulmen.errors import ConfigError, RunPaused
from fulmen.rl.monitors.entropy import entropy_metrics
from fulmen.rl.monitors.lengths import length_metrics
from fulmen.rl.monitors.mismatch import mismatch_metrics
from fulmen.rl.monitors.positions import position_metrics
from fulmen.rl.monitors.sampling import sampling_metrics
from fulmen.types import RolloutGroup


@dataclass(frozen=True, kw_only=True)
class MonitorSettings:
    """Bounds that pause a run; None switches one off."""

    pearson_min: float | None = 0.99
    """Least correlation of sampler and learner probabilities (report, 3.2: at 0.987 rewards stood still, at 0.997 they
    grew)."""
    tail_rise_max: float | None = 2.0
    """Most that the perplexity of the last tenth of completions, over that of the first, may rise above its lowest
    value in this run (1 at least). Ours."""
    halted_max: float | None = 0.5
    """Largest share of completions that the repetition halt may cut. Ours."""
    late_negative_max: float | None = None
    """Largest net negative share of the gradient in the last quarter of positions. Ours; off, since wrong answers are
    often the longer ones in a healthy start."""
    length_corr_max: float | None = None
    """Largest correlation of length with reward within a prompt. Ours; off, since a problem may need its length; set
    it where a judging model scores."""
    min_length: int = 64
    """Shortest completion, in tokens, whose tail is compared with its beginning."""
    ema_decay: float = 0.8
    """Weight of the past in averages over steps."""
    patience: int = 5
    """Steps in a row beyond a bound that pause the run."""

    def __post_init__(self) -> None:
        for name, is_right, allowed in (
            ("pearson_min", _within(self.pearson_min, -1.0, 1.0), "None, or from -1 to 1"),
            ("tail_rise_max", _within(self.tail_rise_max, 1.0, math.inf), "None, or at least 1"),
            ("halted_max", _within(self.halted_max, 0.0, 1.0), "None, or from 0 to 1"),
            ("late_negative_max", _within(self.late_negative_max, 0.0, 1.0), "None, or from 0 to 1"),
            ("length_corr_max", _within(self.length_corr_max, 0.0, 1.0), "None, or from 0 to 1"),
            ("min_length", self.min_length >= 10, "at least 10 (a token in each tenth)"),
            ("ema_decay", 0 <= self.ema_decay < 1, "at least 0, below 1"),
            ("patience", self.patience >= 1, "at least 1"),
        ):
            if not is_right:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: {allowed}")


def _within(value: float | None, least: float, most: float) -> bool:
    return value is None or least <= value <= most


@runtime_checkable
class Trained(Protocol):
    """What the learner did with a batch, as far as monitors ask."""

    @property
    def tokens(self) -> dict[str, np.ndarray]:
        """A token table (`token_table`)."""
        ...

    @property
    def sampler_logprobs(self) -> np.ndarray:
        """Of the table's first tokens, whose weights are still those that sampled; nan where they are not."""
        ...

    @property
    def learner_logprobs(self) -> np.ndarray:
        """Of the same tokens."""
        ...


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A metric with a bound."""

    metric: str
    setting: str
    """The field of MonitorSettings that holds the bound."""
    is_floor: bool = False
    """The bound is the least value, not the largest."""
    is_rise: bool = False
    """The bound is on the average over its lowest value so far, or over 1 if that is lower."""
    advice: str

    @property
    def shown(self) -> str:
        """Name under which the watched value is reported."""
        return f"{self.metric}_rise" if self.is_rise else f"{self.metric}_ema"


WATCHES = (
    Watch(
        metric="logprob_pearson",
        setting="pearson_min",
        is_floor=True,
        advice="engine and learner disagree on the same weights: look at logprob_worst, compare their precision",
    ),
    Watch(
        metric="tail_perplexity_ratio",
        setting="tail_rise_max",
        is_rise=True,
        advice="completions end in garble: go back to an earlier checkpoint with a lower clip_norm and weight_max, "
        "or a shorter window",
    ),
    Watch(
        metric="halted_frac",
        setting="halted_max",
        advice="the policy loops: go back to an earlier checkpoint with a lower lr, look at rollouts.jsonl",
    ),
    Watch(
        metric="late_net_negative",
        setting="late_negative_max",
        advice="negative gradient piles up late: lower clip_norm and weight_max, or aggregate by sequence",
    ),
    Watch(
        metric="length_reward_corr",
        setting="length_corr_max",
        advice="reward grows with length: recalibrate the judge, or penalise length",
    ),
)


@dataclass(kw_only=True)
class _Track:
    """What is remembered of a watched metric."""

    total: float = 0.0
    weight: float = 0.0
    lowest: float | None = None
    """Of the average."""
    num_beyond: int = 0
    """Steps in a row beyond the bound."""

    def add(self, value: float, decay: float) -> float:
        """Returns the average over steps, the newest value in it."""
        self.total, self.weight = decay * self.total + value, decay * self.weight + 1.0
        average = self.total / self.weight
        self.lowest = average if self.lowest is None else min(self.lowest, average)
        return average


class Monitors:
    """Turns what a step sampled and trained on into metrics, and pauses a run that went wrong."""

    def __init__(self, settings: MonitorSettings) -> None:
        self.settings = settings
        self._tracks = {watch.metric: _Track() for watch in WATCHES}

    def observe(self, step: int, groups: Sequence[RolloutGroup], update: Trained | None) -> dict[str, object]:
        """Returns the metrics of a step; `groups` are all that were sampled, `update` is None if none was trained on.

        Raises: RunPaused when a watched metric has been beyond its bound for `patience` steps; its `metrics` are what
        would have been returned. The steps are then counted anew, so that a run continued from `state()` goes on.
        """
        num_trained = 0 if update is None else len(update.tokens["position"])
        metrics = sampling_metrics(groups, num_trained_tokens=num_trained) | length_metrics(groups)
        if update is not None:
            first = slice(len(update.sampler_logprobs))
            metrics |= mismatch_metrics(
                update.tokens["target_ids"][first], update.sampler_logprobs, update.learner_logprobs
            )
            metrics |= position_metrics(update.tokens, min_length=self.settings.min_length)
            metrics |= entropy_metrics(update.tokens)
        complaints = [self._follow(watch, metrics, step) for watch in WATCHES]
        found = [complaint for complaint in complaints if complaint]
        if found:
            raise RunPaused("; ".join(found), metrics=metrics)
        return metrics

    def state(self) -> dict[str, Any]:
        """Returns all that is remembered, as JSON values; floats survive exactly."""
        return {metric: dataclasses.asdict(track) for metric, track in self._tracks.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state; a metric that it lacks begins anew."""
        self._tracks = {watch.metric: _Track(**state.get(watch.metric, {})) for watch in WATCHES}

    def _follow(self, watch: Watch, metrics: dict[str, object], step: int) -> str:
        """Adds the watched value to the metrics; returns what is wrong with it, or nothing."""
        value = metrics.get(watch.metric, math.nan)
        assert isinstance(value, float), f"{watch.metric} is a number"
        if not math.isfinite(value):
            return ""
        track = self._tracks[watch.metric]
        average = track.add(value, self.settings.ema_decay)
        assert track.lowest is not None, "set with the average"
        watched = average / max(track.lowest, 1.0) if watch.is_rise else average
        metrics[watch.shown] = watched
        bound = getattr(self.settings, watch.setting)
        is_beyond = bound is not None and (watched < bound if watch.is_floor else watched > bound)
        track.num_beyond = track.num_beyond + 1 if is_beyond else 0
        if track.num_beyond < self.settings.patience:
            return ""
        track.num_beyond = 0
        return (
            f"paused at step {step}: {watch.shown}={watched:.6g}, {'below' if watch.is_floor else 'above'} "
            f"{watch.setting}={bound} for {self.settings.patience} steps. To do: {watch.advice}; "
            f"or go on with another {watch.setting} (None: unwatched)"
        )
