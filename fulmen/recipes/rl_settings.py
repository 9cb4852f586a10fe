"""Settings of RL: those of the loop and of each of its parts, and how a recipe makes the parts of them.

On the command line all of them are flat; in Python the losses', monitors' and curriculum's are records of their own.
"""

from dataclasses import dataclass, field

import tyro

from fulmen.errors import ConfigError
from fulmen.rl.curriculum import CurriculumSettings
from fulmen.rl.loop import LoopSettings
from fulmen.rl.losses import LossSettings
from fulmen.rl.monitors import MonitorSettings
from fulmen.rl.pass_rates import PassRateSettings
from fulmen.rl.value import ValueSettings
from fulmen.rl.window import WindowSettings
from fulmen.run import CheckpointSettings

WEIGHT_MAX = 5.0
"""Cap on the importance weight where a run has stages and names none for the first."""


@dataclass(frozen=True, kw_only=True)
class RlSettings(LoopSettings):
    """Settings of the RL phase. The defaults are the demo's size; `fulmen rl` has those of the report."""

    loss: tyro.conf.OmitArgPrefixes[LossSettings] = field(default_factory=LossSettings)
    value_lr: float = ValueSettings.lr
    """Learning rate of the value model, where the loss has one (ppo)."""
    gae_lambda: float = ValueSettings.gae_lambda
    """Of its advantages; 1 is the reward minus the value."""
    windows: tuple[int, ...] = ()
    """Longer windows to grow into, in tokens, ascending (the report, section 5: 40K, then 48K to 80K)."""
    stage_weight_max: tuple[float, ...] = ()
    """Cap on r in each longer window, which the report lowers; empty: as in the first."""
    stage_clip_norm: tuple[float, ...] = ()
    """Largest gradient norm in each longer window, which the report lowers; empty: as in the first."""
    stage_synthetic_scale: tuple[float, ...] = ()
    """Factor on the share of generated puzzles in each longer window, which the report lowers; empty: 1."""
    stage_pass_rate_max: tuple[float, ...] = ()
    """Tasks solved more often are left out in each longer window (the report, section 5); empty: none is."""
    perplexity_change_max: float = WindowSettings.perplexity_change_max
    """Relative change of the smoothed perplexity below which it has converged, and a longer window may begin."""
    perplexity_steps: int = WindowSettings.perplexity_steps
    """Batches over which the change is taken, and the time constant of the smoothing."""
    length_p99_frac: float = WindowSettings.length_p99_frac
    """Share of the window that the 99th percentile of lengths has to reach before a longer one begins."""
    num_evaluations: int = WindowSettings.num_evaluations
    """Evaluations in a row at which both have to hold."""
    evaluate_every: int = WindowSettings.evaluate_every
    """Batches from one evaluation to the next."""
    curriculum: tyro.conf.OmitArgPrefixes[CurriculumSettings] = field(default_factory=CurriculumSettings)
    pass_rates: tyro.conf.OmitArgPrefixes[PassRateSettings] = field(default_factory=PassRateSettings)
    monitors: tyro.conf.OmitArgPrefixes[MonitorSettings] = field(default_factory=MonitorSettings)
    num_slots: int = 512
    """Completions sampled at a time."""
    max_length: int = 131_072
    """Longest prompt with its completion, in tokens."""
    micro_batch_tokens: int = 4096
    """Tokens of one backward pass, unless one completion is longer; no result depends on it."""
    heldout_every: int = 10
    """Batches between looks at held-out tasks."""
    heldout_tasks: int = 64
    """Held-out tasks per environment in such a look, two samples each."""
    checkpoint_every: int = 1
    """Batches between checkpoints; the last one and a stop save too."""
    keep_last: int = 1
    """Newest checkpoints to keep."""
    keep_every: int = 0
    """Keeps the checkpoints after each so many batches for good; 0 keeps none."""
    keep_best: str = ""
    """Metric of metrics.jsonl whose highest value keeps its checkpoint; empty keeps none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_slots", "max_length", "micro_batch_tokens", "heldout_every", "heldout_tasks",
                     "checkpoint_every"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")
        for name in ("stage_weight_max", "stage_clip_norm", "stage_synthetic_scale", "stage_pass_rate_max"):
            values = getattr(self, name)
            if len(values) not in (0, len(self.windows)):
                raise ConfigError(f"{name}={values}; allowed: none, or {len(self.windows)}, one for each of windows")
        self.loss.check(num_updates=self.num_updates, group_size=self.group_size)
        _ = (self.window_settings, self.value_settings, self.checkpoints)

    @property
    def window_settings(self) -> WindowSettings:
        """The windows, the first among them."""
        first_cap = WEIGHT_MAX if self.loss.weight_max is None else self.loss.weight_max
        return WindowSettings(
            windows=(self.window, *self.windows),
            weight_max=_stages(first_cap, self.stage_weight_max),
            clip_norm=_stages(self.clip_norm, self.stage_clip_norm),
            synthetic_scale=_stages(1.0, self.stage_synthetic_scale),
            pass_rate_max=_stages(1.0, self.stage_pass_rate_max),
            repetition_window=self.repetition_window,
            soft_zone_frac=self.soft_zone_frac or WindowSettings.soft_zone_frac,
            perplexity_change_max=self.perplexity_change_max,
            perplexity_steps=self.perplexity_steps,
            length_p99_frac=self.length_p99_frac,
            num_evaluations=self.num_evaluations,
            evaluate_every=self.evaluate_every,
        )

    @property
    def value_settings(self) -> ValueSettings:
        """Of the value model."""
        return ValueSettings(
            lr=self.value_lr, gae_lambda=self.gae_lambda, clip_norm=self.clip_norm,
            micro_batch_tokens=self.micro_batch_tokens,
        )  # fmt: skip

    @property
    def checkpoints(self) -> CheckpointSettings:
        """When to save, and what to keep."""
        return CheckpointSettings(
            every=self.checkpoint_every, keep_last=self.keep_last, keep_every=self.keep_every, keep_best=self.keep_best
        )


def _stages(first: float, later: tuple[float, ...]) -> tuple[float, ...]:
    return (first, *later) if later else (first,)
