"""Dyck language reasoning errors: which steps of a written stack trace are wrong.

A step is judged by the brackets alone: it is wrong if what it shows as open is not what is open at that place, whether
or not it follows from the step before. A mistake may be carried through some steps, which are wrong too.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.nesting import OPENING, PARTNER, draw_nested, stacks
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.rewards.fields import read_words
from fulmen.types import Task

NONE = "none"
NOTHING = "-"
"""How a step shows that no bracket is open."""
MAX_DRAWS = 64


@dataclass(frozen=True, kw_only=True)
class DyckLanguageReasoningErrors(PuzzleEnv):
    """A stack trace with mistakes."""

    name: str = "dyck_language_reasoning_errors"
    length: int = 16
    """Brackets, and steps, an even number from 4 to 200."""
    num_types: int = 3
    """Kinds of brackets, 2 to 4, in the order ( [ { <."""
    max_depth: int = 6
    """Most brackets open at any place, 2 to 16."""
    max_mistakes: int = 3
    """Most places where a mistake begins, 1 to a quarter of the length; the least is 0."""
    max_carried: int = 0
    """Most steps through which a mistake is carried on, 0 to 5."""

    rule: ClassVar[str] = "name the steps of a stack trace that show other brackets as open than are open there"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"length": 8, "num_types": 2, "max_depth": 3, "max_mistakes": 1},
        {"length": 12, "max_depth": 4, "max_mistakes": 2},
        {},
        {"length": 36, "num_types": 4, "max_depth": 9, "max_mistakes": 6, "max_carried": 1},
        {"length": 72, "num_types": 4, "max_depth": 14, "max_mistakes": 12, "max_carried": 3},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Brackets: {text}\nBelow, step k shows which brackets are open after the first k of them, outermost first, "
            '"-" if none is.\n{steps}\nWhich steps show something wrong? Judge each step by the brackets themselves, '
            'not by the step before it. Answer with the step numbers separated by commas, like "98, 99", or "none".',
            "Someone read {text} from left to right and wrote down, after each bracket, all brackets still open "
            '(oldest first; "-" means none):\n{steps}\nList every step whose note differs from what is really open at '
            "that point; whether it agrees with the neighbouring notes does not matter. Give the numbers only, in the "
            'form "98, 99"; if all notes are right, write "none".',
            "Check this trace of the bracket sequence {text}\n{steps}\nEvery line gives the number of the step, the "
            'bracket read, and the open brackets after it, from the outermost to the innermost ("-": nothing is open). '
            "A line is wrong exactly if these are not the brackets open there in the sequence, independent of earlier "
            'lines. Reply with all wrong step numbers, comma-separated ("98, 99"), or with "none".',
        ),
        "zh": (
            '括号序列：{text}\n下面第 k 步写出读完前 k 个括号后仍未闭合的括号，从外到内，没有则写 "-"。\n{steps}\n'
            '哪些步骤写错了？每一步只按括号序列本身判断，与前一步无关。回答步骤编号，用逗号分隔，如 "98, 99"；'
            '如果都正确，回答 "none"。',
            "有人从左到右阅读 {text} ，每读一个括号就记下当时所有未闭合的括号"
            '（先打开的在前，"-" 表示没有）：\n{steps}\n'
            "请找出所有与实际不符的步骤（只看括号序列，不看相邻步骤是否一致）。"
            '只写编号，格式为 "98, 99"；没有错误则写 "none"。',
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("length", self.length, low=4, high=200)
        if self.length % 2:
            raise ConfigError(f"length: {self.length}; allowed: an even number")
        require_between("num_types", self.num_types, low=2, high=len(OPENING))
        require_between("max_depth", self.max_depth, low=2, high=16)
        require_between("max_mistakes", self.max_mistakes, low=1, high=self.length // 4)
        require_between("max_carried", self.max_carried, low=0, high=5)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a trace in which some steps were spoilt."""
        text = draw_nested(rng, length=self.length, num_types=self.num_types, max_depth=self.max_depth)
        true = list(stacks(text))
        shown = list(true)
        num_mistakes = 0 if rng.random() < 1 / 6 else rng.randint(1, self.max_mistakes)
        for start in rng.sample(range(len(text)), num_mistakes):
            stack = self._mistake(rng, true[start])
            shown[start] = stack
            for place in range(start + 1, min(len(text), start + 1 + rng.randint(0, self.max_carried))):
                stack = stack + text[place] if text[place] in OPENING else stack[:-1]
                shown[place] = stack
        steps = "\n".join(
            f"{k}. {b}  {stack or NOTHING}" for k, (b, stack) in enumerate(zip(text, shown, strict=True), 1)
        )
        return Puzzle(
            key=(text, shown),
            prompt=self.phrase(rng, text=text, steps=steps),
            gold=", ".join(map(str, wrong_steps(text, shown))) or NONE,
            meta={"text": text, "shown": shown},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first step that is named wrongly, or not named."""
        shown = read_meta(task, "shown", kind=list)
        wrong = wrong_steps(read_meta(task, "text", kind=str), shown)
        named: list[int] = []
        if text.lower() not in (NONE, "无"):
            numbers = {str(number): number for number in range(1, len(shown) + 1)}
            named = [numbers[word] for word in read_words(text, allowed=numbers)]
        if len(set(named)) != len(named):
            raise DataError("answer: a step twice; allowed: each step once")
        for number in range(1, len(shown) + 1):
            if (number in named) != (number in wrong):
                return f"step {number} is {'wrong' if number in wrong else 'right'}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns what is open after each bracket, and whether the step shows it."""
        shown = read_meta(task, "shown", kind=list)
        text = read_meta(task, "text", kind=str)
        lines = [
            f"{number} {bracket} {stack or NOTHING} {'ok' if stack == seen else 'wrong'}"
            for number, (bracket, stack, seen) in enumerate(zip(text, stacks(text), shown, strict=True), 1)
        ]
        return "\n".join([*lines, ", ".join(map(str, wrong_steps(text, shown))) or NONE])

    def _mistake(self, rng: random.Random, stack: str) -> str:
        """Returns brackets that are not the stack: one more, one less, one of another kind, or two swapped."""
        for _ in range(MAX_DRAWS):
            place = rng.randrange(len(stack)) if stack else 0
            extra = OPENING[rng.randrange(self.num_types)]
            found = rng.choice(
                (
                    stack[:-1],
                    stack[:place] + stack[place + 1 :],
                    stack + extra,
                    stack[:place] + extra + stack[place + 1 :],
                    stack[:place] + stack[place : place + 2][::-1] + stack[place + 2 :],
                    stack + PARTNER[extra],
                )
            )
            if found != stack:
                return found
        return stack + OPENING[0]


def wrong_steps(text: str, shown: Sequence[str]) -> list[int]:
    """Returns the steps, from 1, that do not show the brackets open after them.

    Raises:
        TaskError: the text is not well nested, or has another number of steps.
    """
    true = list(stacks(text))
    if len(true) != len(text) or len(shown) != len(text):
        raise TaskError(
            f"task.meta['text']: {text!r}; allowed: well-nested brackets, one for each of {len(shown)} steps"
        )
    return [number for number, (stack, seen) in enumerate(zip(true, shown, strict=True), 1) if stack != seen]
