"""`make demo`: a tiny hybrid MoE learns to reason on two cores, in minutes.

Untrained -> cold-start SFT on short worked solutions -> CISPO on tasks with checked answers; held-out tasks are
evaluated after each phase. Everything is in one folder, and the same command goes on where it was stopped.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fulmen.evals.report import summary_table, write_report
from fulmen.evals.run import EvalSettings
from fulmen.model.config import preset
from fulmen.recipes.common import TASK_NAMES, evaluate_stage, fresh_model, make_mixture, set_threads
from fulmen.recipes.rl import train_rl
from fulmen.recipes.rl_settings import WEIGHT_MAX, RlSettings
from fulmen.recipes.sft import SftSettings, train_sft
from fulmen.rl import LossSettings
from fulmen.run import Run
from fulmen.serve import Engine
from fulmen.types import RolloutGroup, Sampling

SAMPLES_PER_TASK = 2
"""Held-out problems per environment whose answers the report shows, phase by phase."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen demo: cold start, CISPO, evaluation and report of a tiny hybrid MoE on two CPU cores."""

    run: Path = Path("runs/demo")
    """Folder of the run; an unfinished one goes on."""
    seed: int = 0
    preset: str = "tiny"
    """Shape of the model."""
    threads: int = 2
    """CPU threads; results are bit-exact for a fixed number."""
    sft_steps: int = SftSettings.num_steps
    """Optimizer steps of the cold start."""
    rl_steps: int = RlSettings.num_steps
    """Generation batches of RL."""
    num_groups: int = RlSettings.num_groups
    """Informative groups per generation batch."""
    num_updates: int = RlSettings.num_updates
    """Optimizer steps per generation batch."""
    lr: float = RlSettings.lr
    """Learning rate of RL."""
    weight_max: float = WEIGHT_MAX
    """CISPO's absolute cap on the importance weight."""
    window: int = RlSettings.window
    """Longest completion, in tokens."""
    eval_tasks: int = 200
    """Held-out tasks per environment in each evaluation."""
    eval_samples: int = 8
    """Samples per held-out task."""


def main(args: Args, console: Console) -> None:
    """Runs the demo, or what is left of it."""
    set_threads(args.threads)
    sft = SftSettings(num_steps=args.sft_steps)
    rl = RlSettings(
        num_steps=args.rl_steps, num_groups=args.num_groups, num_updates=args.num_updates, lr=args.lr,
        loss=LossSettings(weight_max=args.weight_max), window=args.window,
    )  # fmt: skip
    evals = EvalSettings(num_tasks=args.eval_tasks, num_samples=args.eval_samples)
    config = preset(args.preset)
    settings = {name: value for name, value in asdict(args).items() if name != "run"}
    with Run.open(args.run, recipe="demo", args=settings, seed=args.seed) as run, run.interruptible():
        if (summary := run.read_json("summary.json")) and (run.folder / "report.html").exists():
            console.print(summary_table(summary))
            console.print(f"already done: {run.folder / 'report.html'} (another seed: --seed 1 --run runs/demo-1)")
            return
        env = make_mixture(TASK_NAMES)
        model, tokenizer = fresh_model(config, env, seed=args.seed)
        sizes = {"num_parameters": model.config.num_parameters(),
                 "num_active_parameters": model.config.num_active_parameters()}  # fmt: skip
        run.write_json("config.json", {**run.config, **sizes})
        console.print(
            f"{run.folder}: {sizes['num_parameters']:,} parameters, layers {model.config.mixers}, "
            f"{model.config.num_experts} experts, vocabulary {model.config.vocab_size}. "
            "Ctrl-C stops; the same command goes on."
        )
        engine = Engine(model, tokenizer, num_slots=rl.num_slots)

        def evaluate_once(phase: str, label: str) -> None:
            name = f"eval/{phase}.json"
            if run.read_json(name) is None:
                result = evaluate_stage(
                    run, engine, env, evals, label=label, sampling=Sampling(max_tokens=args.window), console=console
                )
                run.write_json(name, {"tasks": result.tasks, "samples": _samples(result.groups, phase)})
                run.save_clock()

        if not run.checkpoints("sft"):
            evaluate_once("untrained", "untrained")
        train_sft(run, model, tokenizer, env, sft, seed=args.seed, console=console)
        if not run.checkpoints("rl"):
            evaluate_once("sft", "after SFT")
        train_rl(run, model, tokenizer, env, rl, seed=args.seed, console=console)
        evaluate_once("rl", "after RL")
        summary = _summarise(run)
        run.write_json("summary.json", summary)
        report = write_report(run.folder)
        console.print(summary_table(summary))
        console.print(f"{summary['wall_s'] / 60:.1f} minutes; pictures and rollouts: {report}")


def _samples(groups: list[RolloutGroup], phase: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for group in groups:
        counts[group.task.env] = counts.get(group.task.env, 0) + 1
        if counts[group.task.env] > SAMPLES_PER_TASK:
            continue
        rollout = group.rollouts[0]
        shown.append(
            {
                "task": group.task.env, "task_id": group.task.task_id, "prompt": group.task.prompt[-1].content,
                "phase": phase, "thinking": rollout.completion.message.thinking,
                "content": rollout.completion.message.content, "score": rollout.score.value,
                "stop_reason": rollout.completion.stop_reason, "length": rollout.num_tokens,
            }
        )  # fmt: skip
    return shown


def _summarise(run: Run) -> dict[str, Any]:
    phases = {phase: run.read_json(f"eval/{phase}.json") for phase in ("untrained", "sft", "rl")}
    run.write_json("samples.json", [sample for phase in phases.values() for sample in phase["samples"]])
    names = list(phases["rl"]["tasks"])
    mismatch = run.read_json("mismatch.json") or {}
    worst = _column(run, "logprob_abs_diff_max")
    pearson = _column(run, "logprob_pearson")
    return {
        "wall_s": run.wall_s,
        "tasks": {name: {phase: content["tasks"][name] for phase, content in phases.items()} for name in names},
        "logprob_pearson": min(pearson, default=mismatch.get("pearson")),
        "logprob_abs_diff_max": max(worst, default=mismatch.get("logprob_abs_diff_max")),
    }


def _column(run: Run, name: str) -> list[float]:
    return [record[name] for record in run.read_lines("metrics.jsonl") if name in record]
