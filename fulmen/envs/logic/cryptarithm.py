"""Cryptarithm: letters stand for digits so that an equation holds.

Puzzles are made from a true equation whose digits become letters, so each has a solution; whoever finds another one is
right too.
"""

import itertools
import math
import random
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError, DataError
from fulmen.rewards.fields import read_pairs
from fulmen.types import Task

MAX_DRAWS = 5000
MAX_WORKED_LINES = 60
"""Longest search that is told as a worked solution."""
_BETWEEN_PAIRS = re.compile(r"(?<=[0-9])[ \t]+(?=[A-Za-z])")


@dataclass(frozen=True, kw_only=True)
class Cryptarithm(PuzzleEnv):
    """An equation in letters to turn into digits."""

    name: str = "cryptarithm"
    num_letters: int = 7
    """Different letters, 3 to 10."""
    num_operators: int = 1
    """Operators on the left side, 1 to 4."""
    operators: str = "+-"
    """Those that may occur: some of + - *."""
    max_digits: int = 4
    """Digits of the longest number on the left side, 1 to 6."""
    num_given: int = 0
    """Letters whose digit is told, fewer than all."""

    rule: ClassVar[str] = "give each letter a digit of its own so that the equation holds"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"num_letters": 5, "operators": "+", "max_digits": 2, "num_given": 3},
        {"num_letters": 6, "operators": "+", "max_digits": 3, "num_given": 2},
        {},
        {"num_letters": 8, "num_operators": 2, "operators": "+-*", "max_digits": 3},
        {"num_letters": 10, "num_operators": 3, "operators": "+-*", "max_digits": 4},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Every letter stands for one digit (0-9), different letters for different digits, and no number of several "
            "digits starts with 0. Multiply before you add or subtract. {equation}{given}. Answer with the digit of "
            "every letter, like X=1, Y=2.",
            "Solve the puzzle {equation}{given}. Replace each letter by a digit from 0 to 9, the same letter always by "
            "the same digit and two letters never by the same, so that the equation is true (usual order of "
            "operations). Numbers with two or more digits must not begin with 0. List all letters, e.g. X=1, Y=2.",
            "In this equation digits have been written as letters, one letter for each different digit: "
            "{equation}{given}. Which digits make it true? A leading 0 is not allowed in numbers of more than one "
            "digit, and * comes before + and -. Any solution counts. Write it as letter=digit for every letter, "
            "separated by commas, for example X=1, Y=2.",
        ),
        "zh": (
            "每个字母代表一个数字（0-9），不同的字母代表不同的数字，多位数的首位不能是 0，先乘后加减。"
            "{equation}{given}。请写出每个字母代表的数字，格式如 X=1, Y=2。",
            "算式谜：{equation}{given}。把每个字母换成 0 到 9 的数字，相同字母换成相同数字，不同字母换成不同数字，"
            "使等式成立（按通常的运算顺序）；两位及以上的数不能以 0 开头，任何一个解都可以。"
            "列出所有字母，例如 X=1, Y=2。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_letters", self.num_letters, low=3, high=10)
        require_between("num_operators", self.num_operators, low=1, high=4)
        require_between("max_digits", self.max_digits, low=1, high=6)
        require_between("num_given", self.num_given, low=0, high=self.num_letters - 1)
        if not self.operators or not set(self.operators) <= set("+-*"):
            raise ConfigError(f"operators: {self.operators!r}; allowed: some of + - *")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a true equation with its digits written as letters."""
        for _ in range(MAX_DRAWS):
            equation = self._equation(rng)
            digits = sorted(set(equation) & set(string.digits))
            if len(digits) == self.num_letters:
                break
        else:
            raise ConfigError(f"num_letters: {self.num_letters}; allowed: what the other settings can reach")
        letters = dict(zip(digits, sorted(rng.sample(string.ascii_uppercase, len(digits))), strict=True))
        shuffled = list(letters.values())
        rng.shuffle(shuffled)
        letters = dict(zip(digits, shuffled, strict=True))
        hidden = "".join(letters.get(character, character) for character in equation)
        solution = {letters[digit]: int(digit) for digit in digits}
        given = {letter: solution[letter] for letter in sorted(rng.sample(sorted(solution), self.num_given))}
        return Puzzle(
            key=_canonical(hidden, given),
            prompt=self.phrase(rng, equation=hidden, given=self._tell(given)),
            gold=_listed(solution),
            meta={"equation": hidden, "given": given},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule that an assignment of digits breaks."""
        equation = read_meta(task, "equation", kind=str)
        given = read_meta(task, "given", kind=dict)
        letters = _letters(equation)
        pairs = read_pairs(_BETWEEN_PAIRS.sub(", ", text), keys=[letter.lower() for letter in letters])
        digits = {letter: pairs[letter.lower()] for letter in letters}
        for letter, digit in digits.items():
            if len(digit) != 1 or digit not in string.digits:
                raise DataError(f"answer: {letter}={digit[:20]!r}; allowed: a digit from 0 to 9")
            if letter in given and int(digit) != given[letter]:
                return f"{letter} is {digit}, but {given[letter]} was given"
        if len(set(digits.values())) != len(digits):
            return "two letters have the same digit"
        numbers = "".join(digits.get(character, character) for character in equation)
        if leading := re.search(r"\b0[0-9]", numbers):
            return f"{numbers[leading.start() :].split()[0]} starts with 0"
        left, right = numbers.split(" = ")
        return "" if _value(left) == int(right) else f"{left} is {_value(left)}, not {right}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns a search, of whole assignments if they are few, of columns from the right in sums of natural numbers.

        Nothing where it takes more than `MAX_WORKED_LINES`, or where longer equations multiply or subtract.
        """
        equation = read_meta(task, "equation", kind=str)
        given = dict(read_meta(task, "given", kind=dict))
        lines = [f"given {_listed(given)}"] if given else []
        unknown = [letter for letter in _letters(equation) if letter not in given]
        free = [digit for digit in range(10) if digit not in given.values()]
        if math.perm(len(free), len(unknown)) <= MAX_WORKED_LINES:
            found = _search(equation, unknown, free, given, lines)
        elif set(equation) & set("*-"):
            return ""
        else:
            found = _Columns(numbers=re.findall("[A-Z]+", equation), lines=lines).search(0, 0, given)
        return "\n".join([*lines, _listed(found)]) if found else ""

    def _equation(self, rng: random.Random) -> str:
        """Returns a true equation in digits, or an empty string if the right side would be negative."""
        pool = rng.sample(string.digits, self.num_letters)
        numbers = []
        for _ in range(self.num_operators + 1):
            number = "".join(rng.choice(pool) for _ in range(rng.randint(1, self.max_digits)))
            numbers.append(str(int(number)))
        left = numbers[0] + "".join(f" {rng.choice(self.operators)} {number}" for number in numbers[1:])
        value = _value(left)
        return f"{left} = {value}" if value >= 0 else ""

    def _tell(self, given: Mapping[str, int]) -> str:
        """Returns the clause about the letters whose digit is told."""
        if not given:
            return ""
        return {"en": f", where {_listed(given)}", "zh": f"，其中 {_listed(given)}"}[self.language]


def _value(expression: str) -> int:
    """Returns the value of numbers and operators separated by spaces; * binds tighter."""
    total, product, sign = 0, 1, 1
    for token in expression.split(" "):
        if token in ("+", "-"):
            total, product, sign = total + sign * product, 1, 1 if token == "+" else -1
        elif token != "*":
            product *= int(token)
    return total + sign * product


def _letters(equation: str) -> list[str]:
    """Returns the letters of an equation in the order of the alphabet."""
    return sorted(set(equation) & set(string.ascii_uppercase))


def _listed(digits: Mapping[str, int]) -> str:
    return ", ".join(f"{letter}={digits[letter]}" for letter in sorted(digits))


def _canonical(equation: str, given: Mapping[str, int]) -> tuple[str, list[list[str | int]]]:
    """Returns the equation with its letters renamed in the order they first occur, and what is given of them."""
    names: dict[str, str] = {}
    for character in equation:
        if character.isalpha():
            names.setdefault(character, string.ascii_uppercase[len(names)])
    renamed = "".join(names.get(character, character) for character in equation)
    pairs: list[list[str | int]] = [[names[letter], digit] for letter, digit in given.items()]
    return renamed, sorted(pairs, key=str)


def _search(
    equation: str, unknown: list[str], free: list[int], digits: Mapping[str, int], lines: list[str]
) -> dict[str, int]:
    """Returns the first assignment in order that holds; appends a line for each that was tried."""
    if unknown:
        for digit in free:
            rest = [other for other in free if other != digit]
            if found := _search(equation, unknown[1:], rest, {**digits, unknown[0]: digit}, lines):
                return found
        return {}
    numbers = "".join(str(digits.get(character, character)) for character in equation)
    if re.search(r"\b0[0-9]", numbers):
        lines.append(f"{numbers}: starts with 0")
        return {}
    left, right = numbers.split(" = ")
    lines.append(f"{numbers}: {'yes' if _value(left) == int(right) else f'no, {_value(left)}'}")
    return dict(digits) if _value(left) == int(right) else {}


@dataclass(kw_only=True)
class _Columns:
    """Finds the digits of a sum column by column, from the right."""

    numbers: list[str]
    """In letters; the last one is the sum."""
    lines: list[str]
    """What was tried; it grows."""

    def search(self, column: int, carry: int, digits: Mapping[str, int]) -> dict[str, int]:
        """Returns the first digits that fit this column and all to its left; empty if none do, or it takes too long."""
        columns = [number[::-1][column : column + 1] for number in self.numbers]
        *addends, letter = columns
        if not letter:
            return dict(digits) if carry == 0 and not any(addends) else {}
        addends = [addend for addend in addends if addend]
        unknown = [addend for addend in dict.fromkeys(addends) if addend not in digits]
        free = [digit for digit in range(10) if digit not in digits.values()]
        for choice in itertools.permutations(free, len(unknown)):
            trial = {**digits, **dict(zip(unknown, choice, strict=True))}
            total = carry + sum(trial[addend] for addend in addends)
            if not self._fits(trial, letter, total % 10):
                continue
            sides = [f"{addend}={trial[addend]}" for addend in addends] + [f"carry {carry}"] * bool(carry)
            self.lines.append(f"column {column + 1}: {' + '.join(sides)} = {total}, {letter}={total % 10}")
            found = self.search(column + 1, total // 10, {**trial, letter: total % 10})
            if found or len(self.lines) > MAX_WORKED_LINES:
                return found
        self.lines.append(f"column {column + 1}: nothing more fits, back")
        return {}

    def _fits(self, digits: Mapping[str, int], letter: str, digit: int) -> bool:
        """Returns whether the letter can have the digit, and no number starts with 0."""
        complete = {**digits, letter: digit}
        is_free = digits[letter] == digit if letter in digits else digit not in digits.values()
        return is_free and all(complete.get(number[0]) != 0 for number in self.numbers if len(number) > 1)
