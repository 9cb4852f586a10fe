r"""Which part of a completion is its answer: the content of its one `\boxed{}`.

Nothing is searched for in prose, and no box is preferred to another: a completion that boxes two different answers has
not answered.
"""

import re

from fulmen.errors import DataError

END_OF_THINKING = "</think>"
# An escaped character is no brace, and a backslash before `boxed` may itself be escaped.
_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_NOTHING = re.compile(r"[\s.$]|\\[\])]")
_COSMETICS = re.compile(r"\\[,;:! ]|[\s$]|\\left(?![a-z])|\\right(?![a-z])|\.$")


def extract(text: str, *, strict: bool = False) -> str:
    r"""Returns the content of the `\boxed{}` (or `\fbox{}`) that follows the thinking.

    Several boxes count as one where their contents differ in spaces and style alone. Strict: one `\boxed`, its braces
    balanced, and nothing after it but an end of math, a period and spaces.

    >>> extract(r"<think>maybe \boxed{2}</think>It is $\boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'

    Raises:
        DataError: thinking never ends, there is no box, it is empty or never closed, or boxes differ.
    """
    _, ended, answer = text.rpartition(END_OF_THINKING)
    if not ended and "<think>" in text:
        raise DataError(f"answer: thinking never ends; allowed: an answer after {END_OF_THINKING}")
    contents, is_cut, end = _boxes(answer)
    if strict and (len(contents) != 1 or is_cut or "\\fbox" in answer or _NOTHING.sub("", answer[end:])):
        raise DataError(r"answer: not in the strict form; allowed: one \boxed{}, nothing after it")
    if not contents:
        raise DataError(r"answer: no closed \boxed{}; allowed: one")
    last = contents[-1].strip()
    if not last:
        raise DataError(r"answer: an empty \boxed{}; allowed: an answer in it")
    if len({_plain(content) for content in contents}) > 1:
        raise DataError(rf"answer: {len(contents)} different \boxed{{}}; allowed: one")
    return last


def _boxes(text: str) -> tuple[list[str], bool, int]:
    """Returns the contents of the boxes that are in no other box, whether one never closes, and where the last ends.

    One pass with a stack, so that a text made of openings costs no more than any other.
    """
    contents: list[str] = []
    opened: list[int | None] = []
    num_open, end = 0, 0
    for match in _BRACES.finditer(text):
        token = match.group()
        if token == "}" and opened:
            start = opened.pop()
            num_open -= start is not None
            if start is not None and num_open == 0:
                contents.append(text[start : match.start()])
                end = match.end()
        elif token == "{":
            opened.append(None)
        elif token[-1] == "{" and len(token) > 2:
            opened.append(match.end())
            num_open += 1
    return contents, num_open > 0, end


def _plain(content: str) -> str:
    """Returns the content without spaces and style."""
    content = re.sub(r"\\[dt]frac(?![a-z])", r"\\frac", content.strip())
    return _COSMETICS.sub("", content)
