"""Exact value of an integer expression, by recursive descent over a closed grammar.

    expression := term (("+" | "-") term)*
    term       := factor (("*" | "/") factor)*
    factor     := integer | "(" expression ")"

No sign, power, name, decimal or implied product: what the grammar does not name is an error, so model text never
reaches an interpreter. Division is exact (`Fraction`); length, depth and digits are bounded, hence so is the time.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from fulmen.errors import DataError

_SYNONYMS = {
    "×": "*",
    "·": "*",
    "÷": "/",
    "−": "-",
    r"\times": "*",
    r"\cdot": "*",
    r"\div": "/",
    r"\left(": "(",
    r"\right)": ")",
}
_TOKEN = re.compile(r"[0-9]+|[-+*/()]")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large an expression may be."""

    max_chars: int = 512
    """Length of the text."""
    max_depth: int = 32
    """Parentheses within parentheses."""
    max_digits: int = 9
    """Digits of one integer."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an expression says."""

    value: Fraction
    """Its exact value."""
    literals: tuple[int, ...]
    """The integers written in it, from left to right."""


def evaluate(text: str, *, limits: Limits | None = None) -> Evaluation:
    """Returns the exact value of an integer expression and the integers it uses.

    >>> evaluate("(3 * 7) + 9").value
    Fraction(30, 1)

    Raises:
        DataError: the text is not in the grammar, exceeds a limit, or divides by zero.
    """
    limits = limits or Limits()
    if len(text) > limits.max_chars:
        raise DataError(f"expression: {len(text)} characters; allowed: up to {limits.max_chars}")
    parser = _Parser(tokens=_split(text, limits), max_depth=limits.max_depth)
    value = parser.expression(0)
    if parser.position != len(parser.tokens):
        raise DataError(f"expression: '{parser.tokens[parser.position]}' out of place; allowed: an operator or the end")
    return Evaluation(value=value, literals=tuple(parser.literals))


def _split(text: str, limits: Limits) -> list[str]:
    """Returns the tokens of the text."""
    for word, symbol in _SYNONYMS.items():
        text = text.replace(word, symbol)
    tokens, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            raise DataError(f"expression: character {text[position]!r}; allowed: 0-9 + - * / ( )")
        token = match.group()
        if len(token) > limits.max_digits:
            raise DataError(f"expression: integer of {len(token)} digits; allowed: up to {limits.max_digits}")
        if len(token) > 1 and token[0] == "0":
            raise DataError(f"expression: integer '{token}'; allowed: no leading zero")
        tokens.append(token)
        position = match.end()
    return tokens


@dataclass(kw_only=True)
class _Parser:
    """One pass over the tokens; each method returns the value of the rule it is named after."""

    tokens: list[str]
    max_depth: int
    position: int = 0
    literals: list[int] = field(default_factory=list)

    def take(self, allowed: str) -> str:
        """Returns the next token if it is one of the allowed characters and moves on, else an empty string."""
        if self.position < len(self.tokens) and self.tokens[self.position] in tuple(allowed):
            self.position += 1
            return self.tokens[self.position - 1]
        return ""

    def expression(self, depth: int) -> Fraction:
        value = self.term(depth)
        while operator := self.take("+-"):
            right = self.term(depth)
            value = value + right if operator == "+" else value - right
        return value

    def term(self, depth: int) -> Fraction:
        value = self.factor(depth)
        while operator := self.take("*/"):
            right = self.factor(depth)
            if operator == "*":
                value *= right
            elif right == 0:
                raise DataError("expression: division by zero; allowed: any other divisor")
            else:
                value /= right
        return value

    def factor(self, depth: int) -> Fraction:
        if self.take("("):
            if depth >= self.max_depth:
                raise DataError(f"expression: nested deeper than {self.max_depth}; allowed: up to {self.max_depth}")
            value = self.expression(depth + 1)
            if not self.take(")"):
                raise DataError("expression: '(' is never closed; allowed: balanced parentheses")
            return value
        token = self.tokens[self.position] if self.position < len(self.tokens) else ""
        if not token.isdigit():
            raise DataError(f"expression: '{token or 'end'}' out of place; allowed: an integer or '('")
        self.position += 1
        self.literals.append(int(token))
        return Fraction(self.literals[-1])
