"""Collects groups of rollouts until a batch is full of groups worth training on.

Dynamic sampling: groups that the filter rejects (all right, all wrong) are replaced by fresh tasks, so that every
batch carries its full number of gradients. Source: DAPO (arXiv 2503.14476), section 3.2; used by MiniMax-M1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from fulmen.envs.base import Env
from fulmen.errors import ConfigError
from fulmen.rollout.backlog import Backlog
from fulmen.rollout.episodes import Failure, Patience, sample_groups
from fulmen.types import Generate, Resumable, RolloutGroup, Sampling


@dataclass(frozen=True, kw_only=True)
class CollectSettings:
    """How a batch of groups is collected."""

    num_groups: int = 32
    """Groups per batch (prompts)."""
    group_size: int = 8
    """Completions per prompt."""
    max_rounds: int = 4
    """Rounds of sampling per batch; what is there after the last one is trained on."""
    min_valid: int = 2
    """Attempts with a score that a group needs; a group with fewer is replaced."""
    stride: int = 16
    """With `max_staleness` above 0: steps of the engine between two looks at what has ended."""
    patience: Patience = field(default_factory=Patience)
    """With failures of infrastructure, verifiers and judges."""

    def __post_init__(self) -> None:
        for name, least in (("num_groups", 1), ("group_size", 2), ("max_rounds", 1), ("min_valid", 2), ("stride", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least {least}")
        if self.min_valid > self.group_size:
            raise ConfigError(f"min_valid={self.min_valid}; allowed: at most group_size={self.group_size}")


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A batch of groups and what it took to get it."""

    groups: list[RolloutGroup]
    """Groups that the filter kept, at most `num_groups`."""
    sampled: list[RolloutGroup] = field(default_factory=list)
    """Every group that was completed, the rejected and the surplus too."""
    cursor: int = 0
    """Index of the next unused task."""
    num_kept: int = 0
    """Groups that the filter accepted, surplus included."""
    ages: list[int] = field(default_factory=list)
    """Generation batches trained since each of `groups` was begun."""
    backlog: Backlog = field(default_factory=Backlog)
    """What the next call takes."""


def collect(
    generate: Generate,
    env: Env,
    settings: CollectSettings,
    *,
    sampling: Sampling,
    seed: int,
    cursor: int,
    keep: Callable[[RolloutGroup], bool],
    expected_keep_frac: float = 1.0,
    on_finish: Callable[[int], None] | None = None,
    on_failure: Callable[[Failure], None] | None = None,
    backlog: Backlog | None = None,
    max_staleness: int = 0,
    policy_version: int = 0,
) -> Collected:
    """Returns up to `num_groups` groups that `keep` accepts, from training tasks `cursor`, `cursor + 1`, ...

    Each round asks for what is still missing divided by `expected_keep_frac` (an estimate, taken as 0.25 to 1), so
    that one round usually does. `on_failure` hears of attempts that stayed without a score.
    With `max_staleness` above 0 nobody waits for the longest completions: groups that are not done when the batch is
    full go on in later calls (`stream.py`), and each is trained, or found uninformative, before more than so many
    generation batches have been trained since it was begun. `backlog` is what the call before returned, and
    `policy_version` tells by its change that a batch has been trained since. `expected_keep_frac` then means nothing.
    Deterministic in (seed, cursor, backlog, weights).

    Raises: ConfigError for a sampling distribution that the learner does not know, for an engine that cannot be
    interrupted where it would have to be, and for a backlog with `max_staleness` 0.
    """
    backlog = backlog or Backlog()
    _check(generate, sampling, backlog, max_staleness)
    if max_staleness:
        from fulmen.rollout.stream import Collector

        assert isinstance(generate, Resumable), "checked above"
        collector = Collector(
            generate, env, settings, sampling=sampling, seed=seed, cursor=cursor, keep=keep, on_finish=on_finish,
            on_failure=on_failure, max_staleness=max_staleness,
        )  # fmt: skip
        return collector.run(backlog, policy_version=policy_version)
    kept: list[RolloutGroup] = []
    sampled: list[RolloutGroup] = []
    for _ in range(settings.max_rounds):
        missing = settings.num_groups - len(kept)
        if missing <= 0:
            break
        count = min(math.ceil(missing / min(max(expected_keep_frac, 0.25), 1.0)), 2 * settings.num_groups)
        tasks = [env.task("train", seed=seed, index=cursor + offset) for offset in range(count)]
        cursor += count
        groups = sample_groups(
            generate, env, tasks, settings.group_size, sampling,
            seed=seed, on_finish=on_finish, on_failure=on_failure, patience=settings.patience,
        )  # fmt: skip
        sampled += groups
        kept += [group for group in groups if group.num_valid >= settings.min_valid and keep(group)]
    groups = kept[: settings.num_groups]
    return Collected(groups=groups, sampled=sampled, cursor=cursor, num_kept=len(kept), ages=[0] * len(groups))


def _check(generate: Generate, sampling: Sampling, backlog: Backlog, max_staleness: int) -> None:
    """Raises ConfigError for what cannot be collected, or not be trained on."""
    if sampling.temperature != 1 or sampling.top_p != 1:
        raise ConfigError(
            f"temperature={sampling.temperature}, top_p={sampling.top_p}; allowed in training: 1 and 1, "
            "since the learner compares sampled log-probabilities with those of the model itself"
        )
    if max_staleness < 0 or (not max_staleness and backlog.groups):
        raise ConfigError(
            f"max_staleness={max_staleness} with {len(backlog.groups)} groups left over; allowed: 1 or more, or 0 "
            "without any"
        )
    if max_staleness and not isinstance(generate, Resumable):
        raise ConfigError(
            f"max_staleness={max_staleness} with {type(generate).__name__}; allowed: 0, or an engine that can be "
            "interrupted"
        )
