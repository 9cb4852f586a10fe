"""Space reasoning: where a thing was left on a walk through a town, parts of which nobody tells.

What is known of a stretch of the walk is the set of places where it can have begun: every step must stay in the town,
and later sights tell about earlier places too. The answer is a place if one is left, else "unknown".
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.things import GOODS, PEOPLE, PLACES
from fulmen.errors import DataError
from fulmen.rewards.fields import read_items
from fulmen.types import Task

Cell = tuple[int, int]
"""Row from north, column from west, from 0."""
Event = Sequence[Any]
"""["start" or "go", row, column], ["lost"], ["walk", rows, columns], ["see", row, column], ["edge", side] or
["drop", item]."""
SIDES: Mapping[str, Cell] = {"north": (-1, 0), "south": (1, 0), "west": (0, -1), "east": (0, 1)}
SHOWN_CANDIDATES = 4
"""Up to so many possible places are named in worked steps."""

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "start": "{p} sets out from the {place}.",
        "go": "{p} takes a taxi to the {place}.",
        "lost": "{p} takes a bus to a place that is not told; it may be any place of the town.",
        "walk": "{p} walks {num} {side}.",
        "see": "{p} sees a sign: this is the {place}.",
        "edge": "{p} sees that the town ends here to the {side}.",
        "drop": "{p} leaves the {item} here.",
        "unknown": "unknown",
        "north": "north",
        "south": "south",
        "west": "west",
        "east": "east",
        "places": "{num} places",
    },
    "zh": {
        "start": "{p}从{place}出发。",
        "go": "{p}坐出租车到{place}。",
        "lost": "{p}坐公交车到了某个没有说明的地点，可能是镇上任何一处。",
        "walk": "{p}向{side}走{num}格。",
        "see": "{p}看到牌子：这里是{place}。",
        "edge": "{p}看到小镇的{side}边到此为止。",
        "drop": "{p}把{item}留在这里。",
        "unknown": "未知",
        "north": "北",
        "south": "南",
        "west": "西",
        "east": "东",
        "places": "{num}处",
    },
}


@dataclass(frozen=True, kw_only=True)
class SpaceReasoning(PuzzleEnv):
    """A square town, a walk with gaps, and things left on the way."""

    name: str = "space_reasoning"
    size: int = 5
    """Rows and columns of the town, 2 to 8."""
    num_items: int = 3
    """Things carried, all but perhaps one left on the way, 1 to 10."""
    num_steps: int = 12
    """Steps of the walk, 2 to 100."""
    num_unknown: int = 2
    """Rides to a place that is not told, 0 to 5."""
    jump_percent: int = 15
    """How often a step is a ride to a named place, 0 to 100."""

    rule: ClassVar[str] = "follow a walk on a map with untold parts and say where a thing is, or that it is unknown"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"size": 3, "num_items": 1, "num_steps": 5, "num_unknown": 0, "jump_percent": 0},
        {"size": 4, "num_items": 2, "num_steps": 7, "num_unknown": 1, "jump_percent": 10},
        {},
        {"size": 7, "num_items": 6, "num_steps": 26, "num_unknown": 4, "jump_percent": 15},
        {"size": 8, "num_items": 10, "num_steps": 50, "num_unknown": 5, "jump_percent": 12},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "A town has {n} rows of {n} places. From north to south, each row from west to east:\n{map}\n{p} carries "
            "{items} and walks from place to place (`walks 2 east`: two places further east) without ever leaving the "
            "town; what is not left somewhere stays with {p}.\n{events}\nWhere is the {asked} now? {form}",
            "Map of a town, {n} by {n}; north is up, west is left:\n{map}\n{p} has {items} along, never steps off the "
            "map, and keeps what is not left somewhere. `Walks 2 east` means to the second place to the east.\n"
            "{events}\nAt which place is the {asked} at the end? {form}",
            "The places of a town, row by row, the northernmost row first, the westernmost place first:\n{map}\nWhat "
            "happens to {p}, who carries {items}; a walk of 1 leads to the next place in that direction, no walk leads "
            "out of the town, and what is not left somewhere is carried on:\n{events}\nName the place where the "
            "{asked} is in the end. {form}",
        ),
        "zh": (
            "小镇有{n}行，每行{n}个地点。从北到南逐行列出，每行从西到东：\n{map}\n{p}带着{items}，在地点之间行走"
            "（“向东走2格”即往东到第二个地点），从不走出小镇；"
            "没有留下的物品一直带在身边。\n{events}\n最后{asked}在哪里？{form}",
            "小镇地图，{n}乘{n}，上北下南，左西右东：\n{map}\n{p}随身带着{items}，没有留下的物品一直带在身边；"
            "走1格就是到那个方向的下一个地点，始终不出地图。\n{events}\n{asked}最后在哪个地点？{form}",
        ),
    }
    forms: ClassVar[Mapping[Language, str]] = {
        "en": "Answer with the name of the place alone, in the form `palace`; if all that is told, later sights "
        "included, leaves more than one place possible, answer `unknown`.",
        "zh": "只回答地点名称，形如“宫殿”；如果根据全部信息（包括后来看到的）仍有多个可能的地点，回答“未知”。",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=2, high=8)
        require_between("num_items", self.num_items, low=1, high=10)
        require_between("num_steps", self.num_steps, low=2, high=100)
        require_between("num_unknown", self.num_unknown, low=0, high=5)
        require_between("jump_percent", self.jump_percent, low=0, high=100)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a true walk and what is told of it; a quarter of the questions have no answer where some can."""
        events = self._draw_events(rng)
        found = locate(events, size=self.size, num_items=self.num_items)
        asked = self._choose_item(found, events, rng)
        names = rng.sample(PLACES[self.language], self.size**2)
        items = rng.sample(GOODS[self.language], self.num_items)
        person = rng.choice(PEOPLE[self.language])
        rows = [names[row * self.size : (row + 1) * self.size] for row in range(self.size)]
        is_english = self.language == "en"
        prompt = self.phrase(
            rng,
            n=self.size,
            map="\n".join((", " if is_english else "，").join(row) for row in rows),
            p=person,
            items=", ".join(f"the {item}" for item in items) if is_english else "、".join(items),
            events="\n".join(f"{n}. {self._tell(event, rows, items, person)}" for n, event in enumerate(events)),
            asked=items[asked],
            form=self.forms[self.language],
        )
        gold = TEXTS[self.language]["unknown"]
        if len(found[asked]) == 1:
            row, column = next(iter(found[asked]))
            gold = rows[row][column]
        meta = {"rows": rows, "items": items, "events": events, "asked": asked}
        return Puzzle(key=(self.size, self.num_items, events, asked), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Locates the thing again from what is told."""
        rows, items, events = (read_meta(task, name, kind=list) for name in ("rows", "items", "events"))
        asked = read_meta(task, "asked", kind=int)
        allowed = [*(name for row in rows for name in row), *(texts["unknown"] for texts in TEXTS.values())]
        said = read_items(text)
        if len(said) != 1 or (place := said[0].removeprefix("the ")) not in allowed:
            raise DataError(f"answer: {text[:40]!r}; allowed: one place of the map, or {TEXTS['en']['unknown']}")
        cells = locate(events, size=len(rows), num_items=len(items))[asked]
        if len(cells) > 1:
            return (
                "" if place in (texts["unknown"] for texts in TEXTS.values()) else f"{len(cells)} places are possible"
            )
        row, column = next(iter(cells))
        return "" if place == rows[row][column] else f"it is not at {place}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the places that are possible after each event, then those where the thing can be."""
        rows, items, events = (read_meta(task, name, kind=list) for name in ("rows", "items", "events"))
        asked = read_meta(task, "asked", kind=int)
        texts = TEXTS[self.language]

        def show(cells: Sequence[Cell]) -> str:
            if len(cells) > SHOWN_CANDIDATES:
                return texts["places"].format(num=len(cells))
            return ", ".join(f"{rows[row][column]} ({row + 1},{column + 1})" for row, column in cells)

        walk = _Walk(size=len(rows))
        lines = []
        for number, event in enumerate(events):
            walk.play(event)
            note = f" {items[event[1]]}" if event[0] == "drop" else ""
            lines.append(f"{number}.{note} {show(walk.here())}")
        cells = walk.end(len(items))[asked]
        return "\n".join([*lines, f"{items[asked]}: {show(sorted(cells))}", task.gold])

    def _draw_events(self, rng: random.Random) -> list[Event]:
        """Returns the story of one walk, begun at a place that is told."""
        cell = (rng.randrange(self.size), rng.randrange(self.size))
        rides = set(rng.sample(range(1, self.num_steps), min(self.num_unknown, self.num_steps - 1)))
        num_left = self.num_items - (1 if self.num_items > 1 and rng.random() < 0.3 else 0)
        drops = [rng.randrange(self.num_steps) for _ in range(num_left)]
        events: list[Event] = [["start", *cell]]
        is_lost = False
        for step in range(self.num_steps):
            if step in rides or rng.randrange(100) < self.jump_percent:
                is_lost = step in rides
                cell = (rng.randrange(self.size), rng.randrange(self.size))
                events.append(["lost"] if is_lost else ["go", *cell])
            else:
                rows, columns = rng.choice(self._steps_from(cell))
                cell = (cell[0] + rows, cell[1] + columns)
                events.append(["walk", rows, columns])
            events += [["drop", item] for item, when in enumerate(drops) if when == step]
            if is_lost and rng.random() < 0.4:
                sides = [side for side, move in SIDES.items() if not self._is_inside(cell, move)]
                events.append(["edge", rng.choice(sides)] if sides else ["see", *cell])
                is_lost = bool(sides)
        return events

    def _steps_from(self, cell: Cell) -> list[Cell]:
        """Returns the straight moves that stay in the town."""
        moves = [(a * num, b * num) for a, b in SIDES.values() for num in range(1, self.size)]
        return [move for move in moves if self._is_inside(cell, move)]

    def _is_inside(self, cell: Cell, move: Cell) -> bool:
        return 0 <= cell[0] + move[0] < self.size and 0 <= cell[1] + move[1] < self.size

    def _tell(self, event: Event, rows: Sequence[Sequence[str]], items: Sequence[str], person: str) -> str:
        """Returns the sentence of an event."""
        texts = TEXTS[self.language]
        kind, *values = event
        if kind == "walk":
            down, right = values
            side = next(s for s, (a, b) in SIDES.items() if (down * a, right * b) == (abs(down), abs(right)) != (0, 0))
            return texts["walk"].format(p=person, num=abs(down + right), side=texts[side])
        if kind == "edge":
            return texts["edge"].format(p=person, side=texts[values[0]])
        if kind == "drop":
            return texts["drop"].format(p=person, item=items[values[0]])
        place = rows[values[0]][values[1]] if values else ""
        return texts[kind].format(p=person, place=place)

    def _choose_item(self, found: Sequence[set[Cell]], events: Sequence[Event], rng: random.Random) -> int:
        """Returns an item to ask for: where there are some, one in five is lost and two in five told of only later."""
        walk, unsure = _Walk(size=self.size), []
        for event in events:
            walk.play(event)
            unsure += [event[1]] if event[0] == "drop" and len(walk.origins) > 1 else []
        hidden = [item for item, cells in enumerate(found) if len(cells) > 1]
        known = [item for item, cells in enumerate(found) if len(cells) == 1]
        later = [item for item in known if item in unsure]
        luck = rng.random()
        if hidden and (luck < 0.2 or not known):
            return rng.choice(hidden)
        return rng.choice(later if later and luck < 0.6 else known)


def locate(events: Sequence[Event], *, size: int, num_items: int) -> list[set[Cell]]:
    """Returns the places where each thing can be at the end, as far as the events tell."""
    walk = _Walk(size=size)
    for event in events:
        walk.play(event)
    return walk.end(num_items)


class _Walk:
    """The places where the present stretch can have begun, how far it has led, and where things of it were left."""

    def __init__(self, *, size: int) -> None:
        self.size = size
        self.origins = {(row, column) for row in range(size) for column in range(size)}
        self.moved = (0, 0)
        self.left: dict[int, Cell] = {}
        self.found: dict[int, set[Cell]] = {}

    def here(self) -> list[Cell]:
        """Returns the possible present places in order."""
        return sorted(_shifted(self.origins, self.moved))

    def play(self, event: Event) -> None:
        """Takes one event in."""
        kind, *values = event
        if kind in ("start", "go", "lost"):
            self._close()
            everywhere = {(row, column) for row in range(self.size) for column in range(self.size)}
            self.origins = {(values[0], values[1])} if values else everywhere
        elif kind == "drop":
            self.left[values[0]] = self.moved
        elif kind == "walk":
            self.moved = (self.moved[0] + values[0], self.moved[1] + values[1])
            self._keep(lambda cell: all(0 <= number < self.size for number in cell))
        elif kind == "see":
            self._keep(lambda cell: cell == (values[0], values[1]))
        else:
            axis = 0 if values[0] in ("north", "south") else 1
            border = 0 if values[0] in ("north", "west") else self.size - 1
            self._keep(lambda cell: cell[axis] == border)

    def end(self, num_items: int) -> list[set[Cell]]:
        """Returns where each thing can be; what was never left is where the walk ends."""
        self.left |= {item: self.moved for item in range(num_items) if item not in self.found | self.left}
        self._close()
        return [self.found[item] for item in range(num_items)]

    def _close(self) -> None:
        """Ends the stretch: no later event can tell more about it."""
        self.found |= {item: _shifted(self.origins, moved) for item, moved in self.left.items()}
        self.left, self.moved = {}, (0, 0)

    def _keep(self, is_possible: Callable[[Cell], bool]) -> None:
        """Drops the beginnings that would have led to an impossible present place."""
        self.origins = {
            (row, column) for row, column in self.origins if is_possible((row + self.moved[0], column + self.moved[1]))
        }


def _shifted(cells: set[Cell], moved: Cell) -> set[Cell]:
    return {(row + moved[0], column + moved[1]) for row, column in cells}
