"""Text of tokens as they come, without decoding from the start.

Byte-level tokenizers: every token is a string of bytes, and only the bytes of an unfinished character wait. Others
(Metaspace, byte fallback, WordPiece): the last few tokens are decoded once more with the new ones behind them, and the
text by which the second grew is new.
"""

import codecs
import re
from collections.abc import Iterable, Sequence

from fulmen.errors import ConfigError
from fulmen.text.tokenizer import Tokenizer

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_MOST_TRIES = 8
"""Held tokens up to which every new one is worth a try; beyond, each doubling is."""


class TextStream:
    """The text of a growing completion: safe to show, and cut before the first stop string.

    Of stop strings that overlap, the one that begins first counts; a stop string that is there waits for another one
    that began earlier and may still be completed. What `feed` and `finish` return, put together, is
    `tokenizer.decode` of all tokens, cut there.
    Cost: amortised constant per token and stop string.
    Raises: ConfigError for an empty stop string.
    """

    def __init__(self, tokenizer: Tokenizer, *, stop: Sequence[str] = ()) -> None:
        if not all(stop):
            raise ConfigError(f"stop={tuple(stop)}; allowed: texts that are not empty")
        self._decoder = _ByteDecoder(tokenizer) if tokenizer.is_byte_level else _WindowDecoder(tokenizer)
        self._stops = [_Stop(text) for text in dict.fromkeys(stop)]
        self._firsts = {text[0] for text in stop}
        self._shown: list[str] = []
        self._held = ""
        self._cut: int | None = None
        """Where in `_held` a stop string begins that is there but waits for an earlier one."""
        self.stopped = False
        """Whether a stop string has come; nothing is returned after it."""

    @property
    def text(self) -> str:
        """All text returned so far."""
        if len(self._shown) > 1:
            self._shown = ["".join(self._shown)]
        return self._shown[0] if self._shown else ""

    def feed(self, token_ids: Iterable[int]) -> str:
        """Returns the text that can be shown now: whole characters, and nothing that may become a stop string."""
        if self.stopped:
            return ""
        text = self._decoder.feed(token_ids)
        return self._show(self._search(text) if self._stops else text)

    def finish(self) -> str:
        """Returns the rest, once no token follows; characters that were left unfinished are U+FFFD."""
        if self.stopped:
            return ""
        text = self._decoder.finish()
        text = self._search(text) if self._stops else text
        if not self.stopped:
            text += self._held if self._cut is None else self._held[: self._cut]
            self.stopped, self._held = self._cut is not None, ""
        return self._show(text)

    def _show(self, text: str) -> str:
        if text:
            self._shown.append(text)
        return text

    def _search(self, text: str) -> str:
        """Returns what of held and new text cannot be part of a stop string, and holds the rest."""
        if not self._held and self._firsts.isdisjoint(text):
            return text
        start = len(self._held)
        self._held += text
        for place, char in enumerate(text, start=start + 1):
            for stop in self._stops:
                if stop.advance(char):
                    found = place - len(stop.text)
                    self._cut = found if self._cut is None else min(self._cut, found)
            if self._cut is not None and all(place - stop.num_matched >= self._cut for stop in self._stops):
                self.stopped = True
                held, self._held = self._held, ""
                return held[: self._cut]
        safe = len(self._held) - max(stop.num_matched for stop in self._stops)
        if self._cut is not None:
            safe = min(safe, self._cut)
            self._cut -= safe
        shown, self._held = self._held[:safe], self._held[safe:]
        return shown


class _Stop:
    """One stop string and how much of it the text ends with (Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.num_matched = 0
        self._borders = [0] * len(text)
        """Of each prefix, the longest shorter prefix that is also its suffix."""
        length = 0
        for index in range(1, len(text)):
            while length and text[length] != text[index]:
                length = self._borders[length - 1]
            length += text[length] == text[index]
            self._borders[index] = length

    def advance(self, char: str) -> bool:
        """Returns whether the text with one more character ends with the stop string."""
        length = self.num_matched
        if length == len(self.text):
            length = self._borders[-1]
        while length and self.text[length] != char:
            length = self._borders[length - 1]
        self.num_matched = length + (self.text[length] == char)
        return self.num_matched == len(self.text)


class _ByteDecoder:
    """Tokens are bytes; UTF-8 is decoded as far as it goes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_ids: Iterable[int]) -> str:
        structural, bytes_of = self._tokenizer.structural, self._tokenizer.token_bytes
        pieces: list[str] = []
        for token_id in map(int, token_ids):
            if token_id in structural:
                pieces += [self._utf8.decode(b"", True), structural[token_id]]
            else:
                pieces.append(self._utf8.decode(bytes_of(token_id)))
        return "".join(pieces)

    def finish(self) -> str:
        return self._utf8.decode(b"", True)


class _WindowDecoder:
    """The tokens since the last text are decoded behind those that gave it; the first of a text may differ alone."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._context: list[int] = []
        self._held: list[int] = []
        self._next_try = 0

    def feed(self, token_ids: Iterable[int]) -> str:
        backend, structural = self._tokenizer.backend, self._tokenizer.structural
        pieces: list[str] = []
        for token_id in map(int, token_ids):
            if token_id in structural:
                pieces += [self.finish(), structural[token_id]]
                continue
            token = backend.id_to_token(token_id)
            if token is None or token_id in self._tokenizer.skipped:
                continue
            self._held.append(token_id)
            # Whether a run of bytes is valid UTF-8 shows at its end only.
            if not _BYTE_TOKEN.fullmatch(token):
                pieces.append(self._slide())
        return "".join(pieces)

    def finish(self) -> str:
        text = self._grown()
        self._context, self._held, self._next_try = [], [], 0
        return text

    def _slide(self) -> str:
        if len(self._held) < self._next_try:
            return ""
        text = self._grown()
        if not text or text.endswith("\ufffd"):
            self._next_try = 2 * len(self._held) if len(self._held) > _MOST_TRIES else 0
            return ""
        self._context, self._held, self._next_try = self._held, [], 0
        return text

    def _grown(self) -> str:
        if not self._held:
            return ""
        decode = self._tokenizer.backend.decode
        return decode([*self._context, *self._held])[len(decode(self._context)) :]
