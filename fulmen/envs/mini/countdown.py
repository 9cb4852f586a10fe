"""Countdown: combine given numbers, each once, into a target.

Puzzles are made by playing: random steps with results that stay whole, nonnegative and at most `MAX_RESULT`, whose
end is the target; so each has a solution. Any expression of that value and just those numbers is right, fractions and
negative results on the way included.
"""

import random
from dataclasses import dataclass

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge, read_meta, require_between
from fulmen.rewards.arithmetic import evaluate
from fulmen.types import Message, Score, Split, StopReason, Task

KIND = "countdown"
MAX_RESULT = 199
"""Largest intermediate result of a worked solution."""
DRAWS_PER_DETOUR = 8
"""Random plays tried for each failed attempt; tiny puzzles have too few of them."""


@dataclass(frozen=True, kw_only=True)
class Countdown(SingleTurn):
    """Numbers to combine into a target by + - * / and parentheses."""

    name: str = KIND
    """What `Task.env` says."""
    num_numbers: int = 3
    """Numbers given, 2 to 6."""
    max_number: int = 12
    """Largest number given, 1 to 99."""
    max_target: int = 30
    """Largest target, 1 to `MAX_RESULT`."""
    max_detours: int = 3
    """Most failed attempts in a worked solution, 0 to 16."""

    def __post_init__(self) -> None:
        require_between("num_numbers", self.num_numbers, low=2, high=6)
        require_between("max_number", self.max_number, low=1, high=99)
        require_between("max_target", self.max_target, low=1, high=MAX_RESULT)
        require_between("max_detours", self.max_detours, low=0, high=16)

    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream."""
        return draw_task(self._draw, kind=KIND, name=self.name, split=split, seed=seed, index=index)

    def check(self, task: Task, answer: Message | str, *, stop_reason: StopReason = "stop") -> Score:
        """Returns 1.0 if the answer uses exactly the numbers and has exactly the target's value."""
        numbers = sorted(read_meta(task, "numbers", env=self.name, kind=list))
        target = read_meta(task, "target", env=self.name, kind=int)

        def find_fault(text: str) -> str:
            found = evaluate(text)
            if sorted(found.literals) != numbers:
                return f"uses {sorted(found.literals)}, not {numbers}"
            return "" if found.value == target else f"is {found.value}, not {target}"

        return judge(answer, stop_reason=stop_reason, find_fault=find_fault)

    def worked_solution(self, task: Task, rng: random.Random) -> Message:
        """Returns up to `max_detours` different attempts that fail, then one that succeeds, an attempt per line."""
        numbers = read_meta(task, "numbers", env=self.name, kind=list)
        target = read_meta(task, "target", env=self.name, kind=int)
        steps = read_meta(task, "steps", env=self.name, kind=list)
        num_detours = rng.randint(0, self.max_detours)
        detours: dict[tuple[str, ...], str] = {}
        for _ in range(num_detours * DRAWS_PER_DETOUR):
            if len(detours) == num_detours:
                break
            play = _play(numbers, rng)
            if play.value != target:
                detours.setdefault(play.identity, f"{','.join(play.steps)} no")
        thinking = "\n".join([*detours.values(), f"{','.join(steps)} yes"])
        return Message(role="assistant", content=task.gold, thinking=thinking)

    def _draw(self, rng: random.Random) -> Puzzle:
        """Returns a puzzle whose target is where a random play ended."""
        while True:
            numbers = [rng.randint(1, self.max_number) for _ in range(self.num_numbers)]
            play = _play(numbers, rng)
            if 1 <= play.value <= self.max_target:
                break
        return Puzzle(
            key=(sorted(numbers), play.value),
            prompt=f"Use {' '.join(map(str, numbers))} once each to make {play.value}.",
            gold=play.expression,
            meta={"numbers": numbers, "target": play.value, "steps": list(play.steps)},
        )


@dataclass(frozen=True, kw_only=True)
class _Play:
    """Numbers combined two by two until one is left."""

    steps: tuple[str, ...]
    """`a+b=c` each."""
    identity: tuple[str, ...]
    """Equal for plays that differ only in the order of their steps or of the operands of + and *."""
    value: int
    """The number that is left."""
    expression: str
    """The play as one expression, without outermost parentheses."""


def _play(numbers: list[int], rng: random.Random) -> _Play:
    """Returns a random play; a step that breaks the bounds is drawn again (a difference always exists)."""
    pool = [(number, str(number)) for number in numbers]
    steps, identity = [], []
    while len(pool) > 1:
        i, j = rng.sample(range(len(pool)), 2)
        (left, left_text), (right, right_text) = pool[i], pool[j]
        operator = rng.choice("+-*/")
        value = _combine(left, operator, right)
        if value is None:
            continue
        steps.append(f"{left}{operator}{right}={value}")
        low, high = (min(left, right), max(left, right)) if operator in "+*" else (left, right)
        identity.append(f"{low}{operator}{high}")
        pool = [item for k, item in enumerate(pool) if k not in (i, j)]
        is_last = not pool
        text = f"{left_text}{operator}{right_text}"
        pool.append((value, text if is_last else f"({text})"))
    value, expression = pool[0]
    return _Play(steps=tuple(steps), identity=tuple(sorted(identity)), value=value, expression=expression)


def _combine(left: int, operator: str, right: int) -> int | None:
    """Returns the result of one step, or None if it is not a whole number from 0 to `MAX_RESULT`."""
    if operator == "/":
        return left // right if right and left % right == 0 else None
    value = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return value if 0 <= value <= MAX_RESULT else None
