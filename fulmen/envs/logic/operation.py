"""Operation: evaluate an expression whose operators are defined in the task.

A definition is data (a list of JSON values), evaluated and written by this module alone; results are whole numbers.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.rewards.fields import read_number
from fulmen.types import Task

SYMBOLS = "◇△☆○□⊕⊗@#&"
MAX_VALUE = 99_999
"""Largest absolute value on the way."""
MAX_DRAWS = 500
Form = list[Any]
"""A formula of a and b: [kind, numbers...]; `refer` has the index of an earlier symbol as its first number."""
Definition = dict[str, Any]
"""`form`; with a condition also `if` and `else`."""
CONDITIONS = {
    "greater": ("{a} > {b}", lambda a, b: a > b),
    "even": ("({a} + {b}) mod 2 = 0", lambda a, b: (a + b) % 2 == 0),
    "third": ("{a} mod 3 = 0", lambda a, b: a % 3 == 0),
    "far": ("|{a} - {b}| > 4", lambda a, b: abs(a - b) > 4),
    "large": ("{b} > 6", lambda a, b: b > 6),
}
PLAIN = ("linear", "product", "distance", "largest", "smallest")
"""Kinds that every level has."""


@dataclass(frozen=True, kw_only=True)
class Operation(PuzzleEnv):
    """An expression over operators of one's own."""

    name: str = "operation"
    num_symbols: int = 2
    """Operators defined, 1 to 6."""
    num_operands: int = 4
    """Numbers in the expression, 2 to 20."""
    conditional_percent: int = 40
    """Definitions with a condition, in percent, 0 to 100."""
    parentheses_percent: int = 20
    """Places of a chain that hold a chain in parentheses, in percent, 0 to 60."""
    is_ranked: bool = False
    """Whether some operators bind tighter than others."""
    is_nested: bool = False
    """Whether definitions may use earlier ones, squares and remainders."""

    rule: ClassVar[str] = "evaluate an expression by the definitions of its operators"
    verifier: ClassVar[VerifierKind] = "number"
    levels: ClassVar[Levels] = (
        {"num_symbols": 1, "num_operands": 2, "conditional_percent": 0, "parentheses_percent": 0},
        {"num_symbols": 1, "num_operands": 3, "conditional_percent": 25, "parentheses_percent": 0},
        {},
        {"num_symbols": 3, "num_operands": 7, "conditional_percent": 50, "is_ranked": True, "is_nested": True},
        {"num_symbols": 5, "num_operands": 14, "conditional_percent": 70, "is_ranked": True, "is_nested": True},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "{definitions}\n{order}Calculate {expression}. Answer with the number alone, like -12.",
            "New operators are defined for whole numbers a and b:\n{definitions}\n{order}What is the value of "
            "{expression}? Reply with one integer, for example -12.",
            "Evaluate {expression} under these rules.\n{definitions}\n{order}Give only the resulting integer (such as "
            "-12).",
        ),
        "zh": (
            "定义新运算：\n{definitions}\n{order}计算 {expression} 的值。只回答一个整数，例如 -12。",
            "{definitions}\n{order}按照以上规定，{expression} 等于多少？答案只写整数，形如 -12。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_symbols", self.num_symbols, low=1, high=6)
        require_between("num_operands", self.num_operands, low=2, high=20)
        require_between("conditional_percent", self.conditional_percent, low=0, high=100)
        require_between("parentheses_percent", self.parentheses_percent, low=0, high=60)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns definitions and an expression whose results on the way stay small."""
        for _ in range(MAX_DRAWS):
            definitions = [self._definition(rng, index) for index in range(self.num_symbols)]
            ranks = [rng.randint(1, 2) if self.is_ranked else 1 for _ in definitions]
            tokens = self._chain(rng, self.num_operands)
            calculation = Calculation(definitions=definitions, ranks=ranks)
            value = calculation.value(tokens)
            if calculation.largest <= MAX_VALUE:
                break
        else:
            raise ConfigError(f"num_operands: {self.num_operands}; allowed: expressions with results to {MAX_VALUE}")
        symbols = rng.sample(SYMBOLS, self.num_symbols)
        written = [self._define(symbols, index, definition) for index, definition in enumerate(definitions)]
        return Puzzle(
            key=(definitions, ranks if len(set(ranks)) > 1 else [], tokens),
            prompt=self.phrase(
                rng,
                definitions="\n".join(written),
                order=self._order(symbols, ranks, definitions),
                expression=_expression(tokens, symbols),
            ),
            gold=str(value),
            meta={"definitions": definitions, "ranks": ranks, "tokens": tokens, "symbols": symbols},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the reason why a number is not the value."""
        if "/" in text:
            raise DataError(f"answer: {text[:40]!r}; allowed: an integer")
        found = read_number(text.replace("−", "-"))
        value = _calculation(task).value(read_meta(task, "tokens", kind=list))
        return "" if found == value else f"{found}, not {value}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns one operator after the other, with its condition and its formula."""
        calculation = _calculation(task)
        value = calculation.value(read_meta(task, "tokens", kind=list))
        symbols = read_meta(task, "symbols", kind=list)
        lines = []
        for index, left, right, result in calculation.steps:
            definition = calculation.definitions[index]
            form, a, b = definition["form"], _bracketed(left), _bracketed(right)
            line = f"{a} {symbols[index]} {b}: "
            if "if" in definition:
                text, holds = CONDITIONS[definition["if"]]
                line += text.format(a=a, b=b) + (" yes, " if holds(left, right) else " no, ")
                form = form if holds(left, right) else definition["else"]
            lines.append(f"{line}{write_form(form, a, b, symbols)} = {result}")
        return "\n".join([*lines, str(value)])

    def _definition(self, rng: random.Random, index: int) -> Definition:
        definition: Definition = {"form": self._form(rng, index)}
        if rng.randrange(100) < self.conditional_percent:
            definition["if"] = rng.choice(list(CONDITIONS))
            while (other := self._form(rng, index)) == definition["form"]:
                continue
            definition["else"] = other
        return definition

    def _form(self, rng: random.Random, index: int) -> Form:
        kinds = [*PLAIN]
        if self.is_nested:
            kinds += ["remainder", "square", *["refer"] * (2 if index else 0)]
        kind = rng.choice(kinds)
        p, q, r = rng.randint(1, 4), rng.choice((-3, -2, -1, 1, 2, 3)), rng.randint(-9, 9)
        return {
            "linear": [kind, p, q, r],
            "product": [kind, r],
            "distance": [kind, p, r],
            "largest": [kind, r],
            "smallest": [kind, r],
            "remainder": [kind, p, abs(q), rng.randint(3, 12)],
            "square": [kind, r],
            "refer": [kind, rng.randrange(index) if index else 0, r],
        }[kind]

    def _chain(self, rng: random.Random, num_operands: int) -> list[Any]:
        """Returns numbers (as they are), indices of symbols (as texts) and chains (as lists), alternating."""
        chain: list[Any] = []
        left = num_operands
        while left:
            is_nested = bool(chain) and left >= 2 and rng.randrange(100) < self.parentheses_percent
            size = rng.randint(2, min(left, 4)) if is_nested else 1
            chain += [str(rng.randrange(self.num_symbols))] if chain else []
            chain.append(rng.randint(1, 12) if size == 1 else self._chain(rng, size))
            left -= size
        return chain

    def _define(self, symbols: Sequence[str], index: int, definition: Definition) -> str:
        """Returns the sentence that defines a symbol."""
        form = write_form(definition["form"], "a", "b", symbols)
        if "if" not in definition:
            return f"a {symbols[index]} b = {form}"
        condition = CONDITIONS[definition["if"]][0].format(a="a", b="b")
        other = write_form(definition["else"], "a", "b", symbols)
        return {
            "en": f"a {symbols[index]} b = {form} if {condition}, otherwise {other}",
            "zh": f"如果 {condition}，则 a {symbols[index]} b = {form}，否则 a {symbols[index]} b = {other}",
        }[self.language]

    def _order(self, symbols: Sequence[str], ranks: Sequence[int], definitions: Sequence[Definition]) -> str:
        """Returns the sentences about the order of operators and the meaning of mod."""
        english = self.language == "en"
        text = ""
        if any(word in str(definitions) for word in ("remainder", "even", "third")):
            text += (
                "x mod m is the remainder from 0 to m-1, also for negative x. "
                if english
                else ("x mod m 表示余数，取值 0 到 m-1，x 为负数时也一样。")
            )
        strong = " ".join(symbol for symbol, rank in zip(symbols, ranks, strict=True) if rank == 2)
        if strong and len(set(ranks)) == 2:
            weak = " ".join(symbol for symbol, rank in zip(symbols, ranks, strict=True) if rank == 1)
            return text + (
                f"Parentheses come first; {strong} bind tighter than {weak}; operators of the same strength go from "
                "left to right. "
                if english
                else f"先算括号内；{strong} 优先于 {weak}；优先级相同的运算从左到右进行。"
            )
        return text + (
            "The operators go from left to right, parentheses first. " if english else "从左到右计算，括号优先。"
        )


@dataclass(kw_only=True)
class Calculation:
    """Evaluates chains, and keeps the steps."""

    definitions: Sequence[Definition]
    ranks: Sequence[int]
    """Of each symbol; higher ones go first."""
    steps: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Index of the symbol, left and right number, result, in the order of calculation."""
    largest: int = 0
    """Largest absolute value met."""

    def value(self, chain: Sequence[Any]) -> int:
        """Returns the value of a chain, whose odd places are indices of symbols."""
        numbers = [self.value(part) if isinstance(part, list) else int(part) for part in chain[::2]]
        symbols = [int(part) for part in chain[1::2]]
        for rank in sorted(set(self.ranks), reverse=True):
            place = 0
            while place < len(symbols):
                if self.ranks[symbols[place]] != rank:
                    place += 1
                    continue
                numbers[place : place + 2] = [self.apply(symbols.pop(place), numbers[place], numbers[place + 1])]
        return numbers[0]

    def apply(self, index: int, a: int, b: int) -> int:
        """Returns a symbol's result, noted as a step."""
        result = self._result(index, a, b)
        self.steps.append((index, a, b, result))
        return result

    def _result(self, index: int, a: int, b: int) -> int:
        definition = self.definitions[index]
        holds = "if" not in definition or CONDITIONS[definition["if"]][1](a, b)
        kind, *numbers = definition["form" if holds else "else"]
        # An expression that outgrew the bound is drawn again; squares of squares would take long.
        if self.largest > MAX_VALUE:
            return 0
        is_plain = kind != "refer"
        result = _plain_result(kind, numbers, a, b) if is_plain else self._result(numbers[0], b, a) + numbers[1]
        self.largest = max(self.largest, abs(result))
        return result


def _plain_result(kind: str, numbers: Sequence[int], a: int, b: int) -> int:
    """Returns the value of a formula that refers to no other one."""
    last = numbers[-1]
    if kind == "linear":
        return numbers[0] * a + numbers[1] * b + last
    if kind == "remainder":
        return (numbers[0] * a + numbers[1] * b) % last
    if kind == "distance":
        return numbers[0] * abs(a - b) + last
    known: Mapping[str, int] = {"product": a * b, "largest": max(a, b), "smallest": min(a, b), "square": a * a - b}
    return known[kind] + last


def write_form(form: Form, a: str, b: str, symbols: Sequence[str]) -> str:
    """Returns the text of a formula."""
    kind, *numbers = form
    last = "" if numbers[-1] == 0 else f" {'-' if numbers[-1] < 0 else '+'} {abs(numbers[-1])}"
    if kind in ("linear", "remainder"):
        p, q = numbers[:2]
        text = f"{_times(p, a)} {'-' if q < 0 else '+'} {_times(abs(q), b)}"
        return text + last if kind == "linear" else f"({text}) mod {numbers[2]}"
    return {
        "product": f"{a} * {b}",
        "distance": _times(numbers[0], f"|{a} - {b}|"),
        "largest": f"max({a}, {b})",
        "smallest": f"min({a}, {b})",
        "square": f"{a} * {a} - {b}",
        "refer": f"({b} {symbols[numbers[0] if kind == 'refer' else 0]} {a})",
    }[kind] + last


def _times(factor: int, text: str) -> str:
    return text if factor == 1 else f"{factor} * {text}"


def _bracketed(number: int) -> str:
    return str(number) if number >= 0 else f"({number})"


def _expression(chain: Sequence[Any], symbols: Sequence[str]) -> str:
    """Returns the text of a chain."""
    parts = []
    for place, part in enumerate(chain):
        if isinstance(part, list):
            parts.append(f"({_expression(part, symbols)})")
        else:
            parts.append(symbols[int(part)] if place % 2 else str(part))
    return " ".join(parts)


def _calculation(task: Task) -> Calculation:
    """Returns the calculation of a task. Raises: TaskError."""
    definitions = read_meta(task, "definitions", kind=list)
    ranks = read_meta(task, "ranks", kind=list)
    if len(ranks) != len(definitions):
        raise TaskError(f"task.meta['ranks'] of {task.task_id}: {ranks!r}; allowed: one for each definition")
    return Calculation(definitions=definitions, ranks=ranks)
