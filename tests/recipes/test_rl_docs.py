"""docs/rl.md does what it says: its files are written, its commands run in order, its table has every metric."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def blocks(text: str) -> list[tuple[str, str]]:
    """Returns (what follows the fence, content) of every code block."""
    return re.findall(r"^```(.+?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def documented(text: str) -> set[str]:
    """Returns the names in the first column of the table of metrics."""
    rows = re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(.+?)`", row)}


def undocumented(metrics: dict[str, object], text: str) -> set[str]:
    names = documented(text)
    generic = {re.sub(r"^(reward|curriculum/\w+)/.+", r"\1/NAME", name) for name in metrics}
    return {name for name in generic if name not in names and not name.endswith(("_ema", "_rise"))}


@pytest.mark.slow
def test_every_command_runs_as_it_stands(tmp_path: Path, project_root: Path) -> None:
    text = (project_root / "docs" / "rl.md").read_text()
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, module in (("fulmen", "-m fulmen.cli "), ("python", "")):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        script.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        **os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": str(project_root), "COLUMNS": "120",
    }  # fmt: skip
    said = []
    for kind, content in blocks(text):
        if kind.startswith("python "):
            (work / kind.removeprefix("python ")).write_text(content)
        elif kind == "sh":
            done = subprocess.run(
                ["/bin/sh", "-e", "-c", content], cwd=work, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{content}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            said.append(done.stdout)
    every = "\n".join(said)
    for expected in ("no faults", "verdict      1.0", "held out: sorted", "done: runs/sorted/checkpoints/rl-000040"):
        assert expected in every
    assert '"verdict": "advance"' in every
    assert (work / "rl.png").stat().st_size > 5000
    assert (work / "exported" / "config.json").exists()
    lines = [json.loads(line) for line in (work / "runs" / "sorted" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 40
    assert undocumented(lines[-1], text) == set()


def test_the_table_of_metrics_is_read() -> None:
    text = "| metric | x |\n|---|---|\n| `a`, `b/NAME` | c |\n| `reward/NAME` | d |\n"
    metrics = {"a": 1, "b/NAME": 2, "reward/x": 3, "z": 4, "z_ema": 5}
    assert undocumented(metrics, text) == {"z"}
