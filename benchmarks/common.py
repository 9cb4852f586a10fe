"""What every benchmark shares: the machine, repeated timing, and the JSON file of results."""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def hardware() -> dict[str, Any]:
    """Returns what the numbers depend on."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.*)", cpuinfo.read_text())):
        cpu = found.group(1)
    return {
        "cpu": cpu,
        "num_cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def timed_pairs(
    variants: dict[str, Callable[[], object]], *, repeats: int = 10, warmup: int = 2
) -> dict[str, dict[str, float]]:
    """Returns median and spread in seconds of each variant; variants take turns, so that noise meets all alike."""
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(warmup + repeats):
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            if repeat >= warmup:
                samples[name].append(time.perf_counter() - started)
    return {
        name: {"median_s": statistics.median(values), "min_s": min(values), "max_s": max(values)}
        for name, values in samples.items()
    }


def write_result(name: str, content: dict[str, Any]) -> Path:
    """Writes `results/<name>-<cpus>cpu-<date>.json` and returns its path."""
    RESULTS.mkdir(exist_ok=True)
    date = datetime.date.today().isoformat()
    path = RESULTS / f"{name}-{os.cpu_count()}cpu-{date}.json"
    path.write_text(json.dumps({"benchmark": name, "date": date, "hardware": hardware(), **content}, indent=1) + "\n")
    return path


def read_figure_arguments(description: str) -> tuple[dict[str, Any], Path]:
    """Returns a result and where its picture goes, both named on the command line; `description` is the help."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    return json.loads(args.result.read_text()), args.picture
