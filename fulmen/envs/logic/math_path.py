"""Math path: restore the hidden digits of a chain of whole-number operations.

A chain is made with its numbers, hence every puzzle has a solution; any digits that make the equation true are right.
Answers are matched against the printed equation character by character before anything is calculated.
"""

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.errors import ConfigError, DataError
from fulmen.types import Task

HIDDEN = "?"
OPERATORS = "+-*/%"
MAX_PRODUCT = 10**6
"""Largest product, quotient or remainder inside the chain that a puzzle is made from."""
MAX_WORKED_LINES = 40
"""Longest search that is told as a worked solution."""
_SYNONYMS = (("×", "*"), ("·", "*"), (r"\times", "*"), (r"\cdot", "*"), ("÷", "/"), (r"\div", "/"), ("−", "-"))
_PARTS = re.compile(r"[0-9?]+|[-+*/%]")


@dataclass(frozen=True, kw_only=True)
class MathPath(PuzzleEnv):
    """An equation whose left side lost digits."""

    name: str = "math_path"
    num_numbers: int = 5
    """Numbers of the chain, 2 to 16."""
    max_digits: int = 1
    """Digits of the longest number, 1 to 3."""
    operators: str = OPERATORS
    """Those that may occur: some of + - * / %."""
    hidden_percent: int = 70
    """Digits that are hidden, in percent of all on the left side, 1 to 100; one at least."""

    rule: ClassVar[str] = "put a digit for each question mark so that the equation is true"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"num_numbers": 4, "operators": "+-", "hidden_percent": 50},
        {"num_numbers": 5, "operators": "+-*", "hidden_percent": 60},
        {},
        {"num_numbers": 7, "max_digits": 2, "hidden_percent": 60},
        {"num_numbers": 10, "max_digits": 3, "hidden_percent": 60},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Replace every ? by a digit so that the equation is true: {equation}\n*, / and % come before + and -, each "
            "from left to right; a / must leave no remainder, a % b is the remainder of a divided by b, and nothing is "
            "divided by 0. Numbers of several digits do not start with 0. Answer with the full equation, like 1+2*3=7.",
            "Some digits of this equation were lost, each ? stands for one: {equation}. Restore them (any way that "
            "holds will do). Rules: % gives the remainder; first * / % from left to right, then + and -; divisions "
            "come out even and never have the divisor 0, nor does %; no number of two or more digits begins with 0. "
            "Write out the complete equation, for example 1+2*3=7.",
            "Find digits for the question marks, one digit (0-9) for each: {equation}\nThe usual order of operations "
            "holds, with % (remainder) as strong as * and /, left to right. Every division must be exact; dividing by "
            "0 or taking a remainder by 0 is forbidden, and so are leading zeros in longer numbers. "
            "Reply with the filled equation only, e.g. 1+2*3=7.",
        ),
        "zh": (
            "把每个 ? 换成一个数字，使等式成立：{equation}\n先从左到右算 *、/、%，再从左到右算 + 和 -；"
            "/ 必须整除，a % b 表示 a 除以 b 的余数，除数不能是 0，多位数不能以 0 开头。"
            "请写出完整的等式，例如 1+2*3=7。",
            "下面的等式丢失了一些数字，每个 ? 代表一个数字（0-9）：{equation}\n请补全，任何使等式成立的填法都可以。"
            "规则：% 是取余数，与 *、/ 同级，从左到右先算，然后算加减；除法必须除尽，不能除以 0 或对 0 取余；"
            "两位及以上的数首位不为 0。只回答补全后的等式，形如 1+2*3=7。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_numbers", self.num_numbers, low=2, high=16)
        require_between("max_digits", self.max_digits, low=1, high=3)
        require_between("hidden_percent", self.hidden_percent, low=1, high=100)
        if not self.operators or not set(self.operators) <= set(OPERATORS):
            raise ConfigError(f"operators: {self.operators!r}; allowed: some of {' '.join(OPERATORS)}")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a true equation with some digits of its left side hidden."""
        left = self._chain(rng)
        value = _value(left)
        assert value is not None, "a chain is made of legal steps"
        places = [place for place, character in enumerate(left) if character.isdigit()]
        num_hidden = max(1, round(len(places) * self.hidden_percent / 100))
        hidden = set(rng.sample(places, num_hidden))
        template = "".join(HIDDEN if place in hidden else character for place, character in enumerate(left))
        return Puzzle(
            key=(template, value),
            prompt=self.phrase(rng, equation=f"{template}={value}"),
            gold=f"{left}={value}",
            meta={"template": template, "value": value},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule that a filled equation breaks; its right side may be missing."""
        template = read_meta(task, "template", kind=str)
        value = read_meta(task, "value", kind=int)
        for spelling, operator in _SYNONYMS:
            text = text.replace(spelling, operator)
        left, equals, right = "".join(text.replace(r"\%", "%").split()).partition("=")
        if equals and right != str(value):
            raise DataError(f"answer: {right[:40]!r} after '='; allowed: {value}")
        if len(left) != len(template):
            raise DataError(f"answer: {left[:40]!r}; allowed: {template} with a digit for each ?")
        for given, found in zip(template, left, strict=True):
            if found not in "0123456789" if given == HIDDEN else found != given:
                raise DataError(f"answer: {left[:40]!r}; allowed: {template} with a digit for each ?")
        if leading := re.search(r"(?<![0-9])0[0-9]+", left):
            return f"{leading[0]} starts with 0"
        result = _value(left)
        if result is None:
            return "a division is not exact, or by 0"
        return "" if result == value else f"is {result}, not {value}"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns tries: all hidden digits but those of one summand are guessed, which tells what that one must be.

        Nothing where every summand is a product, or where no try of the first `MAX_WORKED_LINES` succeeds.
        """
        template = read_meta(task, "template", kind=str)
        value = read_meta(task, "value", kind=int)
        parts = _PARTS.findall(template)
        summands = [
            place
            for place, part in enumerate(parts)
            if HIDDEN in part and not {*parts[max(0, place - 1) : place], *parts[place + 1 : place + 2]} & set("*/%")
        ]
        if not summands:
            return ""
        solved_for = summands[-1]
        sign = -1 if solved_for and parts[solved_for - 1] == "-" else 1
        lines: list[str] = []
        while len(lines) < MAX_WORKED_LINES:
            guess = [_guess(part, rng) if HIDDEN in part else part for part in parts]
            guess[solved_for] = "0"
            rest = _value("".join(guess))
            guess[solved_for] = parts[solved_for]
            shown = "".join(guess)
            if rest is None:
                lines.append(f"{shown}: not exact")
                continue
            needed = (value - rest) * sign
            fits = re.fullmatch(parts[solved_for].replace(HIDDEN, "[0-9]"), str(needed)) is not None
            lines.append(f"{shown}: rest {rest}, {parts[solved_for]} must be {needed}{', yes' if fits else ', no'}")
            if fits:
                guess[solved_for] = str(needed)
                return "\n".join([*lines, f"{''.join(guess)}={value}"])
        return ""

    def _chain(self, rng: random.Random) -> str:
        """Returns numbers and operators whose divisions are exact."""
        text = str(product := self._number(rng))
        for _ in range(self.num_numbers - 1):
            operator, number = rng.choice(self.operators), self._number(rng)
            if operator in "/%":
                divisors = [d for d in range(1, 10**self.max_digits) if operator == "%" or product % d == 0]
                number = rng.choice(divisors)
            if operator == "*" and product * number > MAX_PRODUCT:
                number = 1
            text += f"{operator}{number}"
            product = {"*": product * number, "/": product // (number or 1), "%": product % (number or 1)}.get(
                operator, number
            )
        return text

    def _number(self, rng: random.Random) -> int:
        """Returns a number of up to `max_digits` digits; each length is as likely as another."""
        num_digits = rng.randint(1, self.max_digits)
        return rng.randint(10 ** (num_digits - 1) if num_digits > 1 else 0, 10**num_digits - 1)


def _value(chain: str) -> int | None:
    """Returns the value of a chain without `?`, or None if it divides by 0 or leaves a remainder in a `/`."""
    parts = _PARTS.findall(chain)
    total, sign, product = 0, 1, int(parts[0])
    for operator, number in zip(parts[1::2], map(int, parts[2::2]), strict=True):
        if operator in "+-":
            total, sign, product = total + sign * product, 1 if operator == "+" else -1, number
        elif operator == "*":
            product *= number
        elif number == 0 or (operator == "/" and product % number):
            return None
        else:
            product = product // number if operator == "/" else product % number
    return total + sign * product


def _guess(part: str, rng: random.Random) -> str:
    """Returns a number that fits one with hidden digits, without a leading zero."""
    digits = [str(rng.randint(0, 9)) if character == HIDDEN else character for character in part]
    if len(digits) > 1 and part[0] == HIDDEN:
        digits[0] = str(rng.randint(1, 9))
    return "".join(digits)
