"""The loop of RL, in memory: draw, generate and check, advantages, updates, watch, decide; then the next step.

    loop = Loop(engine, Curriculum(sources_of(mixture)), lambda stage: learner, settings=LoopSettings(), seed=0)
    while not loop.is_done:
        step = loop.step()      # then write step.metrics, save loop.state()

Engine and learner hold the same model object, so weights are never copied. All chance is counter-based: weights,
optimizer and `state()` are all that a resumed loop needs to draw what an undisturbed one would have drawn.
Left to the recipe: files, pictures, progress bars, held-out evaluation.
"""

import functools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fulmen.errors import ConfigError, RunPaused
from fulmen.rl.curriculum import Curriculum, StepMixture
from fulmen.rl.filters import Truncated, is_informative
from fulmen.rl.learner import Learner, Update
from fulmen.rl.monitors import Monitors, MonitorSettings
from fulmen.rl.window import Decision, Stage, WindowSchedule, WindowSettings, evidence_of
from fulmen.rollout import Collected, CollectSettings, Failure, FailureWatch, collect
from fulmen.rollout.backlog import Backlog
from fulmen.serve import Engine
from fulmen.train.optim import Schedule
from fulmen.types import RolloutGroup, Sampling

KEEP_FRAC_DECAY = 0.7
"""Of the estimate of how many groups will be informative, which sizes the first round of sampling."""


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What a step of RL is. The defaults are the demo's size; `fulmen rl` has those of the report."""

    num_steps: int = 55
    """Generation batches."""
    num_groups: int = 32
    """Informative groups (prompts) per batch."""
    group_size: int = 8
    """Completions per prompt, G of eq. (2)."""
    num_updates: int = 8
    """Optimizer steps per generation batch, one mini-batch of whole groups each (the report, section 3.1: 16)."""
    max_rounds: int = 3
    """Rounds of sampling per batch to replace groups that are all right or all wrong (DAPO, section 3.2)."""
    lr: float = 1.5e-4
    """Learning rate of AdamW (0.9, 0.95, eps 1e-15; the report, section 3.2)."""
    warmup_steps: int = 5
    """Batches until the full learning rate."""
    final_frac: float = 0.1
    """Last learning rate as a fraction of the peak."""
    clip_norm: float = 1.0
    """Largest gradient norm, in the first window."""
    window: int = 160
    """Longest completion, in tokens; the first window, if there are longer ones."""
    soft_zone_frac: float = 0.2
    """Share of the window in which the length penalty grows from 0 to -1 (DAPO, eq. 13); 0 switches it off."""
    truncated: Truncated = "penalise"
    """What becomes of a completion that the window cut off: its score and penalty count, or it is left out (mask)."""
    repetition_window: int = 3000
    """Generation halts after so many consecutive tokens above `repetition_p` (the report, section 4.2)."""
    repetition_p: float = 0.99
    """Probability, under the model itself, above which a token counts for the halt."""
    max_staleness: int = 0
    """Generation batches that may be trained while a group is sampled: 0 waits for every completion, 1 or more lets
    long ones go on in the next batches."""
    releases_cache: bool = False
    """Give the engine's keys, values and states back before the updates: less memory, slower on a GPU (its graphs are
    captured anew each step)."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "num_groups", "num_updates", "max_rounds", "window", "repetition_window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")
        if self.max_staleness < 0:
            raise ConfigError(f"max_staleness={self.max_staleness}; allowed: at least 0")
        if self.group_size < 2:
            raise ConfigError(f"group_size={self.group_size}; allowed: at least 2 (a group is its own baseline)")
        if self.num_updates > self.num_groups:
            raise ConfigError(f"num_updates={self.num_updates}; allowed: at most num_groups={self.num_groups}")
        for name, is_right, allowed in (
            ("lr", self.lr >= 0, "at least 0"),
            ("warmup_steps", self.warmup_steps >= 0, "at least 0"),
            ("final_frac", self.final_frac >= 0, "at least 0"),
            ("clip_norm", 0 < self.clip_norm < math.inf, "above 0, finite"),
            ("soft_zone_frac", 0 <= self.soft_zone_frac <= 1, "0 to 1"),
            ("repetition_p", 0 <= self.repetition_p <= 1, "0 to 1; 1 switches the halt off"),
        ):
            if not is_right:
                raise ConfigError(f"{name}={getattr(self, name)!r}; allowed: {allowed}")


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Who is told of what happens inside a step."""

    on_finish: Callable[[int], None] | None = None
    """Of each completion, its tokens; may raise to stop the step, which then has not happened."""
    on_failure: Callable[[Failure], None] | None = None
    """Of each attempt that stayed without a score."""
    on_update: Callable[[int, int], None] | None = None
    """Of each optimizer step: how many of how many are done."""
    on_skip: Callable[[list[str]], None] | None = None
    """Of each mini-batch whose numbers were not finite, its tasks: no step was taken."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step did."""

    index: int
    metrics: dict[str, Any]
    sampled: list[RolloutGroup] = field(default_factory=list)
    """Every group, the rejected and the surplus too."""
    update: Update | None = None
    """None where no group was informative."""
    decision: Decision | None = None
    """On the window, where an evaluation was due."""
    paused: RunPaused | None = None
    """To be raised once the step is written down: a metric has left its bounds."""


class Loop:
    """One run of RL over an engine and a learner that share a model; `step` is one generation batch."""

    def __init__(
        self,
        engine: Engine,
        curriculum: Curriculum,
        learner_at: Callable[[Stage], Learner],
        *,
        settings: LoopSettings,
        seed: int,
        windows: WindowSchedule | None = None,
        monitors: Monitors | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        """Takes the parts; nothing is drawn yet. `learner_at` gives the learner of a stage: loss, penalty, window."""
        self.engine, self.curriculum, self.settings = engine, curriculum, settings
        only = WindowSettings(windows=(settings.window,), clip_norm=(settings.clip_norm,))
        self.windows = windows or WindowSchedule(only)
        self.monitors = monitors or Monitors(MonitorSettings())
        self.learner_at, self._seed, self._hooks = learner_at, seed, hooks or Hooks()
        self._watch = FailureWatch()
        self._schedule = Schedule(
            peak=settings.lr, num_steps=settings.num_steps, warmup_steps=settings.warmup_steps,
            final_frac=settings.final_frac,
        )  # fmt: skip
        self._collect_settings = CollectSettings(
            num_groups=settings.num_groups, group_size=settings.group_size, max_rounds=settings.max_rounds
        )
        self.backlog = Backlog()
        """Groups that were begun and not trained yet; with `state()`, and weights and optimizer, all of the loop."""
        self._state: dict[str, Any] = {"step": 0, "tasks": 0, "keep_frac": 1.0, "policy_version": 0}

    @property
    def num_done(self) -> int:
        """Steps taken so far."""
        return int(self._state["step"])

    @property
    def is_done(self) -> bool:
        """Whether all steps are taken."""
        return self.num_done >= self.settings.num_steps

    @property
    def expected_completions(self) -> int:
        """Completions that the first round of the next step will ask for."""
        keep_frac = min(max(self._state["keep_frac"], 0.25), 1.0)
        return self.settings.group_size * math.ceil(self.settings.num_groups / keep_frac)

    @property
    def sampling(self) -> Sampling:
        """How completions are drawn now: from the model's own distribution, which the learner compares with."""
        stage = self.windows.stage
        return Sampling(
            max_tokens=stage.window, repetition_window=stage.repetition_window, repetition_p=self.settings.repetition_p
        )

    def state(self) -> dict[str, Any]:
        """Returns where the loop stands beside its backlog, as JSON values.

        A step that was broken off before its updates is not in it.
        """
        return {
            **self._state, "windows": self.windows.state(), "curriculum": self.curriculum.state(),
            "monitors": self.monitors.state(),
        }  # fmt: skip

    def load(self, state: Mapping[str, Any], *, backlog: Backlog | None = None) -> None:
        """Goes on from what `state` returned, and its backlog."""
        self.backlog = backlog or Backlog()
        self._state = {name: state[name] for name in self._state}
        self.windows.load(state["windows"])
        self.curriculum.load(state["curriculum"])
        self.monitors.load(state["monitors"])
        self.engine.policy_version = self._state["policy_version"]

    def step(self) -> Step:
        """Returns what one step did. Deterministic in (seed, state, weights).

        Raises: RunError when too many attempts stay without a score.
        """
        index, stage, started = self.num_done, self.windows.stage, time.monotonic()
        mixture = self.curriculum.mixture(
            index, synthetic_scale=stage.synthetic_scale, pass_rate_max=stage.pass_rate_max
        )
        collected = self._collect(mixture)
        self._watch.add(collected.sampled)
        sampled_at = time.monotonic()
        update = self._update(collected, stage, lr=self._schedule.lr(index)) if collected.groups else None
        times = {"rollout_s": sampled_at - started, "learn_s": time.monotonic() - sampled_at}
        metrics, paused = self._watched(index, collected, update)
        metrics |= sampling_metrics(collected, group_size=self.settings.group_size)
        metrics |= {} if update is None else update.metrics
        metrics |= self.windows.metrics() | self.curriculum.metrics(mixture) | speeds(metrics, **times)
        evidence = evidence_of(collected.sampled)
        decision = None if evidence is None else self.windows.observe(index, evidence)
        self.curriculum.observe(collected.sampled)
        keep_frac = self._state["keep_frac"]
        if collected.sampled:
            keep_frac = KEEP_FRAC_DECAY * keep_frac + (1 - KEEP_FRAC_DECAY) * metrics["accept_frac"]
        self.backlog = collected.backlog
        self._state |= {
            "step": index + 1, "tasks": collected.cursor, "keep_frac": keep_frac,
            "policy_version": self.engine.policy_version,
        }  # fmt: skip
        return Step(
            index=index, metrics=metrics, sampled=collected.sampled, update=update, decision=decision, paused=paused
        )

    def _collect(self, mixture: StepMixture) -> Collected:
        """Returns a batch full of informative groups, or what `max_rounds` of sampling gave."""
        return collect(
            self.engine, mixture, self._collect_settings, sampling=self.sampling, seed=self._seed,
            cursor=self._state["tasks"], keep=functools.partial(is_informative, truncated=self.settings.truncated),
            expected_keep_frac=self._state["keep_frac"], on_finish=self._hooks.on_finish,
            on_failure=self._hooks.on_failure, backlog=self.backlog, max_staleness=self.settings.max_staleness,
            policy_version=self.engine.policy_version,
        )  # fmt: skip

    def _update(self, collected: Collected, stage: Stage, *, lr: float) -> Update:
        """Returns what the updates did; the engine knows of the new weights afterwards."""
        if self.settings.releases_cache:
            self.engine.release()
        learner = self.learner_at(stage)
        learner.trainer.clip_norm = stage.clip_norm
        update = learner.update(
            collected.groups, lr=lr, policy_version=self.engine.policy_version, on_update=self._hooks.on_update,
            on_skip=self._hooks.on_skip,
        )  # fmt: skip
        self.engine.policy_version += update.num_updates
        return update

    def _watched(
        self, index: int, collected: Collected, update: Update | None
    ) -> tuple[dict[str, Any], RunPaused | None]:
        try:
            return self.monitors.observe(index, collected.sampled, update), None
        except RunPaused as paused:
            return dict(paused.metrics), paused


def sampling_metrics(collected: Collected, *, group_size: int) -> dict[str, Any]:
    """Returns what a generation batch looked like: rewards by environment, lengths, shares of what was cut or lost."""
    rollouts = [rollout for group in collected.sampled for rollout in group.rollouts]
    # What was carried over may fill a batch: then nothing was sampled to its end.
    asked = max(group_size * len(collected.sampled), 1)
    lengths = np.array([rollout.num_tokens for rollout in rollouts] or [0])
    by_task: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        if rollout.score.value is not None:
            by_task[rollout.task.env].append(rollout.score.value)
    reasons = [rollout.completion.stop_reason for rollout in rollouts]
    return {
        "reward": float(np.mean([value for values in by_task.values() for value in values] or [math.nan])),
        **{f"reward/{name}": float(np.mean(values)) for name, values in sorted(by_task.items())},
        "length_mean": float(lengths.mean()),
        "length_p99": float(np.quantile(lengths, 0.99)),
        "truncated_frac": reasons.count("length") / max(len(reasons), 1),
        "accept_frac": collected.num_kept / max(len(collected.sampled), 1),
        "num_groups": len(collected.groups),
        "staleness_mean": float(np.mean(collected.ages or [0])),
        "invalid_frac": sum(group_size - group.num_valid for group in collected.sampled) / asked,
        "num_sampled_tokens": int(lengths.sum()),
    }


def speeds(metrics: Mapping[str, Any], *, rollout_s: float, learn_s: float) -> dict[str, float]:
    """Returns the times of a step, and tokens per second of engine and learner."""
    return {
        "rollout_s": rollout_s,
        "learn_s": learn_s,
        "tokens_per_s": metrics["num_sampled_tokens"] / max(rollout_s, 1e-9),
        "learner_tokens_per_s": metrics.get("num_tokens", 0.0) / max(learn_s, 1e-9),
    }
