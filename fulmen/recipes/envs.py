"""What there is to train on: the list of environments, and one task to look at or to play."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fulmen.envs import Env, PuzzleEnv, SingleTurnEnv, load, names
from fulmen.envs.catalogue import env_class
from fulmen.envs.conformance import gold_reply
from fulmen.envs.puzzle import LEVELS
from fulmen.errors import ConfigError
from fulmen.types import Score, Split, Task

COMMON_KNOBS = ("name", "language", "answer_form")


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen envs: list all environments; fulmen envs show NAME: print a task, its gold answer and a verdict."""

    action: Annotated[Literal["list", "show", "play"], tyro.conf.Positional] = "list"
    """list all; show a task with its gold answer; play it, the gold answer hidden."""
    name: Annotated[str, tyro.conf.Positional] = ""
    """Environment to show."""
    level: str = ""
    """1 to 5, or intro, easy, medium, hard, expert; empty: the settings' defaults."""
    seed: int = 0
    index: int = 0
    """Place in the stream of tasks."""
    split: Split = "train"
    knobs: tuple[str, ...] = ()
    """Settings to change, NAME=VALUE each, such as size=5 language=zh."""
    answer: str = ""
    """A reply to judge."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    if args.action == "list":
        console.print(overview())
        console.print(f"levels 1 to 5: {', '.join(LEVELS)}. One task: fulmen envs show NAME --level 3 --seed 7")
        return
    if not args.name:
        raise ConfigError(f"name: empty; allowed: {', '.join(names())}")
    env = load_with_text(args.name, level=args.level, knobs=args.knobs)
    task = env.task(args.split, seed=args.seed, index=args.index)
    console.print(
        Panel(Text(task.prompt[-1].content), title=f"{task.task_id}   {settings_line(env)}", title_align="left")
    )
    if args.action == "play":
        play(env, task, console)
        return
    console.print(Text.assemble(("gold answer  ", "bold"), task.gold))
    if not isinstance(env, SingleTurnEnv):
        return
    shown = args.answer or gold_reply(env, task)
    console.print(Text.assemble(("judged       ", "bold"), shown))
    console.print(Text.assemble(("verdict      ", "bold"), verdict(env.check(task, shown))))


def load_with_text(name: str, *, level: str, knobs: tuple[str, ...]) -> Env:
    """Returns the environment that the command line names; values of knobs take their setting's type.

    Raises: ConfigError for what `load` refuses, and for a value of another type.
    """
    plain = load(name)
    values = dict(read_knob(plain, knob) for knob in knobs)
    return load(name, level=(int(level) if level.isdecimal() else level) if level else None, **values)


def read_knob(env: Env, knob: str) -> tuple[str, Any]:
    """Returns name and value of a setting written NAME=VALUE. Raises: ConfigError."""
    name, equals, text = knob.partition("=")
    assert dataclasses.is_dataclass(env), "environments are dataclasses"
    known = {field.name: getattr(env, field.name) for field in dataclasses.fields(env)}
    if not equals or name not in known:
        raise ConfigError(f"knobs: {knob!r}; allowed: NAME=VALUE with a name of {', '.join(known)}")
    kind = type(known[name])
    try:
        if kind is dict:
            return name, json.loads(text)
        if kind is bool:
            return name, {"true": True, "false": False}[text.lower()]
        if kind in (int, float):
            return name, kind(text)
    except (ValueError, KeyError):
        raise ConfigError(f"{name}: {text!r}; allowed: a value of type {kind.__name__}") from None
    return name, text


def overview() -> Table:
    """Returns the table of all environments: rule, verifier, settings and their defaults."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("environment", "task", "verifier", "settings"):
        table.add_column(column, overflow="fold", no_wrap=column == "environment")
    for name in names():
        found = env_class(name)
        is_puzzle = issubclass(found, PuzzleEnv)
        rule = found.rule if is_puzzle else (found.__doc__ or "").split("\n")[0]
        table.add_row(name, rule, found.verifier if is_puzzle else "", settings_line(load(name)))
    return table


def settings_line(env: Env, *, between: str = " ") -> str:
    """Returns an environment's own settings as `name=value`."""
    assert dataclasses.is_dataclass(env), "environments are dataclasses"
    own = [field.name for field in dataclasses.fields(env) if field.name not in COMMON_KNOBS]
    return between.join(f"{name}={getattr(env, name)}" for name in own)


def verdict(score: Score) -> Text:
    """Returns a score for people."""
    style = "green" if score.value == 1.0 else "red"
    return Text.assemble((f"{score.value}", style), f"  {score.status}: {score.info}")


def play(env: Env, task: Task, console: Console) -> None:
    """Asks for answers until one is right; an empty one shows the gold answer."""
    if not isinstance(env, SingleTurnEnv):
        raise ConfigError(f"play: {env.name} has episodes of several turns; allowed: environments of one reply")
    console.print("Your answer in one line (rows of a grid joined by '/'); an empty line shows the gold answer.")
    while True:
        try:
            answer = console.input("> ")
        except EOFError:
            answer = ""
        if not answer:
            console.print(Text.assemble(("gold answer  ", "bold"), task.gold))
            return
        score = env.check(task, answer)
        console.print(verdict(score))
        if score.value == 1.0:
            return
