r"""Dyck language: fill in the brackets that are missing from a well-nested text.

Any filling that makes the text well nested is right. In a box, braces are written \{ and \}, as TeX wants them.
"""

import random
from dataclasses import dataclass, field
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.nesting import CLOSING, MAX_LENGTH, OPENING, PARTNER, draw_nested, first_error, stacks
from fulmen.errors import ConfigError, DataError
from fulmen.types import Task

GAP = "_"
MAX_WORKED_LINES = 60
"""Longest search whose dead ends are told in a worked solution."""
_DECORATION = str.maketrans("", "", ",;`'\"")


@dataclass(frozen=True, kw_only=True)
class DyckLanguage(PuzzleEnv):
    """Brackets with gaps."""

    name: str = "dyck_language"
    min_length: int = 20
    """Brackets of the shortest full text, 4 or more; an odd length is never drawn."""
    max_length: int = 30
    """Brackets of the longest full text, up to 400."""
    num_types: int = 3
    """Kinds of brackets, 2 to 4, in the order ( [ { <."""
    max_missing_end: int = 4
    """Most brackets missing at the end, 1 or more; the least is one."""
    max_gaps: int = 2
    """Most brackets missing elsewhere, 0 to 12; together with the end at most half of the shortest text."""
    max_depth: int = 6
    """Most brackets open at any place, 2 to 16."""

    rule: ClassVar[str] = "fill the gaps so that every bracket is closed by its kind, the last opened first"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"min_length": 10, "max_length": 14, "num_types": 2, "max_missing_end": 3, "max_gaps": 0, "max_depth": 4},
        {"min_length": 14, "max_length": 20, "max_missing_end": 4, "max_gaps": 1, "max_depth": 4},
        {},
        {"min_length": 40, "max_length": 60, "num_types": 4, "max_missing_end": 6, "max_gaps": 5, "max_depth": 9},
        {"min_length": 80, "max_length": 140, "num_types": 4, "max_missing_end": 12, "max_gaps": 10, "max_depth": 14},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Each _ stands for one missing bracket, one of {brackets}. Fill them in so that every bracket is closed by "
            "its own kind and the one opened last is closed first:\n{text}\nAnswer with the missing brackets alone, "
            "from left to right, like {example}.{escape}",
            "{text}\nHere some brackets were replaced by _ . The brackets in use are {brackets} . Which ones make the "
            "whole properly nested, with nothing left open and each closing bracket matching the latest open one? "
            "Write only what goes into the gaps, in order, for example {example}.{escape}",
            "Complete this sequence of the brackets {brackets}: {text}\nOne bracket belongs at every _ , and in the "
            "end all pairs must match and nest correctly (no crossing pairs, none unclosed). If several fillings do, "
            "give any. Give the brackets for the gaps only, left to right, as in {example}.{escape}",
        ),
        "zh": (
            "每个 _ 代表一个缺失的括号（只能是 {brackets} 之一）。请补全，使每个括号都由同类括号闭合，"
            "且后打开的先闭合：\n{text}\n只从左到右写出缺失的括号，例如 {example}。{escape}",
            "下面的括号序列里有一些位置被 _ 替换：{text}\n每个 _ 处填一个括号，可用的括号是 {brackets}，"
            "要求整个序列正确嵌套、全部闭合；有多种填法时任写一种。只按顺序写出填入的括号，形如 {example}。{escape}",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("min_length", self.min_length, low=4, high=MAX_LENGTH)
        require_between("max_length", self.max_length, low=self.min_length + 1, high=MAX_LENGTH)
        require_between("num_types", self.num_types, low=2, high=len(OPENING))
        require_between("max_depth", self.max_depth, low=2, high=16)
        require_between("max_missing_end", self.max_missing_end, low=1, high=self.min_length // 2)
        require_between("max_gaps", self.max_gaps, low=0, high=12)
        if self.max_gaps + self.max_missing_end > self.min_length // 2:
            raise ConfigError(f"max_gaps: {self.max_gaps}; allowed: up to min_length // 2 - max_missing_end")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a well-nested text without some of its brackets."""
        length = 2 * rng.randint((self.min_length + 1) // 2, self.max_length // 2)
        full = draw_nested(rng, length=length, num_types=self.num_types, max_depth=self.max_depth)
        num_end = rng.randint(1, self.max_missing_end)
        hidden = set(rng.sample(range(length - num_end), rng.randint(0, self.max_gaps)))
        hidden.update(range(length - num_end, length))
        template = "".join(GAP if place in hidden else bracket for place, bracket in enumerate(full))
        brackets = " ".join(OPENING[kind] + " " + CLOSING[kind] for kind in range(self.num_types))
        return Puzzle(
            key=(template, self.num_types),
            prompt=self.phrase(rng, text=template, brackets=brackets, example="])", escape=self._escape()),
            gold="".join(full[place] for place in sorted(hidden)),
            meta={"template": template, "num_types": self.num_types},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns where the text, with the gaps filled, is not well nested."""
        template = read_meta(task, "template", kind=str)
        num_types = read_meta(task, "num_types", kind=int)
        brackets = "".join(text.translate(_DECORATION).split())
        allowed = OPENING[:num_types] + CLOSING[:num_types]
        if not set(brackets) <= set(allowed):
            raise DataError(f"answer: {text[:40]!r}; allowed: the brackets {' '.join(allowed)}")
        if len(brackets) != template.count(GAP):
            return f"{len(brackets)} brackets for {template.count(GAP)} gaps"
        filled = _fill(template, brackets)
        error = first_error(filled)
        if error > len(filled):
            return "brackets are left open"
        return "" if error < 0 else f"{filled[error - 1]} at place {error} does not close the bracket opened last"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns what is open after each bracket before the first gap, then, for each gap, what is tried there.

        Dead ends are included if they are few.
        """
        template = read_meta(task, "template", kind=str)
        search = _Search(template=template, num_types=read_meta(task, "num_types", kind=int))
        found = search.fill("")
        assert found is not None, "every puzzle was made from a filling"
        if len(search.lines) > MAX_WORKED_LINES:
            search.lines = [search.line(found[:number], bracket) for number, bracket in enumerate(found)]
        opened = " ".join(stack or "-" for stack in stacks(template.partition(GAP)[0]))
        return "\n".join([f"open: {opened or '-'}", *search.lines, found])

    def write_answer(self, answer: str) -> str:
        """Returns a reply that holds an answer as `answer_form` wants it."""
        is_boxed = self.answer_form == "boxed"
        return super().write_answer(answer.replace("{", r"\{").replace("}", r"\}") if is_boxed else answer)

    def _escape(self) -> str:
        if self.answer_form != "boxed" or self.num_types < 3:
            return ""
        return {"en": r" In the box, write \{ and \} for { and }.", "zh": r"在方框里用 \{ 和 \} 表示 { 和 }。"}[
            self.language
        ]


@dataclass(kw_only=True)
class _Search:
    """Fills gaps from left to right: closes the bracket opened last first, then opens each kind."""

    template: str
    num_types: int
    lines: list[str] = field(default_factory=list)
    dead: set[tuple[int, str]] = field(default_factory=set)
    """Gaps with the brackets open there from which there is no way."""

    def fill(self, chosen: str) -> str | None:
        """Returns brackets for all gaps that start with those chosen, or None."""
        before = self._before(chosen)
        seen = list(stacks(before))
        if len(seen) < len(before):
            self._note(f"place {len(seen) + 1}: {before[len(seen)]} closes nothing it may, back")
            return None
        stack = seen[-1] if seen else ""
        if len(before) == len(self.template):
            return chosen if not stack else None
        if len(stack) > len(self.template) - len(before) or (len(before), stack) in self.dead:
            self._note(f"gap {len(chosen) + 1}: too many are open, back")
            return None
        for bracket in [*(PARTNER[top] for top in stack[-1:]), *OPENING[: self.num_types]]:
            self._note(self.line(chosen, bracket))
            if found := self.fill(chosen + bracket):
                return found
        self.dead.add((len(before), stack))
        return None

    def line(self, chosen: str, bracket: str) -> str:
        """Returns the line that tries a bracket at the next gap."""
        seen = list(stacks(self._before(chosen)))
        return f"gap {len(chosen) + 1}: open {(seen[-1] if seen else '') or 'nothing'}, try {bracket}"

    def _before(self, chosen: str) -> str:
        """Returns the text up to the next gap."""
        return _fill(self.template, chosen).partition(GAP)[0]

    def _note(self, line: str) -> None:
        if len(self.lines) <= MAX_WORKED_LINES:
            self.lines.append(line)


def _fill(template: str, brackets: str) -> str:
    """Returns the template with its first gaps filled."""
    for bracket in brackets:
        template = template.replace(GAP, bracket, 1)
    return template
