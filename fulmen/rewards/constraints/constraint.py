"""What every kind of constraint is: parameters, the words a user reads, a checker, and how it shapes an example.

A kind is a frozen dataclass. Two constraints can be combined unless they are of one kind, claim the same thing, one
needs a piece of text that the other does not allow, or their bounds do not meet (`find_conflict`).
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args, get_origin

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.constraints.draft import Demands, Draft
from fulmen.rewards.constraints.reading import LANGUAGES, Language, Reply, Unit, read

MAX_LEVEL = 4
"""Hardest level; the easiest is 0."""
Phrases = Mapping[Language, tuple[str, ...]]
"""Wordings with parameters in braces."""
Claim = Literal["opening", "ending", "casing", "layout", "sentence_start", "sentence_end", "script", "whole"]


@dataclass(frozen=True, kw_only=True)
class Constraint(ABC):
    """One demand on a reply that a program can check."""

    KIND: ClassVar[str]
    """What JSON says."""
    PHRASES: ClassVar[Phrases]
    """What a user is told, with parameters in braces; several wordings that say the same."""
    LANGUAGES: ClassVar[tuple[Language, ...]] = LANGUAGES
    """Languages of prompts that may ask for it."""
    UNITS: ClassVar[tuple[Unit, ...]] = ()
    """What it counts; the user is told how (`RULES`)."""
    CLAIMS: ClassVar[frozenset[Claim]] = frozenset()
    """What only one constraint may decide."""

    @classmethod
    @abstractmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Constraint":
        """Returns a constraint with parameters of a level, 0 to `MAX_LEVEL`."""

    @abstractmethod
    def fault_in(self, reply: Reply) -> str:
        """Returns what breaks the constraint, in a few words, or an empty string; the reply has its least content."""

    @abstractmethod
    def mend(self, draft: Draft) -> None:
        """Changes a draft towards keeping the constraint."""

    def needs(self) -> tuple[str, ...]:
        """Returns pieces of text that every reply which keeps it contains."""
        return ()

    def allows(self, piece: str) -> bool:
        """Returns whether a reply that keeps it may contain a piece of text."""
        return True

    def demands(self) -> Demands:
        """Returns the bounds it puts on a text."""
        return Demands()

    def values(self, language: Language) -> dict[str, str]:
        """Returns the parameters as a user reads them."""
        return {field.name: _show(getattr(self, field.name), language) for field in fields(self)}

    def phrase(self, language: Language, rng: random.Random) -> str:
        """Returns what the user is told, in one of several wordings."""
        return rng.choice(self.PHRASES[language]).format(**self.values(language))

    def find_fault(self, text: str) -> str:
        """Returns what is wrong with a reply, in a few words, or an empty string if it keeps the constraint."""
        reply = read(text)
        return reply.fault or self.fault_in(reply)

    def to_json(self) -> dict[str, Any]:
        """Returns the constraint as a JSON object."""
        return {"kind": self.KIND} | {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in fields(self)
        }

    @classmethod
    def from_fields(cls, record: Mapping[str, Any]) -> "Constraint":
        """Returns the constraint of this kind that `to_json` wrote.

        Raises:
            DataError: a field is missing, unknown or of another type.
        """
        names = [field.name for field in fields(cls)]
        if sorted(record) != sorted(["kind", *names]):
            raise DataError(f"constraint {cls.KIND!r}: fields {sorted(record)}; allowed: {sorted(['kind', *names])}")
        return cls(**{field.name: _read_field(cls.KIND, field.name, field.type, record) for field in fields(cls)})


def find_conflict(first: Constraint, second: Constraint) -> str:
    """Returns why two constraints cannot be asked for together, or an empty string if nothing is known against it."""
    if first.KIND == second.KIND:
        return f"both are {first.KIND}"
    if claimed := first.CLAIMS & second.CLAIMS:
        return f"both decide {', '.join(sorted(claimed))}"
    for one, other in ((first, second), (second, first)):
        for piece in one.needs():
            if not other.allows(piece):
                return f"{one.KIND} needs {piece!r}, {other.KIND} forbids it"
    return first.demands().meet(second.demands()).fault


def scaled(rng: random.Random, level: int, *, easy: tuple[int, int], hard: tuple[int, int]) -> int:
    """Returns an integer between bounds that move from `easy` at level 0 to `hard` at `MAX_LEVEL`.

    Raises:
        ConfigError: there is no such level.
    """
    if not 0 <= level <= MAX_LEVEL:
        raise ConfigError(f"level: {level}; allowed: an integer from 0 to {MAX_LEVEL}")
    low, high = (round(a + (b - a) * level / MAX_LEVEL) for a, b in zip(easy, hard, strict=True))
    return rng.randint(min(low, high), max(low, high))


def _show(value: object, language: Language) -> str:
    """Returns a parameter as a user reads it."""
    if isinstance(value, tuple):
        if language == "zh":
            return "、".join(f"“{item}”" for item in value)
        return ", ".join(f"'{item}'" for item in value)
    return str(value)


def _read_field(kind: str, name: str, annotation: Any, record: Mapping[str, Any]) -> Any:
    """Returns one parameter, checked."""
    value = record[name]
    if annotation is int and type(value) is int and value >= 0:
        return value
    if annotation is str and isinstance(value, str) and value:
        return value
    if get_origin(annotation) is Literal and value in get_args(annotation):
        return value
    is_list = get_origin(annotation) is tuple and isinstance(value, list) and bool(value)
    if is_list and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise DataError(f"constraint {kind!r}, {name}: {value!r}; allowed: {annotation}")
