"""The demo over several seeds: what RL adds to SFT, with the spread. The baseline is the SFT model of the same run.

    python -m benchmarks.demo_seeds --seeds 0 1 2

Runs that are already complete under `runs/` are read, not repeated.
"""

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from benchmarks.common import write_result
from fulmen.recipes import demo


@dataclass(frozen=True, kw_only=True)
class Args:
    """The demo over several seeds."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each, in `<runs>/demo-seed<N>`."""
    runs: Path = Path("runs")


def main(args: Args) -> None:
    """Runs what is missing and writes the medians."""
    console = Console()
    summaries = {}
    for seed in args.seeds:
        folder = args.runs / f"demo-seed{seed}"
        demo.main(demo.Args(run=folder, seed=seed), console)
        summaries[seed] = json.loads((folder / "summary.json").read_text())
    settings = dataclasses.asdict(demo.Args())
    names = list(next(iter(summaries.values()))["tasks"])
    gains = {
        name: [s["tasks"][name]["rl"]["pass@1"] - s["tasks"][name]["sft"]["pass@1"] for s in summaries.values()]
        for name in names
    }
    medians = {
        name: {
            phase: {
                key: statistics.median(s["tasks"][name][phase][key] for s in summaries.values())
                for key in ("pass@1", "pass@8", "greedy", "mean_length", "truncated_frac")
            }
            for phase in ("untrained", "sft", "rl")
        }
        for name in names
    }
    content = {
        "command": f"python -m benchmarks.demo_seeds --seeds {' '.join(map(str, args.seeds))}",
        "settings": {name: value for name, value in settings.items() if name not in ("run", "seed")},
        "gain_median": {name: statistics.median(values) for name, values in gains.items()},
        "gains": gains,
        "median": medians,
        "wall_s": [s["wall_s"] for s in summaries.values()],
        "runs": summaries,
    }
    path = write_result("demo", content)
    console.print(json.dumps({key: content[key] for key in ("gain_median", "gains", "wall_s")}, indent=1))
    console.print(f"written: {path}")


if __name__ == "__main__":
    main(tyro.cli(Args))
