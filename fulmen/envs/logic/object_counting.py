"""Object counting: what is mine, and of the kind asked for, after a long story.

Stories mix plain gains and losses, amounts that depend on what is there ("half of my apples"), and things that never
were mine.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.things import CATEGORIES, PEOPLE, Noun
from fulmen.errors import ConfigError
from fulmen.rewards.measured import read_measured
from fulmen.types import Task

Event = Sequence[Any]
"""[kind, item, number, other item, other number]; items are indices into the list of the items of the story."""
PLAIN = ("get", "lose", "trade", "lend")
RELATIVE = ("halve", "double", "match", "share")
FOREIGN = ("see", "theirs", "they_buy")
MAX_HELD = 4
"""No item comes in more than so many times `max_count`."""

TELL: Mapping[Language, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "get": ("I buy {n}.", "I find {n}.", "{p} gives me {n} for good."),
        "lose": ("I give {n} to {p} for good.", "I sell {n}.", "I lose {n} for ever."),
        "trade": ("I give {n} to {p} and get {m} in return.",),
        "lend": ("I lend {n} to {p} and get everything back.",),
        "halve": ("I give exactly half of my {items} to {p} for good.",),
        "double": ("I count my {items} and buy exactly as many more.",),
        "match": ("I buy as many {items} as I have {others}, and then another {n}.",),
        "share": ("{p} owns {twice} and gives me half of them for good.",),
        "see": ("I look at {n} in a shop but buy nothing.",),
        "theirs": ("{p} owns {n}.",),
        "they_buy": ("{p} buys {n} and keeps everything.",),
    },
    "zh": {
        "get": ("我买了{n}。", "我捡到{n}。", "{p}送给我{n}。"),
        "lose": ("我送给{p}{n}。", "我卖掉{n}。", "我弄丢了{n}，再也没找到。"),
        "trade": ("我给{p}{n}，换回{m}。",),
        "lend": ("我借给{p}{n}，后来全部还回来了。",),
        "halve": ("我把自己的{items}恰好一半送给{p}。",),
        "double": ("我数了数自己的{items}，又买了同样多的{items}。",),
        "match": ("我有多少{others}，就买多少{items}，然后再买{n}。",),
        "share": ("{p}有{twice}，把其中一半送给我。",),
        "see": ("我在商店里看了看{n}，但什么也没买。",),
        "theirs": ("{p}有{n}。",),
        "they_buy": ("{p}买了{n}，全部自己留着。",),
    },
}
NO_CHANGE: Mapping[Language, str] = {"en": "no change", "zh": "不变"}


@dataclass(frozen=True, kw_only=True)
class ObjectCounting(PuzzleEnv):
    """A story of things that come and go."""

    name: str = "object_counting"
    num_events: int = 15
    """Sentences after the start, 1 to 200."""
    num_categories: int = 3
    """Kinds of things in the story, 1 to 8."""
    num_items: int = 4
    """Things of each kind, 2 to 10."""
    num_asked: int = 1
    """Kinds that are counted together in the question, 1 to `num_categories`."""
    max_count: int = 30
    """Largest number in a sentence, 5 to 100."""
    foreign_percent: int = 25
    """How often a sentence is about things that never are mine, 0 to 80."""
    relative_percent: int = 20
    """How often the other sentences speak of an amount through what is there, 0 to 100."""

    rule: ClassVar[str] = "count my things of a kind at the end of a story"
    verifier: ClassVar[VerifierKind] = "number"
    levels: ClassVar[Levels] = (
        {
            "num_events": 3,
            "num_categories": 1,
            "num_items": 2,
            "max_count": 9,
            "foreign_percent": 0,
            "relative_percent": 0,
        },
        {"num_events": 6, "num_categories": 2, "num_items": 3, "max_count": 15, "relative_percent": 10},
        {},
        {
            "num_events": 40,
            "num_categories": 5,
            "num_items": 6,
            "num_asked": 2,
            "max_count": 60,
            "relative_percent": 30,
        },
        {
            "num_events": 100,
            "num_categories": 7,
            "num_items": 8,
            "num_asked": 3,
            "max_count": 99,
            "relative_percent": 40,
        },
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "I have {start}. {story} How many {asked} do I have now, in all? Count only what is mine at the end. "
            "Answer with the number alone, such as 250.",
            "My things: {start}. Since then, in this order:\n{story}\nWhat is the total number of {asked} that "
            "belong to me after all this? The answer is one number in digits, in the form 250.",
            "Follow what I own.\nAt first: {start}.\n{story}\nWrite, in digits and without anything else (like 250), "
            "the number of {asked} that I own at the end; things of other people do not count.",
        ),
        "zh": (
            "我有{start}。{story}现在我一共有多少{asked}？只数最后属于我的。只回答一个数字，例如 250。",
            "起初我的物品：{start}。\n之后依次发生：{story}\n最后属于我的{asked}总数是多少？别人的不算。"
            "请用阿拉伯数字作答，形如 250。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_events", self.num_events, low=1, high=200)
        require_between("num_categories", self.num_categories, low=1, high=len(CATEGORIES))
        require_between("num_items", self.num_items, low=2, high=10)
        require_between("max_count", self.max_count, low=5, high=100)
        require_between("foreign_percent", self.foreign_percent, low=0, high=80)
        require_between("relative_percent", self.relative_percent, low=0, high=100)
        if not 1 <= self.num_asked <= self.num_categories:
            raise ConfigError(f"num_asked: {self.num_asked}; allowed: 1 to num_categories = {self.num_categories}")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a story that leaves something to count."""
        categories = rng.sample(range(len(CATEGORIES)), self.num_categories)
        items = [[c, i] for c in categories for i in rng.sample(range(10), self.num_items)]
        start = [rng.randint(1, self.max_count) for _ in items]
        asked = sorted(rng.sample(categories, self.num_asked))
        counts = list(start)
        events: list[Event] = []
        while len(events) < self.num_events or not _total(counts, items, asked):
            event = self._draw_event(counts, rng)
            if _play(event, counts):
                events.append(event)
        nouns = [CATEGORIES[c].members[i] for c, i in items]
        asked_words = [CATEGORIES[c].many(self.language) for c in asked]
        is_english = self.language == "en"
        prompt = self.phrase(
            rng,
            start=_join([self._count(n, k, items, nouns) for k, n in enumerate(start)], is_english=is_english),
            story=(" " if is_english else "").join(self._tell(event, items, nouns, rng) for event in events),
            asked=_join(asked_words, is_english=is_english),
        )
        meta = {"items": items, "start": start, "events": events, "asked": asked}
        gold = str(_total(counts, items, asked))
        return Puzzle(key=(items, start, events, asked), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Plays the story again and compares the number; it may be followed by what was counted."""
        items, start, events, asked = self._read(task)
        units = {"items", "things", "个", "件", "只", "朵", "把", "棵"}
        units |= {word for c in asked for word in (CATEGORIES[c].en, CATEGORIES[c].zh)} if len(asked) == 1 else set()
        said = read_measured(text, units=units)
        counts = list(start)
        for event in events:
            _play(event, counts)
        return "" if said == _total(counts, items, asked) else f"there are not {said}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns a line per sentence with the counts that changed, then the sum."""
        items, start, events, asked = self._read(task)
        words = [CATEGORIES[c].members[i].many(self.language) for c, i in items]
        counts = list(start)
        lines = [", ".join(f"{word} {n}" for word, n in zip(words, counts, strict=True))]
        for number, event in enumerate(events, 1):
            before = list(counts)
            _play(event, counts)
            changes = [
                f"{words[k]} {old}{new - old:+d}={new}"
                for k, (old, new) in enumerate(zip(before, counts, strict=True))
                if old != new
            ]
            lines.append(f"{number}. {', '.join(changes) or NO_CHANGE[self.language]}")
        terms = [str(counts[k]) for k, (c, _) in enumerate(items) if c in asked]
        lines.append(f"{'+'.join(terms)}={_total(counts, items, asked)}")
        return "\n".join(lines)

    def _draw_event(self, counts: Sequence[int], rng: random.Random) -> Event:
        """Returns a sentence's content; not every one can happen."""
        kind = rng.choice(RELATIVE if rng.randrange(100) < self.relative_percent else PLAIN)
        if rng.randrange(100) < self.foreign_percent:
            kind = rng.choice(FOREIGN)
        item, other = rng.sample(range(len(counts)), 2)
        most = min(self.max_count, counts[item]) if kind in ("lose", "trade", "lend") else self.max_count
        number = rng.randint(1, max(most, 1))
        if kind == "share":
            number = (number + 1) // 2
        grown = {"get": number, "double": counts[item], "match": counts[other] + number, "share": number}.get(kind, 0)
        if counts[item] + grown > MAX_HELD * self.max_count:
            return ["lose", item, min(self.max_count, counts[item]), other, 0]
        room = min(self.max_count, MAX_HELD * self.max_count - counts[other])
        if kind == "trade" and room < 1:
            return ["lose", item, number, other, 0]
        return [kind, item, number, other, rng.randint(1, room) if kind == "trade" else 0]

    def _tell(self, event: Event, items: Sequence[list[int]], nouns: Sequence[Noun], rng: random.Random) -> str:
        """Returns the sentence of an event; who takes part is a matter of wording."""
        kind, item, number, other, other_number = event
        return rng.choice(TELL[self.language][kind]).format(
            n=self._count(number, item, items, nouns),
            m=self._count(other_number, other, items, nouns),
            twice=self._count(2 * number, item, items, nouns),
            items=nouns[item].many(self.language),
            others=nouns[other].many(self.language),
            p=rng.choice(PEOPLE[self.language]),
        )

    def _count(self, number: int, item: int, items: Sequence[list[int]], nouns: Sequence[Noun]) -> str:
        return nouns[item].counted(number, language=self.language, unit=CATEGORIES[items[item][0]].unit)

    def _read(self, task: Task) -> tuple[list[list[int]], list[int], list[Event], list[int]]:
        """Returns the items, the first counts, the events and the kinds asked for."""
        items, start, events, asked = (
            read_meta(task, name, kind=list) for name in ("items", "start", "events", "asked")
        )
        return items, start, events, asked


def _play(event: Event, counts: list[int]) -> bool:
    """Changes my counts as a sentence says; false, and nothing changed, if it cannot happen."""
    kind, item, number, other, other_number = event
    have = counts[item]
    if kind in ("lose", "trade", "lend") and not 1 <= number <= have:
        return False
    if (kind == "halve" and (have == 0 or have % 2)) or (kind == "double" and have == 0):
        return False
    gains = {
        "get": number,
        "share": number,
        "lose": -number,
        "trade": -number,
        "halve": -(have // 2),
        "double": have,
        "match": counts[other] + number,
    }
    counts[item] += gains.get(kind, 0)
    counts[other] += other_number
    return True


def _total(counts: Sequence[int], items: Sequence[Sequence[int]], asked: Sequence[int]) -> int:
    """Returns how many things of the asked kinds there are."""
    return sum(count for count, (category, _) in zip(counts, items, strict=True) if category in asked)


def _join(words: Sequence[str], *, is_english: bool) -> str:
    """Returns the words as a list in prose."""
    if len(words) == 1:
        return words[0]
    comma, final = (", ", " and ") if is_english else ("、", "和")
    return comma.join(words[:-1]) + final + words[-1]
