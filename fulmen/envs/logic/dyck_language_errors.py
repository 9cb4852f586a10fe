"""Dyck language errors: where a text of brackets first goes wrong."""

import random
from dataclasses import dataclass
from typing import ClassVar, Literal

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.nesting import CLOSING, MAX_LENGTH, OPENING, draw_nested, first_error, stacks
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_integer
from fulmen.types import Task

Outcome = Literal["valid", "unclosed", "mismatch"]
MAX_DRAWS = 200


@dataclass(frozen=True, kw_only=True)
class DyckLanguageErrors(PuzzleEnv):
    """Brackets that may not be well nested."""

    name: str = "dyck_language_errors"
    min_length: int = 16
    """Brackets of the shortest text, 3 or more."""
    max_length: int = 24
    """Brackets of the longest text, up to 400."""
    num_types: int = 3
    """Kinds of brackets, 2 to 4, in the order ( [ { <."""
    max_depth: int = 6
    """Most brackets open at any place of the text before it is spoilt, 2 to 16."""

    rule: ClassVar[str] = (
        "name the place of the first bracket that breaks the nesting; -1 if none, length + 1 if unclosed"
    )
    verifier: ClassVar[VerifierKind] = "number"
    levels: ClassVar[Levels] = (
        {"min_length": 6, "max_length": 10, "num_types": 2, "max_depth": 3},
        {"min_length": 10, "max_length": 16, "max_depth": 4},
        {},
        {"min_length": 40, "max_length": 70, "num_types": 4, "max_depth": 10},
        {"min_length": 120, "max_length": 200, "num_types": 4, "max_depth": 16},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "{text}\nRead these {length} brackets from left to right. At which place (the first is 1) does the first "
            "closing bracket stand that does not match the latest bracket still open, or finds none open? If there is "
            "no such bracket, answer -1 if everything is closed in the end, and {after} if something stays open. "
            "Answer with the number only.",
            "Find the first error in the bracket sequence {text}\nPlaces count from 1. The error is the first closing "
            "bracket that closes nothing or the wrong kind. A sequence without such a bracket whose opening brackets "
            "are not all closed has its error at {after}, one past the end. A correct sequence gives -1. Give just one "
            "integer.",
            "Is this sequence of {length} brackets well nested? {text}\nReply -1 if it is. Otherwise reply with the "
            "position, counted from 1, of the earliest closing bracket which does not fit the bracket opened last (or "
            "has no open bracket to close). If only closing brackets are missing at the end, reply {after}. One "
            "integer, nothing else.",
        ),
        "zh": (
            "{text}\n从左到右读这 {length} 个括号（第一个的位置是 1）。请找出第一个与最近未闭合的括号不匹配、"
            "或没有可闭合对象的右括号，回答它的位置。如果没有这样的右括号：全部闭合则回答 -1，"
            "还有括号未闭合则回答 {after}。只回答一个整数。",
            "找出括号序列中第一个错误的位置：{text}\n位置从 1 数起。错误是指第一个类型不对或无括号可闭合的右括号；"
            "如果没有这样的右括号但最后仍有括号未闭合，答案是 {after}（序列长度加一）；序列正确则答案是 -1。"
            "只写一个整数。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("min_length", self.min_length, low=3, high=MAX_LENGTH)
        require_between("max_length", self.max_length, low=self.min_length + 1, high=MAX_LENGTH)
        require_between("num_types", self.num_types, low=2, high=len(OPENING))
        require_between("max_depth", self.max_depth, low=2, high=16)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a text with an error within in three of five cases; else it is valid or unclosed, as often."""
        outcomes: tuple[Outcome, ...] = ("valid", "unclosed", "mismatch", "mismatch", "mismatch")
        text = self._text(rng, rng.choice(outcomes))
        length = len(text)
        return Puzzle(
            key=(text,),
            prompt=self.phrase(rng, text=text, length=length, after=length + 1),
            gold=str(first_error(text)),
            meta={"text": text},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the reason why an integer is not the place of the first error."""
        found = read_integer(text.replace("−", "-"))
        right = first_error(read_meta(task, "text", kind=str))
        return "" if found == right else f"{found}, not {right}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns each place with its bracket and what is open after it, up to the error."""
        text = read_meta(task, "text", kind=str)
        seen = list(stacks(text))
        lines = [f"{place} {text[place - 1]} {stack or '-'}" for place, stack in enumerate(seen, 1)]
        if len(seen) < len(text):
            opened = (seen[-1] if seen else "")[-1:]
            lines.append(f"{len(seen) + 1} {text[len(seen)]} does not close {opened or 'anything'}")
        else:
            lines.append("end: " + (f"{seen[-1]} open" if seen[-1] else "nothing open"))
        return "\n".join([*lines, str(first_error(text))])

    def _text(self, rng: random.Random, outcome: Outcome) -> str:
        """Returns brackets with that outcome; a valid text has an even length."""
        length = rng.randint(self.min_length, self.max_length)
        even = length + length % 2 if length < self.max_length else length - length % 2
        text = draw_nested(rng, length=even, num_types=self.num_types, max_depth=self.max_depth)
        if outcome == "valid":
            return text
        for _ in range(MAX_DRAWS):
            spoilt = self._unclosed(rng, length) if outcome == "unclosed" else self._spoilt(rng, text)
            error = first_error(spoilt)
            if error > len(spoilt) if outcome == "unclosed" else 0 < error <= len(spoilt):
                return spoilt
        raise ConfigError(f"min_length: {self.min_length}; allowed: lengths that leave room for an error")

    def _unclosed(self, rng: random.Random, length: int) -> str:
        """Returns the beginning of a well-nested text."""
        longer = length + rng.randint(1, 2 * self.max_depth)
        text = draw_nested(rng, length=longer + longer % 2, num_types=self.num_types, max_depth=self.max_depth)
        return text[:length]

    def _spoilt(self, rng: random.Random, text: str) -> str:
        """Returns the text with one bracket of another kind or direction, or two neighbours swapped."""
        place = rng.randrange(len(text))
        if rng.random() < 0.3:
            return text[:place] + text[place : place + 2][::-1] + text[place + 2 :]
        brackets = OPENING[: self.num_types] + CLOSING[: self.num_types]
        return text[:place] + rng.choice(brackets) + text[place + 1 :]
