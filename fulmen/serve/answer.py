"""A grammar holds for the answer, not for the thinking before it.

Where the model may think, its first token may open thinking; until thinking has ended everything is allowed but the
end of the completion.
"""

from typing import Protocol, runtime_checkable

import numpy as np

from fulmen.text.parse import ThinkingMarkers


@runtime_checkable
class Masker(Protocol):
    """What a grammar allows next (`grammar.py`)."""

    def mask(self) -> np.ndarray:
        """Returns int32 words, one bit per token."""
        ...

    def advance(self, token_id: int) -> None:
        """Moves on by a token that was allowed."""
        ...


class AnswerMasker:
    """The grammar of one completion."""

    def __init__(self, masker: Masker, thinking: ThinkingMarkers, *, end_id: int) -> None:
        self._masker, self._thinking, self._end_id = masker, thinking, end_id
        self._is_thinking, self._is_first = thinking.is_open, True
        self._newest: tuple[int, ...] = ()

    def mask(self) -> np.ndarray:
        """Returns int32 words, one bit per token that may come next."""
        words = np.array(self._masker.mask(), dtype=np.int32)
        if self._is_thinking or 0 < len(self._newest) < len(self._thinking.opening):
            words[:] = -1
            # A completion that ended here would have no answer.
            words.view(np.uint32)[self._end_id // 32] &= np.uint32(~(1 << self._end_id % 32) & 0xFFFFFFFF)
            return words
        if self._is_first and self._thinking.opening:
            token = self._thinking.opening[0]
            words.view(np.uint32)[token // 32] |= np.uint32(1 << token % 32)
        return words

    def advance(self, token_id: int) -> None:
        """Moves on by the token that was drawn."""
        opening, closing = self._thinking.opening, self._thinking.closing
        if self._is_thinking:
            self._newest = (*self._newest, token_id)[-len(closing) :]
            if self._newest == closing:
                self._is_thinking, self._newest = False, ()
            return
        is_opening = self._is_first or bool(self._newest)
        if is_opening and opening[len(self._newest) : len(self._newest) + 1] == (token_id,):
            self._newest = (*self._newest, token_id)
            if self._newest == opening:
                self._is_thinking, self._newest = True, ()
            self._is_first = False
            return
        self._is_first, self._newest = False, ()
        self._masker.advance(token_id)
