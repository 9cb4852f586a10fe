"""Capital and small letters. For prompts in English: Han has no case."""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Draft
from fulmen.rewards.constraints.reading import Language, Reply

MIN_CASED = 10
"""Letters with two forms that a reply must have for its casing to mean anything."""


@dataclass(frozen=True, kw_only=True)
class AllUpper(Constraint):
    """Capitals only."""

    KIND = "all_upper"
    LANGUAGES = ("en",)
    CLAIMS = frozenset({"casing"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write everything in capital letters (at least 10 letters).",
            "The reply must have 10 letters or more and no small letter.",
        ),
        "zh": ("全部使用大写字母（至少10个字母）。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "AllUpper":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        if small := next(filter(str.islower, reply.text), ""):
            return f"has the small letter '{small}'"
        return "" if sum(map(str.isupper, reply.text)) >= MIN_CASED else "has hardly any letters"

    def needs(self) -> tuple[str, ...]:
        return ("E",)

    def mend(self, draft: Draft) -> None:
        draft.casing = "upper"


@dataclass(frozen=True, kw_only=True)
class AllLower(Constraint):
    """Small letters only."""

    KIND = "all_lower"
    LANGUAGES = ("en",)
    CLAIMS = frozenset({"casing"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write everything in small letters (at least 10 letters).",
            "The reply must have 10 letters or more and no capital, not even at the start of a sentence.",
        ),
        "zh": ("全部使用小写字母（至少10个字母）。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "AllLower":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        if large := next((char for char in reply.text if char.isupper() or char.istitle()), ""):
            return f"has the capital '{large}'"
        return "" if sum(map(str.islower, reply.text)) >= MIN_CASED else "has hardly any letters"

    def needs(self) -> tuple[str, ...]:
        return ("e",)

    def mend(self, draft: Draft) -> None:
        draft.casing = "lower"


@dataclass(frozen=True, kw_only=True)
class TitleCase(Constraint):
    """Every word begins with a capital and goes on in small letters."""

    KIND = "title_case"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    CLAIMS = frozenset({"casing"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Begin every word with a capital letter and write the rest of it in small letters (numbers are free).",
            "Each Word Must Have A Capital First Letter And No Other Capital; numbers are free.",
        ),
        "zh": ("每个单词首字母大写，其余字母小写（数字不限）。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "TitleCase":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        for word in reply.words:
            if word[0].islower() or any(map(str.isupper, word[1:])):
                return f"'{word}'"
        return "" if sum(map(str.isupper, reply.text)) >= 3 else "has hardly any letters"

    def needs(self) -> tuple[str, ...]:
        return ("E", "e")

    def mend(self, draft: Draft) -> None:
        draft.casing = "title"


@dataclass(frozen=True, kw_only=True)
class UpperWordsBetween(Constraint):
    """A number of words in capitals within bounds."""

    KIND = "upper_words_between"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    CLAIMS = frozenset({"casing"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {low} and at most {high} words entirely in capitals (words of two or more letters).",
            "Between {low} and {high} words of two or more letters must be all capitals, LIKE THIS.",
        ),
        "zh": ("有{low}到{high}个（两个字母以上的）单词全部大写。",),
    }
    low: int
    high: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "UpperWordsBetween":
        low = scaled(rng, level, easy=(1, 2), hard=(4, 9))
        return cls(low=low, high=low + scaled(rng, level, easy=(4, 5), hard=(0, 0)))

    def fault_in(self, reply: Reply) -> str:
        num = _num_upper(reply)
        return "" if self.low <= num <= self.high else f"{num} words in capitals, not {self.low} to {self.high}"

    def mend(self, draft: Draft) -> None:
        num = _num_upper(Reply(draft.render()))
        tokens = [token for passage in draft.passages(is_free=True) for token in passage.tokens if len(token.text) > 2]
        draft.rng.shuffle(tokens)
        for token in tokens:
            if num < self.low and not token.is_pinned and token.text.islower():
                token.text, token.is_pinned = token.text.upper(), True
                num += 1
            elif num > self.high and token.text.isupper():
                token.text, token.is_pinned = token.text.lower(), False
                num -= 1


@dataclass(frozen=True, kw_only=True)
class FirstWordUpper(Constraint):
    """The first word of every sentence in capitals."""

    KIND = "first_word_upper"
    LANGUAGES = ("en",)
    UNITS = ("word", "sentence")
    CLAIMS = frozenset({"casing"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write the first word of every sentence, and no other word of two or more letters, entirely in capitals.",
            "Every sentence's first word must be all capitals; all other words of two letters or more must not be.",
        ),
        "zh": ("每句话的第一个单词全部大写，其余（两个字母以上的）单词不得全部大写。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "FirstWordUpper":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        for sentence in reply.sentences:
            first, *others = sentence.words
            if not first.isupper():
                return f"a sentence begins with '{first}'"
            if shouted := [word for word in others if _is_upper(word)]:
                return f"'{shouted[0]}' is in capitals"
        return ""

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages(is_free=True):
            for at, token in enumerate(passage.tokens):
                head, gap, tail = token.text.partition(" ")
                token.text = (head.lower() if at else head.upper()) + gap + tail.lower()


def _is_upper(word: str) -> bool:
    """Returns whether a word is in capitals so that it shows."""
    return word.isupper() and sum(map(str.isalpha, word)) > 1


def _num_upper(reply: Reply) -> int:
    """Returns the number of words in capitals."""
    return sum(map(_is_upper, reply.words))


KINDS: tuple[type[Constraint], ...] = (AllUpper, AllLower, TitleCase, UpperWordsBetween, FirstWordUpper)
