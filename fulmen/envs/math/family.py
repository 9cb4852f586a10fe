r"""`MathFamily`: problems with one exact answer, of several kinds, checked by `fulmen.rewards.math`.

A family is one file: the kinds it knows, each a method that draws a `Problem` or returns None to have it drawn again.
An answer must equal the reference and be worked out: `3 + 4` is no answer to "what is 3 + 4", nor is a product of sums
one to "expand". Where the reference is an integer only a literal number passes, where it is a fraction only a fraction,
elsewhere what is about as short as the reference.
"""

import abc
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Phrases, PuzzleEnv, VerifierKind, require_one_of
from fulmen.errors import ConfigError, DataError
from fulmen.rewards.math.checker import check
from fulmen.rewards.math.nodes import Expr, Group, Interval, Name, Node, Number, Op, Quantity, Region, Relation, walk
from fulmen.rewards.math.parser import parse_answer
from fulmen.types import Task

Form = Literal["integer", "fraction", "list", "pair", "interval", "polynomial", "surd", "pi", "complex"]
"""What an answer looks like."""
FORMS: Mapping[Form, tuple[tuple[str, str], str, str]] = {
    "integer": (("", ""), "Answer with one integer.", "答案是一个整数。"),
    "fraction": (
        ("-3/8", "7/9"),
        "Answer with an integer or an exact fraction such as {like}.",
        "答案写成整数或最简分数，例如 {like}。",
    ),
    "list": (
        ("-3, 8", "5/2, 17"),
        "Answer with all values, separated by commas, such as {like}.",
        "写出所有值，用逗号隔开，例如 {like}。",
    ),
    "pair": (
        ("(-3, 8)", "(17, 5/2)"),
        "Answer with the values in that order in parentheses, such as {like}.",
        "按此顺序把各值写在括号内，例如 {like}。",
    ),
    "interval": (
        ("[-31, 48) ∪ (59, ∞)", "(-∞, -57]"),
        "Answer with an interval or a union of intervals, such as {like}.",
        "答案写成区间或区间的并，例如 {like}。",
    ),
    "polynomial": (
        ("31x^3 - x + 18", "x^2 + 57"),
        "Answer with the expanded polynomial, like terms combined, such as {like}.",
        "答案写成展开并合并同类项的多项式，例如 {like}。",
    ),
    "surd": (
        (r"3\sqrt{101}", r"19\sqrt{83}/2"),
        "Answer exactly, with a simplified square root where one is needed, such as {like}.",
        "给出精确值，需要时用化简的根式，例如 {like}。",
    ),
    "pi": (
        (r"301\pi", r"83\pi/7"),
        "Answer exactly as a multiple of π, such as {like}.",
        "用 π 的倍数给出精确值，例如 {like}。",
    ),
    "complex": (
        ("31 - 48i", "-57i"),
        "Answer in the form a + bi, such as {like}.",
        "答案写成 a + bi 的形式，例如 {like}。",
    ),
}
"""Two examples, one of which is not the answer, and what prompts say of the form."""
PHRASES: Phrases = {
    "en": (
        "{question}\n{form}",
        "Problem: {question}\n{form}",
        "Work this out. {question}\n\n{form}",
        "{form}\n\n{question}",
    ),
    "zh": ("{question}\n{form}", "题目：{question}\n{form}", "请解答下题。\n{question}\n{form}"),
}
MAX_TRIES = 500
"""Draws of one problem before a family counts as broken."""
_LEADING_ZERO = re.compile(r"(?<![\d.,])0\d")
_ROOT_OPS = frozenset(("add", "neg", "mul", "inv", "pow", "pi", "i", "oo"))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A question and its answer."""

    question: str
    """Without the form of the answer."""
    gold: str
    """The exact answer."""
    form: Form
    """What the answer looks like."""
    data: tuple[Any, ...]
    """JSON values that make the problem, whatever its words."""
    steps: tuple[str, ...]
    """Lines that lead to the answer."""


Maker = Callable[[random.Random], Problem | None]


@dataclass(frozen=True, kw_only=True)
class MathFamily(PuzzleEnv):
    """A family of problems; subclasses give `kinds` a default and write `makers`."""

    kinds: tuple[str, ...]
    """Kinds of problem, drawn with equal chance."""

    bounds: ClassVar[Mapping[str, tuple[int, int]]]
    """Smallest and largest value of each setting that is a number."""
    verifier: ClassVar[VerifierKind] = "exact"
    phrases: ClassVar[Phrases] = PHRASES

    def __post_init__(self) -> None:
        """Checks the kinds and all bounded settings."""
        super().__post_init__()
        if not self.kinds:
            raise ConfigError(f"kinds: {self.kinds!r}; allowed: some of {', '.join(self.makers())}")
        for kind in self.kinds:
            require_one_of("kinds", kind, allowed=tuple(self.makers()))
        for name, (low, high) in self.bounds.items():
            require_between(name, vars(self)[name], low=low, high=high)

    @abc.abstractmethod
    def makers(self) -> dict[str, Maker]:
        """Returns what draws each kind of problem; None of it has the problem drawn again."""

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a problem of one of the kinds."""
        kind = rng.choice(self.kinds)
        make = self.makers()[kind]
        problem = next((found for _ in range(MAX_TRIES) if (found := make(rng)) is not None), None)
        assert problem is not None, f"{self.name}: no '{kind}' problem in {MAX_TRIES} draws"
        return Puzzle(
            key=(kind, *problem.data),
            prompt=self.phrase(rng, question=problem.question, form=self._form(problem)).strip(),
            gold=problem.gold,
            meta={
                "kind": kind,
                "data": list(problem.data),
                "answer": problem.gold,
                "form": problem.form,
                "steps": list(problem.steps),
            },
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns why an answer is not the reference, or not worked out."""
        gold = read_meta(task, "answer", kind=str)
        if len(text) > (allowed := 4 * len(gold) + 80):
            raise DataError(f"answer: {len(text)} characters; allowed: up to {allowed}")
        if any(character.isnumeric() and not character.isascii() for character in text):
            raise DataError("answer: digits of another script; allowed: 0 to 9")
        if _LEADING_ZERO.search(text):
            raise DataError("answer: a number that begins with 0; allowed: none")
        try:
            found, reference = parse_answer(text), parse_answer(gold)
        except RecursionError:
            raise DataError("answer: nested too deep; allowed: less") from None
        if fault := _find_form_fault(list(_values(found)), list(_values(reference))):
            return fault
        verdict = check(text, gold)
        return "" if verdict.is_equal else f"not the answer: {verdict.reason}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the steps, a line each."""
        return "\n".join(read_meta(task, "steps", kind=list))

    def say(self, en: str, zh: str) -> str:
        """Returns a text in the language of the prompts."""
        return en if self.language == "en" else zh

    def ask(self, rng: random.Random, en: Sequence[str], zh: Sequence[str], **values: object) -> str:
        """Returns one wording of a question in the language of the prompts, filled."""
        return rng.choice(en if self.language == "en" else zh).format(**values)

    def _form(self, problem: Problem) -> str:
        likes, en, zh = FORMS[problem.form]
        like = likes[0] if likes[0] != problem.gold else likes[1]
        return self.say(en, zh).format(like=like)


def _values(node: Node) -> Iterator[Expr]:
    """Yields the expressions that an answer claims, labels left out.

    Raises:
        DataError: it is of a kind that no family asks for.
    """
    if isinstance(node, Number | Name | Op):
        yield node
    elif isinstance(node, Quantity):
        yield node.value
    elif isinstance(node, Interval):
        yield from (node.low, node.high)
    elif isinstance(node, Group | Region):
        for item in node.items if isinstance(node, Group) else node.parts:
            yield from _values(item)
    elif isinstance(node, Relation):
        is_equation = set(node.ops) == {"="}
        for member in node.members[-1:] if is_equation else node.members:
            if is_equation or not isinstance(member, Name):
                yield from _values(member)
    else:
        raise DataError("answer: no value; allowed: numbers, expressions, intervals")


def _find_form_fault(found: list[Expr], reference: list[Expr]) -> str:
    """Returns why some values are not worked out as far as those of the reference are, or an empty string."""
    if all(_is_integer(value) for value in reference):
        return "" if all(_is_integer(value) for value in found) else "not worked out: allowed: a number"
    if all(_is_fraction(value) for value in reference):
        return "" if all(_is_fraction(value) for value in found) else "not worked out: allowed: a number or fraction"
    parts = [part for value in found for part in walk(value)]
    wanted = [part for value in reference for part in walk(value)]
    names = {part.text for part in wanted if isinstance(part, Name)}
    if not {part.text for part in parts if isinstance(part, Name)} <= names:
        return "another variable"
    if any(isinstance(part, Op) and part.kind not in _ROOT_OPS for part in parts):
        return "not worked out: a function is left"
    if _num_leaves(parts) > _num_leaves(wanted) + 1:
        return "not worked out: longer than the answer in simplest form"
    if any(isinstance(part, Op) and part.kind == "add" and any(map(_is_zero, part.args)) for part in parts):
        return "not worked out: a zero is added"
    if any(_is_unexpanded(part, has_names=bool(names)) for part in parts):
        return "not worked out: brackets are left"
    return ""


def _is_integer(expr: Expr) -> bool:
    """Returns whether an expression is a literal number or an infinity, with a sign at most."""
    while isinstance(expr, Op) and expr.kind == "neg":
        (expr,) = expr.args
    return isinstance(expr, Number) or (isinstance(expr, Op) and expr.kind == "oo")


def _is_fraction(expr: Expr) -> bool:
    """Returns whether an expression is a literal number or a fraction of two, with signs at most."""
    while isinstance(expr, Op) and expr.kind == "neg":
        (expr,) = expr.args
    if not isinstance(expr, Op) or expr.kind != "mul" or len(expr.args) != 2:
        return _is_integer(expr)
    top, bottom = expr.args
    return _is_integer(top) and isinstance(bottom, Op) and bottom.kind == "inv" and _is_integer(bottom.args[0])


def _is_zero(expr: Expr) -> bool:
    """Returns whether an expression is the number 0."""
    return isinstance(expr, Number) and expr.value == 0


def _num_leaves(parts: Sequence[Expr]) -> int:
    """Returns how many numbers, names and constants are among the parts of expressions."""
    return sum(1 for part in parts if not isinstance(part, Op) or not part.args)


def _is_unexpanded(part: Expr, *, has_names: bool) -> bool:
    """Returns whether a part is a power or quotient of a sum, or a product with sums that should be multiplied out."""
    if not isinstance(part, Op):
        return False
    sums = [arg for arg in part.args if isinstance(arg, Op) and arg.kind == "add"]
    if part.kind in ("pow", "inv"):
        return bool(sums)
    return part.kind == "mul" and len(sums) > (0 if has_names else 1)
