"""Several off-policy updates from one batch of groups, as the report trains (16 per generation batch)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.rl.advantages import LengthPenalty, group_advantages
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.monitors.mismatch import mismatch
from fulmen.rl.monitors.ratios import ratio_metrics
from fulmen.train import Loss, Trainer
from fulmen.types import Batch, Rollout, RolloutGroup


@dataclass(frozen=True, kw_only=True)
class Update:
    """What the updates from one generation batch did."""

    num_updates: int
    metrics: dict[str, object]
    tokens: dict[str, np.ndarray]
    """Per-token quantities of all updates, in training order."""
    sampler_logprobs: np.ndarray
    """Of the first mini-batch, whose weights are still those that sampled."""
    learner_logprobs: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Turns a batch of groups into `num_updates` optimizer steps over mini-batches of whole groups, one pass."""

    trainer: Trainer
    loss: Loss
    num_updates: int = 16
    """Mini-batches (optimizer steps) per generation batch; the first is on-policy. Fewer groups give fewer."""
    aggregation: Aggregation = "prompt_token"
    length_penalty: LengthPenalty | None = None
    clip_min: float = 0.8
    """Bounds of the PPO clip that metrics compare with."""
    clip_max: float = 1.2

    def __post_init__(self) -> None:
        if self.num_updates < 1:
            raise ConfigError(f"num_updates={self.num_updates}; allowed: at least 1")
        if not 0 <= self.clip_min <= 1 <= self.clip_max:
            raise ConfigError(
                f"clip_min={self.clip_min}, clip_max={self.clip_max}; allowed: 0 <= clip_min <= 1 <= clip_max"
            )

    def update(self, groups: Sequence[RolloutGroup], *, lr: float) -> Update:
        """Returns metrics of the updates. Advantages are those of the generation batch, taken before the split.

        Raises: DataError when no group has a rollout with a reward; no step is taken then.
        """
        batches = self._batches(groups)
        steps = [self.trainer.step(batch, self.loss, lr=lr) for batch in batches]
        first = batches[0]
        assert first.old_logprobs_T is not None, "rollouts carry their log-probabilities"
        sampler_logprobs, learner_logprobs = first.old_logprobs_T[first.mask_T], steps[0].tokens["logprobs"]
        tokens = {name: np.concatenate([step.tokens[name] for step in steps]) for name in steps[0].tokens}
        agreement = mismatch(sampler_logprobs, learner_logprobs)
        metrics: dict[str, object] = {
            name: float(np.mean([step.metrics[name] for step in steps])) for name in steps[0].metrics
        }
        metrics |= ratio_metrics(tokens, clip_min=self.clip_min, clip_max=self.clip_max)
        metrics |= {
            "num_tokens": sum(step.metrics["num_tokens"] for step in steps),
            "num_updates": len(steps),
            "entropy": float(tokens["entropy"].mean()),
            "logprob_pearson": agreement.pearson,
            "logprob_abs_diff_max": agreement.abs_diff_max,
            "logprob_abs_diff_mean": agreement.abs_diff_mean,
        }
        return Update(
            num_updates=len(steps),
            metrics=metrics,
            tokens=tokens,
            sampler_logprobs=sampler_logprobs,
            learner_logprobs=learner_logprobs,
        )

    def _batches(self, groups: Sequence[RolloutGroup]) -> list[Batch]:
        """Returns one batch per mini-batch, each of whole groups; fewer than `num_updates` when groups are fewer."""
        advantages = [group_advantages([self._reward(r) for r in group.rollouts]) for group in groups]
        scored = [i for i, own in enumerate(advantages) if any(advantage is not None for advantage in own)]
        if not scored:
            raise DataError(f"Learner.update: {len(groups)} groups, none with a reward; allowed: at least one")
        return [
            rl_batch([groups[i] for i in part], [advantages[i] for i in part], aggregation=self.aggregation)
            for part in np.array_split(scored, min(self.num_updates, len(scored)))
        ]

    def _reward(self, rollout: Rollout) -> float | None:
        if rollout.score.value is None or self.length_penalty is None:
            return rollout.score.value
        return rollout.score.value + self.length_penalty(rollout.num_tokens)
