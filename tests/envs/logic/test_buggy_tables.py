"""Buggy tables against a repair read from the English prompt, with columns as lists."""

import contextlib
import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest

from fulmen.envs import load
from fulmen.envs.solve.tables import IN_PLACE, RESHAPING
from fulmen.types import Task
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "buggy_tables"
Table = dict[str, list[str]]


def repair(table: Table, sentence: str) -> Table:
    """Takes one thing back."""
    names = list(table)
    if match := re.match(r"In rows? ([\d, ]+), (?:the )?(.*)", sentence):
        rows = [int(row) - 1 for row in match[1].split(", ")]
        rest = match[2]
        if move := re.match(r"all cells moved to the right by (\d+)", rest):
            for row in rows:
                cells = [table[name][row] for name in names]
                for _ in range(int(move[1])):
                    cells = [*cells[1:], cells[0]]
                for name, cell in zip(names, cells, strict=True):
                    table[name][row] = cell
        elif swap := re.match(r"cells of the columns (\w+) and (\w+) were exchanged", rest):
            for row in rows:
                table[swap[1]][row], table[swap[2]][row] = table[swap[2]][row], table[swap[1]][row]
        else:
            name, what = re.match(r"(\w+) was recorded (.*)\.", rest).groups()
            for row in rows:
                value = Decimal(table[name][row])
                if what.startswith("too large by"):
                    value -= int(what.split()[-1])
                else:
                    value = value / 10 if what == "10 times too large" else -value
                table[name][row] = str(value)
    elif match := re.match(r"Every cell of the column (\w+) that was equal", sentence):
        cells = table[match[1]]
        for row, cell in enumerate(cells):
            cells[row] = cells[row - 1] if cell == "null" else cell
    elif match := re.match(r"All cells of the column (\w+) moved down by (\d+)", sentence):
        cells, shift = table[match[1]], int(match[2])
        table[match[1]] = cells[shift:] + cells[:shift]
    elif match := re.match(r"The columns (\w+) and (\w+) became one", sentence):
        parts = [cell.split("/") for cell in table.pop(f"{match[1]}/{match[2]}")]
        table |= {match[1]: [a for a, _ in parts], match[2]: [b for _, b in parts]}
    elif sentence.startswith("Each two rows"):
        table = {name: [part for cell in cells for part in cell.split("/")] for name, cells in table.items()}
    elif match := re.match(r"A copy of row (\d+) was added", sentence):
        assert all(cells.pop() == cells[int(match[1]) - 1] for cells in table.values())
    else:
        assert sentence.startswith("A column named extra")
        del table["extra"]
    return table


def answer(prompt: str) -> Fraction:
    lines = [line.split(" | ") for line in re.findall(r"^.* \| .*$", prompt, re.M)]
    table = {name: [row[at] for row in lines[1:]] for at, name in enumerate(lines[0])}
    for sentence in reversed(re.findall(r"^\d\. (.*)$", prompt, re.M)):
        table = repair(table, sentence)
    group, value, bound, limit = re.search(
        r"only rows in which the (\w+) is (\w+)(?: and the (\w+) is greater than ([\d.]+?))?[.,]? ", prompt
    ).groups()
    rows = [
        row
        for row in range(len(table[group]))
        if table[group][row] == value and (not bound or Fraction(table[bound][row]) > Fraction(limit))
    ]
    assert len(rows) >= 2
    what = re.search(r"(?:compute|give|Find) (the .*?), taking only", prompt)[1]
    if dot := re.match(r"the sum, over these rows, of (\w+) times (\w+)", what):
        return sum(Fraction(table[dot[1]][row]) * Fraction(table[dot[2]][row]) for row in rows)
    if what == "the number of rows":
        return Fraction(len(rows))
    values = [Fraction(table[what.split()[-1]][row]) for row in rows]
    if what.startswith("the sum"):
        return sum(values)
    if what.startswith("the mean"):
        return sum(values) / len(values)
    if " minus " in what:
        return max(values) - min(values)
    return max(values) if what.startswith("the largest") else min(values)


@pytest.mark.parametrize(("level", "num"), [(1, 60), (2, 60), (3, 40), (4, 30), (5, 20)])
def test_gold_is_what_the_prompt_says(level: int, num: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=num):
        exact = answer(task.prompt[0].content)
        cents = Decimal(exact.numerator * 1000) / Decimal(exact.denominator)
        right = (cents / 1000).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        assert task.gold == str(right)
        for wrong in (right + Decimal("0.01"), right - Decimal("0.01"), -right, right * 10, right + 1):
            assert env.check(task, str(wrong)).value == 0.0
        for form in (f"{right:,}", f"{right}0", str(right).removesuffix("0").removesuffix(".0")):
            assert env.check(task, form).value == 1.0, form
        assert env.check(task, f"{exact.numerator}/{exact.denominator}").value == 1.0
        for text in (f"{right}%", f"about {right}", f"{right}, {right}", f"{right} or {right + 1}", f"={right}"):
            assert env.check(task, text).value == 0.0


def test_every_bug_and_question_comes_and_bugs_matter() -> None:
    tasks = make(NAME, level=5, num=50)
    assert {bug["kind"] for task in tasks for bug in task.meta["bugs"]} == {*IN_PLACE, *RESHAPING}
    assert len({task.meta["query"]["operation"] for task in tasks}) == 7
    assert {len(task.meta["bugs"]) for task in tasks} == {3}
    for task in make(NAME, level=3, num=40):
        if task.meta["bugs"][0]["kind"] in IN_PLACE:
            prompt = task.prompt[0].content
            unrepaired = re.sub(r"^\d\. .*$", "", prompt, flags=re.M)
            naive = None
            with contextlib.suppress(ValueError, AssertionError):
                naive = answer(unrepaired)
            assert naive != answer(prompt), prompt


def test_a_puzzle_by_hand() -> None:
    # Row 2 lost its order (stock | amount | colour), then amount 5 of row 1 became 50.
    bugs = [
        {"kind": "scale", "rows": [0], "column": 1, "how": "times", "add": ""},
        {"kind": "rotate_rows", "rows": [1], "shift": 1},
        {"kind": "merge_columns", "column": 1, "other": 2},
    ]
    shown = [["red", "50/7"], ["9", "red/4"], ["blue", "8/8"], ["red", "1/1"]]
    query = {"operation": "dot", "column": "amount", "other": "stock", "group": "colour", "value": "red"}
    query |= {"bound": "", "limit": ""}
    meta = {"columns": ["colour", "amount", "stock"], "shown": shown, "bugs": bugs, "query": query}
    env = load(NAME)
    # red: 5*7 + 4*9 + 1*1 = 72.
    task = Task(task_id="x", env=NAME, prompt=(), gold="72.00", meta=meta)
    assert [env.check(task, text).value for text in ("72.00", "72", "387", "71.99", "72.004")] == [1, 1, 0, 0, 0]
    mean = Task(task_id="x", env=NAME, prompt=(), gold="3.33", meta=meta | {"query": query | {"operation": "mean"}})
    assert [env.check(mean, text).value for text in ("3.33", "10/3", "3.34", "3.3", "3.333")] == [1, 1, 0, 0, 0]


def test_common_demands() -> None:
    check_gold_everywhere(NAME)
    check_attacks(NAME)
    check_wrappers(NAME)
    check_stream(NAME)
    check_bounds(NAME, {"num_rows": (3, 81), "num_columns": (2, 9), "num_bugs": (0, 4), "bug_percent": (4, 61)})


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
