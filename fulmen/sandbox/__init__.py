"""Isolated execution of programs that a model wrote; see docs/sandbox.md for what holds and what does not."""

from fulmen.sandbox.base import ExecResult, Limits, Sandbox, Status, Submission, TestInput
from fulmen.sandbox.probe import BackendReport, open_sandbox, probe

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
