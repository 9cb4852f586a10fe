"""Cleaning of an answer's text before a strict grammar reads it.

Wrappers around the whole answer go; nothing is searched for inside prose, because a checker that hunts for an answer
among many accepts whoever lists them all.
"""

import re

from fulmen.errors import DataError

MAX_ANSWER_CHARS = 4096
"""Longest answer that is read at all."""

_WRAPPERS = (
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    (r"\boxed{", "}"),
    (r"\fbox{", "}"),
    (r"\text{", "}"),
    (r"\mathrm{", "}"),
)
# Not NFKC: it would read 3² as 32.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord("\u3000"): " ",
    ord("\u00a0"): " ",
    ord("。"): ".",
    ord("、"): ",",
    ord("\u200b"): None,
    ord("\ufeff"): None,
}
_INNER_TEXT = re.compile(r"\\(?:text|mathrm)\{([^{}]*)\}")


def clean_answer(text: str) -> str:
    r"""Returns the answer without spaces around it, math and text wrappers, full-width forms and final periods.

    >>> clean_answer(r"$\boxed{(3*7)+9}$.")
    '(3*7)+9'

    Raises:
        DataError: the text is longer than `MAX_ANSWER_CHARS`.
    """
    if len(text) > MAX_ANSWER_CHARS:
        raise DataError(f"answer: {len(text)} characters; allowed: up to {MAX_ANSWER_CHARS}")
    text = text.translate(_NARROW)
    while (peeled := _peel(text)) != text:
        text = peeled
    text = _INNER_TEXT.sub(r"\1", text)
    return text.replace(r"\{", "{").replace(r"\}", "}").strip()


def _peel(text: str) -> str:
    """Returns the text without its outermost layer of spaces, periods and one wrapper."""
    text = text.strip().rstrip(".").rstrip()
    for opening, closing in _WRAPPERS:
        if len(text) >= len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            return text[len(opening) : len(text) - len(closing)]
    return text
