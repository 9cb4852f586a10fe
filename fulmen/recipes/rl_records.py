"""What RL leaves in the run's folder: checkpoints, rollouts, pictures' data, looks at held-out tasks."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from fulmen.envs import Mixture
from fulmen.evals.run import EvalSettings, evaluate, heldout_tasks
from fulmen.rl import Learner
from fulmen.rl.learner import Update
from fulmen.rl.loop import Loop
from fulmen.rl.monitors.ratios import ppo_dropped
from fulmen.rl.value import Critic
from fulmen.rollout.backlog import Backlog
from fulmen.run import CheckpointSettings, Run
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import Trainer
from fulmen.train.state import load_training, save_training
from fulmen.types import RolloutGroup

VALUE = "value.safetensors"
"""Of the value model and its optimizer, where there is one."""
SCATTER_TOKENS = 4000
"""Tokens kept for the picture of sampler against learner."""


class RlFolder:
    """The RL part of a run's folder: where the loop's state is saved, and what it goes on from."""

    def __init__(
        self,
        run: Run,
        loop: Loop,
        trainer: Trainer,
        critic: Critic | None,
        tokenizer: Tokenizer,
        settings: CheckpointSettings,
    ) -> None:
        """Takes the parts; nothing is read or written yet."""
        self._run, self._loop, self._trainer, self._critic = run, loop, trainer, critic
        self._tokenizer, self._settings = tokenizer, settings
        self._saved, self._line_sizes = 0, run.line_sizes()

    def resume(self) -> None:
        """Goes on from the newest checkpoint; makes one of the beginning where there is none."""
        if not self._run.checkpoints("rl"):
            self.save(is_due=True)
        folder = self._run.checkpoints("rl")[-1]
        state = load_training(folder, self._trainer)
        if self._critic is not None:
            device = str(self._critic.model.head.weight.device)
            self._critic.load_tensors(load_file(folder / VALUE, device=device))
        self._loop.load(state, backlog=Backlog.load(folder))
        self._run.rewind(state["line_sizes"])
        self._saved, self._line_sizes = self._loop.num_done, self._run.line_sizes()

    def note(self) -> None:
        """Notes that all lines of a step are written, so that it can be saved."""
        self._line_sizes = self._run.line_sizes()

    def save(self, *, is_due: bool = False) -> None:
        """Saves the step, with the look after it, where it is due."""
        self.note()
        if is_due or self._settings.is_due(self._loop.num_done):
            self._write()

    def save_last(self) -> None:
        """Saves the last complete step, if it is not saved yet; lines of a step that was broken off are left out."""
        if self._loop.num_done > self._saved:
            self._write()

    def _write(self) -> None:
        def write_more(path: Path) -> None:
            self._loop.backlog.save(path)
            if self._critic is not None:
                save_file(self._critic.state_tensors(), path / VALUE)

        save_training(
            self._run.checkpoint("rl", self._loop.num_done), self._trainer, tokenizer=self._tokenizer,
            cursor={**self._loop.state(), "line_sizes": self._line_sizes}, write_more=write_more,
        )  # fmt: skip
        self._saved = self._loop.num_done
        self._run.prune_checkpoints("rl", self._settings)
        self._run.save_clock()


def look_at_heldout(run: Run, engine: Engine, env: Mixture, loop: Loop, *, num_tasks: int) -> dict[str, float]:
    """Writes pass@1 of every environment on its first held-out tasks, two samples each; returns it by name.

    Nothing is done, and nothing returned, where the run has this look already.
    """
    if any(line["phase"] == "rl" and line["step"] == loop.num_done for line in run.read_lines("heldout.jsonl")):
        return {}
    look = EvalSettings(num_tasks=num_tasks, num_samples=2, greedy=False)
    tasks = heldout_tasks(env, num_tasks=look.num_tasks, seed=look.seed)
    result = evaluate(engine, env, tasks, look, sampling=loop.sampling, on_finish=run.check_stop)
    for name, row in result.tasks.items():
        run.append(
            "heldout.jsonl",
            {
                "phase": "rl", "step": loop.num_done, "task": name, "pass@1": row["pass@1"],
                "mean_length": row["mean_length"], "num_completions": look.num_tasks * look.num_samples,
            },
        )  # fmt: skip
    return {name: row["pass@1"] for name, row in result.tasks.items()}


def write_pictures(run: Run, update: Update, tokenizer: Tokenizer) -> None:
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
    dropped = ppo_dropped(update.tokens, clip_min=Learner.clip_min, clip_max=Learner.clip_max)
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
