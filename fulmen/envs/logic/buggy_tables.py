"""Buggy tables: undo what happened to a table, then ask it for one number.

The bugs are told in the order in which they happened, so they are undone from the last to the first. The verifier
starts from the table as shown, like the solver, so what cannot be undone cannot be asked.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.tables import Bug, Rows, draw_bugs, shown_columns, spoil, undo, write_number
from fulmen.envs.things import FEATURE_NAMES, FEATURES
from fulmen.rewards.fields import read_number
from fulmen.types import Task

NUMBERS: Mapping[str, tuple[int, int, int]] = {
    "amount": (1, 99, 0),
    "price": (50, 9999, 2),
    "weight": (1, 500, 1),
    "stock": (0, 500, 0),
    "score": (10, 100, 1),
    "fee": (100, 3000, 2),
}
"""Least and greatest value, counted in the last decimal, and decimals."""
GROUPS = ("colour", "size", "material", "pattern")
OPERATIONS = ("sum", "mean", "mean", "range", "max", "min", "count", "dot", "dot")
MAX_TRIES = 60

TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "scale": "In {rows}, the {column} was recorded {amount}.",
        "times": "10 times too large",
        "plus": "too large by {add}",
        "sign": "with the wrong sign (negative)",
        "null": "Every cell of the column {column} that was equal to the cell right above it was replaced by null.",
        "swap": "In {rows}, the cells of the columns {column} and {other} were exchanged.",
        "rotate_column": "All cells of the column {column} moved down by {shift}; those pushed out at the bottom came "
        "in again at the top, in the same order.",
        "rotate_rows": "In {rows}, all cells moved to the right by {shift}; those pushed out at the right came in "
        "again at the left, in the same order.",
        "merge_columns": "The columns {column} and {other} became one: its cells are those of the two, joined by a "
        "slash.",
        "merge_rows": "Each two rows (1 and 2, 3 and 4, ...) became one: its cells are those of the two, joined by a "
        "slash. A last row without partner stayed as it was.",
        "end_row": "A copy of row {row} was added at the end of the table.",
        "end_column": "A column named extra, which does not belong to the table, was added on the right.",
        "sum": "the sum of the {column}",
        "mean": "the mean of the {column}",
        "range": "the largest {column} minus the smallest {column}",
        "max": "the largest {column}",
        "min": "the smallest {column}",
        "count": "the number of rows",
        "dot": "the sum, over these rows, of {column} times {other}",
        "of": "{what}, taking only rows in which the {group} is {value}",
        "over": " and the {bound} is greater than {limit}",
        "table": "table",
    },
    "zh": {
        "scale": "在{rows}，{column}被记录成了{amount}。",
        "times": "原值的10倍",
        "plus": "原值加{add}",
        "sign": "原值的相反数（负数）",
        "null": "{column}列中凡与正上方单元格相等的单元格都被换成了“空”。",
        "swap": "在{rows}，{column}列与{other}列的单元格互换了。",
        "rotate_column": "{column}列的所有单元格向下移动了{shift}格；从底部移出的按原顺序回到顶部。",
        "rotate_rows": "在{rows}，所有单元格向右移动了{shift}格；从右边移出的按原顺序回到左边。",
        "merge_columns": "{column}列与{other}列合并成了一列，单元格是两者的内容，用斜线连接。",
        "merge_rows": "每两行（第1和2行，第3和4行，依此类推）合并成了一行，单元格是两者的内容，用斜线连接；"
        "最后落单的一行保持不变。",
        "end_row": "表的末尾多了一行，是第{row}行的副本。",
        "end_column": "右边多了一列“附加”，它不属于这张表。",
        "sum": "{column}之和",
        "mean": "{column}的平均值",
        "range": "最大的{column}减去最小的{column}",
        "max": "最大的{column}",
        "min": "最小的{column}",
        "count": "行数",
        "dot": "各行{column}乘以{other}的总和",
        "of": "只取{group}为{value}的行：{what}",
        "over": "且{bound}大于{limit}",
        "table": "表",
    },
}
NUMBER_NAMES: Mapping[Language, Mapping[str, str]] = {
    "en": {name: name for name in NUMBERS},
    "zh": dict(zip(NUMBERS, ("数量", "单价", "重量", "库存", "得分", "运费"), strict=True)),
}


@dataclass(frozen=True, kw_only=True)
class BuggyTables(PuzzleEnv):
    """A table, what went wrong with it, and a question about the right one."""

    name: str = "buggy_tables"
    num_rows: int = 20
    """Rows of the right table, 4 to 80."""
    num_columns: int = 5
    """Columns of the right table, 3 to 8."""
    num_bugs: int = 1
    """Things that went wrong, one after another, 1 to 3."""
    bug_percent: int = 30
    """Rows that a bug of single rows touches, 5 to 60."""

    rule: ClassVar[str] = "undo the described bugs of a table and compute a number from it"
    verifier: ClassVar[VerifierKind] = "number"
    levels: ClassVar[Levels] = (
        {"num_rows": 5, "num_columns": 3},
        {"num_rows": 10, "num_columns": 4},
        {},
        {"num_rows": 45, "num_columns": 6, "num_bugs": 2},
        {"num_rows": 65, "num_columns": 8, "num_bugs": 3, "bug_percent": 35},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "This table is damaged:\n{table}\n{told}\n{bugs}\nFrom the right table, as it was before, compute {query}. "
            "{form}",
            "A program spoiled a table. {told}\n{bugs}\nWhat came out:\n{table}\nRepair it and give {query}. {form}",
            "Find {query}, in the table as it was before these things went wrong.\n{bugs}\n{told}\n\n{table}\n\n{form}",
        ),
        "zh": (
            "下表已损坏：\n{table}\n{told}\n{bugs}\n请根据损坏之前的正确表格计算，{query}。{form}",
            "一个程序弄坏了一张表。{told}\n{bugs}\n结果如下：\n{table}\n请还原该表并求，{query}。{form}",
        ),
    }
    told: ClassVar[Mapping[Language, str]] = {
        "en": "What went wrong is told in the order in which it happened, each time to the table as it then was. Row "
        "1 is the one below the head of the table.",
        "zh": "出错的事情按发生顺序列出，每次都作用于当时的表。表头下面的一行是第1行。",
    }
    forms: ClassVar[Mapping[Language, str]] = {
        "en": "Answer with one number rounded to two decimals (halves up), in the form `98765.43`.",
        "zh": "只回答一个数，四舍五入到两位小数，形如 98765.43。",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_rows", self.num_rows, low=4, high=80)
        require_between("num_columns", self.num_columns, low=3, high=8)
        require_between("num_bugs", self.num_bugs, low=1, high=3)
        require_between("bug_percent", self.bug_percent, low=5, high=60)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a spoiled table and a question whose answer is no tie of rounding."""
        num_groups = self.num_columns // 3
        columns = rng.sample(GROUPS, num_groups) + rng.sample(list(NUMBERS), self.num_columns - num_groups)
        rng.shuffle(columns)
        numbers = [i for i, column in enumerate(columns) if column in NUMBERS]
        query: dict[str, Any] = {}
        rows: Rows = []
        shown: Rows = []
        bugs: list[dict[str, Any]] = []
        for _ in range(MAX_TRIES):
            rows = [[_draw_cell(column, rng) for column in columns] for _ in range(self.num_rows)]
            bugs = draw_bugs(rows, numbers=numbers, num_bugs=self.num_bugs, percent=self.bug_percent, rng=rng)
            query = self._draw_query(columns, rows, rng)
            shown = rows
            for bug in bugs:
                shown = spoil(bug, shown)
            if query and _matters(query, columns, rows, shown):
                break
        assert query, "some group has two rows"
        gold = write_number(_round(compute(query, columns, rows)), 2)
        prompt = self.phrase(
            rng,
            table=self._write_table(shown_columns(columns, bugs), shown),
            told=self.told[self.language],
            bugs="\n".join(f"{n}. {self._tell(bug, columns)}" for n, bug in enumerate(bugs, 1)),
            query=self._tell_query(query),
            form=self.forms[self.language],
        )
        meta = {"columns": columns, "shown": shown, "bugs": bugs, "query": query}
        return Puzzle(key=(columns, shown, bugs, query), prompt=prompt, gold=gold, meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Repairs the table that is shown and computes the number; more decimals are right if they are all."""
        said = read_number(text)
        columns, rows = self._repair(task)
        exact = compute(read_meta(task, "query", kind=dict), columns, rows)
        return "" if said in (exact, _round(exact)) else f"it is not {text[:40]}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the repaired columns that the question needs, the rows that count, and the sum."""
        columns, rows = self._repair(task)
        query = read_meta(task, "query", kind=dict)
        names = [query[part] for part in ("group", "bound", "column", "other") if query[part]]
        names = list(dict.fromkeys(names))
        texts = TEXTS[self.language]
        needed = [[row[columns.index(name)] for name in names] for row in rows]
        counted = _counted(query, columns, rows)
        lines = [f"{texts['table']}:", self._write_table(names, needed)]
        terms = [write_number(term, 4).rstrip("0").rstrip(".") for term in _terms(query, columns, counted)]
        lines.append(", ".join(terms) if query["operation"] in ("max", "min", "range", "count") else " + ".join(terms))
        exact = compute(query, columns, rows)
        if query["operation"] == "mean":
            lines.append(f"{write_number(exact * len(terms), 2)} / {len(terms)}")
        return "\n".join([*lines, f"= {task.gold}"])

    def _repair(self, task: Task) -> tuple[list[str], Rows]:
        """Returns the columns and rows of the right table."""
        columns, rows, bugs = (read_meta(task, name, kind=list) for name in ("columns", "shown", "bugs"))
        for bug in reversed(bugs):
            rows = undo(bug, rows)
        return columns, rows

    def _draw_query(self, columns: Sequence[str], rows: Rows, rng: random.Random) -> dict[str, Any]:
        """Returns a question that at least two rows answer, or an empty one if none was found."""
        numbers = [column for column in columns if column in NUMBERS]
        for _ in range(MAX_TRIES):
            group = rng.choice([column for column in columns if column in GROUPS])
            column, other = rng.sample(numbers, 2)
            row = rng.choice(rows)
            query = {
                "operation": rng.choice(OPERATIONS),
                "column": column,
                "other": "",
                "group": group,
                "value": row[columns.index(group)],
                "bound": "",
                "limit": "",
            }
            if query["operation"] == "dot":
                query["other"] = other
            if self.num_rows > 8 and rng.random() < 0.5:
                query |= {"bound": other, "limit": rng.choice(rows)[columns.index(other)]}
            if len(_counted(query, columns, rows)) < 2:
                continue
            exact = compute(query, columns, rows)
            if exact and (exact * 100 % 1 != Fraction(1, 2)):
                return query
        return {}

    def _write_table(self, columns: Sequence[str], rows: Rows) -> str:
        """Returns the table with cells separated by ` | `."""
        return "\n".join(" | ".join(self._translate(cell) for cell in row) for row in (columns, *rows))

    def _translate(self, cell: str) -> str:
        """Returns a cell or a column's name in the language of the prompt; both parts where it is two in one."""
        if self.language == "en":
            return cell
        return "/".join(CHINESE.get(part, part) for part in cell.split("/"))

    def _tell(self, bug: Bug, columns: Sequence[str]) -> str:
        """Returns the sentence of a bug."""
        texts = TEXTS[self.language]
        amount = texts[bug["how"]].format(add=bug["add"]) if bug["kind"] == "scale" else ""
        return texts[bug["kind"]].format(
            rows=self._tell_rows(bug.get("rows", ())),
            column=self._translate(columns[bug.get("column", 0)]),
            other=self._translate(columns[bug.get("other", 0)]),
            shift=bug.get("shift"),
            row=bug.get("row", 0) + 1,
            amount=amount,
        )

    def _tell_rows(self, rows: Sequence[int]) -> str:
        """Returns the numbers of rows, counted from 1."""
        numbers = [str(row + 1) for row in rows]
        if self.language == "zh":
            return f"第{'、'.join(numbers)}行"
        return f"row{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}"

    def _tell_query(self, query: Mapping[str, str]) -> str:
        """Returns the question in words."""
        texts = TEXTS[self.language]
        names = {part: self._translate(query[part]) for part in ("column", "other", "group", "value", "bound")}
        over = texts["over"].format(**names, limit=query["limit"]) if query["bound"] else ""
        what = texts[query["operation"]].format(**names)
        if self.language == "en":
            return texts["of"].format(what=what, **names) + over
        return texts["of"].format(what=what, **{**names, "value": names["value"] + over})


CHINESE: Mapping[str, str] = {
    **{en: zh for name in GROUPS for en, zh in zip(FEATURES[name]["en"], FEATURES[name]["zh"], strict=True)},
    **{name: FEATURE_NAMES["zh"][name] for name in GROUPS},
    **NUMBER_NAMES["zh"],
    "null": "空",
    "extra": "附加",
}


def compute(query: Mapping[str, str], columns: Sequence[str], rows: Rows) -> Fraction:
    """Returns the exact answer to a question about a right table."""
    terms = _terms(query, columns, _counted(query, columns, rows))
    operation = query["operation"]
    if operation == "count":
        return Fraction(len(terms))
    if operation == "mean":
        return sum(terms, Fraction(0)) / len(terms)
    if operation in ("max", "min"):
        return max(terms) if operation == "max" else min(terms)
    return max(terms) - min(terms) if operation == "range" else sum(terms, Fraction(0))


def _matters(query: Mapping[str, str], columns: Sequence[str], rows: Rows, shown: Rows) -> bool:
    """Returns whether whoever takes the table as it is shown gets another answer, or none."""
    if len(shown[0]) != len(columns):
        return True
    try:
        return compute(query, columns, shown) != compute(query, columns, rows)
    except (ValueError, ZeroDivisionError):
        return True


def _counted(query: Mapping[str, str], columns: Sequence[str], rows: Rows) -> Rows:
    """Returns the rows that a question is about."""
    found = [row for row in rows if row[columns.index(query["group"])] == query["value"]]
    if not query["bound"]:
        return found
    return [row for row in found if Fraction(row[columns.index(query["bound"])]) > Fraction(query["limit"])]


def _terms(query: Mapping[str, str], columns: Sequence[str], rows: Rows) -> list[Fraction]:
    """Returns what each of these rows contributes."""
    values = [Fraction(row[columns.index(query["column"])]) for row in rows]
    if query["operation"] != "dot":
        return values
    return [a * Fraction(row[columns.index(query["other"])]) for a, row in zip(values, rows, strict=True)]


def _draw_cell(column: str, rng: random.Random) -> str:
    if column in GROUPS:
        return rng.choice(FEATURES[column]["en"][:4])
    low, high, decimals = NUMBERS[column]
    return write_number(Fraction(rng.randint(low, high), 10**decimals), decimals)


def _round(number: Fraction) -> Fraction:
    """Returns the number rounded to two decimals, halves up."""
    return Fraction((number * 100 + Fraction(1, 2)) // 1, 100)
