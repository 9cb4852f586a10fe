"""A user's own problems: what a line may say, and one clear error per field."""

import json
from pathlib import Path

import pytest

from fulmen.envs.code import read_problems
from fulmen.envs.code.record import DEFAULT_LIMITS, read_problem
from fulmen.errors import ConfigError, DataError
from fulmen.rewards.code import Case
from fulmen.rewards.judge import Judge

RECORD = {"name": "p", "statement": "Add.", "tests": [{"input": "1 2\n", "output": "3\n"}]}
CALL = {**RECORD, "function": "add", "tests": [{"input": [1, 2.5], "output": [3.5, None]}]}


def line(**changes: object) -> str:
    return json.dumps({key: value for key, value in (RECORD | changes).items() if value != "MISSING"})


def test_a_short_record_gets_the_defaults() -> None:
    problem = read_problem(line())
    assert problem.trial.cases == (Case(given="1 2\n", expected="3\n"),)
    assert (problem.level, problem.trial.judge, problem.trial.limits) == ("medium", Judge(), DEFAULT_LIMITS)
    assert problem.statements == {"en": "Add."}


def test_a_full_record() -> None:
    problem = read_problem(
        json.dumps(
            CALL
            | {
                "signature": "def add(a, b)",
                "level": "hard",
                "judge": {"abs_tol": 0.25},
                "limits": {"cpu_s": 1, "memory_bytes": 1e8},
                "solution": "x",
                "solution_language": "cpp",
                "statement_zh": "相加。",
                "idea": "Add.",
            }
        )
    )
    assert problem.trial.cases == (Case(given="[1, 2.5]", expected="[3.5, null]"),)
    assert problem.trial.judge == Judge(kind="json", abs_tol=0.25)
    assert (problem.trial.limits.cpu_s, problem.trial.limits.memory_bytes) == (1.0, 100_000_000)
    assert problem.trial.limits.wall_s == DEFAULT_LIMITS.wall_s
    assert problem.statements["zh"] == "相加。"
    assert (problem.function, problem.level, problem.solution_language) == ("add", "hard", "cpp")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "MISSING"}, r"name: none; allowed"),
        ({"name": 5}, r"name: 5; allowed"),
        ({"statement": " "}, r"statement: ' '; allowed"),
        ({"tests": "MISSING"}, r"tests: none; allowed"),
        ({"tests": []}, r"tests: \[\]; allowed"),
        ({"tests": [{"input": "1"}]}, r"tests\[0\]: .*input and output"),
        ({"tests": [{"input": "1", "output": 3}]}, r"tests\[0\]\.output: 3; allowed"),
        ({"tests": [{"input": ["1"], "output": "3"}]}, r"tests\[0\]\.input: \['1'\]; allowed"),
        ({"tests": [{"input": "\ud800", "output": "3"}]}, r"tests\[0\]\.input: half a surrogate"),
        ({"function": "f", "tests": [{"input": "1", "output": 3}]}, r"tests\[0\]\.input: '1'; allowed: a list"),
        ({"function": "f", "tests": [{"input": [1], "output": float("nan")}]}, r"tests\[0\]\.output: NaN"),
        ({"function": "no name"}, r"function: 'no name'; allowed: an identifier"),
        ({"level": "brutal"}, r"level: 'brutal'; allowed: easy, medium, hard"),
        ({"solution_language": "java"}, r"solution_language: 'java'; allowed: python, cpp"),
        ({"answer": 1}, r"answer: unknown field; allowed: name"),
        ({"judge": "tokens"}, r"judge: 'tokens'; allowed: an object"),
        ({"judge": {"kind": "fuzzy"}}, r"kind: 'fuzzy'; allowed: exact"),
        ({"judge": {"tol": 1}}, r"judge\.tol: unknown field"),
        ({"judge": {"abs_tol": "1"}}, r"judge\.abs_tol: '1'; allowed: a number"),
        ({"judge": {"rel_tol": 7}}, r"judge\.rel_tol: 7"),
        ({"judge": {"kind": "special"}}, r"judge\.special: '' with kind 'special'"),
        ({"judge": {"kind": "special", "special": "os:system"}}, r"judge\.special: 'os:system' is not trusted"),
        ({"limits": 3}, r"limits: 3; allowed: an object"),
        ({"limits": {"cpu": 3}}, r"limits\.cpu: unknown field; allowed: cpu_s"),
        ({"limits": {"cpu_s": True}}, r"limits\.cpu_s: True; allowed: a number"),
        ({"limits": {"cpu_s": 0}}, r"limits\.cpu_s: 0"),
    ],
)
def test_one_clear_error_per_bad_field(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(line() + "\n\n" + line(**{"name": "q"} | changes) + "\n")
    with pytest.raises(DataError, match=named) as raised:
        read_problems(path)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "named"), [("{", "line"), ("[]", "JSON list"), ("[" * 90_000, "line"), ("", "no problems")]
)
def test_lines_that_are_no_records(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(DataError, match=named):
        read_problems(path)


def test_names_are_unique_and_files_readable(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text(line() + "\n" + line() + "\n")
    with pytest.raises(DataError, match=r":2: name: 'p' twice"):
        read_problems(path)
    path.write_bytes(b"\xff")
    for unreadable in (path, tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="problems"):
            read_problems(unreadable)


def test_a_trusted_judge_must_exist() -> None:
    record = line(judge={"kind": "special", "special": "fulmen.no_module:f"})
    with pytest.raises(ConfigError, match="can be imported"):
        read_problem(record, trusted=("fulmen.no_module:f",))
