"""Reinforcement learning with CISPO on tasks with checkable answers, synchronous, in one process.

Each step: sample groups until the batch is full of informative ones, then `num_updates` optimizer steps over
mini-batches of whole groups. Engine and learner are the same model object, so weights are never copied.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fulmen.envs import Mixture
from fulmen.errors import ConfigError
from fulmen.evals.run import EvalSettings, evaluate, heldout_tasks
from fulmen.model import Model
from fulmen.recipes.common import TASK_NAMES, TaskName, load_checkpoint, make_mixture, set_threads
from fulmen.rl import Learner, LengthPenalty, cispo, is_informative
from fulmen.rl.learner import Update
from fulmen.rl.monitors.ratios import ppo_dropped
from fulmen.rollout import Collected, CollectSettings, FailureWatch, collect
from fulmen.run import Run, progress_bar
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer
from fulmen.train.optim import Schedule
from fulmen.train.state import load_training, save_training
from fulmen.types import RolloutGroup, Sampling

SCATTER_TOKENS = 4000
"""Tokens kept for the picture of sampler against learner."""


@dataclass(frozen=True, kw_only=True)
class RlSettings:
    """Settings of the RL phase; the report's values where it gives them."""

    num_steps: int = 55
    """Generation batches."""
    num_groups: int = 32
    """Informative groups (prompts) per batch."""
    group_size: int = 8
    """Completions per prompt."""
    num_updates: int = 8
    """Optimizer steps per generation batch, one mini-batch each. Differs: the report takes 16."""
    max_rounds: int = 3
    """Rounds of sampling per batch to replace groups that are all right or all wrong."""
    lr: float = 1.5e-4
    """Learning rate of AdamW (0.9, 0.95, eps 1e-15)."""
    warmup_steps: int = 5
    """Batches until the full learning rate."""
    final_frac: float = 0.1
    """Last learning rate as a fraction of the peak."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    weight_max: float = 5.0
    """CISPO's absolute cap on the importance weight, 1 + eps_high of eq. (5)."""
    window: int = 160
    """Longest completion, in tokens."""
    soft_zone_frac: float = 0.2
    """Share of the window in which the length penalty grows from 0 to -1."""
    num_slots: int = 512
    """Completions sampled at a time."""
    heldout_every: int = 10
    """Batches between looks at held-out tasks."""
    heldout_tasks: int = 64
    """Held-out tasks per environment in such a look, two samples each."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "num_groups", "num_updates", "window", "num_slots", "heldout_every", "heldout_tasks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")
        if self.group_size < 2:
            raise ConfigError(f"group_size={self.group_size}; allowed: at least 2 (a group is its own baseline)")
        if self.num_updates > self.num_groups:
            raise ConfigError(f"num_updates={self.num_updates}; allowed: at most num_groups={self.num_groups}")


def train_rl(
    run: Run, model: Model, tokenizer: Tokenizer, env: Mixture, settings: RlSettings, *, seed: int, console: Console
) -> None:
    """Trains `model` in place, going on from the run's newest RL checkpoint if there is one."""
    optimizer = AdamW(model.parameters(), lr=settings.lr)
    trainer = Trainer(model, optimizer, clip_norm=settings.clip_norm, vocab_size=tokenizer.vocab_size)
    learner = Learner(
        trainer=trainer,
        loss=functools.partial(cispo, weight_max=settings.weight_max),
        num_updates=settings.num_updates,
        length_penalty=LengthPenalty(window=settings.window, soft_zone_frac=settings.soft_zone_frac),
    )
    engine = Engine(model, tokenizer, num_slots=settings.num_slots)
    sampling = Sampling(max_tokens=settings.window)
    watch = FailureWatch()
    schedule = Schedule(
        peak=settings.lr, num_steps=settings.num_steps, warmup_steps=settings.warmup_steps,
        final_frac=settings.final_frac,
    )  # fmt: skip
    batches = CollectSettings(
        num_groups=settings.num_groups, group_size=settings.group_size, max_rounds=settings.max_rounds
    )

    def save(state: dict[str, Any]) -> None:
        cursor = {**state, "line_sizes": run.line_sizes()}
        save_training(run.checkpoint("rl", state["step"]), trainer, tokenizer=tokenizer, cursor=cursor)
        run.prune_checkpoints("rl")
        run.save_clock()

    if not run.checkpoints("rl"):
        save({"step": 0, "tasks": 0, "keep_frac": 1.0, "policy_version": 0})
    state = load_training(run.checkpoints("rl")[-1], trainer)
    run.rewind(state["line_sizes"])
    engine.policy_version = state["policy_version"]
    if state["step"] == 0:
        _look_at_heldout(run, engine, env, settings, sampling, step=0)
    with progress_bar(console) as bar:
        progress = bar.add_task("RL (CISPO)", total=settings.num_steps, completed=state["step"], note="")
        for step in range(state["step"], settings.num_steps):
            started = run.wall_s
            collected = collect(
                engine, env, batches, sampling=sampling, seed=seed, cursor=state["tasks"], keep=is_informative,
                expected_keep_frac=state["keep_frac"], on_finish=run.check_stop,
                on_failure=lambda failure: run.append("quarantine.jsonl", {"phase": "rl", **failure.to_json()}),
            )  # fmt: skip
            watch.add(collected.sampled)
            sampled_at = run.wall_s
            metrics = _sampling_metrics(collected, settings)
            if collected.groups:
                update = learner.update(collected.groups, lr=schedule.lr(step))
                engine.policy_version += update.num_updates
                metrics |= update.metrics
                _write_pictures(run, update, tokenizer, learner)
            times = {"rollout_s": sampled_at - started, "learn_s": run.wall_s - sampled_at, "wall_s": run.wall_s}
            metrics["tokens_per_s"] = metrics["num_sampled_tokens"] / max(times["rollout_s"], 1e-9)
            metrics["learner_tokens_per_s"] = metrics.get("num_tokens", 0.0) / max(times["learn_s"], 1e-9)
            run.append("metrics.jsonl", {"phase": "rl", "step": step, **metrics, **times})
            run.append("rollouts.jsonl", *_rollout_records(collected.sampled, step))
            done = step + 1
            if done % settings.heldout_every == 0 or done == settings.num_steps:
                _look_at_heldout(run, engine, env, settings, sampling, step=done)
            keep_frac = 0.7 * state["keep_frac"] + 0.3 * metrics["accept_frac"]
            state = {
                "step": done, "tasks": collected.cursor, "keep_frac": keep_frac,
                "policy_version": engine.policy_version,
            }  # fmt: skip
            save(state)
            bar.update(progress, advance=1, note=f"reward {metrics['reward']:.2f}")
            run.check_stop()


def _sampling_metrics(collected: Collected, settings: RlSettings) -> dict[str, Any]:
    rollouts = [rollout for group in collected.sampled for rollout in group.rollouts]
    asked = settings.group_size * len(collected.sampled)
    lengths = np.array([rollout.num_tokens for rollout in rollouts])
    by_task: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        if rollout.score.value is not None:
            by_task[rollout.task.env].append(rollout.score.value)
    return {
        "reward": float(np.mean([value for values in by_task.values() for value in values] or [math.nan])),
        **{f"reward/{name}": float(np.mean(values)) for name, values in sorted(by_task.items())},
        "length_mean": float(lengths.mean()),
        "length_p99": float(np.quantile(lengths, 0.99)),
        "truncated_frac": float(np.mean([r.completion.stop_reason == "length" for r in rollouts])),
        "accept_frac": collected.num_kept / len(collected.sampled),
        "num_groups": len(collected.groups),
        "invalid_frac": 1 - sum(group.num_valid for group in collected.sampled) / asked,
        "num_sampled_tokens": int(lengths.sum()),
    }


def _look_at_heldout(
    run: Run, engine: Engine, env: Mixture, settings: RlSettings, sampling: Sampling, *, step: int
) -> None:
    look = EvalSettings(num_tasks=settings.heldout_tasks, num_samples=2, greedy=False)
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


def _write_pictures(run: Run, update: Update, tokenizer: Tokenizer, learner: Learner) -> None:
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


def _rollout_records(groups: Sequence[RolloutGroup], step: int) -> list[dict[str, Any]]:
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


@dataclass(frozen=True, kw_only=True)
class Args(RlSettings):
    """fulmen rl: reinforcement learning with CISPO from a checkpoint, on the built-in tasks."""

    init: Path
    """Checkpoint to start from, such as runs/sft/checkpoints/sft-000700."""
    run: Path = Path("runs/rl")
    """Folder of the run; an unfinished one goes on."""
    tasks: tuple[TaskName, ...] = TASK_NAMES
    """Environments to train on, in equal parts."""
    seed: int = 0
    threads: int = 2
    """CPU threads; results are bit-exact for a fixed number."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    env = make_mixture(args.tasks)
    model, tokenizer = load_checkpoint(args.init)
    settings = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(args).items() if name != "run"}
    with Run.open(args.run, recipe="rl", args=settings, seed=args.seed) as run, run.interruptible():
        train_rl(run, model, tokenizer, env, args, seed=args.seed, console=console)
        console.print(f"done: {run.checkpoints('rl')[-1]}")
