"""Game of 24: combine all numbers, each once, into a target by some of the operators.

Puzzles are made backwards: the target is split into a sum, difference, product or quotient, its parts again, until
every number is small enough to be given; so each has a solution in whole numbers. Any expression of that value over
just those numbers and operators is right, fractions and negative results on the way included.
"""

import random
from dataclasses import dataclass, field
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError, DataError
from fulmen.rewards.arithmetic import evaluate
from fulmen.types import Task

OPERATORS = "+-*/"
SPELLINGS = {"+": ("+",), "-": ("-", "−"), "*": ("*", "×", "·", r"\times", r"\cdot"), "/": ("/", "÷", r"\div")}
"""Every operator as `evaluate` reads it."""
MAX_RESULT = 2000
"""Largest intermediate result of the solution that a puzzle is made from."""
MAX_DRAWS = 5000
MAX_DETOURS = 3
"""Most failed attempts in a worked solution."""


@dataclass(frozen=True, kw_only=True)
class GameOf24(PuzzleEnv):
    """Numbers to combine into a target."""

    name: str = "game_of_24"
    num_numbers: int = 4
    """Numbers given, 2 to 8."""
    max_number: int = 20
    """Largest number given, 2 to 100."""
    min_number: int = 1
    """Smallest number given, 1 or more, below the largest."""
    min_target: int = 24
    """Smallest target, 1 or more."""
    max_target: int = 24
    """Largest target, up to 1000."""
    min_operators: int = 3
    """Fewest operators that may be used, 2 to 4; which ones is drawn."""

    rule: ClassVar[str] = "make the target from all the numbers, each used once, with the operators that are allowed"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"num_numbers": 3, "max_number": 20, "min_target": 1, "max_target": 60},
        {"num_numbers": 4, "max_number": 12, "min_target": 10, "max_target": 40, "min_operators": 4},
        {},
        {"num_numbers": 5, "max_number": 25, "min_number": 2, "min_target": 24, "max_target": 120},
        {"num_numbers": 6, "max_number": 60, "min_number": 3, "min_target": 100, "max_target": 700},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Use each of the numbers {numbers} exactly once, with {operators} and parentheses, to make {target}. "
            "Numbers cannot be joined into longer ones, nor have a sign. Answer with the expression alone, like "
            "(1+2)*3.",
            "Numbers: {numbers}. Target: {target}. Write one expression whose value is exactly the target. Every "
            "number of the list stands in it once, no other number does, and the only operators are {operators}, each "
            "between two parts (no signs; parentheses are free). Give just the expression, for instance (1+2)*3.",
            "Can you reach {target}? Combine all of {numbers}, each one time, by {operators}; group with parentheses "
            "as you like, but do not glue digits together and put no sign before a number. Reply with an arithmetic "
            "expression only, such as (1+2)*3.",
        ),
        "zh": (
            "用 {operators} 和括号把 {numbers} 组合成 {target}，每个数恰好用一次，不能把数字拼接成更大的数，"
            "数前不加正负号。只回答算式，例如 (1+2)*3。",
            "数字：{numbers}。目标：{target}。写出一个值恰好等于目标的算式：列出的每个数都要用且只用一次，"
            "不得出现其他数，只能使用运算符 {operators}，括号不限，数前不加正负号。答案只写算式，形如 (1+2)*3。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_numbers", self.num_numbers, low=2, high=8)
        require_between("max_number", self.max_number, low=2, high=100)
        require_between("min_number", self.min_number, low=1, high=self.max_number - 1)
        require_between("min_target", self.min_target, low=1, high=1000)
        require_between("max_target", self.max_target, low=1, high=1000)
        require_between("min_operators", self.min_operators, low=2, high=4)
        if self.min_target > self.max_target:
            raise ConfigError(f"min_target: {self.min_target}; allowed: up to max_target = {self.max_target}")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a target with the numbers that it was split into."""
        for _ in range(MAX_DRAWS):
            chosen = rng.sample(OPERATORS, rng.randint(self.min_operators, 4))
            operators = [operator for operator in OPERATORS if operator in chosen]
            target = rng.randint(self.min_target, self.max_target)
            split = _Splitter(rng=rng, operators=operators, smallest=self.min_number, largest=self.max_number)
            expression = split.expression(target, self.num_numbers)
            if expression:
                break
        else:
            raise ConfigError(
                f"max_target: {self.max_target}; allowed: what {self.num_numbers} numbers up to {self.max_number} reach"
            )
        numbers = list(evaluate(expression).literals)
        rng.shuffle(numbers)
        return Puzzle(
            key=(sorted(numbers), target, operators),
            prompt=self.phrase(
                rng, numbers=", ".join(map(str, numbers)), operators=", ".join(operators), target=target
            ),
            gold=expression[1:-1],
            meta={"numbers": numbers, "target": target, "operators": operators, "steps": split.steps},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns what is wrong with an expression; `= target` may follow it."""
        numbers = sorted(read_meta(task, "numbers", kind=list))
        target = read_meta(task, "target", kind=int)
        operators = read_meta(task, "operators", kind=list)
        expression, equals, result = text.partition("=")
        if equals and result.strip() != str(target):
            raise DataError(f"answer: {result[:40]!r} after '='; allowed: an expression, or one with '= {target}'")
        found = evaluate(expression)
        if sorted(found.literals) != numbers:
            return f"uses {sorted(found.literals)}, not {numbers}"
        for operator, spellings in SPELLINGS.items():
            if operator not in operators and any(spelling in expression for spelling in spellings):
                return f"uses {operator}, not among {' '.join(operators)}"
        return "" if found.value == target else f"is {found.value}, not {target}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns up to `MAX_DETOURS` different plays that miss the target, then one that meets it, a play per line."""
        numbers = read_meta(task, "numbers", kind=list)
        target = read_meta(task, "target", kind=int)
        operators = read_meta(task, "operators", kind=list)
        lines: list[str] = []
        num_detours = rng.randint(0, MAX_DETOURS)
        for _ in range(4 * num_detours):
            steps, value = _play(numbers, operators, rng)
            line = f"{', '.join(steps)}: not {target}"
            if len(lines) < num_detours and value not in (None, target) and line not in lines:
                lines.append(line)
        steps = read_meta(task, "steps", kind=list)
        return "\n".join([*lines, f"{', '.join(steps)}: yes", task.gold])


@dataclass(kw_only=True)
class _Splitter:
    """Makes an expression of a value by splitting it again and again."""

    rng: random.Random
    operators: list[str]
    smallest: int
    largest: int
    steps: list[str] = field(default_factory=list)
    """`a+b=c` each, in the order of calculation."""

    def expression(self, value: int, num_numbers: int) -> str:
        """Returns an expression of that many numbers in parentheses, or an empty string if this try failed."""
        if num_numbers == 1:
            return str(value) if self.smallest <= value <= self.largest else ""
        pairs = self._pairs(value) if num_numbers == 2 else [self._parts(value, self.rng.choice(self.operators))]
        if not pairs or not (found := self.rng.choice(pairs)):
            return ""
        operator, *parts = found
        num_left = self.rng.randint(1, num_numbers - 1)
        left = self.expression(parts[0], num_left)
        right = left and self.expression(parts[1], num_numbers - num_left)
        if not right:
            return ""
        self.steps.append(f"{parts[0]}{operator}{parts[1]}={value}")
        return f"({left}{operator}{right})"

    def _pairs(self, value: int) -> list[tuple[str, int, int] | None]:
        """Returns every operator with two numbers that may be given and that it makes the value of."""
        low, high = self.smallest, self.largest
        found: list[tuple[str, int, int] | None] = []
        for right in range(low, high + 1):
            lefts = {"+": value - right, "-": value + right, "*": 0 if value % right else value // right}
            lefts["/"] = value * right
            found += [
                (operator, lefts[operator], right) for operator in self.operators if low <= lefts[operator] <= high
            ]
        return found

    def _parts(self, value: int, operator: str) -> tuple[str, int, int] | None:
        """Returns the operator with two positive whole numbers that it makes the value of, or None."""
        if operator == "+":
            return ("+", left := self.rng.randint(1, value - 1), value - left) if value > 1 else None
        if operator == "*":
            left = self.rng.choice([number for number in range(1, value + 1) if value % number == 0])
            return "*", left, value // left
        right = self.rng.randint(1, self.largest * (3 if operator == "-" else 1))
        left = value + right if operator == "-" else value * right
        return (operator, left, right) if left <= MAX_RESULT else None


def _play(numbers: list[int], operators: list[str], rng: random.Random) -> tuple[list[str], int | None]:
    """Returns random steps from the numbers to one that is left; None if a step left the natural numbers."""
    pool, steps = list(numbers), list[str]()
    while len(pool) > 1:
        left, right = (pool.pop(rng.randrange(len(pool))) for _ in range(2))
        operator = rng.choice(operators)
        found = evaluate(f"{left}{operator}{right}").value if right or operator != "/" else None
        if found is None or found.denominator != 1 or not 0 <= found <= MAX_RESULT:
            return steps, None
        steps.append(f"{left}{operator}{right}={found}")
        pool.append(int(found))
    return steps, pool[0]
