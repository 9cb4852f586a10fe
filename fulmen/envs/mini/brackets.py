"""Brackets: close what a prefix left open.

The checker balances prefix and answer together instead of comparing with the gold; since no more characters than
needed may be used, one answer is right.
"""

import random
from dataclasses import dataclass

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge, read_meta, require_between
from fulmen.errors import ConfigError, DataError, TaskError
from fulmen.types import Message, Score, Split, StopReason, Task

KIND = "brackets"
OPENING = "([{<"
CLOSING = ")]}>"
PARTNER = dict(zip(OPENING, CLOSING, strict=True))
MIN_OPEN, MAX_DEPTH = 3, 9
"""Fewest brackets left open, and most open at any place."""


@dataclass(frozen=True, kw_only=True)
class Brackets(SingleTurn):
    """A well-nested prefix to complete with closing brackets."""

    name: str = KIND
    """What `Task.env` says."""
    min_length: int = 24
    """Shortest prefix, in characters, 4 or more."""
    max_length: int = 34
    """Longest prefix, up to 256."""
    num_types: int = 4
    """Kinds of brackets, 1 to 4, in the order ( [ { <."""

    def __post_init__(self) -> None:
        require_between("min_length", self.min_length, low=4, high=256)
        require_between("max_length", self.max_length, low=4, high=256)
        require_between("num_types", self.num_types, low=1, high=len(OPENING))
        if self.min_length > self.max_length:
            raise ConfigError(f"min_length: {self.min_length}; allowed: up to max_length = {self.max_length}")

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream."""
        return draw_task(self._draw, kind=KIND, name=self.name, split=split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 if prefix and answer together are balanced and the answer opens nothing new."""
        open_brackets = _open_after(read_meta(task, "prefix", env=self.name, kind=str))

        def find_fault(text: str) -> str:
            completion = "".join(text.split())
            if not set(completion) <= set(OPENING + CLOSING):
                raise DataError(f"brackets: {text[:40]!r}; allowed: {OPENING + CLOSING}")
            if len(completion) != len(open_brackets):
                return f"{len(completion)} brackets, not {len(open_brackets)}"
            for opening, closing in zip(reversed(open_brackets), completion, strict=True):
                if closing != PARTNER[opening]:
                    return f"{closing} does not close {opening}"
            return ""

        return judge(answer, stop_reason=stop_reason, find_fault=find_fault)

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Returns the prefix with the depth after each bracket, then a line of those still open; `rng` is unused."""
        prefix = read_meta(task, "prefix", env=self.name, kind=str)
        depth, counted = 0, ""
        for bracket in prefix:
            depth += 1 if bracket in OPENING else -1
            counted += f"{bracket}{depth}"
        return Message(role="assistant", content=task.gold, thinking=f"{counted}\n{_open_after(prefix)}")

    def _draw(self, rng: random.Random) -> Puzzle:
        """Returns a random walk of depths from 0 to the number left open, with random kinds."""
        length = rng.randint(self.min_length, self.max_length)
        num_open = rng.choice([n for n in range(MIN_OPEN, min(MAX_DEPTH, length) + 1) if (length - n) % 2 == 0])
        prefix, open_brackets = "", ""
        for remaining in range(length - 1, -1, -1):
            depth = len(open_brackets)
            can_open = depth < MAX_DEPTH and depth + 1 - num_open <= remaining
            can_close = depth > 0 and num_open - (depth - 1) <= remaining
            if can_open and (not can_close or rng.random() < 0.5):
                bracket = OPENING[rng.randrange(self.num_types)]
                open_brackets += bracket
            else:
                bracket = PARTNER[open_brackets[-1]]
                open_brackets = open_brackets[:-1]
            prefix += bracket
        gold = "".join(PARTNER[bracket] for bracket in reversed(open_brackets))
        return Puzzle(key=(prefix,), prompt=f"Close {prefix}", gold=gold, meta={"prefix": prefix})


def _open_after(prefix: str) -> str:
    """Returns the brackets that a prefix leaves open, outermost first.

    Raises:
        DataError: the prefix is not well nested.
    """
    open_brackets = ""
    for bracket in prefix:
        if bracket in OPENING:
            open_brackets += bracket
        elif open_brackets and PARTNER[open_brackets[-1]] == bracket:
            open_brackets = open_brackets[:-1]
        else:
            raise TaskError(f"task.meta['prefix']: {prefix!r}; allowed: well-nested brackets")
    return open_brackets
