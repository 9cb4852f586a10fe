"""Several off-policy updates from one batch of groups, as the report trains (16 per generation batch)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.rl.advantages import LengthPenalty, group_advantages
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.monitors.mismatch import mismatch
from fulmen.rl.monitors.ratios import ratio_metrics
from fulmen.train import Loss, Trainer
from fulmen.types import Rollout, RolloutGroup


@dataclass(frozen=True, kw_only=True)
class Update:
    """What the updates from one generation batch did."""

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
    """Mini-batches (optimizer steps) per generation batch; the first is on-policy."""
    aggregation: Aggregation = "prompt_token"
    length_penalty: LengthPenalty | None = None
    clip_min: float = 0.8
    """Bounds of the PPO clip that metrics compare with."""
    clip_max: float = 1.2

    def __post_init__(self) -> None:
        if self.num_updates < 1:
            raise ConfigError(f"num_updates={self.num_updates}; allowed: at least 1")

    def update(self, groups: Sequence[RolloutGroup], *, lr: float) -> Update:
        """Returns metrics of the updates. Advantages are those of the generation batch, taken before the split.

        Raises: DataError when there is no group.
        """
        if not groups:
            raise DataError("Learner.update: zero groups; allowed: at least one")
        advantages = [group_advantages([self._reward(r) for r in group.rollouts]) for group in groups]
        parts = [part for part in np.array_split(np.arange(len(groups)), self.num_updates) if len(part)]
        steps = []
        for part in parts:
            batch = rl_batch([groups[i] for i in part], [advantages[i] for i in part], aggregation=self.aggregation)
            steps.append(self.trainer.step(batch, self.loss, lr=lr))
            if len(steps) == 1:
                assert batch.old_logprobs_T is not None, "rollouts carry their log-probabilities"
                sampler_logprobs = batch.old_logprobs_T[batch.mask_T]
                learner_logprobs = steps[0].tokens["logprobs"]
        tokens: dict[str, list[np.ndarray]] = defaultdict(list)
        metrics: dict[str, list[float]] = defaultdict(list)
        for step in steps:
            for name, values in step.tokens.items():
                tokens[name].append(values)
            for name, value in step.metrics.items():
                metrics[name].append(value)
        joined = {name: np.concatenate(values) for name, values in tokens.items()}
        agreement = mismatch(sampler_logprobs, learner_logprobs)
        summary: dict[str, object] = {name: float(np.mean(values)) for name, values in metrics.items()}
        summary |= ratio_metrics(joined, clip_min=self.clip_min, clip_max=self.clip_max)
        summary |= {
            "num_tokens": float(np.sum(metrics["num_tokens"])),
            "num_updates": len(steps),
            "entropy": float(joined["entropy"].mean()),
            "logprob_pearson": agreement.pearson,
            "logprob_abs_diff_max": agreement.abs_diff_max,
        }
        return Update(
            metrics=summary, tokens=joined, sampler_logprobs=sampler_logprobs, learner_logprobs=learner_logprobs
        )

    def _reward(self, rollout: Rollout) -> float | None:
        if rollout.score.value is None or self.length_penalty is None:
            return rollout.score.value
        return rollout.score.value + self.length_penalty(len(rollout.completion.token_ids))
