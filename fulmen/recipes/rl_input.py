"""What a run of RL is refused for, before a weight is read or a file written: each error names the field."""

import math
import traceback
from pathlib import Path

from fulmen.envs import Env, SingleTurnEnv
from fulmen.errors import CheckpointError, ConfigError, DataError, FulmenError
from fulmen.evals.run import EvalSettings, heldout_tasks
from fulmen.model.checkpoint import load_model
from fulmen.recipes.rl_settings import RlSettings
from fulmen.rl.curriculum import Curriculum, load_sources
from fulmen.serve.checks import check_prompt
from fulmen.text import Tokenizer
from fulmen.types import Request, Sampling, Score, Task

SAMPLE_TASKS = 8
"""Tasks of each environment that are drawn, and whose prompts are measured."""


def check_input(
    init: Path, tasks: tuple[str, ...], settings: RlSettings, *, calibration: Path | None, seed: int
) -> tuple[Curriculum, Tokenizer]:
    """Returns curriculum and tokenizer, once a run on them can begin.

    Raises: ConfigError, CheckpointError or DataError for a model that is none, an environment that is none, has too
    few tasks, breaks on an empty reply, or has prompts that do not fit.
    """
    if not tasks:
        raise ConfigError("tasks=[]; allowed: one or more environments (`fulmen envs` lists them)")
    curriculum = Curriculum(
        load_sources(tasks, calibration=calibration), settings=settings.curriculum, pass_rates=settings.pass_rates
    )
    tokenizer = check_model(init)
    longest = Sampling(max_tokens=max(settings.window_settings.windows))
    for env in (env for source in curriculum.sources for env in source.envs):
        _check_env(env, tokenizer, sampling=longest, max_length=settings.max_length, seed=seed)
    heldout_tasks(curriculum.heldout, num_tasks=settings.heldout_tasks, seed=EvalSettings.seed)
    return curriculum, tokenizer


def check_model(folder: Path) -> Tokenizer:
    """Returns the tokenizer of a model's folder; config, headers and sizes fit, and it ends its turns.

    Raises: CheckpointError or ConfigError naming the file.
    """
    if folder.is_file():
        hint = f"fulmen import {folder} models/{folder.stem} makes one"
        raise CheckpointError(f"init: {folder} is a file; allowed: a model's folder ({hint})")
    if not folder.is_dir():
        raise CheckpointError(f"init: {folder}: no such checkpoint folder")
    config, tokenizer = load_model(folder, device="meta").config, Tokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"init: {folder}: the tokenizer has {tokenizer.vocab_size} tokens; allowed: at most the model's "
            f"vocab_size={config.vocab_size}"
        )
    return tokenizer


def _check_env(env: Env, tokenizer: Tokenizer, *, sampling: Sampling, max_length: int, seed: int) -> None:
    """Raises: ConfigError for an environment that breaks, or whose prompts do not fit."""
    try:
        tasks = [env.task("train", seed=seed, index=index) for index in range(SAMPLE_TASKS)]
        _require(tasks[0], Task, f"{env.name}.task")
        score = env.check(tasks[0], "") if isinstance(env, SingleTurnEnv) else Score(value=0.0)
        _require(score, Score, f"{env.name}.check")
    except FulmenError:
        raise
    except Exception as error:  # somebody else's code
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
        raise ConfigError(f"tasks: {env.name}: {what}; allowed: what `fulmen check env` passes") from error
    if score.value is not None and not math.isfinite(score.value):
        raise ConfigError(f"tasks: {env.name}.check returns {score.value}; allowed: a finite number, or None")
    for task in tasks:
        try:
            check_prompt(Request(messages=task.prompt, sampling=sampling, seed=0), tokenizer, max_length=max_length)
        except DataError as error:
            raise ConfigError(f"tasks: {task.task_id}: {error} (window={sampling.max_tokens})") from error


def _require(found: object, kind: type, what: str) -> None:
    if not isinstance(found, kind):
        raise ConfigError(f"tasks: {what} returns a {type(found).__name__}; allowed: a {kind.__name__}")
