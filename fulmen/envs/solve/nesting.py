"""Nested brackets: random texts, the stack after each bracket, the first bracket that cannot stand where it does."""

import random
from collections.abc import Iterator

OPENING = "([{<"
CLOSING = ")]}>"
PARTNER = dict(zip(OPENING, CLOSING, strict=True))
MAX_LENGTH = 400


def draw_nested(rng: random.Random, *, length: int, num_types: int, max_depth: int) -> str:
    """Returns well-nested brackets of an even length, of the first kinds of `OPENING`."""
    text, stack = "", ""
    for remaining in range(length - 1, -1, -1):
        can_open = len(stack) < max_depth and len(stack) + 1 <= remaining
        if can_open and (not stack or rng.random() < 0.55):
            stack += OPENING[rng.randrange(num_types)]
            text += stack[-1]
        else:
            text += PARTNER[stack[-1]]
            stack = stack[:-1]
    return text


def stacks(text: str) -> Iterator[str]:
    """Yields the brackets still open after each bracket, outermost first; ends before one that cannot stand there."""
    stack = ""
    for bracket in text:
        if bracket in OPENING:
            stack += bracket
        elif stack and PARTNER[stack[-1]] == bracket:
            stack = stack[:-1]
        else:
            return
        yield stack


def first_error(text: str) -> int:
    """Returns the place, from 1, of the first closing bracket that closes nothing or another kind than was opened last.

    -1 if the text is well nested, its length + 1 if only closing brackets are missing at its end.
    """
    seen = list(stacks(text))
    if len(seen) < len(text):
        return len(seen) + 1
    return len(text) + 1 if seen and seen[-1] else -1
