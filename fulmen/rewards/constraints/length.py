"""How long a reply is: words, characters, sentences, paragraphs, lines."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Demands, Draft, Span
from fulmen.rewards.constraints.reading import Language, Reply, split_sentences


class _Bounded(Constraint):
    """A kind whose example needs nothing but the bounds."""

    def mend(self, draft: Draft) -> None:
        draft.fit()


@dataclass(frozen=True, kw_only=True)
class WordsAtLeast(_Bounded):
    """At least so many words."""

    KIND = "words_at_least"
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Use at least {num} words.", "The reply must have {num} words or more.", "No fewer than {num} words."),
        "zh": ("不少于{num}字。", "回答至少要有{num}字。", "字数在{num}字或以上。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsAtLeast":
        return cls(num=scaled(rng, level, easy=(20, 40), hard=(150, 300)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("words", len(reply.words), low=self.num)

    def demands(self) -> Demands:
        return Demands(words=Span(low=self.num, high=3 * self.num))


@dataclass(frozen=True, kw_only=True)
class WordsAtMost(_Bounded):
    """At most so many words."""

    KIND = "words_at_most"
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Use at most {num} words.", "Do not go over {num} words.", "The reply must have {num} words or fewer."),
        "zh": ("不超过{num}字。", "最多写{num}字。", "字数在{num}字或以下。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsAtMost":
        return cls(num=scaled(rng, level, easy=(80, 150), hard=(15, 40)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("words", len(reply.words), high=self.num)

    def demands(self) -> Demands:
        return Demands(words=Span(high=self.num))


@dataclass(frozen=True, kw_only=True)
class WordsBetween(_Bounded):
    """A number of words within bounds."""

    KIND = "words_between"
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Use between {low} and {high} words, both included.", "The reply must have {low} to {high} words."),
        "zh": ("字数在{low}到{high}字之间（含两端）。", "写{low}至{high}字。"),
    }
    low: int
    high: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsBetween":
        low = scaled(rng, level, easy=(30, 80), hard=(40, 160))
        return cls(low=low, high=low + scaled(rng, level, easy=(40, 60), hard=(2, 8)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("words", len(reply.words), low=self.low, high=self.high)

    def demands(self) -> Demands:
        return Demands(words=Span(low=self.low, high=self.high))


@dataclass(frozen=True, kw_only=True)
class WordsExactly(_Bounded):
    """Exactly so many words."""

    KIND = "words_exactly"
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Use exactly {num} words.", "The reply must have exactly {num} words, no more and no fewer."),
        "zh": ("正好写{num}字。", "字数必须恰好是{num}字，不多也不少。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsExactly":
        return cls(num=scaled(rng, level, easy=(10, 20), hard=(40, 120)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("words", len(reply.words), low=self.num, high=self.num)

    def demands(self) -> Demands:
        return Demands(words=Span(low=self.num, high=self.num))


@dataclass(frozen=True, kw_only=True)
class CharactersBetween(_Bounded):
    """A number of characters within bounds."""

    KIND = "characters_between"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use {low} to {high} characters, not counting spaces and line breaks.",
            "Without spaces and line breaks, the reply must have at least {low} and at most {high} characters.",
        ),
        "zh": ("不计空格和换行，全文{low}到{high}个字符。", "字符数（空格和换行不算）至少{low}，至多{high}。"),
    }
    low: int
    high: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "CharactersBetween":
        low = scaled(rng, level, easy=(100, 300), hard=(200, 600)) // (3 if language == "zh" else 1)
        return cls(low=low, high=low + scaled(rng, level, easy=(200, 300), hard=(20, 40)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("characters", reply.num_chars, low=self.low, high=self.high)

    def demands(self) -> Demands:
        return Demands(chars=Span(low=self.low, high=self.high), words=Span(high=self.high))


@dataclass(frozen=True, kw_only=True)
class SentencesBetween(_Bounded):
    """A number of sentences within bounds."""

    KIND = "sentences_between"
    UNITS = ("sentence",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Write {low} to {high} sentences.", "Use at least {low} and at most {high} sentences."),
        "zh": ("写{low}到{high}句话。", "至少{low}句，至多{high}句。"),
    }
    low: int
    high: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentencesBetween":
        low = scaled(rng, level, easy=(2, 5), hard=(6, 15))
        return cls(low=low, high=low + scaled(rng, level, easy=(4, 5), hard=(1, 2)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("sentences", len(reply.sentences), low=self.low, high=self.high)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.low, high=self.high))


@dataclass(frozen=True, kw_only=True)
class SentencesExactly(_Bounded):
    """Exactly so many sentences."""

    KIND = "sentences_exactly"
    UNITS = ("sentence",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Write exactly {num} sentences.", "The reply must consist of exactly {num} sentences."),
        "zh": ("正好写{num}句话。", "全文必须恰好有{num}句话。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentencesExactly":
        return cls(num=scaled(rng, level, easy=(2, 4), hard=(7, 15)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("sentences", len(reply.sentences), low=self.num, high=self.num)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num, high=self.num))


@dataclass(frozen=True, kw_only=True)
class SentenceWordsAtMost(_Bounded):
    """No sentence over so many words."""

    KIND = "sentence_words_at_most"
    UNITS = ("word", "sentence")
    PHRASES: ClassVar[Phrases] = {
        "en": ("No sentence may have more than {num} words.", "Keep every sentence to {num} words or fewer."),
        "zh": ("每句话不超过{num}字。", "任何一句都不能多于{num}字。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentenceWordsAtMost":
        return cls(num=scaled(rng, level, easy=(18, 25), hard=(6, 9)))

    def fault_in(self, reply: Reply) -> str:
        return _each_outside("words", [len(sentence.words) for sentence in reply.sentences], "sentence", high=self.num)

    def demands(self) -> Demands:
        return Demands(sentence_words=Span(high=self.num))


@dataclass(frozen=True, kw_only=True)
class SentenceWordsAtLeast(_Bounded):
    """No sentence under so many words."""

    KIND = "sentence_words_at_least"
    UNITS = ("word", "sentence")
    PHRASES: ClassVar[Phrases] = {
        "en": ("Every sentence must have at least {num} words.", "No sentence may have fewer than {num} words."),
        "zh": ("每句话至少{num}字。", "任何一句都不能少于{num}字。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentenceWordsAtLeast":
        return cls(num=scaled(rng, level, easy=(4, 6), hard=(12, 20)))

    def fault_in(self, reply: Reply) -> str:
        return _each_outside("words", [len(sentence.words) for sentence in reply.sentences], "sentence", low=self.num)

    def demands(self) -> Demands:
        return Demands(sentence_words=Span(low=self.num))


@dataclass(frozen=True, kw_only=True)
class ParagraphsExactly(_Bounded):
    """Exactly so many paragraphs."""

    KIND = "paragraphs_exactly"
    UNITS = ("paragraph",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Write exactly {num} paragraphs.", "The reply must have exactly {num} paragraphs."),
        "zh": ("正好写{num}段。", "全文必须恰好有{num}个段落。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "ParagraphsExactly":
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(4, 8)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("paragraphs", len(reply.paragraphs), low=self.num, high=self.num)

    def demands(self) -> Demands:
        return Demands(paragraphs=Span(low=self.num, high=self.num))


@dataclass(frozen=True, kw_only=True)
class ParagraphSentencesExactly(_Bounded):
    """Exactly so many sentences in every paragraph."""

    KIND = "paragraph_sentences_exactly"
    UNITS = ("paragraph", "sentence")
    PHRASES: ClassVar[Phrases] = {
        "en": ("Every paragraph must have exactly {num} sentences.", "Put exactly {num} sentences in each paragraph."),
        "zh": ("每段正好{num}句话。", "每一段都必须恰好有{num}句话。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "ParagraphSentencesExactly":
        return cls(num=scaled(rng, level, easy=(2, 2), hard=(3, 6)))

    def fault_in(self, reply: Reply) -> str:
        counts = [sum(len(line.sentences) for line in block) for block in reply.blocks]
        return _each_outside("sentences", counts, "paragraph", low=self.num, high=self.num)

    def demands(self) -> Demands:
        return Demands(paragraph_sentences=Span(low=self.num, high=self.num))


@dataclass(frozen=True, kw_only=True)
class LinesExactly(_Bounded):
    """Exactly so many lines."""

    KIND = "lines_exactly"
    UNITS = ("line",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("Write exactly {num} lines.", "The reply must have exactly {num} lines, blank ones not counted."),
        "zh": ("正好写{num}行。", "全文必须恰好有{num}行（空行不算）。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "LinesExactly":
        return cls(num=scaled(rng, level, easy=(2, 4), hard=(6, 14)))

    def fault_in(self, reply: Reply) -> str:
        return _outside("lines", len(reply.worded_lines), low=self.num, high=self.num)

    def demands(self) -> Demands:
        return Demands(lines=Span(low=self.num, high=self.num))


@dataclass(frozen=True, kw_only=True)
class GrowingSentences(Constraint):
    """Every sentence longer than the one before."""

    KIND = "growing_sentences"
    UNITS = ("word", "sentence")
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} sentences, each with more words than the one before it.",
            "Every sentence must have more words than the previous one; write {num} sentences or more.",
        ),
        "zh": ("至少写{num}句话，每句的字数都要比前一句多。", "句子要一句比一句长（按字数），不少于{num}句。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "GrowingSentences":
        return cls(num=scaled(rng, level, easy=(3, 3), hard=(4, 7)))

    def fault_in(self, reply: Reply) -> str:
        counts = [len(sentence.words) for sentence in reply.sentences]
        for place, (before, after) in enumerate(pairwise(counts), start=2):
            if after <= before:
                return f"sentence {place} has {after} words, the one before {before}"
        return _outside("sentences", len(counts), low=self.num)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num, high=self.num + 3))

    def mend(self, draft: Draft) -> None:
        size = 0
        for passage in draft.passages():
            shown = sum(len(part.words) for part in split_sentences(draft.render_passage(passage)))
            if shown <= size and not passage.is_fixed:
                draft.grow(passage, size + 1)
            elif not size and shown > 4 and not passage.is_fixed:
                draft.grow(passage, max(2, draft.demands.sentence_words.low))
            size = max(size, passage.size)


def _outside(unit: str, num: int, *, low: int = 0, high: int | None = None) -> str:
    """Returns what is wrong with a count."""
    if num < low:
        return f"{num} {unit}, not {low} or more" if high != low else f"{num} {unit}, not {low}"
    if high is not None and num > high:
        return f"{num} {unit}, not {high} or fewer" if high != low else f"{num} {unit}, not {low}"
    return ""


def _each_outside(unit: str, counts: Sequence[int], part: str, *, low: int = 0, high: int | None = None) -> str:
    """Returns what is wrong with the first part whose count is."""
    for place, num in enumerate(counts, start=1):
        if fault := _outside(unit, num, low=low, high=high):
            return f"{part} {place}: {fault}"
    return ""


KINDS: tuple[type[Constraint], ...] = (
    WordsAtLeast,
    WordsAtMost,
    WordsBetween,
    WordsExactly,
    CharactersBetween,
    SentencesBetween,
    SentencesExactly,
    SentenceWordsAtMost,
    SentenceWordsAtLeast,
    ParagraphsExactly,
    ParagraphSentencesExactly,
    LinesExactly,
    GrowingSentences,
)
