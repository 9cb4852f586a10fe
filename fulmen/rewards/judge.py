"""Judges of what a program wrote: output and expected output in, what is wrong out.

They run outside the sandbox, on bytes that a stranger's program wrote: no text reaches an interpreter, length is
bounded, and time is near linear in it. Output that is not UTF-8 is wrong, never an error.

    exact     byte for byte, but for spaces at line ends and line ends at the end
    tokens    the words between white space
    floats    the same, numbers within a tolerance; two integers must be equal
    lines     the lines in any order, each by its tokens, empty ones left out
    json      one JSON value: lists, keys and texts exact, floats within a tolerance
    special   a function of the problem decides, for problems with many right answers
"""

import importlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fulmen.errors import ConfigError, DataError, VerifierError

JudgeKind = Literal["exact", "tokens", "floats", "lines", "json", "special"]
SpecialJudge = Callable[[str, str, str], str]
"""From input, output and expected output to what is wrong with the output; empty if it is right. Output that it cannot
read raises DataError."""

MAX_OUTPUT_BYTES = 1 << 20
"""Longest output that is read at all."""
MAX_NUMBER_CHARS = 400
"""Longest token that is read as a number."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_SPECIAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*")
# Of ASCII alone: str.split() would take U+2028 or a no-break space for a border too.
_SPACE = " \t\n\r\v\f"
_BETWEEN_TOKENS = re.compile(rf"[{_SPACE}]+")


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How outputs are compared."""

    kind: JudgeKind = "tokens"
    abs_tol: float = 1e-6
    """Floats and json: a number may be so far off, ..."""
    rel_tol: float = 1e-6
    """... or so far in parts of the expected one."""
    special: str = ""
    """`module:function`, a `SpecialJudge`; it is imported and trusted."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a judge that cannot judge."""
        for name, value in (("abs_tol", self.abs_tol), ("rel_tol", self.rel_tol)):
            if not 0 <= value < 1:
                raise ConfigError(f"judge.{name}: {value}; allowed: from 0 to below 1")
        if (self.kind == "special") != bool(self.special):
            raise ConfigError(f"judge.special: {self.special!r} with kind {self.kind!r}; allowed: with 'special' only")
        if self.special and not _SPECIAL.fullmatch(self.special):
            raise ConfigError(f"judge.special: {self.special!r}; allowed: module:function")


def find_fault(judge: Judge, output: bytes, *, given: str, expected: str) -> str:
    """Returns what is wrong with an output, or an empty string if it is right.

    >>> find_fault(Judge(), b"1  2", given="", expected="1 2")
    ''

    Raises:
        VerifierError: the special judge broke.
    """
    if len(output) > MAX_OUTPUT_BYTES:
        return f"{len(output)} bytes of output; allowed: up to {MAX_OUTPUT_BYTES}"
    try:
        text = output.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"output is not UTF-8 at byte {error.start}"
    if judge.kind == "special":
        return _ask_special(judge.special, given, text, expected)
    if judge.kind == "json":
        return _compare_json(text, expected, judge)
    if judge.kind == "exact":
        return _first_difference(_trimmed_lines(text), _trimmed_lines(expected), "line")
    if judge.kind == "lines":
        return _compare_unordered(text, expected)
    tolerance = judge if judge.kind == "floats" else None
    return _first_difference(split_tokens(text), split_tokens(expected), "token", tolerance)


def split_tokens(text: str) -> list[str]:
    """Returns the words between ASCII white space."""
    text = text.strip(_SPACE)
    return _BETWEEN_TOKENS.split(text) if text else []


def load_special(name: str) -> SpecialJudge:
    """Returns the function that `module:function` names.

    Raises:
        ConfigError: there is none.
    """
    module, _, function = name.partition(":")
    try:
        found = importlib.import_module(module).__dict__[function]
    except (ImportError, KeyError) as error:
        raise ConfigError(f"judge.special: {name!r} ({error}); allowed: module:function that can be imported") from None
    if not callable(found):
        raise ConfigError(f"judge.special: {name!r} is no function; allowed: module:function")
    judge: SpecialJudge = found
    return judge


def are_close(value: int | float, expected: int | float, judge: Judge) -> bool:
    """Returns whether a number is within either tolerance of the expected one; nothing is close to NaN or infinity."""
    try:
        value, expected = float(value), float(expected)
    except OverflowError:
        return False
    if not (math.isfinite(value) and math.isfinite(expected)):
        return False
    return abs(value - expected) <= max(judge.abs_tol, judge.rel_tol * abs(expected))


def _ask_special(name: str, given: str, text: str, expected: str) -> str:
    special = load_special(name)
    try:
        fault = special(given, text, expected)
    except DataError as error:
        return str(error)
    except Exception as error:  # whatever it is, it says nothing of the program
        raise VerifierError(f"judge.special: {name!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(fault, str):
        raise VerifierError(f"judge.special: {name!r} returned {type(fault).__name__}; allowed: str")
    return fault


def _trimmed_lines(text: str) -> list[str]:
    lines = [line.rstrip(_SPACE) for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _first_difference(found: list[str], wanted: list[str], unit: str, judge: Judge | None = None) -> str:
    """Returns where two lists differ first; numbers may differ by the judge's tolerance where one is given."""
    for place, (a, b) in enumerate(zip(found, wanted, strict=False), start=1):
        if a != b and not (judge and _numbers_agree(a, b, judge)):
            return f"{unit} {place}: {_short(a)}, not {_short(b)}"
    return "" if len(found) == len(wanted) else f"{len(found)} {unit}s, not {len(wanted)}"


def _numbers_agree(found: str, wanted: str, judge: Judge) -> bool:
    if max(len(found), len(wanted)) > MAX_NUMBER_CHARS:
        return False
    if not (_NUMBER.fullmatch(found) and _NUMBER.fullmatch(wanted)):
        return False
    if _INTEGER.fullmatch(found) and _INTEGER.fullmatch(wanted):
        return int(found) == int(wanted)
    return are_close(float(found), float(wanted), judge)


def _compare_unordered(text: str, expected: str) -> str:
    found, wanted = (
        Counter(line for raw in side.split("\n") if (line := " ".join(split_tokens(raw)))) for side in (text, expected)
    )
    if extra := found - wanted:
        return f"line {_short(next(iter(extra)))} too much"
    if missing := wanted - found:
        return f"line {_short(next(iter(missing)))} missing"
    return ""


def _compare_json(text: str, expected: str, judge: Judge) -> str:
    try:
        found = read_json(text)
    except DataError as error:
        return str(error)
    # A stack of its own: the values may be nested as deeply as the reader allows.
    pairs: list[tuple[Any, Any, str]] = [(found, read_json(expected), "value")]
    while pairs:
        a, b, place = pairs.pop()
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            pairs += [(x, y, f"item {i}") for i, (x, y) in reversed(list(enumerate(zip(a, b, strict=True))))]
        elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            pairs += [(a[key], b[key], f"key {_short(key)}") for key in b]
        elif not _leaves_agree(a, b, judge):
            return f"{place}: {_short(a)}, not {_short(b)}"
    return ""


def _leaves_agree(a: Any, b: Any, judge: Judge) -> bool:
    is_number = [isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)]
    if all(is_number) and (isinstance(a, float) or isinstance(b, float)):
        return are_close(a, b, judge)
    return type(a) is type(b) and not isinstance(a, list | dict) and bool(a == b)


def read_json(text: str) -> Any:
    """Returns the JSON value that a text is; NaN and infinities are none.

    Raises: DataError.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"output: {_short(text)} ({type(error).__name__}); allowed: one JSON value") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _short(value: object) -> str:
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    # Cut before it is written out: the repr of 64 KiB of control characters is four times as long.
    text = repr(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 60 else text[:57] + "..."
