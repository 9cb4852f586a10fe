r"""Tokens of an answer: LaTeX, plain typing such as `sqrt(2)/2` and a few Unicode signs, without what is only style.

Tokens: `num`, `name` (a variable), `cmd` (a function, constant or piece of syntax), `word` (text) and `sym`.
A character that is not listed here is a word of its own, so look-alikes of digits and letters are never taken for them.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from fulmen.errors import DataError
from fulmen.rewards.answer import MAX_ANSWER_CHARS
from fulmen.rewards.math.units import MULTIPLIERS, RAW_UNITS

MAX_TOKENS = 1500
"""Tokens of an answer."""
MAX_TEXT_DEPTH = 8
"""Text groups within text groups."""
MAX_EXPONENT = 1000
"""Largest exponent of a number such as 1e5."""

Kind = Literal["num", "name", "cmd", "word", "sym"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `value` is a number's."""

    kind: Kind
    text: str
    value: Fraction = Fraction(0)
    is_spaced: bool = False
    """Whether a space stands before it."""


_FUNCTION_NAMES = "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh ln log lg exp max min gcd lcm"
_SYNTAX_NAMES = "frac sqrt binom pm mp infty pi cdot times div cup cap setminus emptyset circ in"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi rho sigma tau phi chi psi omega "
    "Gamma Delta Theta Lambda Sigma Phi Psi Omega ell"
)
_SHORT_WORD_NAMES = "yes no odd even true false none all dne red blue one two six ten"
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_SYNTAX = frozenset(_SYNTAX_NAMES.split())
_GREEK = frozenset(_GREEK_NAMES.split())
_SHORT_WORDS = frozenset(_SHORT_WORD_NAMES.split())
_ALIASES = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "varnothing": "emptyset",
    "ast": "cdot", "cdotp": "cdot", "degree": "circ", "backslash": "setminus", "infin": "infty",
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "inf": "infty", "infinity": "infty", "varphi": "phi",
    "varepsilon": "epsilon", "imath": "i",
}  # fmt: skip
_SYMBOLS = {
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">",
    "ne": "!=", "neq": "!=", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "langle": "<(", "rangle": ")>",
    "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]", "colon": ":", "lfloor": "lfloor",
    "rfloor": "rfloor", "lceil": "lceil", "rceil": "rceil", "approx": "~", "sim": "~", "lor": "or", "vee": "or",
    "land": "and", "wedge": "and", "prime": "'", "to": "->", "mod": "mod", "bmod": "mod", "quad": " ", "qquad": " ",
}  # fmt: skip
_UNICODE = {
    "−": "-", "–": "-", "‐": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "≤": r"\le ",
    "≥": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "π": r"\pi ", "√": r"\sqrt ", "∪": r"\cup ", "∩": r"\cap ",
    "∅": r"\emptyset ", "∈": r"\in ", "±": r"\pm ", "°": r"^\circ ", "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}",
    "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "≈": r"\approx ", "′": "'", "’": "'", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ",
    "\u00a0": " ", "\u3000": " ", "\u2009": " ", "\u200b": "", "\ufeff": "", "。": ".", "、": ",",
}  # fmt: skip
_TRANSLATION = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord(a): b for a, b in _UNICODE.items()}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_STYLE = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|nolimits|boldsymbol|mathstrut)(?![a-zA-Z])\.?"
    r"|\\!|\\hspace\{[^{}]*\}|\\phantom\{[^{}]*\}|&nbsp;"
)
_SPACES = re.compile(r"\\[,;: ]|~")
_WRAPPERS = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"))
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_TEXT = re.compile(
    r"\\(?:text(?:bf|rm|it|normal|tt|sf)?|mathrm|mathbf|mathit|mathsf|mbox|hbox|operatorname\*?|emph|mathcal|mathbb)\s*\{"
)
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?:\{,\}|\\,|,\\!)[0-9]{3})+(?![0-9])")
_COMMAS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])")
_SPACED = re.compile(r"-?[0-9]{1,3}(?: [0-9]{3})+")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+|[0-9]+\.(?![0-9])")
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\\overline\s*(?:\{([0-9]+)\}|([0-9]))")
_DOTTED = re.compile(r"([0-9]*)\.([0-9]*)\\dot\s*\{?([0-9])\}?(?:([0-9]*)\\dot\s*\{?([0-9])\}?)?")
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)(?![0-9.])")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-z]+)\*?\}(?:\{[clr| ]*\})?")
_DECORATED = re.compile(
    r"\\(?:overline|vec|hat|bar|tilde|overrightarrow|widehat|mathscr|mathfrak)\s*(?:\{[^{}]*\}|[a-zA-Z])"
    r"|\\(?:angle|triangle|odot|parallelogram)\s*(?:\{[A-Z]{1,5}\}|[A-Z]{1,5}|[0-9])"
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_LETTERS = re.compile(r"[a-zA-Z]+")
_SIGN = re.compile(r"<=|>=|!=|<|>|[-+*/^_=()\[\]{}|,;:!%'&]")
_PROSE = re.compile(r"[A-Za-z][A-Za-z\s,.'-]*")


def tokenize(text: str) -> list[Token]:
    """Returns the tokens of an answer.

    Raises:
        DataError: it is too long, has an unbalanced group of text, or a sign that answers do not have.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise DataError(f"answer: {len(text)} characters; allowed: up to {MAX_ANSWER_CHARS}")
    text = _clean(text)
    if not text:
        raise DataError("answer: empty; allowed: an answer")
    lexer = _Lexer(text)
    lexer.read(is_text=_is_prose(text))
    return lexer.tokens


def _clean(text: str) -> str:
    """Returns the text without style, wrappers and final punctuation."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda found: "^{" + found.group().translate(_SUPERSCRIPTS) + "}", text)
    text = re.sub("√ *([0-9]+)", r"\\sqrt{\1}", text)
    text = _STYLE.sub("", text.translate(_TRANSLATION))
    peeled = ""
    while peeled != text:
        peeled, text = text, _peel(text)
    if _SPACED.fullmatch(text):
        text = text.replace(" ", "")
    return text


def _peel(text: str) -> str:
    """Returns the text without its outermost layer of spaces, punctuation and one wrapper."""
    text = text.strip()
    text = re.sub(r"(?<![\\.,;])[.,;]$|\\\\$|\\[ ,;:]$", "", text)
    for opening, closing in _WRAPPERS:
        inner = text[len(opening) : len(text) - len(closing)]
        has_both = len(text) >= len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing)
        if has_both and opening not in inner and not inner.endswith("\\"):
            return inner
    box = _BOX.match(text)
    if box and text.endswith("}") and closing_brace(text, box.end()) == len(text) - 1:
        return text[box.end() : -1]
    return text


def closing_brace(text: str, start: int) -> int:
    """Returns where the group that is open at `start` closes.

    Raises:
        DataError: it never does.
    """
    depth = 1
    for found in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth == 0:
            return start + found.start()
    raise DataError("answer: '{' is never closed; allowed: balanced braces")


def _is_prose(text: str) -> bool:
    """Returns whether an answer without any markup is words: one of four letters or more, or a known short one."""
    runs = _LETTERS.findall(text)
    if not _PROSE.fullmatch(text) or any(run in FUNCTIONS or run in ("infinity", "sqrt") for run in runs):
        return False
    return any(len(run) >= 4 or run.lower() in _SHORT_WORDS for run in runs)


class _Lexer:
    """One pass over a text; text groups are read by the same pass, in text mode."""

    def __init__(self, text: str) -> None:
        self.source = text
        self.tokens: list[Token] = []
        self.depth = 0
        """Brackets that are open; a comma within any separates."""
        self.text_depth = 0
        self.has_lone_dollar = len(re.findall(r"(?<!\\)\$", text)) % 2 == 1

    def read(self, *, is_text: bool) -> None:
        """Reads the whole source."""
        self._read_range(0, len(self.source), is_text=is_text)

    def _read_range(self, start: int, end: int, *, is_text: bool) -> None:
        """Reads a part of the source."""
        position, self.is_spaced = start, False
        while position < end:
            space = _SPACES.match(self.source, position, end)
            if space or self.source[position].isspace():
                # 1\,234 is read before its space.
                position = space.end() if space else position + 1
                self.is_spaced = True
                continue
            position = self._step(position, end, is_text=is_text)
            self.is_spaced = False

    def _add(self, kind: Kind, text: str, value: Fraction = Fraction(0)) -> None:
        if len(self.tokens) >= MAX_TOKENS:
            raise DataError(f"answer: more than {MAX_TOKENS} tokens; allowed: up to so many")
        self.tokens.append(Token(kind=kind, text=text, value=value, is_spaced=self.is_spaced))

    def _step(self, position: int, end: int, *, is_text: bool) -> int:
        """Reads what starts here, and returns where it ends."""
        for read in (self._number, self._group, self._markup, self._letters, self._signs):
            after = read(position, end, is_text)
            if after is not None:
                return after
        character = self.source[position]
        if not character.isprintable() or character in '\\#@`"':
            raise DataError(f"answer: character {character!r}; allowed: those of an answer")
        after = position + 1
        while after < end and self.source[after].isalpha() and not self.source[after].isascii():
            after += 1
        self._add("word", self.source[position:after])
        return after

    def _number(self, position: int, end: int, _: bool) -> int | None:
        """Reads a number."""
        source = self.source
        for pattern in (_REPEATING, _DOTTED):
            if found := pattern.match(source, position, end):
                self._add("num", found.group(), _repeating(*(part or "" for part in found.groups())))
                return found.end()
        found = _GROUPED.match(source, position, end) or (None if self.depth else _COMMAS.match(source, position, end))
        digits = re.sub(r"[^0-9]", "", found.group()) if found else ""
        after = found.end() if found else position
        plain = _PLAIN.match(source, after, end)
        if plain and (not found or plain.group().startswith(".")):
            digits, after = digits + plain.group(), plain.end()
        if not digits:
            return None
        exponent = _EXPONENT.match(source, after, end)
        if exponent and abs(int(exponent.group(1))) > MAX_EXPONENT:
            raise DataError(f"answer: exponent {exponent.group(1)[:20]}; allowed: up to {MAX_EXPONENT}")
        value = Fraction(digits.rstrip(".") if digits[0] != "." else "0" + digits)
        if exponent:
            value *= Fraction(10) ** int(exponent.group(1))
            after = exponent.end()
        self._add("num", source[position:after], value)
        return after

    def _group(self, position: int, end: int, is_text: bool) -> int | None:
        r"""Reads \text{...} and its like."""
        opening = _TEXT.match(self.source, position, end)
        if not opening:
            return None
        close = closing_brace(self.source[:end], opening.end())
        content = self.source[opening.end() : close].strip()
        command = opening.group()[1:].rstrip("{* ")
        bare = _ALIASES.get(content, content)
        if command in ("mathbb", "mathcal"):
            self._add("name", f"\\{command}{{{content}}}")
        elif bare in FUNCTIONS and not (bare == "min" and self._is_after_value()):
            self._add("cmd", bare)
        elif command.startswith("math") and re.fullmatch("[a-zA-Z]", content) and not self._is_after_value():
            self._add("name", content)
        else:
            if self.text_depth >= MAX_TEXT_DEPTH:
                raise DataError(f"answer: text within text; allowed: up to {MAX_TEXT_DEPTH} levels")
            self.text_depth += 1
            self._read_range(opening.end(), close, is_text=True)
            self.text_depth -= 1
        return close + 1

    def _is_after_value(self) -> bool:
        """Returns whether the last token ends a value, so that a letter may be its unit."""
        return bool(self.tokens) and (self.tokens[-1].kind in ("num", "word") or self.tokens[-1].text in "})^")

    def _markup(self, position: int, end: int, is_text: bool) -> int | None:
        """Reads a command or an escaped character."""
        source = self.source
        if source.startswith((r"\{", r"\}"), position):
            self.depth += 1 if source[position + 1] == "{" else -1
            self._add("sym", source[position : position + 2])
            return position + 2
        if source.startswith((r"\$", r"\%", r"\&", r"\_", r"\\"), position):
            self._add("sym", {"\\$": "$", "\\\\": "\\\\"}.get(source[position : position + 2], source[position + 1]))
            return position + 2
        if source[position] in "£€¥$":
            # A lone $ is a currency; pairs of them inside an answer are math delimiters.
            if source[position] != "$" or self.has_lone_dollar:
                self._add("sym", source[position])
            return position + 1
        if found := _ENVIRONMENT.match(source, position, end):
            self.depth += 1 if found.group(1) == "begin" else -1
            self._add("sym", f"{found.group(1)} {found.group(2)}")
            return found.end()
        if found := _DECORATED.match(source, position, end):
            self._add("name", re.sub(r"[\s{}]+", " ", found.group()).strip())
            return found.end()
        command = _COMMAND.match(source, position, end)
        if not command:
            return None
        self._command(_ALIASES.get(command.group(1), command.group(1)))
        return command.end()

    def _command(self, name: str) -> None:
        """Adds the token of a command."""
        if name in FUNCTIONS or name in _SYNTAX:
            self._add("cmd", name)
        elif name in _GREEK:
            self._add("name", "\\" + name)
        elif name in ("i", "e"):
            self._add("name", name)
        elif name in _SYMBOLS:
            symbol = _SYMBOLS[name]
            if symbol == " ":
                self.is_spaced = True
            else:
                self._add("word" if symbol in ("or", "and") else "sym", symbol)
        else:
            self._add("word", "\\" + name)

    def _letters(self, position: int, end: int, is_text: bool) -> int | None:
        """Reads letters: a word of a text, a unit or function typed plainly, or variables."""
        found = _LETTERS.match(self.source, position, end)
        if not found:
            return None
        run = found.group()
        bare = _ALIASES.get(run, run)
        if is_text:
            word = re.compile(r"[a-zA-Z](?:[a-zA-Z.'-]*[a-zA-Z])?").match(self.source, position, end)
            assert word is not None, "it starts with a letter"
            self._add("word", word.group())
            return word.end()
        is_unit = run in RAW_UNITS or run in MULTIPLIERS
        if is_unit and run == "min" and self.tokens and self._is_unit_place():
            self._add("word", run)
        elif run in FUNCTIONS or bare in ("arcsin", "arccos", "arctan", "sqrt", "pi", "infty", "pm"):
            self._add("cmd", bare)
        elif run in ("or", "and") or (is_unit and self.tokens and self._is_unit_place()):
            self._add("word", run)
        else:
            for letter in run:
                self._add("name", letter)
                self.is_spaced = False
        return found.end()

    def _is_unit_place(self) -> bool:
        """Returns whether a unit may stand after the last token."""
        last = self.tokens[-1]
        return last.kind in ("num", "word") or last.text in ("}", ")", "/", "pi")

    def _signs(self, position: int, end: int, _: bool) -> int | None:
        """Reads an operator or bracket."""
        found = _SIGN.match(self.source, position, end)
        if not found:
            return None
        sign = found.group()
        self.depth += (sign in "([{") - (sign in ")]}") if len(sign) == 1 else 0
        self._add("sym", sign)
        return found.end()


def _repeating(whole: str, fixed: str, first: str, middle: str, last: str = "") -> Fraction:
    """Returns the value of a decimal whose last digits repeat for ever."""
    period = first + middle + last
    fixed_value = Fraction(int((whole + fixed) or "0"), 10 ** len(fixed))
    return fixed_value + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
