"""Several off-policy updates from one batch of groups, as the report trains (16 per generation batch)."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.rl.advantages import LengthPenalty, group_advantages
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.filters import Truncated, trained_reward
from fulmen.rl.monitors.mismatch import mismatch
from fulmen.rl.monitors.ratios import ratio_metrics
from fulmen.train import Loss, Trainer
from fulmen.types import Batch, Rollout, RolloutGroup

Anchor = Literal["rollout", "recomputed"]
"""Whose log-probabilities are pi_old: those that the engine captured while sampling, or the learner's own, computed
once more before the first update."""
INERT_LOG_RATIO = 1e-4
"""No cap or clip acts on ratios that stay within this of 1."""


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
    truncated: Truncated = "penalise"
    anchor: Anchor = "rollout"
    mismatch_max: float | None = None
    """With the recomputed anchor, tokens also weigh min(pi_recomputed / pi_rollout, this); None does not correct."""
    clip_min: float = 0.8
    """Bounds of the PPO clip that metrics compare with."""
    clip_max: float = 1.2

    def __post_init__(self) -> None:
        if self.num_updates < 1:
            raise ConfigError(f"num_updates={self.num_updates}; allowed: at least 1")
        if self.mismatch_max is not None and (self.anchor == "rollout" or not self.mismatch_max > 0):
            raise ConfigError(
                f"mismatch_max={self.mismatch_max} with anchor={self.anchor!r}; allowed: above 0, and with the "
                "recomputed anchor alone (the rollout anchor holds the mismatch already: it would count twice)"
            )
        if not 0 <= self.clip_min <= 1 <= self.clip_max:
            raise ConfigError(
                f"clip_min={self.clip_min}, clip_max={self.clip_max}; allowed: 0 <= clip_min <= 1 <= clip_max"
            )

    def update(
        self, groups: Sequence[RolloutGroup], *, lr: float, on_update: Callable[[int, int], None] | None = None
    ) -> Update:
        """Returns metrics of the updates. Advantages are those of the generation batch, taken before the split.

        `on_update` hears how many of how many are done. `is_cap_inert` says that r = 1 on every token of the step.
        Raises: DataError when no group has a rollout with a reward; no step is taken then.
        """
        batches = self._batches(groups)
        sampled = batches[0]
        assert sampled.old_logprobs_T is not None, "rollouts carry their log-probabilities"
        if self.anchor == "recomputed":
            batches = [self._recompute(batch) for batch in batches]
        steps = []
        for batch in batches:
            steps.append(self.trainer.step(batch, self.loss, lr=lr))
            if on_update is not None:
                on_update(len(steps), len(batches))
        sampler_logprobs, learner_logprobs = sampled.old_logprobs_T[sampled.mask_T], steps[0].tokens["logprobs"]
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
            "is_cap_inert": bool(np.abs(tokens["log_ratio"]).max() < INERT_LOG_RATIO),
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
        reward = trained_reward(rollout, truncated=self.truncated)
        if reward is None or self.length_penalty is None:
            return reward
        return reward + self.length_penalty(rollout.num_tokens)

    def _recompute(self, batch: Batch) -> Batch:
        """Returns the batch with the learner's own log-probabilities as pi_old, the sampler's mismatch in its weights.

        Source: truncated importance sampling, as verl and SkyRL correct a foreign engine; docs/design.md.
        """
        assert batch.old_logprobs_T is not None, "rollouts carry their log-probabilities"
        old_logprobs_T = self.trainer.logprobs(batch).astype(np.float32)
        weights_T = batch.token_weights_T
        if self.mismatch_max is not None:
            log_ratio_T = np.minimum(old_logprobs_T - batch.old_logprobs_T, np.log(self.mismatch_max))
            weights_T = np.where(batch.mask_T, weights_T * np.exp(log_ratio_T), weights_T).astype(np.float32)
        return dataclasses.replace(batch, old_logprobs_T=old_logprobs_T, token_weights_T=weights_T)
