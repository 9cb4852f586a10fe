"""Runs the conformance suite on an environment, one's own or one of these."""

import importlib.util
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.envs import PuzzleEnv, SingleTurnEnv, load
from fulmen.envs.conformance import CHECKS, find_faults
from fulmen.envs.puzzle import LEVELS
from fulmen.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen check env FILE:NAME: what an environment does wrong (gold, garbage, determinism, splits, JSON ...)."""

    what: Annotated[Literal["env"], tyro.conf.Positional]
    """What is checked: env."""
    target: Annotated[str, tyro.conf.Positional]
    """FILE.py:NAME of an environment class or value, or a name that `fulmen envs` lists."""
    num_tasks: int = 50
    """Tasks drawn per split."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe. Raises: DataError when the environment has faults."""
    if args.num_tasks < 1:
        raise ConfigError(f"num_tasks={args.num_tasks}; allowed: at least 1")
    faults = []
    for label, env in find_envs(args.target):
        found = find_faults(env, num_tasks=args.num_tasks)
        counts = Counter(fault.check for fault in found)
        table = Table(box=box.SIMPLE_HEAD, title=label, title_justify="left")
        for column in ("check", "what holds", "faults"):
            table.add_column(column)
        for check in CHECKS:
            name = check.__name__.removeprefix("check_")
            table.add_row(name, (check.__doc__ or "").split("\n")[0], str(counts[name] or "none"))
        console.print(table)
        for fault in found:
            console.print(f"{fault.check}: {fault.detail}", markup=False, highlight=False, soft_wrap=True)
        faults += found
    if faults:
        raise DataError(f"{args.target}: {len(faults)} faults; allowed: none")
    console.print("no faults")


def find_envs(target: str) -> list[tuple[str, SingleTurnEnv]]:
    """Returns the environments a target names, each with a label: a puzzle at each of its levels.

    Raises: ConfigError for a file or name that is not there, or one that is no environment of one reply.
    """
    file, colon, name = target.rpartition(":")
    found: Any = _from_file(Path(file), name) if colon and file.endswith(".py") else None
    if found is None:
        found = type(load(target)) if not colon else load(target)
    if isinstance(found, type) and issubclass(found, PuzzleEnv):
        if len(found.levels) != len(LEVELS):
            raise ConfigError(
                f"{target}.levels: {len(found.levels)} of them; allowed: {len(LEVELS)}, {', '.join(LEVELS)}"
            )
        return [(f"{target} at level {level}", found.at_level(level)) for level in LEVELS]
    env = found() if isinstance(found, type) else found
    if not isinstance(env, SingleTurnEnv):
        needed = "name, task, check, worked_solution, rollout and score (inherit from SingleTurn or PuzzleEnv)"
        raise ConfigError(f"{target}: a {type(env).__name__}; allowed: an environment of one reply, with {needed}")
    return [(target, env)]


def _from_file(path: Path, name: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"target: no file {path}; allowed: FILE.py:NAME, or a name that `fulmen envs` lists")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    if name not in vars(module):
        public = ", ".join(key for key, value in vars(module).items() if isinstance(value, type))
        raise ConfigError(f"target: no {name!r} in {path}; allowed: {public}")
    return vars(module)[name]
