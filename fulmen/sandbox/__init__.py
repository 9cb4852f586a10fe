"""Isolated execution of programs that a model wrote; see docs/sandbox.md for what holds and what does not."""

from fulmen.sandbox.backends import BackendReport, open_sandbox, probe
from fulmen.sandbox.base import ExecResult, Limits, Sandbox, Status, Submission, TestInput

__all__ = [
    "BackendReport",
    "ExecResult",
    "Limits",
    "Sandbox",
    "Status",
    "Submission",
    "TestInput",
    "open_sandbox",
    "probe",
]
