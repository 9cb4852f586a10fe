"""Cleaning of an answer's text before a strict grammar reads it.

Wrappers around the whole answer go; nothing is searched for inside prose, because a checker that hunts for an answer
among many accepts whoever lists them all.
"""

import re
from typing import Literal

from fulmen.errors import DataError

AnswerForm = Literal["bare", "tags", "boxed"]
r"""Where the answer stands in a reply: it is all of it, inside the only `<answer>...</answer>`, or in `\boxed{...}`."""

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
_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,4}\{")
_FENCED = re.compile(r"```[a-z]{0,12}\n([^`]*)\n```")
OPEN_TAG, CLOSE_TAG = "<answer>", "</answer>"
MAX_REPLY_CHARS = 1 << 20
"""Longest reply in which an answer is looked for."""


def find_answer(reply: str, form: AnswerForm) -> str:
    r"""Returns the part of a reply that is its answer.

    `boxed`: several boxes must say the same, since whoever boxes every candidate has not answered.

    >>> find_answer(r"So it is \boxed{\frac{1}{2}}.", "boxed")
    '\\frac{1}{2}'

    Raises:
        DataError: the answer is not where the form wants it, or the reply is longer than `MAX_REPLY_CHARS`.
    """
    if len(reply) > MAX_REPLY_CHARS:
        raise DataError(f"reply: {len(reply)} characters; allowed: up to {MAX_REPLY_CHARS}")
    if form == "bare":
        return reply
    if form == "tags":
        if (reply.count(OPEN_TAG), reply.count(CLOSE_TAG)) != (1, 1):
            raise DataError(f"reply: {reply.count(OPEN_TAG)} {OPEN_TAG}; allowed: one, and one {CLOSE_TAG}")
        start, end = reply.index(OPEN_TAG) + len(OPEN_TAG), reply.index(CLOSE_TAG)
        if end < start:
            raise DataError(f"reply: {CLOSE_TAG} comes first; allowed: {OPEN_TAG}...{CLOSE_TAG}")
        return reply[start:end]
    boxes = find_boxes(reply)
    if not boxes:
        raise DataError("reply: no box; allowed: the answer in \\boxed{...}")
    if len({"".join(box.split()) for box in boxes}) > 1:
        raise DataError(f"reply: {len(boxes)} boxes that differ; allowed: one answer")
    return boxes[-1]


def find_boxes(text: str) -> list[str]:
    r"""Returns what stands in each outermost, balanced `\boxed{...}` or `\fbox{...}`, in order."""
    boxes, position = [], 0
    while match := _BOX.search(text, position):
        position, depth = match.end(), 1
        while position < len(text) and depth:
            character = text[position]
            position += 2 if character == "\\" else 1
            depth += (character == "{") - (character == "}")
        if depth:
            break
        boxes.append(text[match.end() : position - 1])
    return boxes


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
    if fenced := _FENCED.fullmatch(text.strip()):
        text = fenced[1]
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
