"""Reinforcement learning on tasks with checkable answers: the recipe of the MiniMax-M1 report on one device.

    draw tasks -> generate, check, refill -> advantages -> updates over mini-batches of whole groups -> monitors
    -> metrics, rollouts, checkpoint -> next

The order of a step is `fulmen/rl/loop.py`; here is what surrounds it. Engine and learner are the same model object.
"""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fulmen.envs import Mixture
from fulmen.errors import ConfigError
from fulmen.model import Model
from fulmen.model.checkpoint import load_model
from fulmen.recipes.common import TASK_NAMES, Device, Precision, place, set_threads
from fulmen.recipes.rl_display import Display
from fulmen.recipes.rl_input import check_input
from fulmen.recipes.rl_records import look_at_heldout, rollout_records, write_pictures
from fulmen.rl import Learner, LengthPenalty, cispo
from fulmen.rl.loop import Loop, LoopSettings
from fulmen.run import Run, Stopped
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer
from fulmen.train.state import load_training, save_training


@dataclass(frozen=True, kw_only=True)
class RlSettings(LoopSettings):
    """Settings of the RL phase: those of the loop, and of what surrounds it."""

    weight_max: float = 5.0
    """CISPO's absolute cap on the importance weight, 1 + eps_high of eq. (5)."""
    num_slots: int = 512
    """Completions sampled at a time."""
    max_length: int = 131_072
    """Longest prompt with its completion, in tokens."""
    micro_batch_tokens: int = 4096
    """Tokens of one backward pass, unless one completion is longer; no result depends on it."""
    heldout_every: int = 10
    """Batches between looks at held-out tasks."""
    heldout_tasks: int = 64
    """Held-out tasks per environment in such a look, two samples each."""
    checkpoint_every: int = 1
    """Batches between checkpoints; Ctrl-C saves one, whatever this is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "num_slots", "max_length", "micro_batch_tokens", "heldout_every", "heldout_tasks", "checkpoint_every"
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least 1")


def train_rl(
    run: Run, model: Model, tokenizer: Tokenizer, env: Mixture, settings: RlSettings, *, seed: int, console: Console,
    has_lines: bool = False,
) -> None:  # fmt: skip
    """Trains `model` in place, going on from the run's newest RL checkpoint if there is one."""
    trainer = Trainer(
        model, AdamW(model.parameters(), lr=settings.lr), clip_norm=settings.clip_norm,
        micro_batch_tokens=settings.micro_batch_tokens, vocab_size=tokenizer.vocab_size,
    )  # fmt: skip
    learner = Learner(
        trainer=trainer,
        loss=functools.partial(cispo, weight_max=settings.weight_max),
        num_updates=settings.num_updates,
        aggregation=settings.aggregation,
        length_penalty=LengthPenalty(window=settings.window, soft_zone_frac=settings.soft_zone_frac)
        if settings.soft_zone_frac
        else None,
        truncated=settings.truncated,
        anchor=settings.anchor,
        mismatch_max=settings.mismatch_max,
    )
    engine = Engine(model, tokenizer, num_slots=settings.num_slots, max_length=settings.max_length)
    with Display(console, run, num_steps=settings.num_steps, has_lines=has_lines) as display:
        loop = Loop(engine, env, learner, settings=settings, seed=seed, hooks=display.hooks)

        def save(line_sizes: dict[str, int]) -> None:
            cursor = {**loop.state(), "line_sizes": line_sizes}
            save_training(run.checkpoint("rl", loop.num_done), trainer, tokenizer=tokenizer, cursor=cursor)
            run.prune_checkpoints("rl")
            run.save_clock()

        def look() -> None:
            found = look_at_heldout(
                run, engine, env, num_tasks=settings.heldout_tasks, sampling=settings.sampling, step=loop.num_done
            )
            if has_lines:
                display.say("  held out: " + ", ".join(f"{name} {rate:.3f}" for name, rate in found.items()))

        if not run.checkpoints("rl"):
            save(run.line_sizes())
        state = load_training(run.checkpoints("rl")[-1], trainer)
        loop.load(state)
        run.rewind(state["line_sizes"])
        saved, sizes = loop.num_done, run.line_sizes()
        try:
            if loop.num_done == 0:
                look()
            while not loop.is_done:
                display.begin(loop)
                step = loop.step()
                run.append("metrics.jsonl", {"phase": "rl", "step": step.index, **step.metrics, "wall_s": run.wall_s})
                run.append("rollouts.jsonl", *rollout_records(step.sampled, step.index))
                if step.update is not None:
                    write_pictures(run, step.update, tokenizer, learner)
                display.end(step)
                if loop.num_done % settings.heldout_every == 0 or loop.is_done:
                    look()
                sizes = run.line_sizes()
                if loop.num_done % settings.checkpoint_every == 0 or loop.is_done:
                    save(sizes)
                    saved = loop.num_done
                run.check_stop()
        except Stopped:
            if loop.num_done > saved:
                save(sizes)
            raise


@dataclass(frozen=True, kw_only=True)
class Args(RlSettings):
    """fulmen rl: reinforcement learning from a checkpoint of any family, on tasks with checkable answers."""

    num_steps: int = 200
    num_groups: int = 32
    group_size: int = 16
    num_updates: int = 16
    lr: float = 1e-6
    final_frac: float = 1.0
    window: int = 2048
    micro_batch_tokens: int = 16_384
    init: Path
    """Folder of the model to start from: fulmen's own, or a Hugging Face one of a known family."""
    run: Path = Path("runs/rl")
    """Folder of the run; an unfinished one goes on."""
    tasks: tuple[str, ...] = TASK_NAMES
    """Environments to train on: NAME[@LEVEL][=WEIGHT] each; `fulmen envs` lists them, FILE.py:NAME is your own."""
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    """Of the weights; auto: bfloat16 on a GPU (the optimizer keeps float32 masters), float32 on a CPU."""
    threads: int = 2
    """CPU threads; results are bit-exact for a fixed number."""


def record(args: Args) -> dict[str, Any]:
    """Returns the settings as JSON values, for the run's folder: a run goes on with the same ones only."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(args).items()
            if name != "run"}  # fmt: skip


def main(args: Args, console: Console) -> None:
    """Runs the recipe; bad input is refused before a weight is read or a file written."""
    set_threads(args.threads)
    device, dtype = place(args.device, args.precision)
    env, tokenizer = check_input(
        args.init, args.tasks, sampling=args.sampling, max_length=args.max_length, num_heldout=args.heldout_tasks,
        seed=args.seed,
    )  # fmt: skip
    with Run.open(args.run, recipe="rl", args=record(args), seed=args.seed) as run, run.interruptible():
        model = load_model(args.init, dtype=dtype, device=device)
        train_rl(run, model, tokenizer, env, args, seed=args.seed, console=console, has_lines=True)
        console.print(f"done: {run.checkpoints('rl')[-1]}")
