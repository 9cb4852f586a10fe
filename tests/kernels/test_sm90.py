"""Every shipped Triton kernel compiles for sm_90 without spilling, which needs a compiler but no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_kernels_fit_sm90(project_root: Path) -> None:
    pytest.importorskip("triton")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.sm90"], cwd=project_root, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert all(len(line) <= 110 for line in lines)
    kernels = {line.split()[0] for line in lines[2:]}
    assert {
        "tiles.scan_kernel",
        "tiles.piece_kernel",
        "step_tiles.open_tile_kernel",
        "ragged.gather_sum_kernel",
    } <= kernels
