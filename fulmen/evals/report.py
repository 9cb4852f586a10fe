"""A run's report: one self-contained page of numbers, pictures and rollouts, and the same table for the console.

The page holds no script and asks the network for nothing; pictures are inline SVG. It may be written at any moment of a
run: what is not recorded yet is said to be missing, and a line cut off in the middle of a write is skipped. All text of
the run passes through jinja2's autoescaping; only our own pictures are inserted as they are.
Left out: rollouts.jsonl, which is large; `fulmen view` browses it.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.table import Table

from fulmen.errors import RunError
from fulmen.evals.figures import (
    MISSING,
    NUM_COLOURS,
    Panel,
    Record,
    format_value,
    health_panels,
    learning_panels,
    mismatch_panels,
    read_column,
    read_number,
    sft_panels,
    weight_panels,
)

PHASES = ("untrained", "sft", "rl")
PHASE_NAMES = {"untrained": "untrained", "sft": "SFT", "rl": "RL"}
FOLD_CHARS = 600
"""Completions longer than this are folded."""
MAX_TEXT_CHARS = 12_000
MAX_SAMPLES = 40
"""Tasks shown side by side; the rest is in samples.json."""


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """What a run's folder holds so far; empty where a file is missing or unreadable."""

    config: Record
    summary: Record
    sft: Sequence[Record]
    """Metrics of SFT steps, ascending, one per step."""
    rl: Sequence[Record]
    heldout: Sequence[Record]
    mismatch: Record
    tokens: Record
    samples: Sequence[Record]
    notes: Sequence[str]
    """Files and lines that could not be read."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with panels under it."""

    title: str
    text: str
    """What to look for."""
    panels: Sequence[Panel]
    source: str
    """File that holds the numbers."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One completion beside others of the same task."""

    phase: str
    mark: str
    """`right`, `wrong`, `partial` or `unscored`."""
    symbol: str
    score: str
    length: str
    stop_reason: str
    thinking: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """How pass@1 of one task moved between two phases."""

    task: str
    before: float
    after: float
    sign: int
    """1 up, -1 down, 0 within two standard errors."""


def summary_table(summary: Record) -> Table:
    """Returns the console table of a run's summary: task x phase, with what is not measured shown as a dash."""
    table = Table(title="Held-out tasks", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("task", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    for column in ("pass@1", "greedy", "pass@8", "length", "truncated"):
        table.add_column(column, justify="right", no_wrap=True)
    for task, phases in _tasks(summary).items():
        for i, (phase, row) in enumerate(phases):
            cells = [_pass_at_1(row), *(_percent(row, key) for key in ("greedy", "pass@8"))]
            cells += [format_value(read_number(row.get("mean_length")), "tokens"), _percent(row, "truncated_frac")]
            table.add_row(task if i == 0 else "", PHASE_NAMES[phase], *cells, end_section=i == len(phases) - 1)
    return table


def write_report(run_dir: Path) -> Path:
    """Returns the path of `report.html`, written (atomically) from what the run's folder holds.

    Raises: RunError when `run_dir` is not a folder.
    """
    if not run_dir.is_dir():
        raise RunError(f"run_dir={run_dir} is not a folder; write_report needs the folder of a run")
    page = _render(read_run(run_dir), name=run_dir.resolve().name)
    path = run_dir / "report.html"
    partial = run_dir / f".report.html.{os.getpid()}"
    try:
        partial.write_bytes(page.encode())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_run(run_dir: Path) -> RunFiles:
    """Returns what can be read of a run's folder at this moment."""
    notes: list[str] = []
    metrics = _read_lines(run_dir / "metrics.jsonl", notes)
    return RunFiles(
        config=_read_json(run_dir / "config.json", dict, notes),
        summary=_read_json(run_dir / "summary.json", dict, notes),
        sft=_last_of_each_step(record for record in metrics if record.get("phase") == "sft"),
        rl=_last_of_each_step(record for record in metrics if record.get("phase") == "rl"),
        heldout=_last_of_each_step(_read_lines(run_dir / "heldout.jsonl", notes)),
        mismatch=_read_json(run_dir / "mismatch.json", dict, notes),
        tokens=_read_json(run_dir / "tokens.json", dict, notes),
        samples=[record for record in _read_json(run_dir / "samples.json", list, notes) if isinstance(record, dict)],
        notes=notes,
    )


def headline(run: RunFiles) -> str:
    """Returns one sentence with the run's main result: how RL moved pass@1 on held-out tasks.

    A difference within two standard errors is called unchanged.
    """
    ends: Sequence[tuple[str, Sequence[str]]] = (("rl", ("sft", "untrained")), ("sft", ("untrained",)))
    last, moves = next(((last, moves) for last, first in ends if (moves := _moves(run.summary, first, last))), ("", []))
    if not moves:
        return _progress(run)
    phrases = {1: ("{} from {} to {}", "lifted {}"), -1: ("{} from {} to {}", "lowered {}")}
    phrases[0] = ("{} ({} to {})", "left {} within noise")
    parts = []
    for sign, (each, all_) in phrases.items():
        group = sorted((move for move in moves if move.sign == sign), key=lambda move: -abs(move.after - move.before))
        named = [each.format(move.task, _short(move.before), _short(move.after)) for move in group[:3]]
        rest = len(group) - len(named)
        named += [f"{rest} more task{'s' if rest > 1 else ''}"] if rest else []
        parts += [all_.format(_enumerate(named))] if named else []
    return f"{PHASE_NAMES[last]} {'; '.join(parts)}."


def _moves(summary: Record, first: Sequence[str], last: str) -> list[Move]:
    """Returns the tasks measured at both ends; the first of `first` that was measured is the start."""
    moves = []
    for task, rows in _tasks(summary).items():
        phases = dict(rows)
        start = next((phase for phase in first if phase in phases), None)
        if start is None or last not in phases:
            continue
        before, after = read_number(phases[start].get("pass@1")), read_number(phases[last].get("pass@1"))
        errors = [read_number(phases[phase].get("pass@1_se")) for phase in (start, last)]
        noise = 2 * math.hypot(*(error if math.isfinite(error) else 0.0 for error in errors))
        if math.isfinite(before) and math.isfinite(after):
            sign = 0 if abs(after - before) <= noise else 1 if after > before else -1
            moves.append(Move(task=task, before=before, after=after, sign=sign))
    return moves


def _progress(run: RunFiles) -> str:
    if run.rl:
        rewards_S = read_column(run.rl, "reward")
        recent = rewards_S[np.isfinite(rewards_S)][-10:]
        reward = f", training reward {recent.mean():.3g} over the last {len(recent)} steps" if len(recent) else ""
        return f"In progress: RL has reached step {run.rl[-1]['step']:g}{reward}."
    if run.sft:
        losses_S = read_column(run.sft, "loss")
        recent = losses_S[np.isfinite(losses_S)][-1:]
        loss = f", loss {recent[0]:.3g}" if len(recent) else ""
        return f"In progress: SFT has reached step {run.sft[-1]['step']:g}{loss}."
    return "Nothing is measured yet."


def _sections(run: RunFiles) -> list[Section]:
    args = run.config.get("args")
    cap = read_number(args.get("weight_max")) if isinstance(args, dict) else math.nan
    return [
        Section(
            title="Learning",
            text="Thin lines are single steps, thick ones a moving average. Dots are measured on held-out tasks.",
            panels=learning_panels(run.rl, run.heldout, _task_colours(run)),
            source="metrics.jsonl or heldout.jsonl",
        ),
        Section(
            title="Importance weights",
            text="r is the learner's probability of a sampled token over the sampler's. CISPO caps the weight and "
            "keeps every token's gradient; PPO's clip drops a token's gradient once r has moved too far.",
            panels=weight_panels(run.rl, cap if math.isfinite(cap) else None),
            source="metrics.jsonl",
        ),
        Section(
            title="Sampler against learner",
            text="Both run the same model, so only rounding should differ; points off the diagonal are a mismatch.",
            panels=mismatch_panels(run.mismatch, run.rl),
            source="mismatch.json or metrics.jsonl",
        ),
        Section(title="Health of the RL run", text="", panels=health_panels(run.rl), source="metrics.jsonl"),
        Section(title="Supervised warm-up", text="", panels=sft_panels(run.sft), source="metrics.jsonl"),
    ]


def _task_colours(run: RunFiles) -> dict[str, str]:
    names = list(_tasks(run.summary)) + [str(record["task"]) for record in run.heldout if "task" in record]
    names += [key.removeprefix("reward/") for record in run.rl for key in record if key.startswith("reward/")]
    return {name: f"c{i % NUM_COLOURS}" for i, name in enumerate(dict.fromkeys(names))}


def _sample_groups(samples: Sequence[Record]) -> list[dict[str, Any]]:
    """Returns the tasks of samples.json in its order, each with its cells by phase."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for sample in samples:
        groups.setdefault((_text(sample.get("task")), _text(sample.get("prompt"))), []).append(sample)
    rank = {phase: i for i, phase in enumerate(PHASES)}
    return [
        {
            "task": task,
            "prompt": prompt,
            "cells": [_cell(s) for s in sorted(cells, key=lambda s: rank.get(_text(s.get("phase")), len(rank)))],
        }
        for (task, prompt), cells in list(groups.items())[:MAX_SAMPLES]
    ]


def _cell(sample: Record) -> Cell:
    score = read_number(sample.get("score"))
    if not math.isfinite(score):
        mark, symbol = "unscored", "?"
    elif score >= 1:
        mark, symbol = "right", "✓"
    else:
        mark, symbol = ("partial", "◐") if score > 0 else ("wrong", "✗")
    thinking, content = _text(sample.get("thinking")), _text(sample.get("content"))
    return Cell(
        phase=PHASE_NAMES.get(_text(sample.get("phase")), _text(sample.get("phase"))),
        mark=mark,
        symbol=symbol,
        score=format_value(score, "number"),
        length=format_value(read_number(sample.get("length")), "tokens"),
        stop_reason=_text(sample.get("stop_reason")),
        thinking=thinking,
        content=content,
    )


def _dropped_tokens(tokens: Record) -> list[dict[str, str]]:
    dropped = tokens.get("ppo_dropped")
    rows = [row for row in dropped if isinstance(row, dict)] if isinstance(dropped, list) else []
    visible = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})
    return [
        {
            "token": _text(row.get("token")).translate(visible),
            "count": format_value(read_number(row.get("count")), "tokens"),
            "share": _percent(row, "share"),
            "mean_ratio": format_value(read_number(row.get("mean_ratio")), "number"),
        }
        for row in rows[:24]
    ]


def _facts(run: RunFiles) -> list[tuple[str, str]]:
    """Returns the short facts under the headline, those that are known."""
    config, summary = run.config, run.summary
    num_active, wall_s = read_number(config.get("num_active_parameters")), read_number(summary.get("wall_s"))
    num_total = format_value(read_number(config.get("num_parameters")), "tokens")
    active = f" ({format_value(num_active, 'tokens')} active)" if math.isfinite(num_active) else ""
    pearson = read_number(summary.get("logprob_pearson"))
    facts = [
        ("parameters", f"{num_total}{active}" if num_total != MISSING else ""),
        ("wall time", _duration(wall_s) if math.isfinite(wall_s) else ""),
        ("steps", f"{len(run.sft):,} SFT, {len(run.rl):,} RL" if run.sft or run.rl else ""),
        ("sampler = learner", f"r = {pearson:.6f}" if math.isfinite(pearson) else ""),
        ("seed", _text(config.get("seed"))),
        ("commit", _text(config.get("git_commit"))[:12]),
        ("started", _text(config.get("started"))),
    ]
    return [(name, value) for name, value in facts if value]


def _table_rows(summary: Record) -> list[dict[str, Any]]:
    """Returns the rows of the page's table: those of `summary_table`, with widths for the bars."""
    rows = []
    for task, phases in _tasks(summary).items():
        for i, (phase, row) in enumerate(phases):
            share = read_number(row.get("pass@1"))
            rows.append(
                {
                    "task": task if i == 0 else "",
                    "phase": phase,
                    "phase_name": PHASE_NAMES[phase],
                    "width": f"{100 * min(max(share, 0.0), 1.0):.1f}" if math.isfinite(share) else "0",
                    "pass_at_1": _pass_at_1(row),
                    "greedy": _percent(row, "greedy"),
                    "pass_at_8": _percent(row, "pass@8"),
                    "mean_length": format_value(read_number(row.get("mean_length")), "tokens"),
                    "truncated": _percent(row, "truncated_frac"),
                }
            )
    return rows


def _render(run: RunFiles, *, name: str) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = resources.files("fulmen.evals").joinpath("template.html").read_text(encoding="utf-8")
    args = run.config.get("args")
    page = environment.from_string(source).render(
        name=_text(run.config.get("name")) or name,
        headline=headline(run),
        facts=_facts(run),
        rows=_table_rows(run.summary),
        sections=_sections(run),
        svg=Markup,
        tokens=_dropped_tokens(run.tokens),
        groups=_sample_groups(run.samples),
        fold_chars=FOLD_CHARS,
        args=[(_text(key), _text(value)) for key, value in args.items()] if isinstance(args, dict) else [],
        notes=run.notes,
    )
    # Control characters and lone surrogates, which models do emit, have no place in a page.
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", page)


def _read_json(path: Path, kind: type, notes: list[str]) -> Any:
    """Returns the file's JSON value; an empty `kind` when the file is missing, or unreadable (which is noted)."""
    if not path.is_file():
        return kind()
    try:
        value = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except ValueError:
        notes.append(f"{path.name} is not JSON (perhaps written just now)")
        return kind()
    if not isinstance(value, kind):
        notes.append(f"{path.name} does not hold a {kind.__name__}")
        return kind()
    return value


def _read_lines(path: Path, notes: list[str]) -> list[Record]:
    """Returns the objects of a jsonl file; lines that are none are counted in a note."""
    if not path.is_file():
        return []
    records: list[Record] = []
    num_bad = 0
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            record = json.loads(line) if line.strip() else None
        except ValueError:
            record = ()
        if isinstance(record, dict):
            records.append(record)
        elif record is not None:
            num_bad += 1
    if num_bad:
        notes.append(f"{path.name}: {num_bad} unreadable line{'s' if num_bad > 1 else ''} skipped")
    return records


def _last_of_each_step(records: Iterable[Record]) -> list[Record]:
    """Returns records by step, the later one where a resumed run repeated a step."""
    last = {(read_number(record.get("step")), record.get("task")): record for record in records}
    return [last[key] for key in sorted((key for key in last if math.isfinite(key[0])), key=lambda key: key[0])]


def _tasks(summary: Record) -> dict[str, list[tuple[str, Record]]]:
    """Returns task -> [(phase, numbers)], phases in the order of training, those that are there."""
    tasks = summary.get("tasks")
    if not isinstance(tasks, dict):
        return {}
    rows = {name: phases for name, phases in tasks.items() if isinstance(phases, dict)}
    return {
        name: [(phase, phases[phase]) for phase in PHASES if isinstance(phases.get(phase), dict)]
        for name, phases in rows.items()
    }


def _text(value: object) -> str:
    """Returns a JSON value as text, shortened to `MAX_TEXT_CHARS`; empty for None."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    rest = len(text) - MAX_TEXT_CHARS
    return text if rest <= 0 else f"{text[:MAX_TEXT_CHARS]} … ({rest:,} more characters in samples.json)"


def _percent(row: Record, key: str) -> str:
    return format_value(read_number(row.get(key)), "share")


def _pass_at_1(row: Record) -> str:
    error = read_number(row.get("pass@1_se"))
    margin = f" ± {100 * error:.1f}" if math.isfinite(error) else ""
    return _percent(row, "pass@1").replace(" %", f"{margin} %")


def _short(share: float) -> str:
    """Returns a share for running text: whole percents, tenths where those say too little."""
    digits = 0 if 0.1 <= share <= 0.99 or share in (0.0, 1.0) else 1
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _enumerate(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _duration(seconds: float) -> str:
    minutes, whole_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole_s:02d} s" if minutes else f"{seconds:.1f} s"
