"""Time sequence: the longest meeting that fits into several people's calendars, and how often it fits.

Calendars are intervals of minutes, closed on the left and open on the right; rules widen appointments or block more of
a day. Since no longer meeting fits, it fits once into each common gap of its length, whatever times it may begin at.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.things import PEOPLE
from fulmen.errors import ConfigError, DataError
from fulmen.rewards.fields import read_items, read_words
from fulmen.rewards.measured import read_measured
from fulmen.types import Task

DAY_MINUTES = 24 * 60
GRIDS = (5, 10, 15, 30)
"""Minutes that times are multiples of."""
Span = list[int]
"""First minute and the one after the last."""
Person = Mapping[str, Any]
"""`hours`: span of every day; `days`: the appointments' spans of each day; `rules`: dicts with `kind` and numbers."""
RULES = ("after", "before", "lunch", "long", "full", "away")
DAYS: Mapping[Language, tuple[str, ...]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五"),
}
TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "person": "{p}: at work {hours} every day.",
        "day": " {day}: {spans}.",
        "none": "nothing",
        "after": " {p} needs {minutes} minutes off after each appointment.",
        "before": " {p} needs {minutes} minutes off before each appointment.",
        "lunch": " {p} is at lunch {span} every day.",
        "long": " {p} needs {minutes} minutes off after each appointment that lasts longer than {limit} minutes.",
        "full": " On days with at least {num} appointments, {p} can meet nobody from {time} on.",
        "away": " {p} is away all {day}.",
        "all": "all",
        "units": "minutes,minute,min,times,time,options",
    },
    "zh": {
        "person": "{p}：每天{hours}上班。",
        "day": "{day}：{spans}。",
        "none": "无",
        "after": "{p}在每个预约之后需要{minutes}分钟空闲。",
        "before": "{p}在每个预约之前需要{minutes}分钟空闲。",
        "lunch": "{p}每天{span}吃午饭。",
        "long": "{p}在每个长于{limit}分钟的预约之后需要{minutes}分钟空闲。",
        "full": "在至少有{num}个预约的日子，{p}从{time}起不能开会。",
        "away": "{p}{day}全天不在。",
        "all": "共同",
        "units": "分钟,次,种,个",
    },
}


@dataclass(frozen=True, kw_only=True)
class TimeSequence(PuzzleEnv):
    """Calendars of several people, some with rules of their own."""

    name: str = "time_sequence"
    num_people: int = 4
    """People who are to meet, 2 to 8."""
    num_days: int = 2
    """Days of the calendars, 1 to 5."""
    num_appointments: int = 3
    """Most appointments of a person on a day, 1 to 8."""
    grid_minutes: int = 15
    """All times are multiples of it: 5, 10, 15 or 30."""
    rules_percent: int = 40
    """How often a person has a rule, 0 to 100; half of these have two."""

    rule: ClassVar[str] = "find the longest common free time in several calendars and how often it occurs"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_people": 2, "num_days": 1, "num_appointments": 2, "grid_minutes": 30, "rules_percent": 0},
        {"num_people": 3, "num_days": 1, "num_appointments": 3, "grid_minutes": 15, "rules_percent": 20},
        {},
        {"num_people": 5, "num_days": 3, "num_appointments": 4, "grid_minutes": 10, "rules_percent": 70},
        {"num_people": 7, "num_days": 5, "num_appointments": 5, "grid_minutes": 5, "rules_percent": 100},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Calendars of {num} people:\n{calendars}\nThey want one meeting on one day, without interruption, at "
            "which all are present from beginning to end, at work and not in an appointment. {notes} How long can it "
            "be at most, and at how many different times (day and beginning) can a meeting of that length begin? "
            "{form}",
            "Find a time for all {num} of them to meet.\n{calendars}\nDuring a meeting everybody must be at work, "
            "without appointment and without anything else noted above; it lies within one day and has no breaks. "
            "{notes} Give the length of the longest possible meeting and the number of different beginnings (day and "
            "time) that a meeting of this length has. {form}",
            "{calendars}\nThe {num} people above look for the longest stretch of one day in which all of them are at "
            "work and free. {notes} What is its length, and how many such stretches of this length (each with its own "
            "beginning) are there in the calendars? {form}",
        ),
        "zh": (
            "{num}个人的日程：\n{calendars}\n他们想在某一天开一次不间断的会，全体从头到尾都在上班时间且没有预约。"
            "{notes}会议最长可以有多少分钟？这样长的会议有多少种不同的开始时间（日期和时刻）？{form}",
            "请为{num}个人安排会议：\n{calendars}\n会议在同一天内、中间不停，期间每个人都在上班、没有预约，也不违反上"
            "面写明的其他限制。{notes}求最长会议的分钟数，以及该长度的会议有几种不同的开始时间（日期和时刻）。{form}",
        ),
    }
    notes: ClassVar[Mapping[Language, str]] = {
        "en": "One may begin at the very minute at which something else ends. Time off that somebody needs is no time "
        "for the meeting; it may overlap with other appointments, which stay as they are.",
        "zh": "前一件事结束的那一分钟即可开始会议；某人需要的空闲时间不能用来开会，它可以与其他预约重叠，预约照常不变"
        "。",
    }
    forms: ClassVar[Mapping[Language, str]] = {
        "en": "Answer with the minutes and the number, separated by a comma, in the form `480, 9`.",
        "zh": "请回答分钟数和种数，用逗号分隔，形如“480, 9”。",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_people", self.num_people, low=2, high=8)
        require_between("num_days", self.num_days, low=1, high=5)
        require_between("num_appointments", self.num_appointments, low=1, high=8)
        require_between("rules_percent", self.rules_percent, low=0, high=100)
        if self.grid_minutes not in GRIDS:
            raise ConfigError(f"grid_minutes: {self.grid_minutes}; allowed: {', '.join(map(str, GRIDS))}")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns calendars with common free time; half of them are drawn again for a longest gap that is not alone."""
        people = [self._draw_person(rng) for _ in range(self.num_people)]
        wants_several = rng.random() < 0.5
        for _ in range(8):
            if longest_gaps(people)[1] > wants_several:
                break
            people = [self._draw_person(rng) for _ in range(self.num_people)]
        while longest_gaps(people)[0] == 0:
            person = max(people, key=_load)
            people[people.index(person)] = _lightened(person)
        names = rng.sample(PEOPLE[self.language], self.num_people)
        prompt = self.phrase(
            rng,
            num=self.num_people,
            calendars="\n".join(self._tell(person, name) for person, name in zip(people, names, strict=True)),
            notes=self.notes[self.language],
            form=self.forms[self.language],
        )
        length, num = longest_gaps(people)
        return Puzzle(key=(people,), prompt=prompt, gold=f"{length}, {num}", meta={"people": people, "names": names})

    def find_fault(self, task: Task, text: str) -> str:
        """Searches the calendars again and compares both numbers."""
        text = text[1:-1] if text[:1] + text[-1:] in ("[]", "()", "{}") else text
        parts = read_items(text) if any(mark in text for mark in ",;\n") else read_words(text)
        if len(parts) != 2:
            raise DataError(f"answer: {len(parts)} parts; allowed: 2, minutes and how often")
        units = {unit for texts in TEXTS.values() for unit in texts["units"].split(",")}
        length, num = (read_measured(part, units=units) for part in parts)
        right = longest_gaps(read_meta(task, "people", kind=list))
        if length != right[0]:
            return f"the longest meeting does not last {length} minutes"
        return "" if num == right[1] else f"it does not fit {num} times"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns each person's free spans of each day, then the common ones with their minutes."""
        people, names = read_meta(task, "people", kind=list), read_meta(task, "names", kind=list)
        lines, lengths = [], []
        for day in range(len(people[0]["days"])):
            lines.append(DAYS[self.language][day])
            blocked = []
            for person, name in zip(people, names, strict=True):
                own = _blocked(person, day)
                blocked += own
                lines.append(f"{name} {_spans(_gaps(own)) or '-'}")
            common = _gaps(blocked)
            lengths += [end - start for start, end in common]
            shown = ", ".join(f"{_spans([span])} {span[1] - span[0]}" for span in common)
            lines.append(f"{TEXTS[self.language]['all']} {shown or '-'}")
        return "\n".join([*lines, f"{max(lengths)}, {lengths.count(max(lengths))}"])

    def _draw_person(self, rng: random.Random) -> Person:
        """Returns somebody's calendar, without overlaps, and rules."""
        grid = self.grid_minutes
        start = rng.choice([7, 8, 8, 9, 9, 10]) * 60 + rng.choice([0, 30])
        hours = [start, start + rng.choice([7, 8, 9, 10]) * 60]
        days = []
        for _ in range(self.num_days):
            spans: list[list[int]] = []
            for _ in range(rng.randint(1, self.num_appointments)):
                begin = rng.randrange(hours[0], hours[1], grid)
                end = min(hours[1], begin + rng.randrange(grid, 121, grid))
                if all(end <= a or b <= begin for a, b in spans):
                    spans.append([begin, end])
            days.append(sorted(spans))
        num_rules = 0 if rng.randrange(100) >= self.rules_percent else rng.choice([1, 2])
        kinds = rng.sample(RULES if self.num_days > 1 else RULES[:-1], num_rules)
        if {"after", "long"} <= set(kinds):  # Whether two such rests follow each other is for nobody to guess.
            kinds.remove("long")
        rules = [self._draw_rule(kind, hours, rng) for kind in sorted(kinds)]
        return {"hours": hours, "days": days, "rules": rules}

    def _draw_rule(self, kind: str, hours: Span, rng: random.Random) -> dict[str, Any]:
        """Returns a rule with its numbers."""
        grid = self.grid_minutes
        minutes = grid * rng.randint(1, max(1, 30 // grid))
        if kind == "lunch":
            begin = rng.randrange(11 * 60 + 30, 13 * 60 + 1, 30)
            return {"kind": kind, "span": [begin, begin + rng.choice([30, 60])]}
        if kind == "full":
            late = rng.randrange((hours[0] + hours[1]) // 2 // 30 * 30, hours[1] - 59, 30)
            return {"kind": kind, "num": rng.randint(2, max(2, self.num_appointments)), "time": late}
        if kind == "away":
            return {"kind": kind, "day": rng.randrange(self.num_days)}
        return {"kind": kind, "minutes": minutes} | ({"limit": rng.choice([30, 45, 60])} if kind == "long" else {})

    def _tell(self, person: Person, name: str) -> str:
        """Returns the line of a person."""
        texts, days = TEXTS[self.language], DAYS[self.language]
        line = texts["person"].format(p=name, hours=_spans([person["hours"]]))
        for day, spans in zip(days, person["days"], strict=False):
            line += texts["day"].format(day=day, spans=_spans(spans) or texts["none"])
        for rule in person["rules"]:
            values = {key: value for key, value in rule.items() if key in ("minutes", "limit", "num")}
            values |= {"span": _spans([rule["span"]])} if "span" in rule else {}
            values |= {"time": _clock(rule["time"])} if "time" in rule else {}
            values |= {"day": days[rule["day"]]} if "day" in rule else {}
            line += texts[rule["kind"]].format(p=name, **values)
        return line


def longest_gaps(people: Sequence[Person]) -> tuple[int, int]:
    """Returns the minutes of the longest common free span of any day, and how many have that length; 0, 0 for none."""
    lengths = [
        end - start
        for day in range(len(people[0]["days"]))
        for start, end in _gaps([span for person in people for span in _blocked(person, day)])
    ]
    return (max(lengths), lengths.count(max(lengths))) if lengths else (0, 0)


def _blocked(person: Person, day: int) -> list[Span]:
    """Returns the spans of a day in which a person can meet nobody; they may overlap."""
    start, end = person["hours"]
    appointments = person["days"][day]
    blocked: list[Span] = [[0, start], [end, DAY_MINUTES], *appointments]
    for rule in person["rules"]:
        kind = rule["kind"]
        if kind in ("after", "long"):
            limit = rule.get("limit", 0)
            blocked += [[b, min(DAY_MINUTES, b + rule["minutes"])] for a, b in appointments if b - a > limit]
        elif kind == "before":
            blocked += [[max(0, a - rule["minutes"]), a] for a, _ in appointments]
        elif kind == "lunch":
            blocked.append(rule["span"])
        elif kind == "full" and len(appointments) >= rule["num"]:
            blocked.append([rule["time"], DAY_MINUTES])
        elif kind == "away" and rule["day"] == day:
            blocked.append([0, DAY_MINUTES])
    return blocked


def _gaps(blocked: Sequence[Span]) -> list[Span]:
    """Returns what the spans leave of a day, in order."""
    gaps: list[Span] = []
    free_from = 0
    for start, end in sorted(blocked):
        if start > free_from:
            gaps.append([free_from, start])
        free_from = max(free_from, end)
    return gaps


def _load(person: Person) -> int:
    """Returns how much stands in a calendar."""
    return sum(map(len, person["days"])) + 10 * len(person["rules"])


def _lightened(person: Person) -> Person:
    """Returns the person with one rule fewer, or one appointment fewer on the fullest day, or longer hours."""
    if person["rules"]:
        return {**person, "rules": person["rules"][1:]}
    if not any(person["days"]):
        return {**person, "hours": [7 * 60, 19 * 60]}
    fullest = max(range(len(person["days"])), key=lambda day: len(person["days"][day]))
    return {**person, "days": [spans[1:] if day == fullest else spans for day, spans in enumerate(person["days"])]}


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _spans(spans: Sequence[Span]) -> str:
    return ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in spans)
