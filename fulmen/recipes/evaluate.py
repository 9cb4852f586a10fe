"""Evaluation of a checkpoint on held-out tasks: several samples each at T = 1, top-p 0.95, and greedy beside it."""

from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.evals.run import EvalSettings
from fulmen.recipes.common import TASK_NAMES, evaluate_stage, load_checkpoint, make_mixture, set_threads
from fulmen.run import write_json
from fulmen.serve import Engine
from fulmen.types import Sampling


@dataclass(frozen=True, kw_only=True)
class Args(EvalSettings):
    """fulmen eval: pass@1, pass@k, greedy accuracy, length and truncation of a checkpoint on held-out tasks."""

    checkpoint: Path
    """Folder of the checkpoint."""
    tasks: tuple[str, ...] = TASK_NAMES
    """Environments to evaluate on: NAME[@LEVEL][=WEIGHT] each; `fulmen envs` lists them."""
    window: int = 160
    """Longest completion, in tokens."""
    out: Path | None = None
    """Also write the numbers to this JSON file."""
    threads: int = 2
    """CPU threads."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    set_threads(args.threads)
    env = make_mixture(args.tasks)
    model, tokenizer = load_checkpoint(args.checkpoint)
    result = evaluate_stage(
        None, Engine(model, tokenizer, num_slots=512), env, args, label=args.checkpoint.name,
        sampling=Sampling(max_tokens=args.window), console=console,
    )  # fmt: skip
    columns = [name for name in next(iter(result.tasks.values())) if name not in ("pass@1_se", "num_tasks")]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("task", no_wrap=True)
    for column in columns:
        table.add_column(column.removesuffix("_frac").removeprefix("mean_"), justify="right", no_wrap=True)
    for name, row in result.tasks.items():
        table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
    console.print(table)
    if args.out is not None:
        write_json(args.out, {"checkpoint": str(args.checkpoint), "tasks": result.tasks})
