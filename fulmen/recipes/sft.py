"""Cold-start supervised fine-tuning of a model from scratch (or from a checkpoint) on worked solutions."""

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from fulmen.envs import Mixture
from fulmen.errors import ConfigError
from fulmen.model import Model
from fulmen.model.config import preset
from fulmen.recipes.common import (
    TASK_NAMES,
    cold_start_conversation,
    fresh_model,
    load_checkpoint,
    make_mixture,
    set_threads,
)  # fmt: skip
from fulmen.run import Run, progress_bar
from fulmen.text import Tokenizer
from fulmen.train import Trainer
from fulmen.train.muon import Muon
from fulmen.train.optim import Schedule
from fulmen.train.sft import cross_entropy, sft_batch
from fulmen.train.state import load_training, save_training


@dataclass(frozen=True, kw_only=True)
class SftSettings:
    """Settings of the cold start."""

    num_steps: int = 700
    """Optimizer steps."""
    batch_size: int = 24
    """Conversations per step."""
    lr: float = 6e-3
    """Peak learning rate of AdamW's part; the matrices' Muon rate follows in proportion."""
    warmup_steps: int = 50
    final_frac: float = 0.1
    """Last learning rate as a fraction of the peak."""
    direct_frac: float = 0.3
    """Share of answers shown without the thought before them."""
    balance_coefficient: float = 0.01
    """Of the router's balance loss."""
    save_every: int = 25
    """Steps between checkpoints; a stop saves too."""

    def __post_init__(self) -> None:
        for name, least in (("num_steps", 1), ("batch_size", 1), ("save_every", 1), ("warmup_steps", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)}; allowed: at least {least}")
        if not 0 <= self.direct_frac <= 1:
            raise ConfigError(f"direct_frac={self.direct_frac}; allowed: 0 to 1")


def train_sft(
    run: Run, model: Model, tokenizer: Tokenizer, env: Mixture, settings: SftSettings, *, seed: int, console: Console
) -> None:
    """Trains `model` in place, going on from the run's newest SFT checkpoint if there is one."""
    optimizer = Muon(model.named_parameters(), lr=settings.lr)
    trainer = Trainer(
        model, optimizer, balance_coefficient=settings.balance_coefficient, vocab_size=tokenizer.vocab_size
    )
    schedule = Schedule(
        peak=settings.lr, num_steps=settings.num_steps, warmup_steps=settings.warmup_steps,
        final_frac=settings.final_frac,
    )  # fmt: skip

    def save(step: int) -> None:
        cursor = {"step": step, "line_sizes": run.line_sizes()}
        save_training(run.checkpoint("sft", step), trainer, tokenizer=tokenizer, cursor=cursor)
        run.prune_checkpoints("sft")
        run.save_clock()

    if not run.checkpoints("sft"):
        save(0)
    cursor = load_training(run.checkpoints("sft")[-1], trainer)
    first = cursor["step"]
    if first == settings.num_steps:
        return  # later phases have added their lines: nothing to cut back
    run.rewind(cursor["line_sizes"])
    with progress_bar(console) as bar:
        progress = bar.add_task("cold start (SFT)", total=settings.num_steps, completed=first, note="")
        for step in range(first, settings.num_steps):
            indices = range(step * settings.batch_size, (step + 1) * settings.batch_size)
            conversations = [
                cold_start_conversation(env, seed=seed, index=index, direct_frac=settings.direct_frac)
                for index in indices
            ]
            result = trainer.step(sft_batch(tokenizer, conversations), cross_entropy, lr=schedule.lr(step))
            run.append("metrics.jsonl", {"phase": "sft", "step": step, "wall_s": run.wall_s, **result.metrics})
            bar.update(progress, advance=1, note=f"loss {result.metrics['loss']:.3f}")
            done = step + 1
            if run.stop_requested or done % settings.save_every == 0 or done == settings.num_steps:
                save(done)
            run.check_stop()


@dataclass(frozen=True, kw_only=True)
class Args(SftSettings):
    """fulmen sft: cold-start supervised fine-tuning on worked solutions of the built-in tasks."""

    run: Path = Path("runs/sft")
    """Folder of the run; an unfinished one goes on."""
    tasks: tuple[str, ...] = TASK_NAMES
    """Environments to learn from: NAME[@LEVEL][=WEIGHT] each; `fulmen envs` lists them."""
    preset: str = "tiny"
    """Shape of a fresh model."""
    init: Path | None = None
    """Checkpoint to start from, instead of a fresh model."""
    seed: int = 0
    threads: int = 2
    """CPU threads; results are bit-exact for a fixed number."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    env = make_mixture(args.tasks)
    if args.init is None:
        model, tokenizer = fresh_model(preset(args.preset), env, seed=args.seed)
    else:
        model, tokenizer = load_checkpoint(args.init)
    settings = {name: value for name, value in asdict(args).items() if name != "run"}
    with Run.open(args.run, recipe="sft", args={k: str(v) if isinstance(v, Path) else v for k, v in settings.items()},
                  seed=args.seed) as run, run.interruptible():  # fmt: skip
        train_sft(run, model, tokenizer, env, args, seed=args.seed, console=console)
        console.print(f"done: {run.checkpoints('sft')[-1]}")
