"""Evaluation as the report does it: several samples per task at temperature 1 and top-p 0.95; greedy beside it.

pass@1 is the mean over all samples; pass@k is the unbiased estimate from the same samples.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.envs import Mixture
from fulmen.errors import ConfigError
from fulmen.rollout import Patience, sample_groups
from fulmen.types import Generate, RolloutGroup, Sampling, Task


@dataclass(frozen=True, kw_only=True)
class EvalSettings:
    """How held-out tasks are sampled."""

    num_tasks: int = 200
    """Held-out tasks per environment."""
    num_samples: int = 8
    """Completions per task; pass@k is reported for k = this."""
    temperature: float = 1.0
    top_p: float = 0.95
    greedy: bool = True
    """Also take one greedy completion per task."""
    seed: int = 1_000_003
    """Of the held-out stream and of the sampling noise."""

    def __post_init__(self) -> None:
        for name in ("num_tasks", "num_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")


@dataclass(frozen=True, kw_only=True)
class EvalResult:
    """Numbers per environment, and the groups they come from."""

    tasks: dict[str, dict[str, float]]
    """Environment name to pass@1, its standard error over tasks, pass@k, greedy, mean_length, truncated_frac and
    invalid_frac."""
    groups: list[RolloutGroup]


def heldout_tasks(env: Mixture, *, num_tasks: int, seed: int) -> list[Task]:
    """Returns the first `num_tasks` different held-out tasks of every environment's stream.

    Raises: ConfigError when an environment's settings do not have so many.
    """
    tasks: list[Task] = []
    for member in env.envs:
        own: dict[str, Task] = {}
        for index in range(20 * num_tasks):
            task = member.task("heldout", seed=seed, index=index)
            own.setdefault(task.content_hash, task)
            if len(own) == num_tasks:
                break
        else:
            raise ConfigError(f"num_tasks={num_tasks}; allowed: at most about {len(own)} for {member.name}")
        tasks += own.values()
    return tasks


def evaluate(
    generate: Generate,
    env: Mixture,
    tasks: Sequence[Task],
    settings: EvalSettings,
    *,
    sampling: Sampling,
    on_finish: Callable[[int], None] | None = None,
    patience: Patience | None = None,
) -> EvalResult:
    """Returns scores of `generate` on `tasks`; `sampling` gives the limits, `settings` the distribution.

    Attempts that stayed without a score are left out of every mean, and counted as `invalid_frac`.
    """
    drawn = Sampling(
        temperature=settings.temperature, top_p=settings.top_p, max_tokens=sampling.max_tokens,
        repetition_window=sampling.repetition_window, repetition_p=sampling.repetition_p,
    )  # fmt: skip
    groups = sample_groups(
        generate, env, tasks, settings.num_samples, drawn, seed=settings.seed, on_finish=on_finish, patience=patience
    )
    by_env: dict[str, list[RolloutGroup]] = defaultdict(list)
    for group in groups:
        by_env[group.task.env].append(group)
    results = {name: _summarise(own, settings.num_samples) for name, own in by_env.items()}
    if settings.greedy:
        greedy = Sampling(
            temperature=0.0, max_tokens=sampling.max_tokens,
            repetition_window=sampling.repetition_window, repetition_p=sampling.repetition_p,
        )  # fmt: skip
        best: dict[str, list[RolloutGroup]] = defaultdict(list)
        for group in sample_groups(
            generate, env, tasks, 1, greedy, seed=settings.seed, on_finish=on_finish, patience=patience
        ):
            best[group.task.env].append(group)
        for name, own in best.items():
            results[name]["greedy"] = _mean([value for group in own for value in _correct(group)])
    return EvalResult(tasks=results, groups=groups)


def _summarise(groups: Sequence[RolloutGroup], k: int) -> dict[str, float]:
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    correct = [own for own in map(_correct, groups) if own]
    per_task = np.array([_mean(own) for own in correct])
    num_asked = k * len(groups)
    return {
        "pass@1": _mean(per_task),
        "pass@1_se": float(per_task.std(ddof=1) / math.sqrt(len(per_task))) if len(per_task) > 1 else float("nan"),
        f"pass@{k}": _mean([pass_at_k(len(own), int(sum(own)), min(k, len(own))) for own in correct]),
        "mean_length": _mean([r.num_tokens for r in rollouts]),
        "truncated_frac": _mean([r.completion.stop_reason == "length" for r in rollouts]),
        "invalid_frac": 1.0 - sum(map(len, correct)) / num_asked,
        "num_tasks": float(len(groups)),
    }


def _correct(group: RolloutGroup) -> list[float]:
    """Returns 1 or 0 for each attempt that has a score."""
    return [float(rollout.score.value == 1.0) for rollout in group.rollouts if rollout.score.is_valid]


def _mean(values: Sequence[int | float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """Returns the probability that k of the samples, drawn without replacement, hold a correct one.

    1 - C(n - c, k) / C(n, k). Source: Chen et al. (arXiv 2107.03374), eq. (1).
    """
    if not 1 <= k <= num_samples or not 0 <= num_correct <= num_samples:
        raise ConfigError(f"pass_at_k: n={num_samples}, c={num_correct}, k={k}; allowed: 1 <= k <= n, 0 <= c <= n")
    return 1.0 - math.comb(num_samples - num_correct, k) / math.comb(num_samples, k)
