"""Finds the levels of an environment worth training a model on, against any OpenAI-compatible endpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from fulmen.envs import Env, load
from fulmen.envs.puzzle import LEVELS, Language
from fulmen.evals.calibrate import CalibrateSettings, Calibration, calibrate
from fulmen.rewards.answer import AnswerForm
from fulmen.rollout.remote import RemoteGenerate
from fulmen.run import write_json
from fulmen.types import Sampling


@dataclass(frozen=True, kw_only=True)
class Args(CalibrateSettings):
    """fulmen calibrate NAME ...: levels between what a strong model solves at times and what this one solves often."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Environments, such as futoshiki survo."""
    base_url: str
    """Endpoint of the model to be trained, up to /v1, such as http://localhost:8000/v1."""
    model: str = "fulmen"
    """Its name there."""
    strong_url: str = ""
    """Endpoint of a strong model; empty: the same model bounds both sides."""
    strong_model: str = ""
    """Its name there."""
    language: Language = "en"
    answer_form: AnswerForm = "tags"
    max_tokens: int = 2048
    """Longest completion."""
    temperature: float = 1.0
    top_p: float = 1.0
    out: Path | None = None
    """Also write the levels and pass rates to this JSON file."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    base = RemoteGenerate(base_url=args.base_url, model=args.model)
    strong = RemoteGenerate(base_url=args.strong_url, model=args.strong_model) if args.strong_url else base
    sampling = Sampling(max_tokens=args.max_tokens, temperature=args.temperature, top_p=args.top_p)
    for name in args.names:
        load(name, level=1)
    found: dict[str, Calibration] = {}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("environment", *LEVELS, "train on"):
        table.add_column(column)
    for name in args.names:

        def make_env(level: str, name: str = name) -> Env:
            return load(name, level=level, language=args.language, answer_form=args.answer_form)

        with console.status(f"calibrating {name}"):
            found[name] = calibrate(make_env, base, strong, args, sampling=sampling)
        table.add_row(name, *(_cell(found[name], level) for level in LEVELS), ", ".join(found[name].levels) or "none")
    console.print(table)
    console.print("pass rate of the model | share of tasks that the strong model ever solved; . not measured")
    if args.out is not None:
        write_json(args.out, {name: _to_json(calibration) for name, calibration in found.items()})


def _cell(calibration: Calibration, level: str) -> str:
    base, strong = calibration.base.get(level), calibration.strong.get(level)
    shown = (f"{base.pass_rate:.2f}" if base else ".", f"{strong.solved_frac:.2f}" if strong else ".")
    return " | ".join(shown)


def _to_json(calibration: Calibration) -> dict[str, Any]:
    return {
        "low": calibration.low, "high": calibration.high, "levels": list(calibration.levels),
        "base": {level: vars(measured) for level, measured in calibration.base.items()},
        "strong": {level: vars(measured) for level, measured in calibration.strong.items()},
    }  # fmt: skip
