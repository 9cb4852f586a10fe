"""Several off-policy updates from one batch of groups, as the report trains (16 per generation batch)."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.rl.advantages import Advantage, LengthPenalty, batch_advantages
from fulmen.rl.anchor import Anchor, anchored, check_anchor, inert_cap
from fulmen.rl.batch import Aggregation, rl_batch
from fulmen.rl.filters import Truncated, trained_reward
from fulmen.rl.monitors.mismatch import mismatch
from fulmen.rl.monitors.ratios import ratio_metrics
from fulmen.rl.monitors.table import token_table
from fulmen.rl.value import Critic, Estimate
from fulmen.train import Loss, StepResult, Trainer
from fulmen.types import Batch, Completion, Rollout, RolloutGroup

Member = tuple[RolloutGroup, list[float | None]]
"""A group and the advantages of its rollouts."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What the updates from one generation batch did."""

    num_updates: int
    metrics: dict[str, object]
    tokens: dict[str, np.ndarray]
    """Per-token quantities of all updates, in training order (`monitors.token_table`)."""
    sampler_logprobs: np.ndarray
    """Of the first mini-batch, whose weights are still those that sampled; nan where older ones did."""
    learner_logprobs: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Turns a batch of groups into `num_updates` optimizer steps over mini-batches of whole groups, one pass."""

    trainer: Trainer
    loss: Loss
    num_updates: int = 16
    """Mini-batches (optimizer steps) per generation batch; the first is on-policy. Fewer groups give fewer."""
    aggregation: Aggregation = "prompt_token"
    window: int | None = None
    """Longest completion, which the aggregation `constant` divides by."""
    combined_share: float = 0.5
    """Of the sequence mean in the aggregation `combined`."""
    advantage: Advantage = "group_std"
    length_penalty: LengthPenalty | None = None
    truncated: Truncated = "penalise"
    anchor: Anchor = "rollout"
    mismatch_max: float | None = None
    """Cap on pi_recomputed / pi_rollout, with the recomputed anchor."""
    reference: Trainer | None = None
    """Of the reference policy, for a loss with a KL term; no step is taken on it."""
    critic: Critic | None = None
    """The value model, for advantages by value."""
    clip_min: float = 0.8
    """Bounds of the PPO clip that metrics compare with."""
    clip_max: float = 1.2

    def __post_init__(self) -> None:
        if self.num_updates < 1:
            raise ConfigError(f"num_updates={self.num_updates}; allowed: at least 1")
        check_anchor(self.anchor, self.mismatch_max)
        if (self.critic is None) == (self.advantage == "value"):
            raise ConfigError(f"advantage={self.advantage!r}; allowed: 'value' with a critic, the others without one")
        if not 0 <= self.clip_min <= 1 <= self.clip_max:
            raise ConfigError(
                f"clip_min={self.clip_min}, clip_max={self.clip_max}; allowed: 0 <= clip_min <= 1 <= clip_max"
            )

    def update(
        self,
        groups: Sequence[RolloutGroup],
        *,
        lr: float,
        policy_version: int | None = None,
        on_update: Callable[[int, int], None] | None = None,
        on_skip: Callable[[list[str]], None] | None = None,
    ) -> Update:
        """Returns metrics of the updates. Advantages are those of the generation batch, taken before the split.

        `policy_version` is that of the weights as they are: tokens of older ones say nothing of the agreement of
        sampler and learner. `on_update` hears how many of how many updates are done, `on_skip` of the tasks of a
        mini-batch whose step was skipped. `is_cap_inert` says that r = 1 on every token of the step.

        Raises: DataError when no group has a rollout with a reward; no step is taken then.
        """
        parts = self._parts(groups)
        known = [(known_logprobs(group, policy_version), own) for group, own in parts[0]]
        sampled = self._batch(known)
        assert sampled.old_logprobs_T is not None, "rollouts carry their log-probabilities"
        batches, estimates = self._before_updates([self._batch(part) for part in parts])
        steps: list[StepResult] = []
        values: list[dict[str, float]] = []
        for index, batch in enumerate(batches):
            steps.append(self.trainer.step(batch, self.loss, lr=lr, has_magnitudes=index == 0))
            if self.critic is not None:
                values.append(self.critic.step(estimates[index]))
            if steps[-1].is_skipped and on_skip is not None:
                on_skip([group.task.task_id for group, _ in parts[index]])
            if on_update is not None:
                on_update(len(steps), len(batches))
        # What a skipped step says of its tokens may not be finite, and trained nothing.
        taken = [i for i, step in enumerate(steps) if not step.is_skipped] or list(range(len(steps)))
        tokens = token_table([batches[i] for i in taken], [steps[i] for i in taken])
        first = slice(None) if taken[0] == 0 else slice(0)
        sampler, learner = sampled.old_logprobs_T[sampled.mask_T][first], steps[0].tokens["logprobs"][first]
        agreement = mismatch(sampler, learner)
        metrics = self._metrics(steps, values, tokens) | {
            "logprob_pearson": agreement.pearson,
            "logprob_abs_diff_max": agreement.abs_diff_max,
            "logprob_abs_diff_mean": agreement.abs_diff_mean,
        }
        return Update(
            num_updates=len(steps), metrics=metrics, tokens=tokens, sampler_logprobs=sampler, learner_logprobs=learner
        )

    def _parts(self, groups: Sequence[RolloutGroup]) -> list[list[Member]]:
        """Returns one list per mini-batch, of whole groups with their advantages; fewer lists when groups are fewer."""
        rewards = [[self._reward(rollout) for rollout in group.rollouts] for group in groups]
        advantages = batch_advantages(rewards, advantage=self.advantage)
        members = list(zip(groups, advantages, strict=True))
        scored = [i for i, own in enumerate(advantages) if any(advantage is not None for advantage in own)]
        if not scored:
            raise DataError(f"Learner.update: {len(groups)} groups, none with a reward; allowed: at least one")
        split = np.array_split(scored, min(self.num_updates, len(scored)))
        return [[members[i] for i in part] for part in split]

    def _reward(self, rollout: Rollout) -> float | None:
        reward = trained_reward(rollout, truncated=self.truncated)
        if reward is None or self.length_penalty is None:
            return reward
        return reward + self.length_penalty(rollout.num_tokens)

    def _batch(self, part: Sequence[Member]) -> Batch:
        return rl_batch(
            [group for group, _ in part], [own for _, own in part], aggregation=self.aggregation, window=self.window,
            combined_share=self.combined_share,
        )  # fmt: skip

    def _before_updates(self, batches: list[Batch]) -> tuple[list[Batch], list[Estimate]]:
        """Returns the batches with what other policies and the value model say of them, and the latter's words."""
        if self.anchor == "recomputed":
            batches = [
                anchored(
                    batch, anchor=self.anchor, recomputed_logprobs_T=self.trainer.logprobs(batch),
                    mismatch_max=self.mismatch_max,
                )
                for batch in batches
            ]  # fmt: skip
        if self.reference is not None:
            batches = [
                dataclasses.replace(batch, ref_logprobs_T=self.reference.logprobs(batch).astype(np.float32))
                for batch in batches
            ]
        if self.critic is None:
            return batches, []
        estimates = [self.critic.estimate(batch) for batch in batches]
        return [estimate.batch for estimate in estimates], estimates

    def _metrics(
        self, steps: Sequence[StepResult], values: Sequence[dict[str, float]], tokens: dict[str, np.ndarray]
    ) -> dict[str, object]:
        """Returns means over the updates, and what the ratios of all their tokens were."""
        metrics: dict[str, object] = {
            name: float(np.mean([own[name] for own in each]))
            for each in ([step.metrics for step in steps], values)
            for name in (each[0] if each else ())
        }
        magnitudes = steps[0].magnitudes
        return (
            ({} if magnitudes is None else magnitudes.metrics())
            | metrics
            | ratio_metrics(tokens, clip_min=self.clip_min, clip_max=self.clip_max)
            | {
                "num_tokens": sum(step.metrics["num_tokens"] for step in steps),
                "num_updates": len(steps),
                "skipped": sum(step.metrics["skipped"] for step in steps),
                "entropy": float(tokens["entropy"].mean()),
                "is_cap_inert": bool(inert_cap(tokens["log_ratio"])),
            }
        )


def known_logprobs(group: RolloutGroup, policy_version: int | None) -> RolloutGroup:
    """Returns the group with nan as the log-probability of every token that was not drawn by this version."""

    def known(completion: Completion) -> Completion:
        versions = completion.policy_version if completion.token_versions is None else completion.token_versions
        is_known = np.broadcast_to(versions == policy_version, completion.logprobs.shape)
        if policy_version is None or is_known.all():
            return completion
        return dataclasses.replace(completion, logprobs=np.where(is_known, completion.logprobs, np.float32("nan")))

    rollouts = tuple(
        dataclasses.replace(r, completion=known(r.completion), earlier=tuple(map(known, r.earlier)))
        for r in group.rollouts
    )
    return dataclasses.replace(group, rollouts=rollouts)
