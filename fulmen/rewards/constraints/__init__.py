"""Instruction constraints that a program can check: drawn, told, checked, combined; no downloads, no model.

docs/constraints.md has the table of all kinds.
"""

from fulmen.rewards.constraints.compose import (
    KINDS,
    MAX_CONSTRAINTS,
    Verdict,
    check_all,
    compose_example,
    describe,
    draw_constraints,
    draw_with_example,
    find_any_conflict,
    from_json,
)
from fulmen.rewards.constraints.constraint import MAX_LEVEL, Constraint, find_conflict
from fulmen.rewards.constraints.reading import LANGUAGES, Language

__all__ = [
    "KINDS",
    "LANGUAGES",
    "MAX_CONSTRAINTS",
    "MAX_LEVEL",
    "Constraint",
    "Language",
    "Verdict",
    "check_all",
    "compose_example",
    "describe",
    "draw_constraints",
    "draw_with_example",
    "find_any_conflict",
    "find_conflict",
    "from_json",
]
