"""Constraints together: drawn so that a text exists that keeps them all, shown by composing one; and checked."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.constraints import (
    casing,
    data_format,
    format,
    language,
    length,
    letters,
    position,
    punctuation,
    structure,
    words,
)
from fulmen.rewards.constraints.constraint import Constraint, find_conflict
from fulmen.rewards.constraints.draft import Demands, Draft
from fulmen.rewards.constraints.reading import RULES, Language, Reply, Unit, clean

KINDS: tuple[type[Constraint], ...] = (
    *length.KINDS,
    *words.KINDS,
    *letters.KINDS,
    *casing.KINDS,
    *punctuation.KINDS,
    *format.KINDS,
    *data_format.KINDS,
    *position.KINDS,
    *structure.KINDS,
    *language.KINDS,
)
_BY_KIND = {kind.KIND: kind for kind in KINDS}
MAX_CONSTRAINTS = 8
"""Most constraints of one reply."""
MAX_DRAWS = 400
"""Sets of constraints drawn before drawing counts as failed."""
MEND_ROUNDS = 10
"""Times that every broken constraint of a draft is mended."""
ROOM_TURNS = (2, 4)
"""Rounds that begin with more filler, because mending alone did not do."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check of several constraints says."""

    faults: tuple[str, ...]
    """`kind: what is wrong` of each broken constraint; empty if all are kept."""
    kept_frac: float
    """Constraints kept / constraints."""


def from_json(record: Mapping[str, Any]) -> Constraint:
    """Returns the constraint that `Constraint.to_json` wrote.

    Raises:
        DataError: no such kind, or a parameter is missing, unknown or of another type.
    """
    kind = record.get("kind")
    if not isinstance(kind, str) or kind not in _BY_KIND:
        raise DataError(f"constraint, kind: {kind!r}; allowed: {', '.join(_BY_KIND)}")
    return _BY_KIND[kind].from_fields(record)


def check_all(constraints: Sequence[Constraint], text: str) -> Verdict:
    """Returns which constraints a reply breaks; a reply without the least content breaks all of them.

    Raises:
        ConfigError: there are no constraints.
    """
    if not constraints:
        raise ConfigError("constraints: none; allowed: one or more")
    faults = [(constraint.KIND, constraint.find_fault(text)) for constraint in constraints]
    broken = tuple(f"{kind}: {fault}" for kind, fault in faults if fault)
    return Verdict(faults=broken, kept_frac=1 - len(broken) / len(constraints))


def describe(constraints: Sequence[Constraint], *, language: Language, rng: random.Random) -> str:
    """Returns all constraints as a list for the user, followed by how the units they use are counted."""
    lines = [f"- {constraint.phrase(language, rng)}" for constraint in constraints]
    units: list[Unit] = ["word", "sentence", "paragraph", "line", "letter"]
    used = {unit for constraint in constraints for unit in constraint.UNITS}
    rules = [RULES[language][unit] for unit in units if unit in used]
    return "\n".join(lines) + ("\n\n" + ("" if language == "zh" else " ").join(rules) if rules else "")


def find_any_conflict(constraints: Sequence[Constraint]) -> str:
    """Returns why some constraints cannot be asked for together, or an empty string if nothing is known against it."""
    for at, first in enumerate(constraints):
        for second in constraints[at + 1 :]:
            if conflict := find_conflict(first, second):
                return conflict
    return _joint(constraints).fault


def compose_example(constraints: Sequence[Constraint], *, language: Language, rng: random.Random) -> str | None:
    """Returns a text that keeps all constraints, by their own checkers, or None if none was found."""
    if find_any_conflict(constraints):
        return None

    choosy = [constraint for constraint in constraints if type(constraint).allows is not Constraint.allows]

    def allows(piece: str) -> bool:
        return all(constraint.allows(piece) for constraint in choosy)

    draft = Draft(rng=rng, language=language, demands=_joint(constraints), allows=allows)
    return _mend(draft, constraints) or None


def draw_constraints(rng: random.Random, *, num: int, level: int, language: Language = "en") -> tuple[Constraint, ...]:
    """Returns different kinds of constraints that one text can keep.

    Raises:
        ConfigError: `num` or `level` out of bounds.
    """
    return draw_with_example(rng, num=num, level=level, language=language)[0]


def draw_with_example(
    rng: random.Random, *, num: int, level: int, language: Language = "en"
) -> tuple[tuple[Constraint, ...], str]:
    """Returns constraints and a text that keeps them all.

    Kinds are added one by one; a set whose example cannot be built is drawn again.

    Raises:
        ConfigError: `num` or `level` out of bounds.
    """
    if not 1 <= num <= MAX_CONSTRAINTS:
        raise ConfigError(f"num: {num}; allowed: an integer from 1 to {MAX_CONSTRAINTS}")
    kinds = [kind for kind in KINDS if language in kind.LANGUAGES]
    for _ in range(MAX_DRAWS):
        chosen: list[Constraint] = []
        for kind in rng.sample(kinds, len(kinds)):
            drawn = kind.draw(rng, level=level, language=language)
            if not any(find_conflict(drawn, other) for other in chosen) and not _joint([*chosen, drawn]).fault:
                chosen.append(drawn)
            if len(chosen) == num:
                break
        if len(chosen) == num and (text := compose_example(chosen, language=language, rng=rng)) is not None:
            return tuple(chosen), text
    raise ConfigError(f"num: {num} at level {level}; allowed: fewer constraints or another level")


def _joint(constraints: Sequence[Constraint]) -> Demands:
    """Returns the bounds of all constraints."""
    return reduce(Demands.meet, (constraint.demands() for constraint in constraints), Demands())


def _mend(draft: Draft, constraints: Sequence[Constraint]) -> str:
    """Returns the text of a draft once all constraints are kept, or an empty string if that does not come about."""
    history: list[tuple[str, ...]] = []
    for turn in range(MEND_ROUNDS):
        text = draft.render()
        history.append(check_all(constraints, text).faults)
        if not history[-1]:
            return clean(text)
        if turn > max(ROOM_TURNS) and history[-1] == history[-2] == history[-3]:
            return ""
        if Reply(text).fault or turn in ROOM_TURNS:
            draft.make_room()
        reply = Reply(draft.render())
        for constraint in constraints:
            if constraint.fault_in(reply):
                constraint.mend(draft)
                reply = Reply(draft.render())
        draft.fit()
    text = draft.render()
    return "" if check_all(constraints, text).faults else clean(text)
