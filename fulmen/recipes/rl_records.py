"""What a step of RL leaves in the run's folder: rollouts, pictures' data, looks at held-out tasks."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from fulmen.envs import Mixture
from fulmen.evals.run import EvalSettings, evaluate, heldout_tasks
from fulmen.rl import Learner
from fulmen.rl.learner import Update
from fulmen.rl.monitors.ratios import ppo_dropped
from fulmen.run import Run
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.types import RolloutGroup, Sampling

SCATTER_TOKENS = 4000
"""Tokens kept for the picture of sampler against learner."""


def look_at_heldout(
    run: Run, engine: Engine, env: Mixture, *, num_tasks: int, sampling: Sampling, step: int
) -> dict[str, float]:
    """Writes pass@1 of every environment on its first held-out tasks, two samples each; returns it by name."""
    look = EvalSettings(num_tasks=num_tasks, num_samples=2, greedy=False)
    tasks = heldout_tasks(env, num_tasks=look.num_tasks, seed=look.seed)
    result = evaluate(engine, env, tasks, look, sampling=sampling, on_finish=run.check_stop)
    for name, row in result.tasks.items():
        run.append(
            "heldout.jsonl",
            {
                "phase": "rl", "step": step, "task": name, "pass@1": row["pass@1"],
                "mean_length": row["mean_length"], "num_completions": look.num_tasks * look.num_samples,
            },
        )  # fmt: skip
    return {name: row["pass@1"] for name, row in result.tasks.items()}


def write_pictures(run: Run, update: Update, tokenizer: Tokenizer, learner: Learner) -> None:
    """Keeps what the report draws: sampler against learner, and the tokens that PPO's clip would have dropped."""
    chosen = slice(None, None, max(1, len(update.sampler_logprobs) // SCATTER_TOKENS))
    run.write_json(
        "mismatch.json",
        {
            "sampler_p": np.exp(update.sampler_logprobs[chosen]).round(6).tolist(),
            "learner_p": np.exp(update.learner_logprobs[chosen]).round(6).tolist(),
            "pearson": update.metrics["logprob_pearson"],
            "logprob_abs_diff_max": update.metrics["logprob_abs_diff_max"],
            "num_tokens": len(update.sampler_logprobs),
        },
    )
    dropped = ppo_dropped(update.tokens, clip_min=learner.clip_min, clip_max=learner.clip_max)
    ids, ratio = update.tokens["target_ids"], np.exp(update.tokens["log_ratio"])
    uses, counts = Counter(ids.tolist()), Counter(ids[dropped].tolist())
    run.write_json(
        "tokens.json",
        {
            "ppo_dropped": [
                {
                    "token": tokenizer.decode([token]), "count": count, "share": count / uses[token],
                    "mean_ratio": float(ratio[dropped & (ids == token)].mean()),
                }
                for token, count in counts.most_common(12)
            ]
        },
    )  # fmt: skip


def rollout_records(groups: Sequence[RolloutGroup], step: int) -> list[dict[str, Any]]:
    """Returns a line for each attempt of a step."""
    return [
        {
            "phase": "rl", "step": step, "task": rollout.task.env, "task_id": rollout.task.task_id,
            "prompt": rollout.task.prompt[-1].content, "thinking": rollout.completion.message.thinking,
            "content": rollout.completion.message.content, "score": rollout.score.value,
            "status": rollout.score.status, "stop_reason": rollout.completion.stop_reason,
            "length": rollout.num_tokens, "policy_version": rollout.completion.policy_version,
            "logprob": float(rollout.completion.logprobs.sum()),
        }
        for group in groups
        for rollout in group.rollouts
    ]  # fmt: skip
