"""Shuffled objects: swaps and passings round, some of which happen only if somebody holds something.

Ours, beside SynLogic's `goods_exchange`: what happens depends on the state, so no step can be skipped.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.holders import HOLDERS_FORM, find_holder_fault, write_holders
from fulmen.envs.things import GOODS, PEOPLE
from fulmen.errors import TaskError
from fulmen.types import Task

FULL_STATE_PEOPLE = 6
"""Up to so many people, worked steps repeat what everybody holds."""
Event = Mapping[str, Any]
"""`moves`: the people who each give their thing to the next in the list, the last to the first, all at once; `test`:
nothing, or [person, thing, whether he must hold it]; `otherwise`: moves if the test fails, perhaps none."""

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "start": "{0} has the {1}",
        "swap": "{0} and {1} swap things",
        "round": "{0} gives to {1}, {1} to {2} and {2} to {0}, all at once",
        "if": "if {0} holds the {1}, then {2}; otherwise nothing happens",
        "unless": "if {0} does not hold the {1}, then {2}; otherwise nothing happens",
        "either": "if {0} holds the {1}, then {2}; otherwise {3}",
        "nothing": "nothing happens",
        "and": ", ",
    },
    "zh": {
        "start": "{0}有{1}",
        "swap": "{0}和{1}互换物品",
        "round": "{0}给{1}，{1}给{2}，{2}给{0}，三人同时进行",
        "if": "如果{0}拿着{1}，则{2}；否则什么也不发生",
        "unless": "如果{0}没有拿着{1}，则{2}；否则什么也不发生",
        "either": "如果{0}拿着{1}，则{2}；否则{3}",
        "nothing": "什么也不发生",
        "and": "，",
    },
}


@dataclass(frozen=True, kw_only=True)
class ShuffledObjects(PuzzleEnv):
    """People who each hold one thing, and events that move the things."""

    name: str = "shuffled_objects"
    num_people: int = 6
    """People, each with one thing, 3 to 12."""
    num_events: int = 14
    """Events, 1 to 200."""
    conditional_percent: int = 20
    """How often an event depends on who holds something, 0 to 100."""
    round_percent: int = 20
    """How often three people pass things round in place of a swap of two, 0 to 100."""

    rule: ClassVar[str] = "follow swaps, some conditional, and say who holds what in the end"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_people": 4, "num_events": 6, "conditional_percent": 0, "round_percent": 0},
        {"num_people": 5, "num_events": 8, "conditional_percent": 10, "round_percent": 10},
        {"num_people": 6, "num_events": 14, "conditional_percent": 20, "round_percent": 20},
        {"num_people": 9, "num_events": 30, "conditional_percent": 30, "round_percent": 25},
        {"num_people": 12, "num_events": 70, "conditional_percent": 40, "round_percent": 30},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "{start}. Then this happens, in this order:\n{events}\nWhat does each of them hold in the end? Everyone "
            "always holds exactly one thing, and conditions speak of the moment just before their event. {form}",
            "A game starts with one thing in each player's hands: {start}.\nThe events, one after another:\n{events}\n"
            "Whether a condition holds is judged at its event, by what people hold then. Say who holds what after the "
            "last event. {form}",
            "{start}. They play {num} rounds in the order of the numbers; a condition looks at the hands as the rounds "
            "before have left them:\n{events}\nGive the thing in each one's hands when all is over. {form}",
        ),
        "zh": (
            "{start}。随后依次发生：\n{events}\n每人始终恰好拿着一件物品，条件按该事件发生之前的情况判断。"
            "最后每个人各拿着什么？{form}",
            "游戏开始时每人手里有一件物品：{start}。\n按编号顺序进行{num}轮，条件以前面各轮结束后的情况为准：\n{events}\n"
            "请写出全部结束后每个人手里的物品。{form}",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_people", self.num_people, low=3, high=12)
        require_between("num_events", self.num_events, low=1, high=200)
        require_between("conditional_percent", self.conditional_percent, low=0, high=100)
        require_between("round_percent", self.round_percent, low=0, high=100)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns random events; person i begins with thing i."""
        held = list(range(self.num_people))
        events = []
        for _ in range(self.num_events):
            event = self._draw_event(held, rng)
            _play(event, held)
            events.append(event)
        people = [PEOPLE[self.language][p] for p in rng.sample(range(len(PEOPLE["en"])), self.num_people)]
        things = [GOODS[self.language][g] for g in rng.sample(range(len(GOODS["en"])), self.num_people)]
        texts = TEXTS[self.language]
        prompt = self.phrase(
            rng,
            start=texts["and"].join(texts["start"].format(*pair) for pair in zip(people, things, strict=True)),
            events="\n".join(f"{n}. {self._tell(event, people, things)}" for n, event in enumerate(events, 1)),
            num=self.num_events,
            form=HOLDERS_FORM[self.language],
        )
        return Puzzle(
            key=(self.num_people, events),
            prompt=prompt,
            gold=write_holders(people, things, held),
            meta={"people": people, "things": things, "events": events},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Replays the events and compares what each person holds."""
        people, things, events = self._read(task)
        held = list(range(len(people)))
        for event in events:
            _play(event, held)
        return find_holder_fault(text, people=people, things=things, held=held)

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns a line per event: the test where there is one, who moves, and what they (or all of few) hold then."""
        people, things, events = self._read(task)
        held = list(range(len(people)))
        texts = TEXTS[self.language]
        lines = []
        for number, event in enumerate(events, 1):
            seen = ""
            if event["test"]:
                person = event["test"][0]
                seen = f"{texts['start'].format(people[person], things[held[person]])}; "
            moved = _play(event, held)
            shown: Sequence[int] = range(len(people)) if len(people) <= FULL_STATE_PEOPLE else moved
            state = ", ".join(f"{people[p]} {things[held[p]]}" for p in shown) if moved else texts["nothing"]
            lines.append(f"{number}. {seen}{state}")
        return "\n".join([*lines, write_holders(people, things, held)])

    def _draw_event(self, held: Sequence[int], rng: random.Random) -> dict[str, Any]:
        """Returns an event; a condition is true about half of the time."""
        event: dict[str, Any] = {"moves": self._draw_moves(rng), "test": [], "otherwise": []}
        if rng.randrange(100) < self.conditional_percent:
            person = rng.randrange(self.num_people)
            thing = held[person] if rng.random() < 0.4 else rng.randrange(self.num_people)
            has_other = rng.random() < 0.4
            event["test"] = [person, thing, has_other or rng.random() < 0.6]
            event["otherwise"] = self._draw_moves(rng) if has_other else []
        return event

    def _draw_moves(self, rng: random.Random) -> list[int]:
        """Returns two people in ascending order, or three with the smallest first, so equal moves are equal lists."""
        if rng.randrange(100) >= self.round_percent:
            return sorted(rng.sample(range(self.num_people), 2))
        moves = rng.sample(range(self.num_people), 3)
        first = moves.index(min(moves))
        return moves[first:] + moves[:first]

    def _tell(self, event: Event, people: Sequence[str], things: Sequence[str]) -> str:
        """Returns the sentence of an event."""
        texts = TEXTS[self.language]
        parts = [
            texts["swap" if len(moves) == 2 else "round"].format(*(people[p] for p in moves))
            for moves in (event["moves"], event["otherwise"])
            if moves
        ]
        if event["test"]:
            person, thing, is_held = event["test"]
            kind = "either" if event["otherwise"] else "if" if is_held else "unless"
            sentence = texts[kind].format(people[person], things[thing], *parts)
        else:
            sentence = parts[0]
        return sentence[0].upper() + sentence[1:] + ("." if self.language == "en" else "。")

    def _read(self, task: Task) -> tuple[list[str], list[str], list[Event]]:
        """Returns the people, things and events of a task, checked."""
        people, things, events = (read_meta(task, name, kind=list) for name in ("people", "things", "events"))
        if len(people) != len(things):
            raise TaskError(
                f"task.meta['things'] of {task.task_id}: {len(things)}; allowed: {len(people)}, one a person"
            )
        return people, things, events


def _play(event: Event, held: list[int]) -> list[int]:
    """Moves things as an event says and returns the people who took part; none where a test fails."""
    moves: list[int] = event["moves"]
    if event["test"]:
        person, thing, is_held = event["test"]
        moves = moves if (held[person] == thing) == is_held else event["otherwise"]
    given = [held[person] for person in moves]
    for thing, taker in zip(given, moves[1:] + moves[:1], strict=True):
        held[taker] = thing
    return moves
