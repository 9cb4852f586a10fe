"""When completions may grow longer: windows in stages, each trained more gently than the one before.

A stage ends when the perplexity of what the policy generates has settled and the longest completions come near the
window; both have to hold for several evaluations. No stage is ever left for an earlier one.
Source: MiniMax-M1 report, section 5 (windows, and which two indicators). Differs: the report gives no thresholds, no
lowered values; those here are ours, and settings.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.types import RolloutGroup

NUM_REPORT_WINDOWS = 6
"""40K, 48K, 56K, 64K, 72K, 80K: steps of one fifth of the way."""
PER_STAGE = ("weight_max", "clip_norm", "synthetic_scale", "pass_rate_max")
"""Settings with one value for all stages, or one for each."""

Verdict = Literal["advance", "wait", "on_hold", "last"]
"""The next window from here on; a criterion has not held for long enough; it has, but a person said to stay; it has,
and there is no longer window."""


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """The windows, what changes with them, and when the next one begins."""

    windows: tuple[int, ...]
    """Longest completion in each stage, in tokens, ascending."""
    weight_max: tuple[float, ...] = (5.0,)
    """CISPO's cap on the importance weight, for all stages or for each; the report lowers it."""
    clip_norm: tuple[float, ...] = (1.0,)
    """Largest gradient norm, for all stages or for each; the report lowers it."""
    synthetic_scale: tuple[float, ...] = (1.0,)
    """Factor on the share of synthetic reasoning tasks, for all stages or for each; the report lowers it."""
    pass_rate_max: tuple[float, ...] = (1.0,)
    """Tasks that the policy solves more often are left out, for all stages or for each."""
    repetition_window: int = 3000
    """Confident tokens in a row that end a completion, in the first stage."""
    scales_repetition: bool = False
    """Whether this number grows with the window."""
    soft_zone_frac: float = 0.2
    """Share of the window in which the length penalty grows, in the first stage."""
    scales_soft_zone: bool = True
    """Whether the zone grows with the window; if not, it keeps its number of tokens."""
    perplexity_change_max: float = 0.01
    """Relative change of the smoothed perplexity below which it has converged."""
    perplexity_steps: int = 50
    """Steps over which the change is taken, and the time constant of the smoothing."""
    length_p99_frac: float = 0.95
    """Share of the window that the 99th percentile of lengths has to reach."""
    num_evaluations: int = 5
    """Evaluations in a row at which both have to hold."""
    evaluate_every: int = 10
    """Steps from one evaluation to the next."""

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise ConfigError("; ".join(faults))

    def _faults(self) -> Iterator[str]:
        windows = self.windows
        if not windows or windows[0] < 1 or any(a >= b for a, b in pairwise(windows)):
            yield f"windows={windows}; allowed: one or more, at least 1 token, each longer than the one before"
        for name in PER_STAGE:
            values = self.__dict__[name]
            if len(values) not in (1, len(windows)):
                yield f"{name}={values}; allowed: 1 value, or {len(windows)}, one per window"
            highest = 1.0 if name in ("synthetic_scale", "pass_rate_max") else math.inf
            if not all(0 < value <= highest and math.isfinite(value) for value in values):
                yield f"{name}={values}; allowed: above 0{'' if math.isinf(highest) else ', at most 1'}"
        for name in ("repetition_window", "perplexity_steps", "num_evaluations", "evaluate_every"):
            if self.__dict__[name] < 1:
                yield f"{name}={self.__dict__[name]}; allowed: at least 1"
        for name in ("soft_zone_frac", "length_p99_frac"):
            if not 0 < self.__dict__[name] <= 1:
                yield f"{name}={self.__dict__[name]}; allowed: above 0, at most 1"
        if not 0 < self.perplexity_change_max < math.inf:
            yield f"perplexity_change_max={self.perplexity_change_max}; allowed: above 0"

    def stage(self, index: int) -> "Stage":
        """Returns what holds in a stage."""
        window = self.windows[index]
        growth = window / self.windows[0]
        own = {name: values[min(index, len(values) - 1)] for name, values in self._per_stage().items()}
        return Stage(
            index=index,
            window=window,
            repetition_window=round(self.repetition_window * (growth if self.scales_repetition else 1.0)),
            soft_zone_frac=self.soft_zone_frac / (1.0 if self.scales_soft_zone else growth),
            **own,
        )

    def _per_stage(self) -> dict[str, tuple[float, ...]]:
        return {name: self.__dict__[name] for name in PER_STAGE}


def report_windows(*, first: int, last: int) -> tuple[int, ...]:
    """Returns six windows in the report's proportions, equal steps from the first to the last.

    >>> report_windows(first=40_000, last=80_000)
    (40000, 48000, 56000, 64000, 72000, 80000)

    Raises: ConfigError when the last is not at least 5 tokens longer than the first.
    """
    num_steps = NUM_REPORT_WINDOWS - 1
    if first < 1 or last - first < num_steps:
        raise ConfigError(f"first={first}, last={last}; allowed: first >= 1, last >= first + {num_steps}")
    return tuple(first + round(step * (last - first) / num_steps) for step in range(NUM_REPORT_WINDOWS))


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What holds while a window does; the names are those of `WindowSettings`."""

    index: int
    """From 0."""
    window: int
    weight_max: float
    clip_norm: float
    synthetic_scale: float
    pass_rate_max: float
    repetition_window: int
    soft_zone_frac: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one step's rollouts say."""

    perplexity: float
    """exp of the mean negative log-probability of the drawn tokens."""
    length_p99: float
    """99th percentile of the completions' lengths, in tokens."""

    def __post_init__(self) -> None:
        if not 0 < self.perplexity < math.inf or not 0 <= self.length_p99 < math.inf:
            raise DataError(
                f"Evidence: perplexity={self.perplexity}, length_p99={self.length_p99}; allowed: finite numbers, "
                "above 0 and at least 0"
            )


def evidence_of(groups: Sequence[RolloutGroup]) -> Evidence | None:
    """Returns the evidence of all that a step sampled, rejected groups included; None where it drew no token.

    Of several turns the longest counts: the window bounds each of them.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    total, num_tokens = 0.0, 0
    for completion in (completion for rollout in rollouts for completion in rollout.completions):
        logprobs = completion.logprobs if completion.model_logprobs is None else completion.model_logprobs
        drawn = logprobs if completion.mask is None else logprobs[completion.mask]
        total += float(drawn.sum(dtype=np.float64))
        num_tokens += len(drawn)
    if not num_tokens:
        return None
    lengths = [max(len(completion.token_ids) for completion in rollout.completions) for rollout in rollouts]
    return Evidence(perplexity=math.exp(-total / num_tokens), length_p99=float(np.quantile(lengths, 0.99)))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Both criteria at one time."""

    step: int
    perplexity: float
    """Smoothed."""
    perplexity_change: float | None
    """Relative to `perplexity_steps` steps before; None while the stage is younger."""
    length_p99: float
    """Mean of the steps since the last evaluation."""
    is_converged: bool
    is_near_limit: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether the window grew at an evaluation, and why; one line of windows.jsonl."""

    step: int
    verdict: Verdict
    reason: str
    """In words."""
    window: int
    """Before the decision."""
    next_window: int
    """From the next step on."""
    perplexity_change_max: float
    """The change had to be below."""
    length_p99_min: float
    """The 99th percentile had to reach it, in tokens."""
    num_held: int
    """Last evaluations in a row at which both held."""
    num_needed: int
    evaluations: tuple[Evaluation, ...]
    """Of this stage, the last `num_needed`, this one at the end."""

    def to_json(self) -> dict[str, Any]:
        """Returns the decision as a JSON object."""
        return {**asdict(self), "evaluations": [asdict(evaluation) for evaluation in self.evaluations]}


class WindowSchedule:
    """The stage a run is in. Deterministic in the settings and the evidence."""

    def __init__(self, settings: WindowSettings) -> None:
        """Begins in the first stage."""
        self.settings = settings
        self._is_on_hold = False
        self._index = 0
        self._num_steps = 0
        self._smoothed: list[float] = []
        self._p99s: list[float] = []
        self._evaluations: list[Evaluation] = []

    @property
    def stage(self) -> Stage:
        """What holds now."""
        return self.settings.stage(self._index)

    def hold(self, is_on_hold: bool = True) -> None:
        """Keeps the window from growing, whatever the evidence, until it is let go with False."""
        self._is_on_hold = is_on_hold

    def observe(self, step: int, evidence: Evidence) -> Decision | None:
        """Takes the evidence of one step; returns a decision where an evaluation was due, and carries it out."""
        self._num_steps += 1
        # An exponential mean over the stage alone: its first weights are those of a plain mean.
        decay = 1 - 1 / self.settings.perplexity_steps
        share = (1 - decay) / (1 - decay**self._num_steps)
        before = self._smoothed[-1] if self._smoothed else 0.0
        smoothed = before + share * (evidence.perplexity - before)
        self._smoothed = [*self._smoothed, smoothed][-self.settings.perplexity_steps - 1 :]
        self._p99s.append(evidence.length_p99)
        if self._num_steps % self.settings.evaluate_every:
            return None
        self._evaluations = [*self._evaluations, self._evaluate(step)][-self.settings.num_evaluations :]
        self._p99s = []
        decision = self._decide(step)
        if decision.verdict == "advance":
            self._enter(self._index + 1)
        return decision

    def metrics(self) -> dict[str, float]:
        """Returns the stage and the last evaluation as numbers."""
        metrics = {"window/stage": float(self._index), "window/tokens": float(self.stage.window)}
        if self._smoothed:
            metrics["window/perplexity"] = self._smoothed[-1]
        if self._evaluations:
            last = self._evaluations[-1]
            metrics["window/length_p99_frac"] = last.length_p99 / self.stage.window
            metrics["window/num_held"] = float(self._num_held())
            if last.perplexity_change is not None:
                metrics["window/perplexity_change"] = last.perplexity_change
        return metrics

    def state(self) -> dict[str, Any]:
        """Returns all that the next decisions depend on, as JSON."""
        return {
            "stage": self._index, "window": self.stage.window, "num_steps": self._num_steps,
            "is_on_hold": self._is_on_hold, "smoothed": list(self._smoothed), "p99s": list(self._p99s),
            "evaluations": [asdict(evaluation) for evaluation in self._evaluations],
        }  # fmt: skip

    def load(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned. Raises: CheckpointError for the state of other windows, or none."""
        try:
            index, window = state["stage"], state["window"]
            if not 0 <= index < len(self.settings.windows) or self.settings.windows[index] != window:
                raise CheckpointError(
                    f"window state: window {window} in stage {index}; allowed: one of {self.settings.windows}"
                )
            self._enter(index)
            self._num_steps, self._is_on_hold = state["num_steps"], state["is_on_hold"]
            self._smoothed, self._p99s = list(state["smoothed"]), list(state["p99s"])
            self._evaluations = [Evaluation(**record) for record in state["evaluations"]]
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"window state: {error!r}; allowed: what WindowSchedule.state returned") from error

    def _enter(self, index: int) -> None:
        """Begins a stage: longer completions have another perplexity, so nothing measured before counts."""
        self._index, self._num_steps = index, 0
        self._smoothed, self._p99s, self._evaluations = [], [], []

    def _evaluate(self, step: int) -> Evaluation:
        settings, smoothed = self.settings, self._smoothed
        is_old_enough = len(smoothed) > settings.perplexity_steps
        change = abs(smoothed[-1] / smoothed[0] - 1) if is_old_enough else None
        length_p99 = math.fsum(self._p99s) / len(self._p99s)
        return Evaluation(
            step=step,
            perplexity=smoothed[-1],
            perplexity_change=change,
            length_p99=length_p99,
            is_converged=change is not None and change < settings.perplexity_change_max,
            is_near_limit=length_p99 >= settings.length_p99_frac * self.stage.window,
        )

    def _num_held(self) -> int:
        num = 0
        for evaluation in reversed(self._evaluations):
            if not (evaluation.is_converged and evaluation.is_near_limit):
                break
            num += 1
        return num

    def _decide(self, step: int) -> Decision:
        settings, num_held = self.settings, self._num_held()
        has_next = self._index + 1 < len(settings.windows)
        verdict: Verdict = "wait"
        if num_held >= settings.num_evaluations:
            verdict = ("on_hold" if self._is_on_hold else "advance") if has_next else "last"
        window = self.stage.window
        return Decision(
            step=step,
            verdict=verdict,
            reason=self._reason(verdict, num_held),
            window=window,
            next_window=settings.windows[self._index + 1] if verdict == "advance" else window,
            perplexity_change_max=settings.perplexity_change_max,
            length_p99_min=settings.length_p99_frac * window,
            num_held=num_held,
            num_needed=settings.num_evaluations,
            evaluations=tuple(self._evaluations),
        )

    def _reason(self, verdict: Verdict, num_held: int) -> str:
        settings, last = self.settings, self._evaluations[-1]
        held = f"both criteria held at {num_held} of {settings.num_evaluations} evaluations"
        if verdict != "wait":
            endings = {"advance": "", "on_hold": ", but the window is on hold", "last": ", and this window is the last"}
            return held + endings[verdict]
        faults = []
        if last.perplexity_change is None:
            faults.append(f"the stage is not yet {settings.perplexity_steps} steps old")
        elif not last.is_converged:
            faults.append(f"perplexity changed by {last.perplexity_change:.2%} of {settings.perplexity_change_max:.2%}")
        if not last.is_near_limit:
            share = last.length_p99 / self.stage.window
            faults.append(f"p99 of lengths is {share:.1%} of the window, not {settings.length_p99_frac:.1%}")
        return "; ".join(faults) or held
