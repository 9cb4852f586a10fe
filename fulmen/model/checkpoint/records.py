"""JSON files to checked records and back: the config of fulmen's own checkpoints, and what other tools write."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from fulmen.errors import CheckpointError, ConfigError

T = TypeVar("T")


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file.

    Raises: CheckpointError when there is none.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: missing or unreadable ({error.strerror})") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from error
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return record


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def build_record(kind: type[T], record: Mapping[str, Any], *, where: str) -> T:
    """Returns the frozen dataclass `kind` with the fields of a JSON object; records inside it are built too.

    A field that came after the file was written has a default, and the default means what was before.

    Raises: CheckpointError naming `where`, the field and what is allowed.
    """
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    unknown, lacking = sorted(record.keys() - hints.keys()), sorted(needed - record.keys())
    if unknown or lacking:
        raise CheckpointError(f"{where}: unknown fields {unknown}, missing fields {lacking}")
    values = {name: _build(hints[name], value, where=where, name=name) for name, value in record.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise CheckpointError(f"{where}: {error}") from error


def _build(hint: Any, value: Any, *, where: str, name: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if typing.get_origin(option) is Literal:
            if value in typing.get_args(option):
                return value
        elif dataclasses.is_dataclass(option) and isinstance(value, dict):
            return build_record(typing.cast(type[Any], option), value, where=f"{where}: {name}")
        elif option is float and type(value) in (int, float):
            return float(value)
        elif type(value) is option:
            return value
    raise CheckpointError(f"{where}: {name}={value!r}; allowed: {hint}")
