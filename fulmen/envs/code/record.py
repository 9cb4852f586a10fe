"""`CodeProblem`: a problem as it is served, and the reader of a user's own problems, one JSON object per line.

    name        text, once per file                                            required
    statement   text: the whole task as the model reads it                     required
    tests       list of {"input", "output"}: texts; with `function`, a list    required
                of arguments and the value that is returned
    function    name of the function to call; without it, stdin and stdout
    signature   text shown with the function, `def f(n: int) -> int`
    level       easy, medium or hard
    judge       {"kind", "abs_tol", "rel_tol", "special"}; kind defaults to tokens, with `function` to json
    limits      {"cpu_s", "wall_s", "memory_bytes", ...}: fields of `Limits`, of one test
    solution    text of a right program, and `solution_language` (python)
    statement_zh, idea    the statement in Chinese; how it is solved, in a sentence or two

A special judge is code that runs outside the sandbox, so a file may only name those that its user trusts by name.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.code import LANGUAGES, Case, Language, Trial
from fulmen.rewards.judge import Judge, JudgeKind, load_special
from fulmen.sandbox import Limits
from fulmen.types import content_hash

Level = Literal["easy", "medium", "hard"]

LEVELS: tuple[Level, ...] = get_args(Level)
DEFAULT_LIMITS = Limits(cpu_s=2.0, wall_s=10.0, memory_bytes=256 << 20)
"""Of one test."""
_REQUIRED = ("name", "statement", "tests")
_OPTIONAL = (
    "function",
    "signature",
    "level",
    "judge",
    "limits",
    "solution",
    "solution_language",
    "statement_zh",
    "idea",
)


@dataclass(frozen=True, kw_only=True)
class CodeProblem:
    """A problem with its tests, whoever wrote it."""

    name: str
    level: Level
    statements: Mapping[str, str]
    """By language of the prompt; English (`en`) is always there."""
    make_trial: Callable[[], Trial]
    """Makes the tests; called once, when they are first needed."""
    function: str = ""
    """To be called; empty: a program on stdin and stdout."""
    signature: str = ""
    """What the function looks like."""
    limits: Limits = field(default_factory=lambda: DEFAULT_LIMITS)
    """Of one test."""
    solution: str = ""
    """A right program; empty where none is known."""
    solution_language: Language = "python"
    idea: str = ""
    """How it is solved, in a sentence or two."""

    @cached_property
    def hash(self) -> str:
        """Of name and statement; decides the split."""
        return content_hash("code", self.name, self.statements["en"])

    @cached_property
    def trial(self) -> Trial:
        """The tests."""
        return self.make_trial()


def read_problems(path: Path | str, *, trusted: Collection[str] = ()) -> tuple[CodeProblem, ...]:
    """Returns the problems of a JSONL file; `trusted` names the special judges it may use.

    Raises:
        DataError: a line that is no such record; names the line and the field.
        ConfigError: the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"problems: {str(path)!r} ({error}); allowed: a JSONL file in UTF-8") from None
    problems: dict[str, CodeProblem] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            problem = read_problem(line, trusted=trusted)
            if problem.name in problems:
                raise DataError(f"name: {problem.name!r} twice; allowed: once")
        except (DataError, ConfigError) as error:
            raise DataError(f"{path}:{number}: {error}") from None
        problems[problem.name] = problem
    if not problems:
        raise DataError(f"{path}: no problems; allowed: one or more lines")
    return tuple(problems.values())


def read_problem(line: str, *, trusted: Collection[str] = ()) -> CodeProblem:
    """Returns the problem of one line. Raises: DataError, ConfigError."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"line: {line[:40]!r} ({error}); allowed: a JSON object") from None
    if not isinstance(record, dict):
        raise DataError(f"line: a JSON {type(record).__name__}; allowed: a JSON object")
    for key in record:
        if key not in _REQUIRED + _OPTIONAL:
            raise DataError(f"{key}: unknown field; allowed: {', '.join(_REQUIRED + _OPTIONAL)}")
    name, statement = _read_text(record, "name", required=True), _read_text(record, "statement", required=True)
    function = _read_text(record, "function")
    if function and not function.isidentifier():
        raise DataError(f"function: {function!r}; allowed: an identifier")
    limits = _read_limits(record.get("limits", {}))
    judge = _read_judge(record.get("judge", {}), default="json" if function else "tokens", trusted=trusted)
    trial = Trial(cases=_read_cases(record.get("tests"), function), function=function, judge=judge, limits=limits)
    statements = {"en": statement, "zh": _read_text(record, "statement_zh")}
    return CodeProblem(
        name=name,
        level=_read_choice(record, "level", LEVELS, "medium"),
        statements={language: text for language, text in statements.items() if text},
        make_trial=lambda: trial,
        function=function,
        signature=_read_text(record, "signature"),
        limits=limits,
        solution=_read_text(record, "solution"),
        solution_language=_read_choice(record, "solution_language", LANGUAGES, "python"),
        idea=_read_text(record, "idea"),
    )


def _read_text(record: Mapping[str, Any], key: str, *, required: bool = False) -> str:
    value = record.get(key, "")
    if not isinstance(value, str) or (required and not value.strip()):
        raise DataError(f"{key}: {_short(record.get(key))}; allowed: a text{' that is not empty' if required else ''}")
    return value


def _read_choice(record: Mapping[str, Any], key: str, allowed: tuple[Any, ...], default: str) -> Any:
    value = record.get(key, default)
    if value not in allowed:
        raise DataError(f"{key}: {_short(value)}; allowed: {', '.join(allowed)}")
    return value


def _read_cases(tests: Any, function: str) -> tuple[Case, ...]:
    if not isinstance(tests, list) or not tests:
        raise DataError(f"tests: {_short(tests)}; allowed: a list of one or more tests")
    cases = []
    for place, test in enumerate(tests):
        if not isinstance(test, dict) or test.keys() != {"input", "output"}:
            raise DataError(f"tests[{place}]: {_short(test)}; allowed: an object of input and output")
        given, expected = test["input"], test["output"]
        if function:
            if not isinstance(given, list):
                raise DataError(f"tests[{place}].input: {_short(given)}; allowed: a list of arguments")
            given, expected = _dump(given, f"tests[{place}].input"), _dump(expected, f"tests[{place}].output")
        for key, value in (("input", given), ("output", expected)):
            if not isinstance(value, str):
                raise DataError(f"tests[{place}].{key}: {_short(value)}; allowed: a text")
            if any("\ud800" <= c <= "\udfff" for c in value):
                raise DataError(f"tests[{place}].{key}: half a surrogate pair; allowed: Unicode text")
        cases.append(Case(given=given, expected=expected))
    return tuple(cases)


def _dump(value: Any, place: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        raise DataError(f"{place}: NaN or an infinity; allowed: JSON values") from None


def _read_judge(record: Any, *, default: JudgeKind, trusted: Collection[str]) -> Judge:
    _require_object(record, "judge", tuple(entry.name for entry in fields(Judge)))
    kind = _read_choice(record, "kind", get_args(JudgeKind), default)
    special = _read_text(record, "special")
    if special and special not in trusted:
        raise DataError(f"judge.special: {special!r} is not trusted; allowed: {', '.join(trusted) or 'none'}")
    tolerances = {key: _read_number(record, f"judge.{key}") for key in ("abs_tol", "rel_tol") if key in record}
    judge = Judge(kind=kind, special=special, **tolerances)
    if special:
        load_special(special)
    return judge


def _read_limits(record: Any) -> Limits:
    names = {entry.name: entry for entry in fields(Limits)}
    _require_object(record, "limits", tuple(names))
    values = {entry.name: DEFAULT_LIMITS.__dict__[entry.name] for entry in names.values()}
    for key in record:
        value = _read_number(record, f"limits.{key}")
        values[key] = int(value) if isinstance(values[key], int) else value
    return Limits(**values)


def _read_number(record: Mapping[str, Any], place: str) -> float:
    value = record[place.partition(".")[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{place}: {_short(value)}; allowed: a number")
    return float(value)


def _require_object(record: Any, name: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(record, dict):
        raise DataError(f"{name}: {_short(record)}; allowed: an object")
    for key in record:
        if key not in allowed:
            raise DataError(f"{name}.{key}: unknown field; allowed: {', '.join(allowed)}")


def _short(value: Any) -> str:
    text = "none" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
