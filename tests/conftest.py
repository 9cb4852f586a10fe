"""Settings every test runs under: a fixed number of threads, deterministic kernels, no hub, reproducible examples."""

import os
from pathlib import Path

import pytest

# Read when the libraries start, so set before they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import hypothesis
import torch

# Triton reads it when a kernel is decorated, and its kernels are only imported where they are used.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Golden runs are compared bit for bit, and a sum over threads depends on their number.
torch.set_num_threads(2)
# Also fills memory from torch.empty with NaN, which shows a kernel that reads what it never wrote.
torch.use_deterministic_algorithms(True)

# No deadline and no health check on speed: a loaded machine must not fail a test.
hypothesis.settings.register_profile(
    "fulmen",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("fulmen")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Returns the repository's root folder."""
    return Path(__file__).resolve().parent.parent
