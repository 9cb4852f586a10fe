r"""Expressions, by recursive descent over tokens.

    sum    := sign* term (("+" | "-" | "\pm" | "\mp") term)*
    term   := factor ((("*" | "/") sign*)? factor)*        a missing sign is a product
    factor := atom ("!" | "^" script | "^\circ" | "%")*
    atom   := number | name | "(" sum ")" | "|" sum "|" | \frac, \sqrt, \binom, function, ...

A number directly behind a value is an error except in a mixed fraction, so a list of candidates is never a product.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from fulmen.errors import DataError
from fulmen.rewards.math.lexer import FUNCTIONS, Token
from fulmen.rewards.math.nodes import INFINITY, PI, E, Expr, I, Name, Number, Op, neg, number

MAX_DEPTH = 30
"""Groups within groups."""
MAX_POSTFIXES = 4
"""Exponents, factorials and degree signs of one value."""
_TIMES = ("*", "cdot", "times")
_OVER = ("/", "div")
_BRACKETS = {"(": ")", "[": "]", "\\{": "\\}", "{": "}"}
_ROUNDING = {"lfloor": "rfloor", "lceil": "rceil"}
_CLOSING = frozenset({")", "]", "}", "\\}", "rfloor", "rceil", ")>"})
_LISTED = ("gcd", "lcm", "max", "min")
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}


def fail(cursor: "Cursor", allowed: str) -> DataError:
    """Returns the error that says what stands where something else should."""
    return DataError(f"answer: '{cursor.peek().text or 'end'}' out of place; allowed: {allowed}")


@dataclass
class Cursor:
    """A place in a list of tokens."""

    tokens: list[Token]
    position: int = 0
    depth: int = 0
    num_bars: int = 0
    """Absolute values that are open."""
    end: Token = field(default_factory=lambda: Token(kind="sym", text=""))

    def peek(self, ahead: int = 0) -> Token:
        """Returns the next token, or an empty one at the end."""
        place = self.position + ahead
        return self.tokens[place] if place < len(self.tokens) else self.end

    def is_next(self, *texts: str) -> bool:
        """Returns whether the next token is one of these signs or commands."""
        token = self.peek()
        return token.kind in ("sym", "cmd") and token.text in texts

    def take(self, *texts: str) -> str:
        """Returns the next token's text if it is one of these signs or commands, and moves on; else an empty string."""
        if not self.is_next(*texts):
            return ""
        self.position += 1
        return self.tokens[self.position - 1].text

    def require(self, text: str) -> None:
        """Moves past a sign."""
        if not self.take(text):
            raise fail(self, f"'{text}'")

    def is_done(self) -> bool:
        """Returns whether no token is left."""
        return self.position >= len(self.tokens)


def parse_sum(cursor: Cursor) -> Expr:
    """Returns the sum that starts here."""
    if cursor.depth >= MAX_DEPTH:
        raise DataError(f"answer: nested deeper than {MAX_DEPTH}; allowed: up to {MAX_DEPTH}")
    cursor.depth += 1
    terms: list[Expr] = []
    while True:
        sign = _signs(cursor)
        if terms and not sign:
            break
        terms.append(_signed(sign, _term(cursor)))
    cursor.depth -= 1
    return terms[0] if len(terms) == 1 else Op("add", tuple(terms))


def _signs(cursor: Cursor) -> str:
    """Returns the sign that the next signs make: `+`, `-`, `pm` or `mp`; empty where there is none."""
    sign = ""
    while taken := cursor.take("+", "-", "pm", "mp"):
        if taken in ("pm", "mp"):
            sign = taken if sign != "-" else {"pm": "mp", "mp": "pm"}[taken]
        elif sign in ("pm", "mp"):
            raise fail(cursor, "a term")
        else:
            sign = "-" if (sign == "-") != (taken == "-") else "+"
    return sign


def _signed(sign: str, term: Expr) -> Expr:
    if sign == "-":
        return neg(term)
    return Op(sign, (term,)) if sign in ("pm", "mp") else term


def _term(cursor: Cursor) -> Expr:
    """Returns the product that starts here."""
    factors = [_factor(cursor)]
    while True:
        if cursor.take(*_TIMES):
            factors.append(_signed_factor(cursor))
        elif cursor.take(*_OVER):
            factors.append(Op("inv", (_signed_factor(cursor),)))
        elif _starts_factor(cursor):
            factors.append(_factor(cursor))
        else:
            break
    return factors[0] if len(factors) == 1 else Op("mul", tuple(factors))


def _signed_factor(cursor: Cursor) -> Expr:
    sign = cursor.take("-", "+")
    factor = _factor(cursor)
    return neg(factor) if sign == "-" else factor


def _starts_factor(cursor: Cursor) -> bool:
    """Returns whether a factor without a sign before it may start here; a number may not."""
    token = cursor.peek()
    if token.kind == "sym":
        return token.text in ("(", "{", "lfloor", "lceil") or (token.text == "|" and cursor.num_bars == 0)
    return token.kind == "name" or (
        token.kind == "cmd" and (token.text in FUNCTIONS or token.text in ("frac", "sqrt", "binom", "pi", "infty"))
    )


def _factor(cursor: Cursor) -> Expr:
    """Returns an atom with its postfixes."""
    value = _mixed(cursor) or _atom(cursor)
    num_postfixes = 0
    while True:
        num_postfixes += 1
        if num_postfixes > MAX_POSTFIXES + 1:
            raise DataError(f"answer: more than {MAX_POSTFIXES} exponents and '!' in a row; allowed: so many")
        if cursor.take("!"):
            value = Op("fact", (value,))
        elif _is_degree(cursor):
            # A unit at the end of an answer is the business of whoever reads answers.
            if _ends_after_degree(cursor):
                return value
            cursor.position += 4 if cursor.peek(1).text == "{" else 2
            value = Op("deg", (value,))
        elif cursor.is_next("^"):
            if isinstance(value, Op) and value.kind == "pow" and cursor.tokens[cursor.position - 1].text != ")":
                raise fail(cursor, "one exponent")
            cursor.position += 1
            value = Op("pow", (value, _script(cursor)))
        else:
            return value


def _is_degree(cursor: Cursor) -> bool:
    texts = [cursor.peek(ahead).text for ahead in range(4)]
    return texts[:2] == ["^", "circ"] or texts == ["^", "{", "circ", "}"]


def _ends_after_degree(cursor: Cursor) -> bool:
    """Returns whether a degree sign ends the answer or is followed by a temperature scale."""
    after = cursor.peek(4 if cursor.peek(1).text == "{" else 2)
    return cursor.depth <= 1 and (not after.text or after.text in ("C", "F"))


def _mixed(cursor: Cursor) -> Expr | None:
    r"""Returns a mixed fraction (`1\frac{1}{2}` or `1 1/2`) if one starts here."""
    whole = cursor.peek()
    if whole.kind != "num" or not whole.text.isdigit():
        return None
    start = cursor.position
    if cursor.peek(1).text == "frac" and cursor.peek(1).kind == "cmd":
        cursor.position += 2
        parts = [_argument(cursor), _argument(cursor)]
        if not all(isinstance(part, Number) and part.value.denominator == 1 for part in parts):
            cursor.position = start
            return None
    else:
        ahead = [cursor.peek(place) for place in (1, 2, 3)]
        if not (ahead[0].is_spaced and [t.kind for t in ahead] == ["num", "sym", "num"] and ahead[1].text == "/"):
            return None
        if not (ahead[0].text.isdigit() and ahead[2].text.isdigit()):
            return None
        parts = [Number(ahead[0].value), Number(ahead[2].value)]
        cursor.position += 4
    over, under = (part.value for part in parts if isinstance(part, Number))
    if not 0 < over < under:
        raise DataError(f"answer: mixed fraction with {over}/{under}; allowed: a proper fraction")
    return Number(whole.value + over / under)


def _atom(cursor: Cursor) -> Expr:
    """Returns the value that starts here."""
    token = cursor.peek()
    if token.kind == "num":
        cursor.position += 1
        return Number(token.value)
    if token.kind == "name":
        return _name(cursor)
    if token.kind == "cmd" and token.text in FUNCTIONS:
        return _function(cursor)
    if token.kind == "cmd" and token.text in _COMMANDS:
        cursor.position += 1
        return _COMMANDS[token.text](cursor)
    if closing := _ROUNDING.get(token.text):
        cursor.position += 1
        value = parse_sum(cursor)
        cursor.require(closing)
        return Op("floor" if closing == "rfloor" else "ceil", (value,))
    if token.kind == "sym" and token.text in ("(", "[", "{"):
        return _bracketed(cursor, token.text)
    if token.kind == "sym" and token.text == "|":
        return _absolute(cursor)
    raise fail(cursor, "a value")


def _bracketed(cursor: Cursor, opening: str) -> Expr:
    """Returns what stands in brackets, within which bars count anew."""
    cursor.position += 1
    num_bars, cursor.num_bars = cursor.num_bars, 0
    value = parse_sum(cursor)
    cursor.num_bars = num_bars
    cursor.require(_BRACKETS[opening])
    return value


def _absolute(cursor: Cursor) -> Expr:
    cursor.position += 1
    cursor.num_bars += 1
    value = parse_sum(cursor)
    cursor.num_bars -= 1
    cursor.require("|")
    return Op("abs", (value,))


def _name(cursor: Cursor) -> Expr:
    """Returns a variable with its index and primes, or a constant."""
    text = cursor.peek().text
    cursor.position += 1
    if text in ("i", "e") and not cursor.is_next("_", "'"):
        return I if text == "i" else E
    if cursor.take("_"):
        text += "_" + _index(cursor)
    while cursor.take("'"):
        text += "'"
    return Name(text)


def _index(cursor: Cursor) -> str:
    """Returns the text of an index."""
    if not cursor.take("{"):
        if cursor.is_done():
            raise fail(cursor, "an index")
        cursor.position += 1
        return cursor.tokens[cursor.position - 1].text
    start = cursor.position
    while not cursor.is_next("}"):
        if cursor.is_done() or cursor.is_next("{"):
            raise fail(cursor, "a plain index")
        cursor.position += 1
    cursor.position += 1
    return "".join(token.text for token in cursor.tokens[start : cursor.position - 1])


def _argument(cursor: Cursor) -> Expr:
    r"""Returns a braced argument, or a single token: of a number, its first digit, as in \frac12."""
    token = cursor.peek()
    if token.kind == "sym" and token.text == "{":
        return _bracketed(cursor, "{")
    if token.kind == "num" and token.text.isdigit():
        if len(token.text) > 1:
            rest = token.text[1:]
            cursor.tokens[cursor.position] = replace(token, text=rest, value=Fraction(int(rest)), is_spaced=False)
        else:
            cursor.position += 1
        return number(int(token.text[0]))
    if token.kind == "name" or token.text == "pi":
        cursor.position += 1
        return {"i": I, "e": E, "pi": PI}.get(token.text, Name(token.text))
    raise fail(cursor, "an argument")


def _script(cursor: Cursor) -> Expr:
    """Returns an exponent: braced, in parentheses, or a single token with a sign; a number is taken whole."""
    if cursor.is_next("{", "("):
        return _bracketed(cursor, cursor.peek().text)
    sign = cursor.take("-", "+")
    token = cursor.peek()
    if token.kind == "num":
        cursor.position += 1
        value: Expr = Number(token.value)
    elif cursor.is_next("frac", "sqrt"):
        value = _atom(cursor)
    else:
        value = _argument(cursor)
    return neg(value) if sign == "-" else value


def _fraction(cursor: Cursor) -> Expr:
    over = _argument(cursor)
    return Op("mul", (over, Op("inv", (_argument(cursor),))))


def _root(cursor: Cursor) -> Expr:
    index: Expr = number(2)
    if cursor.take("["):
        index = parse_sum(cursor)
        cursor.require("]")
    inner = _bracketed(cursor, "(") if cursor.is_next("(") else _argument(cursor)
    return Op("pow", (inner, Op("inv", (index,)) if index != number(2) else Number(Fraction(1, 2))))


def _binomial(cursor: Cursor) -> Expr:
    over = _argument(cursor)
    return Op("binom", (over, _argument(cursor)))


def _function(cursor: Cursor) -> Expr:
    r"""Returns a function of its argument: `\sin^2 x`, `\log_2 8`, `\max(a, b)`."""
    name = cursor.take(*FUNCTIONS)
    base: Expr | None = None
    exponent: Expr | None = None
    for _ in range(2):
        if name == "log" and base is None and cursor.take("_"):
            base = _script(cursor)
        elif exponent is None and cursor.take("^"):
            exponent = _script(cursor)
    if name in _LISTED:
        value: Expr = Op(name, _listed(cursor))
    else:
        if exponent == number(-1) and name in _INVERSE:
            name, exponent = _INVERSE[name], None
        args = (_function_argument(cursor),)
        value = _apply(name, args[0], base)
    return value if exponent is None else Op("pow", (value, exponent))


def _apply(name: str, arg: Expr, base: Expr | None) -> Expr:
    if name == "exp":
        return Op("pow", (E, arg))
    if name == "lg":
        return Op("log", (arg, number(10)))
    return Op("log", (arg, base)) if base is not None else Op(name, (arg,))


def _listed(cursor: Cursor) -> tuple[Expr, ...]:
    """Returns the arguments of a function of several."""
    closing = ")" if cursor.take("(") else "\\}"
    if closing != ")":
        cursor.require("\\{")
    items = [parse_sum(cursor)]
    while cursor.take(","):
        items.append(parse_sum(cursor))
    cursor.require(closing)
    return tuple(items)


def _function_argument(cursor: Cursor) -> Expr:
    """Returns what a function without its own brackets is of: the factors up to a sign or another function."""
    if cursor.depth >= MAX_DEPTH:
        raise DataError(f"answer: nested deeper than {MAX_DEPTH}; allowed: up to {MAX_DEPTH}")
    cursor.depth += 1
    try:
        if cursor.is_next("("):
            return _bracketed(cursor, "(")
        if cursor.peek().text in FUNCTIONS:
            return _function(cursor)
        sign = cursor.take("-")
        factors = [_factor(cursor)]
        while _starts_factor(cursor) and not cursor.is_next("(") and cursor.peek().text not in FUNCTIONS:
            factors.append(_factor(cursor))
        value = factors[0] if len(factors) == 1 else Op("mul", tuple(factors))
        return neg(value) if sign else value
    finally:
        cursor.depth -= 1


_COMMANDS: dict[str, Callable[[Cursor], Expr]] = {
    "frac": _fraction,
    "sqrt": _root,
    "binom": _binomial,
    "pi": lambda _: PI,
    "infty": lambda _: INFINITY,
}
