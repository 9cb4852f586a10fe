"""How a bundled problem is written: one module with one `PROBLEM`, everything that builds and proves its tests in it.

The generator and the validator are functions of ours and run here. Solutions are program texts and run in the sandbox
alone: a reference, an independent slow one for small inputs, and wrong ones that the tests must refuse.

    def generate(rng, size):            an input of a size, from 1 to `large`
        return f"{size}\n{' '.join(str(rng.randint(-9, 9)) for _ in range(size))}\n"

    def validate(given):                raises DataError unless the input is just as the statement promises
        (num,) = given.ints(1, low=1, high=20000)
        given.ints(num, low=-9, high=9)

Where a function is called, `generate` returns the list of arguments and `validate` reads `given.arguments`.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fulmen.envs.code.record import Level
from fulmen.errors import DataError
from fulmen.rewards.judge import Judge
from fulmen.types import stable_seed

Input = str | list[Any]
"""What stdin holds, or the arguments of the function."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")


@dataclass(frozen=True, kw_only=True)
class Text:
    """A problem in one language."""

    task: str
    """The story and the question."""
    given: str
    """What is read, line by line or argument by argument, with all bounds."""
    wanted: str
    """What is written or returned."""


class Given:
    """An input under validation: lines are taken one by one, in a strict form."""

    def __init__(self, text: str, *, is_call: bool) -> None:
        """Takes an input; of a call, its arguments as JSON."""
        self._text, self._is_call, self._place = text, is_call, 0
        self._lines = [] if is_call else text.split("\n")

    @cached_property
    def arguments(self) -> list[Any]:
        """The arguments of a call."""
        values = json.loads(self._text) if self._is_call else None
        require(isinstance(values, list), "arguments: none; allowed: a JSON list")
        assert isinstance(values, list), "checked above"
        return values

    def line(self) -> str:
        """Returns the next line."""
        # The last piece is what follows the last line end, and no line.
        require(self._place < len(self._lines) - 1, f"line {self._place + 1}: missing; allowed: a line that ends")
        self._place += 1
        return self._lines[self._place - 1]

    def ints(self, count: int, *, low: int, high: int) -> list[int]:
        """Returns the integers of the next line: so many, within bounds, one space between them."""
        line = self.line()
        words = line.split(" ") if line else []
        for word in words:
            require(_INTEGER.fullmatch(word) is not None, f"line {self._place}: {word[:20]!r}; allowed: an integer")
        return check_ints([int(word) for word in words], count, low=low, high=high)

    def word(self, *, low: int, high: int, alphabet: str) -> str:
        """Returns the next line, a word of a length within bounds over an alphabet."""
        return check_word(self.line(), low=low, high=high, alphabet=alphabet)

    def end(self) -> None:
        """Accepts an input that was read to its end."""
        left = self._lines[self._place :]
        require(self._is_call or left == [""], f"line {self._place + 1}: left over; allowed: the end")


def require(holds: bool, fault: str) -> None:
    """Raises DataError where something does not hold."""
    if not holds:
        raise DataError(f"input: {fault}")


def check_ints(values: Any, count: int | None = None, *, low: int, high: int) -> list[int]:
    """Returns a list of integers, as many as wanted and within bounds. Raises: DataError."""
    require(isinstance(values, list), f"{values!r:.40}; allowed: a list")
    require(count is None or len(values) == count, f"{len(values)} integers; allowed: {count}")
    for value in values:
        check_int(value, low=low, high=high)
    return list(values)


def check_int(value: Any, *, low: int, high: int) -> int:
    """Returns an integer within bounds. Raises: DataError."""
    require(type(value) is int and low <= value <= high, f"{value!r:.40}; allowed: an integer, {low} to {high}")
    return int(value)


def check_word(value: Any, *, low: int, high: int, alphabet: str) -> str:
    """Returns a text of a length within bounds over an alphabet. Raises: DataError."""
    require(isinstance(value, str) and low <= len(value) <= high, f"{value!r:.40}; allowed: {low} to {high} characters")
    require(set(value) <= set(alphabet), f"{value!r:.40}; allowed: characters of {alphabet!r}")
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """All that an author writes."""

    name: str
    """That of its module."""
    level: Level
    en: Text
    zh: Text | None = None
    samples: tuple[tuple[Input, Any], ...]
    """Inputs and outputs that are shown; of a call, arguments and result."""
    generate: Callable[[random.Random, int], Input]
    """From chance and size to an input; every size from 1 to `large` is allowed."""
    validate: Callable[[Given], None]
    """Raises DataError for an input that the statement rules out."""
    small: int
    """Largest size that `brute` can do."""
    large: int
    """Largest size the statement allows, or such that slow solutions show."""
    edges: tuple[Input, ...] = ()
    """Inputs that chance would miss."""
    solution: str
    """In Python."""
    brute: str
    """In Python: another way, however slow."""
    wrong: Mapping[str, str]
    """What is wrong with it, to a program in Python; at least two."""
    cpp: str = ""
    """A right program in C++."""
    idea: str
    """How it is solved, in a sentence or two."""
    function: str = ""
    """To be called; empty: stdin and stdout."""
    signature: str = ""
    """`def f(a: list[int]) -> int`, where a function is called."""
    judge: Judge = field(default_factory=Judge)
    cpu_s: float = 2.0
    """Of one test."""
    memory_mb: int = 256
    """Of one test."""

    def __post_init__(self) -> None:
        """Checks what every author can forget."""
        assert len(self.wrong) >= 2, f"{self.name}: {len(self.wrong)} wrong solutions; allowed: two or more"
        assert bool(self.function) == bool(self.signature), f"{self.name}: a function has a signature"
        assert not (self.function and self.cpp), f"{self.name}: functions are called in Python only"
        assert 1 <= self.small < self.large, f"{self.name}: sizes {self.small} and {self.large}"

    def draw(self, size: int, seed: int) -> str:
        """Returns the input at a size and seed, the same on every machine."""
        assert 1 <= size <= self.large, f"{self.name}: size {size}"
        return self.dump_input(self.generate(random.Random(stable_seed(self.name, size, seed)), size))

    def dump_input(self, given: Input) -> str:
        """Returns an input as the sandbox takes it: a text, or the arguments as JSON."""
        assert isinstance(given, list) == bool(self.function), f"{self.name}: lists are for calls, texts for stdin"
        return given if isinstance(given, str) else json.dumps(given)

    def dump_output(self, wanted: Any) -> str:
        """Returns an output as a judge takes it."""
        return json.dumps(wanted) if self.function else str(wanted)

    def check_input(self, given: str) -> None:
        """Accepts an input that the statement allows. Raises: DataError."""
        reader = Given(given, is_call=bool(self.function))
        self.validate(reader)
        reader.end()
