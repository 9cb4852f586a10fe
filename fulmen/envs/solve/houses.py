"""Houses in a row, things that live in them, and clues: deduction that can be told, and complete search.

Thing `t` is value `t % num_houses` of attribute `t // num_houses`; each attribute puts one value in each house. What is
known of a thing is a bitmask of houses (bit 0 is the leftmost). A clue is a JSON list:

    ["at", thing, house]       ["not_at", thing, house]                     houses from 0
    ["same", thing, thing]     ["not_same", thing, thing]
    ["before", thing, thing]   the first directly left of the second
    ["left", thing, thing]     the first somewhere left of the second
    ["beside", thing, thing]   neighbours
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Clue = list[Any]
NOBODY = -1
"""In a step: no clue, but that an attribute has each house once."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Houses that a thing is not in."""

    thing: int
    removed: int
    """Bitmask."""
    left: int
    """Houses that stay."""
    clue: int
    """Index of the clue, or `NOBODY`."""
    refuted_by: int | None = None
    """The house was refuted: supposing it, this clue (or `NOBODY`) fails."""


@dataclass(kw_only=True)
class Street:
    """What is known."""

    houses: list[int]
    """For each thing, the houses it may be in."""
    is_told: bool = False
    """Whether steps are kept."""
    steps: list[Step] = field(default_factory=list)


class Zebra:
    """A problem: clues over things."""

    def __init__(self, clues: Sequence[Clue], *, num_houses: int, num_attributes: int) -> None:
        self.clues = clues
        self.num_houses = num_houses
        self.num_things = num_houses * num_attributes
        self.full = (1 << num_houses) - 1
        self.all_things = (1 << self.num_things) - 1
        self.things_of_clue = [1 << x | (0 if kind in ("at", "not_at") else 1 << y) for kind, x, y in clues]

    def start(self, *, is_told: bool = False) -> Street:
        """Returns the street of which nothing is known."""
        return Street(houses=[self.full] * self.num_things, is_told=is_told)

    def propagate(self, street: Street, changed: int | None = None) -> int | None:
        """Applies clues and exclusion until nothing changes; returns the clue (or `NOBODY`) that fails, if one does.

        `changed`: things (a bitmask) of which more is known than when nothing changed last; all, by default.
        """
        changed = self.all_things if changed is None else changed
        while changed:
            before = list(street.houses)
            for index, things in enumerate(self.things_of_clue):
                if things & changed and not self._apply(street, self.clues[index], index):
                    return index
            changed |= _differing(before, street.houses)
            if not self._exclude(street, changed):
                return NOBODY
            changed = _differing(before, street.houses)
        return None

    def deduce(self, street: Street) -> int | None:
        """Also refutes single houses by supposing them; returns the clue that fails, if one does."""
        if (broken := self.propagate(street)) is not None:
            return broken
        is_moving = True
        while is_moving:
            is_moving = False
            for thing, house in self._open(street):
                if not street.houses[thing] >> house & 1 or street.houses[thing].bit_count() == 1:
                    continue
                trial = Street(houses=list(street.houses))
                trial.houses[thing] = 1 << house
                refuted_by = self.propagate(trial, 1 << thing)
                if refuted_by is None:
                    continue
                is_moving = True
                self._keep(street, thing, ~(1 << house), NOBODY, refuted_by)
                if (broken := self.propagate(street, 1 << thing)) is not None:
                    return broken
        return None

    def count_solutions(self, *, most: int = 2) -> int:
        """Returns how many ways there are to fill the houses, counting up to `most`."""
        return self._count(self.start(), most, self.all_things)

    def _count(self, street: Street, most: int, changed: int) -> int:
        if self.propagate(street, changed) is not None:
            return 0
        open_things = [(houses.bit_count(), thing) for thing, houses in enumerate(street.houses) if houses & houses - 1]
        if not open_things:
            return 1
        thing = min(open_things)[1]
        total = 0
        for house in range(self.num_houses):
            if street.houses[thing] >> house & 1 and total < most:
                branch = Street(houses=list(street.houses))
                branch.houses[thing] = 1 << house
                total += self._count(branch, most - total, 1 << thing)
        return total

    def _open(self, street: Street) -> list[tuple[int, int]]:
        return [
            (thing, house)
            for thing, houses in enumerate(street.houses)
            if houses & houses - 1
            for house in range(self.num_houses)
            if houses >> house & 1
        ]

    def _apply(self, street: Street, clue: Clue, index: int) -> bool:
        """Narrows the things of a clue; returns False if one has no house left."""
        kind, x, y = clue
        if kind in ("at", "not_at"):
            return self._keep(street, x, 1 << y if kind == "at" else ~(1 << y), index)
        dx, dy = street.houses[x], street.houses[y]
        if kind == "same":
            for_x, for_y = dy, dx
        elif kind == "not_same":
            for_x = self.full if dy & dy - 1 else ~dy
            for_y = self.full if dx & dx - 1 else ~dx
        elif kind == "before":
            for_x, for_y = dy >> 1, dx << 1
        elif kind == "left":
            for_x, for_y = (1 << dy.bit_length() - 1) - 1, -(dx & -dx) << 1
        else:
            for_x, for_y = dy << 1 | dy >> 1, dx << 1 | dx >> 1
        return self._keep(street, x, for_x, index) and self._keep(street, y, for_y, index)

    def _exclude(self, street: Street, changed: int) -> bool:
        """Gives each house of an attribute to one value; returns False if that cannot be."""
        for start in range(0, self.num_things, self.num_houses):
            if not changed >> start & self.full:
                continue
            once = more = several = 0
            for houses in street.houses[start : start + self.num_houses]:
                more |= once & houses
                once |= houses
                several |= houses & houses - 1
            if once != self.full:
                return False
            if not several:
                continue
            things = range(start, start + self.num_houses)
            for thing in things:
                only = street.houses[thing] & ~more
                if only & only - 1 or (only and not self._keep(street, thing, only, NOBODY)):
                    return False
            for thing in things:
                houses = street.houses[thing]
                if houses & houses - 1 == 0:
                    for other in things:
                        if other != thing and not self._keep(street, other, ~houses, NOBODY):
                            return False
        return True

    def _keep(self, street: Street, thing: int, houses: int, clue: int, refuted_by: int | None = None) -> bool:
        before = street.houses[thing]
        after = before & houses & self.full
        street.houses[thing] = after
        if street.is_told and after != before:
            removed = before & ~after
            street.steps.append(Step(thing=thing, removed=removed, left=after, clue=clue, refuted_by=refuted_by))
        return after != 0


def _differing(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns where two lists differ, as a bitmask."""
    return sum(1 << at for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def holds(clue: Clue, house_of: Sequence[int]) -> bool:
    """Returns whether a clue is true of a full street; `house_of` each thing."""
    kind, x, y = clue
    if kind in ("at", "not_at"):
        return (house_of[x] == y) == (kind == "at")
    step = house_of[y] - house_of[x]
    return {
        "same": step == 0,
        "not_same": step != 0,
        "before": step == 1,
        "left": step > 0,
        "beside": abs(step) == 1,
    }[kind]
