"""Reinforcement learning on tasks with checkable answers: the recipe of the MiniMax-M1 report on one device.

    draw (curriculum) -> generate, check, refill -> advantages -> updates over mini-batches of whole groups
    -> monitors -> window and curriculum -> metrics, rollouts, checkpoint -> next

The order of a step is `fulmen/rl/loop.py`; here is what surrounds it. Engine and learner are the same model object.
"""

import dataclasses
import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fulmen.envs import Mixture
from fulmen.model import Model
from fulmen.model.checkpoint import load_model
from fulmen.recipes.common import TASK_NAMES, Device, Precision, place, set_threads
from fulmen.recipes.rl_display import Display
from fulmen.recipes.rl_input import check_input
from fulmen.recipes.rl_records import RlFolder, look_at_heldout, rollout_records, write_pictures
from fulmen.recipes.rl_settings import RlSettings
from fulmen.recipes.writers import WriterName, open_writers, require_writers
from fulmen.rl import Learner, LengthPenalty
from fulmen.rl.curriculum import Curriculum, sources_of
from fulmen.rl.loop import Loop
from fulmen.rl.monitors import Monitors
from fulmen.rl.value import Critic
from fulmen.rl.window import Stage, WindowSchedule
from fulmen.run import Run, Stopped
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer


def train_rl(
    run: Run, model: Model, tokenizer: Tokenizer, env: Mixture | Curriculum, settings: RlSettings, *, seed: int,
    console: Console, has_lines: bool = False, reference: Model | None = None,
) -> None:  # fmt: skip
    """Trains `model` in place, going on from the run's newest RL checkpoint if there is one.

    `reference` is the policy that a KL term refers to; a loss without one does not need it.
    """
    trainer = make_trainer(model, tokenizer, settings)
    referee = None if reference is None else make_trainer(reference, tokenizer, settings)
    critic = Critic(model, settings.value_settings) if settings.loss.advantage_kind == "value" else None
    engine = Engine(model, tokenizer, num_slots=settings.num_slots, max_length=settings.max_length)

    @functools.cache  # the trainer's graphs are those of one loss object
    def learner_at(stage: Stage) -> Learner:
        loss = settings.loss
        if settings.stage_weight_max:
            loss = dataclasses.replace(loss, weight_max=stage.weight_max)
        penalty = LengthPenalty(window=stage.window, soft_zone_frac=stage.soft_zone_frac)
        return Learner(
            trainer=trainer, loss=loss.loss(), num_updates=settings.num_updates, aggregation=loss.token_aggregation,
            window=stage.window, combined_share=0.5 if loss.combined_share is None else loss.combined_share,
            advantage=loss.advantage_kind, length_penalty=penalty if settings.soft_zone_frac else None,
            truncated=settings.truncated, anchor=loss.anchor, mismatch_max=loss.mismatch_max, reference=referee,
            critic=critic,
        )  # fmt: skip

    with Display(console, run, num_steps=settings.num_steps, has_lines=has_lines) as display:
        if isinstance(env, Mixture):
            env = Curriculum(sources_of(env), settings=settings.curriculum, pass_rates=settings.pass_rates)
        loop = Loop(
            engine, env, learner_at, settings=settings, seed=seed, windows=WindowSchedule(settings.window_settings),
            monitors=Monitors(settings.monitors), hooks=display.hooks,
        )  # fmt: skip
        folder = RlFolder(run, loop, trainer, critic, tokenizer, settings.checkpoints)
        folder.resume()

        def look() -> bool:
            is_due = loop.is_done or loop.num_done % settings.heldout_every == 0
            rates = look_at_heldout(run, engine, env.heldout, loop, num_tasks=settings.heldout_tasks) if is_due else {}
            display.heldout(rates)
            return bool(rates)

        try:
            if look() and loop.is_done:
                folder.save(is_due=True)  # an earlier session was stopped before it
            while not loop.is_done:
                display.begin(loop)
                with run.names("rl", loop.num_done):
                    step = loop.step()
                run.append("metrics.jsonl", {"phase": "rl", "step": step.index, **step.metrics, "wall_s": run.wall_s})
                run.append("rollouts.jsonl", *rollout_records(step.sampled, step.index))
                if step.decision is not None:
                    run.append("windows.jsonl", step.decision.to_json())
                if step.update is not None:
                    write_pictures(run, step.update, tokenizer)
                folder.note()
                display.end(step)
                look()
                folder.save(is_due=step.paused is not None or loop.is_done)
                if step.paused is not None:
                    raise step.paused
                run.check_stop()
        except Stopped:
            folder.save_last()
            raise


def make_trainer(model: Model, tokenizer: Tokenizer, settings: RlSettings) -> Trainer:
    """Returns a trainer with the report's AdamW."""
    return Trainer(
        model, AdamW(model.parameters(), lr=settings.lr), clip_norm=settings.clip_norm,
        micro_batch_tokens=settings.micro_batch_tokens, vocab_size=tokenizer.vocab_size,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Args(RlSettings):
    """fulmen rl: reinforcement learning from a model of any family, on tasks with checkable answers."""

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
    """What to train on: NAME[@LEVEL[..LEVEL]][=WEIGHT[..WEIGHT:STEP..STEP]] each; `fulmen envs` lists the names, and
    FILE.py:NAME is your own."""
    calibration: Path | None = None
    """File of `fulmen calibrate --out`: levels that it found too easy or too hard are left out."""
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    """Of the weights; auto: bfloat16 on a GPU (the optimizer keeps float32 masters), float32 on a CPU."""
    threads: int = 2
    """CPU threads; results are bit-exact for a fixed number."""
    writers: tuple[WriterName, ...] = ()
    """Also show the metrics in tensorboard or wandb; each is an extra."""


def record(args: Args) -> dict[str, Any]:
    """Returns the settings as JSON values, for the run's folder: a run goes on with the same ones only.

    Where it is, and who is shown its numbers, may change.
    """
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(args).items()
            if name not in ("run", "writers")}  # fmt: skip


def main(args: Args, console: Console) -> None:
    """Runs the recipe; bad input is refused before a weight is read or a file written."""
    set_threads(args.threads)
    device, dtype = place(args.device, args.precision)
    require_writers(args.writers)
    curriculum, tokenizer = check_input(args.init, args.tasks, args, calibration=args.calibration, seed=args.seed)
    with Run.open(args.run, recipe="rl", args=record(args), seed=args.seed) as run, run.interruptible():
        open_writers(run, args.writers)
        model = load_model(args.init, dtype=dtype, device=device)
        reference = load_model(args.init, dtype=dtype, device=device) if args.loss.needs_reference else None
        train_rl(
            run, model, tokenizer, curriculum, args, seed=args.seed, console=console, has_lines=True,
            reference=reference,
        )  # fmt: skip
        console.print(f"done: {run.checkpoints('rl')[-1]}")
