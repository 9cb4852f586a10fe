"""What several recipes need: tasks by name, a fresh model, evaluation with a progress bar."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from rich.console import Console

from fulmen.envs import Brackets, Countdown, Env, Mixture, Sudoku
from fulmen.errors import CheckpointError, ConfigError
from fulmen.evals.run import EvalResult, EvalSettings, evaluate, heldout_tasks
from fulmen.model import Model, ModelConfig
from fulmen.model.checkpoint import load_model
from fulmen.run import Run, progress_bar
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.types import Message, Sampling, stable_seed

TaskName = Literal["countdown", "sudoku", "brackets"]
TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)

TOKENIZER_SAMPLES = 600
"""Worked conversations a fresh tokenizer is trained on."""


def make_mixture(names: Sequence[TaskName]) -> Mixture:
    """Returns the named environments, in equal parts, at their default difficulty."""
    makers: dict[TaskName, type[Env]] = {"countdown": Countdown, "sudoku": Sudoku, "brackets": Brackets}
    unknown = [name for name in names if name not in makers]
    if unknown or not names:
        raise ConfigError(f"tasks={list(names)}; allowed: one or more of {', '.join(makers)}")
    return Mixture([makers[name]() for name in names])


def cold_start_conversation(env: Mixture, *, seed: int, index: int, direct_frac: float) -> list[Message]:
    """Returns training task `index` with a right answer: worked out, or in `direct_frac` of the cases bare.

    The mixture of thought and unthought answers is what RL has to choose from.
    """
    task = env.task("train", seed=seed, index=index)
    rng = random.Random(stable_seed("cold start", seed, index))
    answer = env.worked_solution(task, rng)
    if answer is None:
        raise ConfigError(f"tasks: {task.env} has no worked solutions; allowed to start from: environments with them")
    if rng.random() < direct_frac:
        answer = Message(role="assistant", content=answer.content)
    return [*task.prompt, answer]


def fresh_model(config: ModelConfig, env: Mixture, *, seed: int) -> tuple[Model, Tokenizer]:
    """Returns a tokenizer trained on the tasks' own text and a random model with its vocabulary."""
    texts = [
        "\n".join(part for message in conversation for part in (message.content, message.thinking))
        for conversation in (
            cold_start_conversation(env, seed=seed, index=10**9 + index, direct_frac=0.0)
            for index in range(TOKENIZER_SAMPLES)
        )
    ]
    tokenizer = Tokenizer.train(texts, vocab_size=config.vocab_size)
    return Model(config.replace(vocab_size=tokenizer.vocab_size), seed=seed), tokenizer


def load_checkpoint(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Model, Tokenizer]:
    """Returns model and tokenizer of a checkpoint folder.

    Raises: CheckpointError when it is missing or damaged.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder")
    return load_model(folder, dtype=dtype, device=device), Tokenizer.load(folder)


Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]


def place(device: Device, precision: Precision) -> tuple[torch.device, torch.dtype]:
    """Returns where a model is served and in which dtype: on a GPU in bfloat16 if there is one, else in float32.

    Raises: ConfigError for cuda on a machine without it.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError("device='cuda'; allowed here: auto, cpu (torch sees no GPU)")
    chosen = torch.device("cuda" if has_cuda and device != "cpu" else "cpu")
    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return chosen, dtypes.get(precision, torch.bfloat16 if chosen.type == "cuda" else torch.float32)


def evaluate_stage(
    run: Run | None,
    engine: Engine,
    env: Mixture,
    settings: EvalSettings,
    *,
    label: str,
    sampling: Sampling,
    console: Console,
) -> EvalResult:
    """Returns held-out results of the engine's model, under a progress bar; a stop request is met at once."""
    tasks = heldout_tasks(env, num_tasks=settings.num_tasks, seed=settings.seed)
    total = len(tasks) * (settings.num_samples + settings.greedy)
    with progress_bar(console) as bar:
        task = bar.add_task(f"evaluate {label}", total=total, note="")

        def on_finish(num_tokens: int) -> None:
            bar.advance(task)
            if run is not None:
                run.check_stop()

        return evaluate(engine, env, tasks, settings, sampling=sampling, on_finish=on_finish)


def set_threads(num_threads: int) -> None:
    """Fixes the number of CPU threads: results are bit-exact for a fixed number only."""
    if num_threads < 1:
        raise ConfigError(f"threads={num_threads}; allowed: at least 1")
    torch.set_num_threads(num_threads)
