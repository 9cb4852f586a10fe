"""Time arithmetic: a date and clock time changed step by step, across fixed UTC offsets, months and leap years.

Ours. Left out: daylight saving and named zones (their rules change; every offset stands in the prompt), leap seconds,
and calendars other than the Gregorian one.
"""

import calendar
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.rewards.measured import read_measured
from fulmen.types import Task

Step = Sequence[Any]
"""["add", minutes], ["zone", offset], ["fly", minutes, offset], ["weekday", 0 to 6], ["months", number] or ["end"];
offsets are minutes east of UTC."""
KINDS = ("add", "zone", "fly", "weekday", "months", "end")
TRAP_YEARS = (1896, 1899, 1900, 1904, 1999, 2000, 2001, 2023, 2024, 2027, 2028, 2096, 2099, 2100, 2104)
TRAP_DAYS = (
    (1, 1),
    (1, 30),
    (1, 31),
    (2, 27),
    (2, 28),
    (3, 1),
    (4, 30),
    (8, 31),
    (10, 31),
    (12, 29),
    (12, 30),
    (12, 31),
)
TRAP_OFFSETS = (-720, -570, -210, 210, 270, 330, 345, 390, 525, 570, 630, 765, 780, 840)
_DATE_TIME = re.compile(
    r"([0-9]{4}) ?[-/.年] ?([0-9]{1,2}) ?[-/.月] ?([0-9]{1,2}) ?日?(?:T|,)? {0,2}([0-9]{1,2}):([0-9]{2})(?::00)?"
    r"(?: ?\(?(?:UTC|GMT)([+-][0-9]{1,2}):?([0-9]{2})\)?)?"
)
TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "forward": "Go forward by {span}.",
        "back": "Go back by {span}.",
        "zone": "Show the same moment in {zone}.",
        "fly": "Fly for {span} and read the local clock on arrival, in {zone}.",
        "weekday": "Go to the next {day} (at least one day later), at the same clock time.",
        "months": "Go forward by {num}: to the same day of the month, or to the month's last day if it has no such "
        "day, at the same clock time.",
        "end": "Go to the last day of the month (it may be the same day), at the same clock time.",
        "when": "What date and clock time is it then, in the offset of the last step that names one (or of the start)? "
        "Answer in the form `1987-06-05 04:03` (year-month-day hour:minute, 24-hour clock).",
        "elapsed": "How many minutes lie between the moment of the start and the moment at the end? Answer with the "
        "whole number alone, in the form 98765.",
        "day": "day",
        "hour": "hour",
        "minute": "minute",
        "month": "month",
        "units": "minutes,minute,min",
    },
    "zh": {
        "forward": "加上{span}（变晚）。",
        "back": "减去{span}（变早）。",
        "zone": "把同一时刻换算到{zone}。",
        "fly": "飞行{span}，到达后读当地时钟，当地为{zone}。",
        "weekday": "到下一个{day}（至少晚一天），钟点不变。",
        "months": "到{num}之后的同一日，若该月没有这一日则取该月最后一天，钟点不变。",
        "end": "到当月最后一天（可以就是当天），钟点不变。",
        "when": "按最后一个写明偏移的步骤（若没有则按起点）的偏移，此时是何年何月何日几点几分？"
        "请按 1987-06-05 04:03 的形式作答（年-月-日 时:分，24小时制）。",
        "elapsed": "起点时刻与最后时刻之间相差多少分钟？只回答一个整数，形如 98765。",
        "day": "天",
        "hour": "小时",
        "minute": "分钟",
        "month": "个月",
        "units": "分钟,分",
    },
}
WEEKDAYS: Mapping[Language, tuple[str, ...]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a clock shows somewhere."""

    local: datetime
    """Without zone."""
    offset: int
    """Minutes east of UTC."""

    @property
    def utc(self) -> datetime:
        """The same moment in UTC."""
        return self.local - timedelta(minutes=self.offset)

    def after(self, step: Step) -> "Moment":
        """Returns where a step leads."""
        kind, *numbers = step
        local, offset = self.local, self.offset
        if kind in ("zone", "fly"):
            offset = numbers[-1]
            local += timedelta(minutes=offset - self.offset)
        if kind in ("add", "fly"):
            local += timedelta(minutes=numbers[0])
        elif kind == "weekday":
            local += timedelta(days=(numbers[0] - local.weekday() - 1) % 7 + 1)
        elif kind == "months":
            years, month = divmod(local.month - 1 + numbers[0], 12)
            year, month = local.year + years, month + 1
            local = local.replace(year=year, month=month, day=min(local.day, calendar.monthrange(year, month)[1]))
        elif kind == "end":
            local = local.replace(day=calendar.monthrange(local.year, local.month)[1])
        return Moment(local=local, offset=offset)


@dataclass(frozen=True, kw_only=True)
class TimeArithmetic(PuzzleEnv):
    """A start and steps; the question is when one ends, or how many minutes it has been."""

    name: str = "time_arithmetic"
    num_steps: int = 3
    """Steps, 1 to 12."""
    num_kinds: int = 4
    """Kinds of steps, from the front of add, zone, fly, weekday, months, end; 1 to 6."""
    max_days: int = 60
    """Longest span of one step, in days, 1 to 4000."""
    has_traps: bool = True
    """Whether starts near leap days, ends of months and ends of centuries, and odd offsets, are preferred."""
    elapsed_percent: int = 30
    """How often the question is how many minutes have passed, 0 to 100."""

    rule: ClassVar[str] = "add durations across UTC offsets, months and leap years"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_steps": 1, "num_kinds": 1, "max_days": 3, "has_traps": False, "elapsed_percent": 0},
        {"num_steps": 2, "num_kinds": 2, "max_days": 20, "has_traps": False, "elapsed_percent": 15},
        {},
        {"num_steps": 5, "num_kinds": 6, "max_days": 500, "elapsed_percent": 40},
        {"num_steps": 9, "num_kinds": 6, "max_days": 4000, "elapsed_percent": 50},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Start at {start}. {rules}\n{steps}\n{question}",
            "A clock shows {start}. These steps follow, each from where the one before has led:\n{steps}\n{rules} "
            "{question}",
            "Calendar exercise. {rules} Begin with {start} and carry out, in order:\n{steps}\n{question}",
        ),
        "zh": (
            "起点：{start}。{rules}\n{steps}\n{question}",
            "时钟显示{start}。依次进行下列步骤，每一步都从上一步的结果开始：\n{steps}\n{rules}{question}",
        ),
    }
    rules: ClassVar[Mapping[Language, str]] = {
        "en": "The calendar is the Gregorian one (years divisible by 4 are leap years, those divisible by 100 only if "
        "divisible by 400), every day has 24 hours, and UTC+05:30 means 5 hours 30 minutes ahead of UTC.",
        "zh": "采用公历（能被4整除的年份是闰年，能被100整除的年份只有能被400整除时才是闰年），每天都是24小时，"
        "UTC+05:30 表示时钟比 UTC 快5小时30分钟。",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_steps", self.num_steps, low=1, high=12)
        require_between("num_kinds", self.num_kinds, low=1, high=len(KINDS))
        require_between("max_days", self.max_days, low=1, high=4000)
        require_between("elapsed_percent", self.elapsed_percent, low=0, high=100)
        if not isinstance(self.has_traps, bool):
            raise ConfigError(f"has_traps: {self.has_traps!r}; allowed: True, False")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a start and random steps that end at another moment."""
        start = self._draw_start(rng)
        steps: list[Step] = []
        end = start
        while len(steps) < self.num_steps or end.utc == start.utc:
            steps, end = [], start
            for _ in range(self.num_steps):
                steps.append(self._draw_step(end, rng))
                end = end.after(steps[-1])
        is_elapsed = rng.randrange(100) < self.elapsed_percent
        minutes = abs(end.utc - start.utc) // timedelta(minutes=1)
        prompt = self.phrase(
            rng,
            start=self._show(start, has_weekday=True),
            rules=self.rules[self.language],
            steps="\n".join(f"{n}. {self._tell(step)}" for n, step in enumerate(steps, 1)),
            question=TEXTS[self.language]["elapsed" if is_elapsed else "when"],
        )
        stamp = [_stamp(start.local), start.offset]
        return Puzzle(
            key=(stamp, steps, is_elapsed),
            prompt=prompt,
            gold=str(minutes) if is_elapsed else _stamp(end.local),
            meta={"start": stamp, "steps": steps, "is_elapsed": is_elapsed},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Takes the steps again and compares the minutes, or the date and time."""
        moments = self._moments(task)
        start, end = moments[0], moments[-1]
        if read_meta(task, "is_elapsed", kind=bool):
            said = read_measured(text, units={unit for texts in TEXTS.values() for unit in texts["units"].split(",")})
            is_right = said == abs(end.utc - start.utc) // timedelta(minutes=1)
            return "" if is_right else f"it is not {said} minutes"
        match = _DATE_TIME.fullmatch(text)
        if match is None:
            raise DataError(f"answer: {text[:40]!r}; allowed: a date and time such as 1987-06-05 04:03")
        try:
            year, month, day, hour, minute = map(int, match.groups()[:5])
            found = datetime(year, month, day, hour, minute)
        except ValueError:
            raise DataError(f"answer: {text[:40]!r}; allowed: a date and time that exist") from None
        if (
            match[6]
            and (sign := -1 if match[6][0] == "-" else 1) * (abs(int(match[6])) * 60 + int(match[7])) != end.offset
        ):
            return f"the offset is not {'-' if sign < 0 else '+'}{match[6][1:]}:{match[7]}"
        return "" if found == end.local else f"it is not {_stamp(found)}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the date, time and weekday after each step; for elapsed minutes, both moments in UTC as well."""
        moments = self._moments(task)
        lines = [f"{n}. {self._show(moment, has_weekday=True)}" for n, moment in enumerate(moments)]
        if not read_meta(task, "is_elapsed", kind=bool):
            return "\n".join([*lines, task.gold])
        early, late = sorted((moments[0].utc, moments[-1].utc))
        rest = (late - early) // timedelta(minutes=1) % 1440
        days = (late - early) // timedelta(days=1)
        lines.append(f"UTC {_stamp(early)}, {_stamp(late)}")
        lines.append(f"{days}*1440+{rest // 60}*60+{rest % 60}={days * 1440 + rest}")
        return "\n".join(lines)

    def _moments(self, task: Task) -> list[Moment]:
        """Returns the start of a task and the moment after each step."""
        stamp, offset = read_meta(task, "start", kind=list)
        moments = [Moment(local=datetime.strptime(stamp, "%Y-%m-%d %H:%M"), offset=offset)]
        try:
            for step in read_meta(task, "steps", kind=list):
                moments.append(moments[-1].after(step))
        except (OverflowError, ValueError):
            raise TaskError(
                f"task.meta['steps'] of {task.task_id}: out of the calendar; allowed: years 1-9999"
            ) from None
        return moments

    def _draw_start(self, rng: random.Random) -> Moment:
        """Returns a plain moment, or one near the traps of the calendar."""
        offset = self._draw_offset(rng) if self.num_kinds > 1 else 0
        hour, minute = rng.randrange(24), rng.randrange(60)
        if self.has_traps and rng.random() < 0.7:
            month, day = rng.choice(TRAP_DAYS)
            return Moment(local=datetime(rng.choice(TRAP_YEARS), month, day, hour, minute), offset=offset)
        year, month = rng.randint(2001, 2099), rng.randint(1, 12)
        return Moment(local=datetime(year, month, rng.randint(1, 28), hour, minute), offset=offset)

    def _draw_offset(self, rng: random.Random) -> int:
        if self.has_traps and rng.random() < 0.6:
            return rng.choice(TRAP_OFFSETS)
        return 60 * rng.randint(-11, 12)

    def _draw_step(self, now: Moment, rng: random.Random) -> Step:
        """Returns a step that changes the clock or the calendar, except perhaps for the end of a month."""
        kind = rng.choice(KINDS[: self.num_kinds])
        if kind == "add":
            minutes = rng.randrange(1, 1440) + 1440 * rng.choice([0, rng.randrange(self.max_days)])
            return [kind, minutes if rng.random() < 0.7 else -minutes]
        if kind in ("zone", "fly"):
            offset = self._draw_offset(rng)
            while offset == now.offset:
                offset = self._draw_offset(rng)
            return [kind, offset] if kind == "zone" else [kind, rng.randint(40, 1100), offset]
        if kind == "weekday":
            return [kind, rng.randrange(7)]
        return [kind, rng.randint(1, 30)] if kind == "months" else [kind]

    def _tell(self, step: Step) -> str:
        """Returns the sentence of a step."""
        texts = TEXTS[self.language]
        kind, *numbers = step
        if kind == "add":
            return texts["forward" if numbers[0] > 0 else "back"].format(span=self._span(abs(numbers[0])))
        if kind in ("zone", "fly"):
            return texts[kind].format(span=self._span(numbers[0]) if kind == "fly" else "", zone=_zone(numbers[-1]))
        if kind == "weekday":
            return texts[kind].format(day=WEEKDAYS[self.language][numbers[0]])
        return texts[kind].format(num=self._amount(numbers[0], "month") if numbers else "")

    def _span(self, minutes: int) -> str:
        """Returns a duration in days, hours and minutes."""
        amounts = ((minutes // 1440, "day"), (minutes // 60 % 24, "hour"), (minutes % 60, "minute"))
        parts = [self._amount(number, unit) for number, unit in amounts if number]
        if self.language == "zh":
            return "".join(parts)
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

    def _amount(self, number: int, unit: str) -> str:
        word = TEXTS[self.language][unit]
        return f"{number}{word}" if self.language == "zh" else f"{number} {word}{'' if number == 1 else 's'}"

    def _show(self, moment: Moment, *, has_weekday: bool) -> str:
        """Returns a date, weekday, time and offset."""
        weekday = WEEKDAYS[self.language][moment.local.weekday()]
        return f"{_stamp(moment.local)} {_zone(moment.offset)}" + (f" ({weekday})" if has_weekday else "")


def _stamp(local: datetime) -> str:
    # Not strftime: it drops the zeros of early years on some platforms.
    return f"{local.year:04d}-{local.month:02d}-{local.day:02d} {local.hour:02d}:{local.minute:02d}"


def _zone(offset: int) -> str:
    """Returns `UTC+05:30`."""
    return f"UTC{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
