"""Drafts: texts in pieces that can still be changed, from which examples of constraints are composed.

A draft knows the bounds of all constraints (`Demands`) and which words they allow. Kinds pin their own words, marks
and blocks into it; `fit` then brings sentences, paragraphs, lines and words within the bounds by adding and removing
filler. Whether the text keeps the constraints is for their checkers to say, not for this file.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Literal

from fulmen.rewards.constraints.reading import SCRIPTS, WORD, Language, Reply, Script, split_words
from fulmen.rewards.constraints.vocabulary import FILLER

MANY = 1_000_000
"""No upper bound."""
FIT_ROUNDS = 3
"""Times that a draft is brought within all bounds, one after the other."""
_UNSPACED = "[\u3001-\u30ff\u3400-\u9fff\uff01-\uff60，]"
_WIDE = re.compile(_UNSPACED)
_NEEDLESS = re.compile(f"(?<={_UNSPACED}) | (?={_UNSPACED})")
_LETTER = re.compile(r"[^\W\d_]")
_WORD_START = re.compile(r"(?<![^\W_])(?<![^\W_]['’])[^\W\d_]")

Casing = Literal["", "upper", "lower", "title"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """Integers from `low` to `high`, both included."""

    low: int = 0
    high: int = MANY

    def __contains__(self, number: int) -> bool:
        return self.low <= number <= self.high


FREE = Span()
"""No bounds; the object itself is what `Demands.meet` looks for."""


@dataclass(frozen=True, kw_only=True)
class Demands:
    """Bounds on a whole text."""

    words: Span = FREE
    chars: Span = FREE
    sentences: Span = FREE
    paragraphs: Span = FREE
    lines: Span = FREE
    sentence_words: Span = FREE
    """Words of every sentence."""
    paragraph_sentences: Span = FREE
    """Sentences of every paragraph."""

    def meet(self, other: "Demands") -> "Demands":
        """Returns the bounds of both."""
        spans = {}
        for each in fields(self):
            one, two = getattr(self, each.name), getattr(other, each.name)
            if one is FREE or two is FREE:
                spans[each.name] = two if one is FREE else one
            else:
                spans[each.name] = Span(low=max(one.low, two.low), high=min(one.high, two.high))
        return Demands(**spans)

    @property
    def fault(self) -> str:
        """Which bounds no text can keep, or an empty string."""
        for each in fields(self):
            span = getattr(self, each.name)
            if span.low > span.high:
                return f"{each.name}: at least {span.low} and at most {span.high}"
        sentences = max(self.sentences.low, self.paragraphs.low * max(1, self.paragraph_sentences.low))
        words = max(self.words.low, sentences * max(1, self.sentence_words.low))
        if words > self.words.high:
            return "the sentences need more words than allowed"
        if words > self.chars.high:
            return "the words need more characters than allowed"
        if self.sentences.high * self.sentence_words.high < self.words.low:
            return "the sentences have room for fewer words than demanded"
        if self.paragraphs.low * max(1, self.paragraph_sentences.low) > self.sentences.high:
            return "the paragraphs need more sentences than allowed"
        if self.paragraphs.high * self.paragraph_sentences.high < self.sentences.low:
            return "the paragraphs have room for fewer sentences than demanded"
        return "the paragraphs need more lines than allowed" if self.paragraphs.low > self.lines.high else ""


@dataclass(kw_only=True)
class Token:
    """A word, or a few that stay together."""

    text: str
    is_pinned: bool = False
    """Whether a constraint put it there: it is not removed."""
    before: str = ""
    """Marks in front of it."""
    after: str = ""

    @property
    def size(self) -> int:
        """Its number of words."""
        return _num_words(self.text)


@dataclass(kw_only=True)
class Passage:
    """A sentence."""

    tokens: list[Token]
    end: str
    """Its end mark."""
    marker: str = ""
    """`- `, `1. `, `## `, ..."""
    starts_line: bool = False
    is_fixed: bool = False
    """Whether its words stay as they are."""
    script: Script = "latin"

    @property
    def size(self) -> int:
        """Its number of words."""
        return len(WORD.findall(" ".join([token.text for token in self.tokens])))


@dataclass(kw_only=True)
class Block:
    """A paragraph."""

    passages: list[Passage]
    is_sealed: bool = False
    """Whether its sentences stay as many as they are."""

    @property
    def is_worded(self) -> bool:
        """Whether it counts as a paragraph."""
        return any(passage.tokens for passage in self.passages)


@dataclass(kw_only=True)
class Draft:
    """A text in the making."""

    rng: random.Random
    language: Language
    demands: Demands
    allows: Callable[[str], bool]
    """Whether all constraints allow a piece of text."""
    blocks: list[Block] = field(default_factory=list)
    script: Script = "latin"
    casing: Casing = ""
    frame: tuple[str, str] = ("", "")
    """What stands before and after everything."""
    layout: Callable[["Draft"], str] | None = None
    """Renders the passages in another form than prose (JSON, a table)."""
    end: str | None = None
    """End mark of new sentences; None is the script's own."""
    _allowed_words: dict[tuple[tuple[str, ...], int], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        home: Script = "han" if self.language == "zh" else "latin"
        self.script = next((script for script in (home, *SCRIPTS) if self._has_words(script)), home)
        if not self.blocks:
            self.blocks = [Block(passages=[self.new_passage() for _ in range(self.rng.randint(1, 3))])]
            self.fit()

    # What there is.

    def passages(self, *, is_free: bool = False) -> list[Passage]:
        """Returns the sentences, or only those whose words may be changed."""
        return [
            passage
            for block in self.blocks
            for passage in block.passages
            if passage.tokens and not (is_free and passage.is_fixed)
        ]

    def render(self) -> str:
        """Returns the text."""
        text = self.layout(self) if self.layout else "\n\n".join(map(self.render_block, self.blocks))
        return self.frame[0] + _cased(text, self.casing) + self.frame[1]

    def render_block(self, block: Block) -> str:
        """Returns a paragraph."""
        text = ""
        for passage in block.passages:
            piece = self.render_passage(passage)
            if text and (passage.starts_line or passage.marker):
                text += "\n"
            elif text and not _WIDE.match(text[-1]) and not _WIDE.match(piece):
                text += " "
            text += piece
        return text

    def render_passage(self, passage: Passage) -> str:
        """Returns a sentence with its marker and its end mark, its first letter large unless the casing is set."""
        text = _joined([token.before + token.text + token.after for token in passage.tokens])
        if not self.casing and not passage.is_fixed and (match := _LETTER.search(text)):
            text = text[: match.start()] + match.group().upper() + text[match.end() :]
        return passage.marker + text + passage.end

    # New pieces.

    def filler(self, place: int, *, most: int = MANY, script: Script | None = None) -> Token | None:
        """Returns a word for a place in a sentence of at most so many words, or None if nothing is allowed."""
        roles = FILLER[script or self.script]
        chosen = self._allowed(roles[place % len(roles)], most)
        if not chosen:
            chosen = self._allowed(tuple(word for role in roles for word in role), most)
        return Token(text=self.rng.choice(chosen)) if chosen else None

    def find_word(self, is_wanted: Callable[[str], bool], *, script: Script | None = None) -> str:
        """Returns an allowed filler word with a property, or an empty string."""
        words = (word for role in FILLER[script or self.script] for word in self._allowed(role, MANY))
        allowed = list(filter(is_wanted, words))
        return self.rng.choice(allowed) if allowed else ""

    def new_passage(self, num: int | None = None, *, script: Script | None = None) -> Passage:
        """Returns a sentence of about so many words, within the bounds."""
        script = script or self.script
        span = self.demands.sentence_words
        num = num or self.rng.randint(6, 11)
        passage = Passage(tokens=[], end=self.end_mark(script), script=script)
        self.grow(passage, min(max(num, span.low), span.high))
        passage.starts_line = not passage.end
        return passage

    def end_mark(self, script: Script) -> str:
        """Returns the end mark of a sentence, empty if none is allowed."""
        if self.end is not None:
            return self.end
        marks = ("。", "！", "？", "") if script in ("han", "kana") else (".", "!", "?", "")
        return next(mark for mark in marks if not mark or self.allows(mark))

    def new_block(self, num: int = 2) -> Block:
        """Returns a paragraph of so many sentences, within the bounds."""
        span = self.demands.paragraph_sentences
        return Block(passages=[self.new_passage() for _ in range(min(max(num, span.low), span.high))])

    # Changes.

    def make_room(self) -> None:
        """Adds a sentence where pinned words crowd out the filler; `fit` takes away what the bounds forbid."""
        body = self.body()
        longest = len(self.passages()) >= self.demands.sentences.high or self.demands.paragraph_sentences != Span()
        if not longest:
            self.rng.choice(body).passages.insert(1, self.new_passage())
        for passage in self.passages(is_free=True) if longest else ():
            self.grow(passage, min(passage.size + 4, self.demands.sentence_words.high))

    def add_words(self, passage: Passage, num: int) -> None:
        """Adds filler to the end of a sentence, before a pinned end."""
        while num > 0:
            at = len(passage.tokens)
            while at > 1 and passage.tokens[at - 1].is_pinned:
                at -= 1
            token = self.filler(at, most=num, script=passage.script)
            if token is None:
                return
            passage.tokens.insert(at if at > 1 else len(passage.tokens), token)
            num -= token.size

    def grow(self, passage: Passage, size: int) -> None:
        """Brings a sentence to so many words, as near as pinned words let it."""
        self.add_words(passage, size - passage.size)
        while passage.size > size and len(passage.tokens) > 1:
            loose = [at for at, token in enumerate(passage.tokens) if not token.is_pinned and (at or not token.before)]
            if not loose:
                return
            del passage.tokens[loose[-1]]
        self.add_words(passage, size - passage.size)

    def body(self) -> list[Block]:
        """Returns the paragraphs whose sentences may be added and removed; makes one if there is none."""
        blocks = [block for block in self.blocks if not block.is_sealed]
        if not blocks:
            blocks = [self.new_block(1)]
            self.blocks.insert(len(self.blocks) // 2, blocks[0])
        return blocks

    def insert_word(self, text: str, *, passage: Passage | None = None) -> Token:
        """Puts a pinned word somewhere inside a sentence and returns it."""
        free = self.passages(is_free=True) or self.body()[0].passages
        passage = passage or self.rng.choice(free)
        tokens = passage.tokens
        token = Token(text=text, is_pinned=True)
        loose = [at for at in range(1, len(tokens) - 1) if not tokens[at].is_pinned]
        if loose:
            tokens[self.rng.choice(loose)] = token
        else:
            tokens.insert(min(1, len(tokens)), token)
        return token

    def replace_words(self, text: str) -> None:
        """Replaces pinned and free words of this spelling by filler, where words may be changed."""
        for passage in self.passages(is_free=True):
            for at, token in enumerate(passage.tokens):
                if token.text.casefold() == text.casefold() and (new := self.filler(at, script=passage.script)):
                    passage.tokens[at] = new

    def fit(self) -> None:
        """Brings the text within the bounds, as far as pinned pieces let it."""
        for _ in range(FIT_ROUNDS):
            self._fit_paragraphs()
            self._fit_sentences()
            for passage in self.passages(is_free=True):
                span = self.demands.sentence_words
                if passage.size not in span:
                    self.grow(passage, min(max(passage.size, span.low), span.high))
            self._fit_words()
            self._fit_lines()
            reply = Reply(self.render())
            if len(reply.words) in self.demands.words and reply.num_chars in self.demands.chars:
                return

    def _fit_paragraphs(self) -> None:
        """Adds and removes paragraphs."""
        span = self.demands.paragraphs
        num = sum(block.is_worded for block in self.blocks)
        for _ in range(num, span.low):
            body = self.body()
            self.blocks.insert(self.blocks.index(body[0]) + 1, self.new_block(1))
        for _ in range(max(0, num - span.high)):
            body = [block for block in self.blocks if not block.is_sealed]
            if len(self.blocks) < 2 or not body:
                return
            self.blocks.remove(self.rng.choice(body))

    def _fit_sentences(self) -> None:
        """Adds and removes sentences, first in each paragraph, then in the whole."""
        each, whole = self.demands.paragraph_sentences, self.demands.sentences
        free = [block for block in self.blocks if not block.is_sealed]
        for block in free:
            while len(block.passages) < each.low:
                block.passages.insert(1, self.new_passage())
            while len(block.passages) > each.high:
                block.passages.pop(self.rng.randrange(len(block.passages)))
        for _ in range(len(self.passages()), whole.low):
            open_blocks = [block for block in self.body() if len(block.passages) < each.high]
            if not open_blocks:
                self.blocks.insert(self.blocks.index(self.body()[0]) + 1, self.new_block(1))
            else:
                self.rng.choice(open_blocks).passages.insert(1, self.new_passage())
        for _ in range(len(self.passages()) - whole.high):
            long_blocks = [block for block in free if len(block.passages) > max(1, each.low)]
            if long_blocks:
                passages = self.rng.choice(long_blocks).passages
                del passages[self.rng.randrange(len(passages))]
            elif (len(free) > 1 or (free and len(self.blocks) > 1)) and sum(
                block.is_worded for block in self.blocks
            ) > self.demands.paragraphs.low:
                self.blocks.remove(gone := self.rng.choice(free))
                free.remove(gone)

    def _fit_words(self) -> None:
        """Adds and removes words until both words and characters are within their bounds, or nothing moves."""
        reply = Reply(self.render())
        num, span = len(reply.words), self.demands.words
        change = max(span.low - num, 0) + min(span.high - num, 0)
        if not change and reply.num_chars not in self.demands.chars:
            chars = self.demands.chars
            missing = max(chars.low - reply.num_chars, 0) + min(chars.high - reply.num_chars, 0)
            per_word = max(1, reply.num_chars // max(1, num))
            change = missing // per_word or (1 if missing > 0 else -1)
            change = min(max(change, span.low - num), span.high - num)
        free = self.passages(is_free=True)
        limits = self.demands.sentence_words
        while change and free:
            passage = self.rng.choice(free)
            size = passage.size
            step = min(change, 4) if change > 0 else max(change, -4)
            self.grow(passage, min(max(size + step, limits.low, 1), limits.high))
            change -= passage.size - size
            if passage.size == size:
                free.remove(passage)
        if change > 0 and len(self.passages()) < self.demands.sentences.high:
            self.body()[0].passages.insert(1, self.new_passage(change))
        elif change < 0 and len(self.passages()) > max(1, self.demands.sentences.low):
            block = self.rng.choice(self.body())
            if len(block.passages) > max(1, self.demands.paragraph_sentences.low):
                del block.passages[self.rng.randrange(len(block.passages))]

    def _fit_lines(self) -> None:
        """Breaks and joins lines between sentences; adds sentences where there are too few."""
        span = self.demands.lines
        if span == Span():
            return
        num = len(Reply(self.render()).worded_lines)
        free = [passage for block in self.blocks if not block.is_sealed for passage in block.passages[1:]]
        for passage in free:
            if num < span.low and not passage.starts_line:
                passage.starts_line = True
                num += 1
            elif num > span.high and passage.starts_line and passage.end:
                passage.starts_line = False
                num -= 1
        while num < span.low and len(self.passages()) < self.demands.sentences.high:
            passage = self.new_passage()
            passage.starts_line = True
            self.body()[0].passages.insert(1, passage)
            num += 1

    def _has_words(self, script: Script) -> bool:
        """Returns whether sentences can be made in a script."""
        return sum(map(bool, (self._allowed(role, MANY) for role in FILLER[script]))) > 2

    def _allowed(self, words: tuple[str, ...], most: int) -> list[str]:
        """Returns the words that the constraints allow, of at most so many words each."""
        key = (words, min(most, 8))
        if key not in self._allowed_words:
            fitting = [word for word in words if most > 7 or _num_words(word) <= most]
            is_free = self.allows(" ".join(fitting))
            self._allowed_words[key] = fitting if is_free else [word for word in fitting if self.allows(word)]
        return self._allowed_words[key]


def _joined(pieces: list[str]) -> str:
    """Returns the pieces with spaces between them, unless one side is written without spaces."""
    text = " ".join(pieces)
    return text if text.isascii() else _NEEDLESS.sub("", text)


def _cased(text: str, casing: Casing) -> str:
    """Returns the text in a casing; for titles, with the first letter of every word large."""
    if casing == "title":
        return _WORD_START.sub(lambda match: match.group().upper(), text)
    return {"": text, "upper": text.upper(), "lower": text.lower()}[casing]


@lru_cache(maxsize=4096)
def _num_words(text: str) -> int:
    """Returns the number of words of a token."""
    return len(split_words(text))
