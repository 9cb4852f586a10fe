"""Fulmen's side of `benchmarks.rl_speed`: the pieces of `fulmen rl`, called as its recipe calls them.

Engine and learner share the model object. Every group is trained on, also those whose rewards are all equal, so that
an iteration is always 16 x 16 completions; TRL does the same.
"""

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.rl_speed_meter import Meter
from benchmarks.rl_speed_workload import Sums, Workload, fulmen_tokenizer, transformers_model
from fulmen.model import Model
from fulmen.model.checkpoint import load_model
from fulmen.rl import Learner, cispo
from fulmen.rollout import CollectSettings, collect
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer
from fulmen.train.packing import Document, pack
from fulmen.types import Completion, Episode, Request, Sampling, Score, Task

FULMEN_SETTINGS: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}
PARITY_TOKENS = 128
"""Of each of the sequences that fulmen and transformers are compared on."""


@dataclass(frozen=True, kw_only=True)
class TimedSums(Sums):
    """The environment, its scores timed."""

    meter: Meter

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the score."""
        with self.meter.reward():
            return await super().score(task, episode)


@dataclass(kw_only=True)
class TimedEngine:
    """The engine, its batches timed. Implements `fulmen.types.Generate`."""

    engine: Engine
    meter: Meter
    lengths: set[int] = field(default_factory=set)
    """Of all completions."""

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request."""
        with self.meter.generation():
            completions = self.engine(requests, on_finish=on_finish)
        self.lengths |= {len(c.token_ids) for c in completions}
        return completions


def make_learner(model: Model, tokenizer: Tokenizer, workload: Workload, updates: int) -> Learner:
    """Returns the learner with the workload's constants."""
    optimizer = AdamW(model.parameters(), lr=workload.lr, betas=workload.betas, eps=workload.eps)
    trainer = Trainer(
        model, optimizer, clip_norm=workload.clip_norm, vocab_size=tokenizer.vocab_size,
        micro_batch_tokens=workload.micro(updates) * max(workload.lengths),
    )  # fmt: skip
    # Groups and completions are all of one size, so that every way of averaging over tokens is TRL's.
    loss = functools.partial(cispo, weight_max=workload.weight_max)
    return Learner(trainer=trainer, loss=loss, num_updates=updates)


def run_fulmen(name: str, workload: Workload, *, updates: int, weights: Path, meter: Meter) -> dict[str, Any]:
    """Trains until the meter says stop; returns what was checked on the way.

    `update_s` is the learner alone: collecting, batching of episodes and bookkeeping lie outside of it.
    """
    tokenizer = fulmen_tokenizer(workload.model["vocab_size"])
    model = load_model(weights, dtype=FULMEN_SETTINGS[name], device=meter.device)
    learner = make_learner(model, tokenizer, workload, updates)
    engine = Engine(
        model, tokenizer, num_slots=workload.num_completions, max_length=2 * max(workload.lengths),
    )  # fmt: skip
    timed, env = TimedEngine(engine=engine, meter=meter), TimedSums(tokenizer=tokenizer, meter=meter)
    settings = CollectSettings(num_groups=workload.num_prompts, group_size=workload.group_size, max_rounds=1)
    sampling = Sampling(max_tokens=workload.num_new, min_tokens=workload.num_new)
    before = {key: value.cpu().clone() for key, value in model.state_dict().items()}
    metrics: list[dict[str, Any]] = []
    update_s: list[float] = []
    rewards: list[float | None] = []
    meter.begin()
    cursor, goes_on = 0, True
    while goes_on:
        collected = collect(
            timed, env, settings, sampling=sampling, seed=0, cursor=cursor, keep=lambda group: True
        )  # fmt: skip
        started = meter.now()
        update = learner.update(collected.groups, lr=workload.lr)
        update_s.append(meter.now() - started)
        engine.policy_version += update.num_updates
        cursor, meter.num_steps = collected.cursor, meter.num_steps + update.num_updates
        goes_on = meter.end_iteration()
        metrics.append(update.metrics)
        rewards += [rollout.score.value for group in collected.groups for rollout in group.rollouts]
    changed = sum(int((value.cpu() != before[key]).sum()) for key, value in model.state_dict().items())
    engine.release()
    return {
        "all_lengths_exact": timed.lengths == {workload.num_new} and len(rewards) == cursor * workload.group_size,
        "steps_per_iteration": meter.num_steps / len(meter.iterations),
        "generations_per_iteration": meter.num_generations / len(meter.iterations),
        "weights_changed_frac": changed / sum(value.numel() for value in before.values()),
        "reward_mean": float(np.mean([value for value in rewards if value is not None])),
        "logprob_pearson_min": min(m["logprob_pearson"] for m in metrics),
        "logprob_abs_diff_max": max(m["logprob_abs_diff_max"] for m in metrics),
        "logprob_abs_diff_mean": statistics.mean(m["logprob_abs_diff_mean"] for m in metrics),
        "update_s": statistics.median(update_s[1:] or update_s),
        "engine": engine.memory.describe(),
    }


@torch.no_grad()
def parity(workload: Workload, weights: Path, *, dtype: torch.dtype, device: str) -> dict[str, float]:
    """Returns how far log-probabilities of the learner are from those of transformers: same weights, same tokens.

    In bfloat16 transformers rounds its logits to bfloat16 and the learner does not; transformers' own distance from
    float32 is given beside.
    """
    vocab_size = workload.model["vocab_size"]
    ids_B_T = torch.from_numpy(np.random.default_rng(0).integers(0, vocab_size, (8, PARITY_TOKENS)))
    documents = [
        Document(token_ids=ids, mask=np.arange(PARITY_TOKENS) > 0, token_weight=1.0) for ids in ids_B_T.numpy()
    ]
    model = load_model(weights, dtype=dtype, device=device)
    learner = make_learner(model, fulmen_tokenizer(vocab_size), workload, 1)
    own = learner.trainer.logprobs(pack(documents)).reshape(8, -1)

    def peer(precision: torch.dtype) -> np.ndarray:
        other = transformers_model(weights, dtype=precision).to(device)
        logits = other(ids_B_T.to(device)).logits[:, :-1].float()
        return logits.log_softmax(-1).gather(2, ids_B_T[:, 1:, None].to(device))[..., 0].cpu().numpy()

    theirs, exact = peer(dtype), peer(torch.float32)
    return {
        "abs_diff_max": float(np.abs(own - theirs).max()), "abs_diff_mean": float(np.abs(own - theirs).mean()),
        "pearson": float(np.corrcoef(np.exp(own).ravel(), np.exp(theirs).ravel())[0, 1]),
        "fulmen_to_fp32_mean": float(np.abs(own - exact).mean()),
        "transformers_to_fp32_mean": float(np.abs(theirs - exact).mean()), "num_tokens": own.size,
    }  # fmt: skip
