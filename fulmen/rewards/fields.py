"""Readers of structured answers: integers, words, grids, maps, from cleaned text to values.

Each is a closed grammar with bounds: what it does not name raises `DataError`, whose message tells the form that is
allowed. Only ASCII digits are digits. No text reaches an interpreter; JSON is read by `json` where a reader says so.
Left out: answers inside prose (`answer.py` takes wrappers off, and nothing searches for an answer).
"""

import json
import re
from collections.abc import Collection
from fractions import Fraction
from typing import Any

from fulmen.errors import DataError

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"([+-]?)([0-9]{1,18})(?:\.([0-9]{1,18}))?|([+-]?[0-9]{1,18})/([0-9]{1,18})")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3}){1,5}(?:\.[0-9]{1,18})?")
_BETWEEN_WORDS = re.compile(r"[\s,;]+")
_BETWEEN_ITEMS = re.compile(r"[,;][ \t]*\n|[,;\n]")
_BETWEEN_ROWS = re.compile(r"[ \t]*(?:\]\s*,\s*\[|\]\s*\[|[\n/;|])[ \t]*")
_PAIR = re.compile(r"\s*([^:=,;\n]{1,64}?)\s*(?::|=|->|→)\s*([^:=,;\n]{1,64}?)\s*")


def read_integer(text: str) -> int:
    """Returns the integer that the whole text is: ASCII digits with an optional sign, up to 18 of them.

    >>> read_integer("-12")
    -12

    Raises: DataError.
    """
    text = text.strip()
    if not _INTEGER.fullmatch(text):
        raise DataError(f"answer: {text[:40]!r}; allowed: an integer")
    return int(text)


def read_number(text: str) -> Fraction:
    """Returns the exact value of an integer, decimal or simple fraction; thousands may be grouped by commas.

    >>> read_number("1,234.5")
    Fraction(2469, 2)

    Raises: DataError.
    """
    text = text.strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    match = _NUMBER.fullmatch(text)
    if match is None or (match[5] is not None and int(match[5]) == 0):
        raise DataError(f"answer: {text[:40]!r}; allowed: a number such as 12, -3.25 or 7/8")
    if match[5] is not None:
        return Fraction(int(match[4]), int(match[5]))
    decimals = match[3] or ""
    size = Fraction(int(match[2] + decimals), 10 ** len(decimals))
    return -size if match[1] == "-" else size


def read_words(text: str, *, allowed: Collection[str] | None = None, is_cased: bool = False) -> list[str]:
    """Returns the words of a list separated by commas, semicolons or white space, in one pair of brackets or none.

    Lower case, unless `is_cased`. Quotes around a word go.

    >>> read_words("[Ann, 'bob']")
    ['ann', 'bob']

    Raises: DataError for an empty list, or a word that is not `allowed`.
    """
    words = [_unquote(word) for word in _BETWEEN_WORDS.split(_unbracket(text)) if word]
    words = words if is_cased else [word.lower() for word in words]
    if not words:
        raise DataError("answer: no word; allowed: words separated by commas or spaces")
    if allowed is not None:
        _require_known(words, allowed)
    return words


def read_items(text: str, *, allowed: Collection[str] | None = None) -> list[str]:
    """Returns the items, of several words each perhaps, of a list separated by commas, semicolons or line ends.

    Lower case, inner white space single.

    >>> read_items("red  car, Blue bike")
    ['red car', 'blue bike']

    Raises: DataError for an empty list or item, or an item that is not `allowed`.
    """
    items = [" ".join(_unquote(part.strip()).lower().split()) for part in _BETWEEN_ITEMS.split(_unbracket(text))]
    if not all(items):
        raise DataError(f"answer: {text[:40]!r} has an empty item; allowed: items separated by commas")
    if allowed is not None:
        _require_known(items, allowed)
    return items


def read_grid(text: str, *, num_rows: int, num_columns: int, cells: Collection[str]) -> list[list[str]]:
    """Returns the rows of a grid.

    Rows are separated by line ends, `/`, `;` or `|`, or written as JSON's lists of lists; cells by white space or
    commas, or by nothing where every one of `cells` is a single character. Quotes around a cell go.

    >>> read_grid("12/21", num_rows=2, num_columns=2, cells="12")
    [['1', '2'], ['2', '1']]

    Raises: DataError for another shape or a cell that is not among `cells`.
    """
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1].strip()
        text = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    rows = [row for row in _BETWEEN_ROWS.split(text) if row.strip()]
    if len(rows) != num_rows:
        raise DataError(f"grid: {len(rows)} rows; allowed: {num_rows}, one a line or joined by '/'")
    is_single = all(len(cell) == 1 for cell in cells)
    grid = []
    for number, row in enumerate(rows, 1):
        parts = [_unquote(part) for part in _BETWEEN_WORDS.split(row.strip()) if part]
        if is_single and len(parts) != num_columns:
            parts = list("".join(parts))
        if len(parts) != num_columns:
            raise DataError(f"grid: row {number} has {len(parts)} cells; allowed: {num_columns}")
        _require_known(parts, cells)
        grid.append(parts)
    return grid


def read_pairs(text: str, *, keys: Collection[str]) -> dict[str, str]:
    """Returns a map written as JSON's object or as `key: value` pairs separated by commas, semicolons or line ends.

    Keys and values come in lower case with single spaces inside; `keys` (in lower case) are all of them.

    >>> read_pairs("Ann: red ball, Bob = cup", keys=["ann", "bob"])
    {'ann': 'red ball', 'bob': 'cup'}

    Raises: DataError for another form, a key twice, missing or unknown.
    """
    text = text.strip()
    pairs = _json_pairs(text) if text.startswith("{") and '"' in text else _plain_pairs(text)
    found: dict[str, str] = {}
    for key, value in pairs:
        key, value = (" ".join(_unquote(part.strip()).lower().split()) for part in (key, value))
        if key in found:
            raise DataError(f"answer: {key!r} twice; allowed: each key once")
        found[key] = value
    _require_known(found, keys)
    if missing := [key for key in keys if key not in found]:
        raise DataError(f"answer: nothing for {missing[0]!r}; allowed: a value for each of {len(keys)} keys")
    return found


def read_json(text: str) -> Any:
    """Returns JSON's value of the whole text; no key may come twice, no number may be infinite.

    Raises: DataError.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"answer: not JSON ({str(error)[:60]}); allowed: one JSON value") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _json_pairs(text: str) -> list[tuple[str, str]]:
    value = read_json(text)
    if not isinstance(value, dict) or not all(isinstance(v, (str, int)) for v in value.values()):
        raise DataError("answer: JSON of another kind; allowed: an object with texts or integers as values")
    return [(key, str(v)) for key, v in value.items()]


def _plain_pairs(text: str) -> list[tuple[str, str]]:
    text = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    pairs = []
    for part in re.split(r"[,;\n]", text):
        if not part.strip():
            continue
        match = _PAIR.fullmatch(part)
        if match is None:
            raise DataError(f"answer: {part.strip()[:40]!r}; allowed: key: value")
        pairs.append((match[1], match[2]))
    return pairs


def _unbracket(text: str) -> str:
    """Returns the text without one pair of brackets around the whole."""
    text = text.strip()
    is_bracketed = len(text) >= 2 and text[0] + text[-1] in ("[]", "()", "{}")
    return text[1:-1].strip() if is_bracketed else text


def _unquote(word: str) -> str:
    """Returns the word without one pair of quotes around it."""
    return word[1:-1] if len(word) >= 2 and word[0] == word[-1] and word[0] in "'\"`" else word


def _require_known(words: Collection[str], allowed: Collection[str]) -> None:
    known = allowed if isinstance(allowed, (set, frozenset, dict)) else set(allowed)
    for word in words:
        if word not in known:
            shown = " ".join(list(allowed)[:12])
            raise DataError(f"answer: {word[:40]!r}; allowed: {shown}{' ...' if len(allowed) > 12 else ''}")
