"""Goods exchange: people swap what they hold, some of them named only by what they hold.

Differs: SynLogic's answer is Python text that is evaluated; here it is a list of `name: thing`.
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

START: Mapping[Language, str] = {"en": "{person} has the {thing}", "zh": "{person}有{thing}"}
SWAP: Mapping[Language, str] = {"en": "{a} swaps with {b}.", "zh": "{a}与{b}交换。"}
HOLDER: Mapping[Language, str] = {"en": "whoever holds the {thing}", "zh": "拿着{thing}的人"}


@dataclass(frozen=True, kw_only=True)
class GoodsExchange(PuzzleEnv):
    """People who each hold one thing, and a list of swaps."""

    name: str = "goods_exchange"
    num_people: int = 10
    """People, each with one thing, 2 to 36."""
    num_swaps: int = 20
    """Swaps, 1 to 200."""
    by_thing_percent: int = 40
    """How often a partner is named by what he holds, 0 to 100."""

    rule: ClassVar[str] = "follow swaps among people and say who holds what in the end"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_people": 4, "num_swaps": 6, "by_thing_percent": 0},
        {"num_people": 6, "num_swaps": 8, "by_thing_percent": 20},
        {"num_people": 10, "num_swaps": 20, "by_thing_percent": 40},
        {"num_people": 20, "num_swaps": 50, "by_thing_percent": 50},
        {"num_people": 30, "num_swaps": 100, "by_thing_percent": 60},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "At first {start}.\nThen, in this order, pairs of people swap what they hold:\n{swaps}\n"
            "Who holds what in the end? A person named by a thing is the one who holds it at that moment. {form}",
            "Everyone holds exactly one thing: {start}.\nThese swaps follow one after another; in each, two people "
            "give each other the thing they hold at that time, and `whoever holds` a thing is its holder just before "
            "that swap:\n{swaps}\nSay what each person holds after the last swap. {form}",
            "A market day begins like this: {start}.\n{swaps}\nThe swaps happen in the order of their numbers. A swap "
            "exchanges all that the two hold (one thing each); people named by a thing are its holders when the swap "
            "begins. Give everybody's thing at the end of the day. {form}",
        ),
        "zh": (
            "开始时{start}。\n随后依次发生下列交换，每次两人互换手中的物品：\n{swaps}\n"
            "“拿着某物的人”指该次交换之前正拿着它的人。最后每个人各拿着什么？{form}",
            "每人手里恰有一件物品：{start}。\n交换按编号顺序进行，每次交换的两人互换当时各自拿着的物品；"
            "以物品称呼的人，是那次交换开始时拿着该物品的人：\n{swaps}\n请写出全部交换结束后每个人的物品。{form}",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_people", self.num_people, low=2, high=len(PEOPLE["en"]))
        require_between("num_swaps", self.num_swaps, low=1, high=200)
        require_between("by_thing_percent", self.by_thing_percent, low=0, high=100)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns random swaps; person i begins with thing i."""
        held = list(range(self.num_people))
        swaps = []
        for _ in range(self.num_swaps):
            pair = rng.sample(range(self.num_people), 2)
            is_by_thing = [rng.randrange(100) < self.by_thing_percent for _ in pair]
            swaps.append(
                [
                    ["thing", held[p]] if by_thing else ["person", p]
                    for p, by_thing in zip(pair, is_by_thing, strict=True)
                ]
            )
            _swap(held, *pair)
        people = [PEOPLE[self.language][p] for p in rng.sample(range(len(PEOPLE["en"])), self.num_people)]
        things = [GOODS[self.language][g] for g in rng.sample(range(len(GOODS["en"])), self.num_people)]
        start = [START[self.language].format(person=p, thing=t) for p, t in zip(people, things, strict=True)]
        prompt = self.phrase(
            rng,
            start=(", " if self.language == "en" else "，").join(start),
            swaps="\n".join(f"{n}. {self._tell(swap, people, things)}" for n, swap in enumerate(swaps, 1)),
            form=HOLDERS_FORM[self.language],
        )
        return Puzzle(
            key=(self.num_people, [sorted(swap) for swap in swaps]),
            prompt=prompt,
            gold=write_holders(people, things, held),
            meta={"people": people, "things": things, "swaps": swaps},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Replays the swaps and compares what each person holds."""
        people, things, swaps = self._read(task)
        held = list(range(len(people)))
        for swap in swaps:
            _swap(held, *_partners(swap, held))
        return find_holder_fault(text, people=people, things=things, held=held)

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns a line per swap: who meets whom and what they hold then (of few people, what everybody holds)."""
        people, things, swaps = self._read(task)
        held = list(range(len(people)))
        lines = []
        for number, swap in enumerate(swaps, 1):
            a, b = _partners(swap, held)
            _swap(held, a, b)
            shown = range(len(people)) if len(people) <= FULL_STATE_PEOPLE else (a, b)
            state = ", ".join(f"{people[p]} {things[held[p]]}" for p in shown)
            lines.append(f"{number}. {people[a]}/{people[b]}: {state}")
        return "\n".join([*lines, write_holders(people, things, held)])

    def _tell(self, swap: Sequence[Sequence[Any]], people: Sequence[str], things: Sequence[str]) -> str:
        """Returns the sentence of a swap."""
        names = [
            people[index] if kind == "person" else HOLDER[self.language].format(thing=things[index])
            for kind, index in swap
        ]
        sentence = SWAP[self.language].format(a=names[0], b=names[1])
        return sentence[0].upper() + sentence[1:]

    def _read(self, task: Task) -> tuple[list[str], list[str], list[Any]]:
        """Returns the people, things and swaps of a task, checked."""
        people, things, swaps = (read_meta(task, name, kind=list) for name in ("people", "things", "swaps"))
        if len(people) != len(things):
            raise TaskError(
                f"task.meta['things'] of {task.task_id}: {len(things)}; allowed: {len(people)}, one a person"
            )
        return people, things, swaps


def _partners(swap: Sequence[Sequence[Any]], held: Sequence[int]) -> tuple[int, int]:
    """Returns the two people of a swap, found by what they hold now where a thing names them."""
    (kind_a, a), (kind_b, b) = swap
    return (a if kind_a == "person" else held.index(a), b if kind_b == "person" else held.index(b))


def _swap(held: list[int], a: int, b: int) -> None:
    held[a], held[b] = held[b], held[a]
