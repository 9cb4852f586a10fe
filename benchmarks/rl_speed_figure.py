"""Picture of `benchmarks.rl_speed`: where the seconds of an RL iteration go, and how many iterations an hour has.

python -m benchmarks.rl_speed_figure benchmarks/results/rl_speed_h100_DATE.json docs/rl_speed.png
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.common import read_figure_arguments

PARTS = {"generation_s": "rollouts", "learner_s": "learning and the rest", "reward_s": "reward"}
LEAST_SHARE = 0.02
"""Narrower parts get no number of their own."""


def label(row: dict[str, Any]) -> str:
    """Returns the name of a bar."""
    plural = "s" if row["updates"] > 1 else ""
    return f"{row['impl']}  {row['setting']}, {row['updates']} update{plural}"


def draw(content: dict[str, Any], path: Path) -> None:
    """Writes two panels: the parts of an iteration, with their seconds, and iterations per hour."""
    rows = [row for row in content["rows"] if "iterations_per_hour" in row]
    rows.sort(key=lambda row: (row["updates"], -row["iterations_per_hour"]))
    figure, (parts, rates) = plt.subplots(1, 2, figsize=(10, 1.2 + 0.42 * len(rows)), sharey=True)
    places, left = range(len(rows)), [0.0] * len(rows)
    for name, text in PARTS.items():
        # Parts are medians of their own; shares of their sum add up to one.
        shares = [row[name] / sum(row[part] for part in PARTS) for row in rows]
        bars = parts.barh(places, shares, left=left, label=text)
        texts = [f"{row[name]:.3g} s" if share > LEAST_SHARE else "" for row, share in zip(rows, shares, strict=True)]
        parts.bar_label(bars, texts, label_type="center", fontsize=7)
        left = [start + share for start, share in zip(left, shares, strict=True)]
    parts.set_yticks(list(places), [label(row) for row in rows], fontsize=8)
    parts.invert_yaxis()
    parts.set(xlim=(0, 1), xlabel="share of an iteration")
    parts.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    colours = ["tab:red" if row["impl"] == "fulmen" else "tab:gray" for row in rows]
    bars = rates.barh(places, [row["iterations_per_hour"] for row in rows], color=colours)
    rates.bar_label(bars, [f" {row['iterations_per_hour']:,.0f}" for row in rows], fontsize=8)
    rates.set(xscale="log", xlabel="RL iterations per hour")
    fastest, slowest = (pick(row["iterations_per_hour"] for row in rows) for pick in (max, min))
    rates.set_xlim(slowest / 2, fastest * 3)
    hardware = content["hardware"]["gpu"]
    figure.suptitle(f"16 × 16 completions of 256 tokens, 135M parameters, one {hardware}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    content, picture = read_figure_arguments(str(__doc__))
    draw(content, picture)
