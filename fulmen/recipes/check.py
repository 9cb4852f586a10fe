"""Runs the conformance suite on an environment, one's own or one of these."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.envs import PuzzleEnv, SingleTurnEnv, load
from fulmen.envs.catalogue import ADAPTERS
from fulmen.envs.conformance import CHECKS, find_faults
from fulmen.envs.own import find_own, make_own, require_single_turn
from fulmen.envs.puzzle import LEVELS
from fulmen.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen check env FILE:NAME: what an environment does wrong (gold, garbage, determinism, splits, JSON ...)."""

    what: Annotated[Literal["env"], tyro.conf.Positional]
    """What is checked: env."""
    target: Annotated[str, tyro.conf.Positional]
    """FILE.py:NAME or MODULE:NAME of an environment class or value, or a name that `fulmen envs` lists."""
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
    place, colon, _ = target.rpartition(":")
    is_own = bool(colon) and place not in ADAPTERS
    found: Any = find_own(target, adapters=ADAPTERS) if is_own else type(load(target)) if not colon else load(target)
    if isinstance(found, type) and issubclass(found, PuzzleEnv):
        if len(found.levels) != len(LEVELS):
            raise ConfigError(
                f"{target}.levels: {len(found.levels)} of them; allowed: {len(LEVELS)}, {', '.join(LEVELS)}"
            )
        return [(f"{target} at level {level}", found.at_level(level)) for level in LEVELS]
    return [(target, require_single_turn(target, make_own(target, found)))]
