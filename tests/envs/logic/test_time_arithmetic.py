"""Time arithmetic against an own calendar that counts days one year and month at a time."""

import re

import pytest

from fulmen.envs import load
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "time_arithmetic"
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
STAMP = r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)"


def length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def to_minutes(year: int, month: int, day: int, hour: int, minute: int) -> int:
    """Minutes since the first of January 1800."""
    days = sum(sum(length(y, m) for m in range(1, 13)) for y in range(1800, year))
    days += sum(length(year, m) for m in range(1, month)) + day - 1
    return (days * 24 + hour) * 60 + minute


def from_minutes(total: int) -> tuple[int, int, int, int, int]:
    days, rest = divmod(total, 1440)
    year, month = 1800, 1
    while days >= (in_year := sum(length(year, m) for m in range(1, 13))):
        days, year = days - in_year, year + 1
    while days >= length(year, month):
        days, month = days - length(year, month), month + 1
    return year, month, days + 1, rest // 60, rest % 60


def span(text: str) -> int:
    factors = {"day": 1440, "hour": 60, "minute": 1}
    return sum(int(n) * factors[unit] for n, unit in re.findall(r"(\d+) (day|hour|minute)", text))


def zone(text: str) -> int:
    sign, hours, minutes = re.search(r"UTC([+-])(\d\d):(\d\d)", text).groups()
    return (-1 if sign == "-" else 1) * (int(hours) * 60 + int(minutes))


def step(local: int, offset: int, sentence: str) -> tuple[int, int]:
    if sentence.startswith(("Show", "Fly")):
        new = zone(sentence)
        return local - offset + span(sentence) + new, new
    if match := re.match(r"Go forward by (\d+) months?:", sentence):
        year, month, day, hour, minute = from_minutes(local)
        for _ in range(int(match[1])):
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return to_minutes(year, month, min(day, length(year, month)), hour, minute), offset
    if sentence.startswith("Go forward"):
        return local + span(sentence), offset
    if sentence.startswith("Go back"):
        return local - span(sentence), offset
    if match := re.match(r"Go to the next (\w+) ", sentence):
        # 1 January 1800 was a Wednesday.
        local += 1440
        while WEEK[(local // 1440 + 2) % 7] != match[1]:
            local += 1440
        return local, offset
    assert sentence.startswith("Go to the last day of the month")
    year, month, _, hour, minute = from_minutes(local)
    return to_minutes(year, month, length(year, month), hour, minute), offset


def answer(prompt: str) -> str:
    start = re.search(STAMP + r" UTC[+-]\d\d:\d\d \((\w+)\)", prompt)
    local, offset = to_minutes(*map(int, start.groups()[:5])), zone(start[0])
    assert WEEK[(local // 1440 + 2) % 7] == start[6]
    first = local - offset
    for sentence in re.findall(r"^\d+\. (.*)$", prompt, re.M):
        local, offset = step(local, offset, sentence)
    if "How many minutes" in prompt:
        return str(abs(local - offset - first))
    year, month, day, hour, minute = from_minutes(local)
    return f"{year}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}"


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_gold_is_what_the_prompt_says(level: int) -> None:
    for task in make(NAME, level=level, num=60):
        assert task.gold == answer(task.prompt[0].content)


def test_each_other_date_and_form() -> None:
    env = load(NAME, level=3, elapsed_percent=0)
    for task in make(NAME, num=30, elapsed_percent=0):
        year, month, day, hour, minute = map(int, re.fullmatch(STAMP, task.gold).groups())
        time = f"{hour}:{minute:02d}"
        forms = (f"{year}-{month}-{day} {time}", f"{year}/{month}/{day}, {time}", f"{year}年{month}月{day}日 {time}")
        for form in (*forms, task.gold.replace(" ", "T"), f"{task.gold}:00"):
            assert env.check(task, form).value == 1.0, form
        total = to_minutes(year, month, day, hour, minute)
        for change in (-1440 * 365, -1440, -60, -1, 1, 30, 60, 720, 1440, 1440 * 31):
            y, m, d, h, mi = from_minutes(total + change)
            assert env.check(task, f"{y}-{m:02d}-{d:02d} {h:02d}:{mi:02d}").value == 0.0
        wrong = (task.gold[:10], task.gold[11:], f"{task.gold} or {task.gold}", "2023-02-29 10:00", "2023-13-01 10:00")
        for text in (*wrong, "0000-01-01 00:00", "2024-01-01 24:00", f"{task.gold}:30"):
            assert env.check(task, text).value == 0.0, text


def test_an_offset_may_be_added_if_it_is_right() -> None:
    env = load(NAME, level=2, elapsed_percent=0)
    steps = [["zone", -210]]
    task = Task(
        task_id="x",
        env=NAME,
        prompt=(),
        gold="",
        meta={"is_elapsed": False, "steps": steps, "start": ["2024-02-29 01:00", 60]},
    )
    for text, right in (
        ("", 1),
        (" UTC-03:30", 1),
        (" (UTC-3:30)", 1),
        (" UTC+03:30", 0),
        (" UTC-03:00", 0),
        (" UTC", 0),
    ):
        assert env.check(task, f"2024-02-28 20:30{text}").value == right, text


def test_elapsed_minutes() -> None:
    env = load(NAME, level=4, elapsed_percent=100)
    for task in make(NAME, level=4, num=30, elapsed_percent=100):
        right = int(task.gold)
        for form in (f"{right:,}", f"{right} minutes", f"{right} min", f"{right}分钟"):
            assert env.check(task, form).value == 1.0, form
        for wrong in (right + 1, right - 1, -right, right + 60, right + 1440, right // 60):
            assert env.check(task, str(wrong)).value == 0.0


@pytest.mark.parametrize(
    ("start", "steps", "end"),
    [
        (["1900-02-28 23:30", 0], [["add", 60]], "1900-03-01 00:30"),
        (["2000-02-28 23:30", 0], [["add", 60]], "2000-02-29 00:30"),
        (["2100-03-01 00:10", 0], [["add", -11]], "2100-02-28 23:59"),
        (["2024-01-31 08:00", 60], [["months", 1]], "2024-02-29 08:00"),
        (["2024-02-29 08:00", 60], [["months", 12], ["end"]], "2025-02-28 08:00"),
        (["2023-12-31 23:00", 840], [["zone", -720]], "2023-12-30 21:00"),
        (["2024-11-24 10:00", 0], [["weekday", 6], ["fly", 90, 330]], "2024-12-01 17:00"),
    ],
)
def test_traps_by_hand(start: list[object], steps: list[list[object]], end: str) -> None:
    meta = {"start": start, "steps": steps, "is_elapsed": False}
    task = Task(task_id="x", env=NAME, prompt=(), gold=end, meta=meta)
    assert load(NAME).check(task, end).value == 1.0


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    bad = {"num_steps": (0, 13), "num_kinds": (0, 7), "max_days": (0, 4001), "elapsed_percent": (-1, 101)}
    check_bounds(NAME, bad)


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
