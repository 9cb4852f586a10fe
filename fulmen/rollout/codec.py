"""Records to JSON and arrays, and back by their types: what a file keeps of frozen dataclasses, bit for bit."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

import numpy as np


def encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Returns a record as JSON; its arrays go to `arrays` and leave their names behind."""
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name), arrays) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, arrays) for item in value]
    return value


def decode(kind: Any, record: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Returns the record of type `kind` that `encode` wrote.

    Raises: KeyError, TypeError, ValueError or DataError for what is no such record.
    """
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or origin is Literal:
        return record
    if origin in (Union, types.UnionType):
        (some,) = [option for option in options if option is not type(None)]
        return None if record is None else decode(some, record, arrays)
    if kind is np.ndarray:
        return arrays[record["array"]]
    if origin is tuple:
        kinds = [options[0]] * len(record) if options[-1] is ... else options
        return tuple(decode(option, item, arrays) for option, item in zip(kinds, record, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: decode(options[1], item, arrays) for key, item in record.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: decode(hints[name], item, arrays) for name, item in record.items()})
    if not isinstance(record, kind):
        raise TypeError(f"{record!r} is no {kind}")
    return record
