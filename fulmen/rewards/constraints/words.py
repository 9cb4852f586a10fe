"""Which words a reply has: asked for, forbidden, counted, in order, repeated, long.

Words of scripts with spaces are matched whole, whatever the capitals; Han words wherever their characters stand
together. What is forbidden is also found behind accents, look-alike letters, spaces between Han and Markdown marks.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Draft, Token
from fulmen.rewards.constraints.reading import Language, Reply, fold, split_words
from fulmen.rewards.constraints.vocabulary import COMMON_WORDS, KEYWORDS

_HAN = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True, kw_only=True)
class WordsIncluded(Constraint):
    """All of some words."""

    KIND = "words_included"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Include each of these words, spelled just so (capitals do not matter): {words}.",
            "All of these words must occur as whole words, in any case: {words}.",
        ),
        "zh": ("必须包含以下所有词语：{words}。", "文中要出现这些词，一个都不能少：{words}。"),
    }
    words: tuple[str, ...]

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsIncluded":
        return cls(words=tuple(rng.sample(KEYWORDS[language], scaled(rng, level, easy=(1, 2), hard=(4, 8)))))

    def fault_in(self, reply: Reply) -> str:
        missing = [word for word in self.words if not count_word(reply, word)]
        return f"lacks {', '.join(missing)}" if missing else ""

    def needs(self) -> tuple[str, ...]:
        return self.words

    def mend(self, draft: Draft) -> None:
        reply = Reply(draft.render())
        for word in self.words:
            if not count_word(reply, word):
                draft.insert_word(word)


@dataclass(frozen=True, kw_only=True)
class WordCountExactly(Constraint):
    """A word exactly so many times."""

    KIND = "word_count_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use the word '{word}' exactly {num} times (as a whole word, capitals do not matter).",
            "The whole word '{word}', in any case, must occur exactly {num} times.",
        ),
        "zh": ("“{word}”一词正好出现{num}次。", "“{word}”必须恰好出现{num}次，不多也不少。"),
    }
    word: str
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordCountExactly":
        return cls(word=rng.choice(KEYWORDS[language]), num=scaled(rng, level, easy=(2, 2), hard=(4, 7)))

    def fault_in(self, reply: Reply) -> str:
        num = count_word(reply, self.word)
        return "" if num == self.num else f"'{self.word}' {num} times, not {self.num}"

    def needs(self) -> tuple[str, ...]:
        return (self.word,)

    def mend(self, draft: Draft) -> None:
        num = count_word(Reply(draft.render()), self.word)
        if num > self.num:
            draft.replace_words(self.word)
            num = count_word(Reply(draft.render()), self.word)
        for _ in range(num, self.num):
            draft.insert_word(self.word)


@dataclass(frozen=True, kw_only=True)
class WordsForbidden(Constraint):
    """None of some words."""

    KIND = "words_forbidden"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Do not use any of these words, in capitals or not: {words}.",
            "These words must not occur as whole words, in any case: {words}.",
        ),
        "zh": ("不得出现以下任何词语：{words}。", "文中不能使用这些字词：{words}。"),
    }
    words: tuple[str, ...]

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsForbidden":
        return cls(words=tuple(rng.sample(COMMON_WORDS[language], scaled(rng, level, easy=(1, 2), hard=(4, 8)))))

    def fault_in(self, reply: Reply) -> str:
        found = [word for word in self.words if has_hidden_word(reply.folded, word)]
        return f"has {', '.join(found)}" if found else ""

    def allows(self, piece: str) -> bool:
        folded = fold(piece)
        return not any(has_hidden_word(folded, word) for word in self.words)

    def mend(self, draft: Draft) -> None:
        # Filler never has them; only two pieces that meet can make a Han word.
        for passage in draft.passages(is_free=True):
            for at, token in enumerate(passage.tokens):
                if not token.is_pinned and (new := draft.filler(at, script=passage.script)):
                    passage.tokens[at] = new


@dataclass(frozen=True, kw_only=True)
class WordsInOrder(Constraint):
    """Some words, their first occurrences in a given order."""

    KIND = "words_in_order"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use all of these words, and let their first occurrences come in this order: {words}.",
            "These whole words must occur, each for the first time after the one before it: {words}.",
        ),
        "zh": ("依次使用以下词语，首次出现的顺序不能变：{words}。", "这些词都要出现，并且按此顺序首次出现：{words}。"),
    }
    words: tuple[str, ...]

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsInOrder":
        return cls(words=tuple(rng.sample(KEYWORDS[language], scaled(rng, level, easy=(2, 2), hard=(4, 6)))))

    def fault_in(self, reply: Reply) -> str:
        places = [first_place(reply, word) for word in self.words]
        missing = [word for word, place in zip(self.words, places, strict=True) if place < 0]
        if missing:
            return f"lacks {', '.join(missing)}"
        return "" if places == sorted(set(places)) else f"the order is not {', '.join(self.words)}"

    def needs(self) -> tuple[str, ...]:
        return self.words

    def mend(self, draft: Draft) -> None:
        for word in self.words:
            draft.replace_words(word)
        free = [
            (passage, at)
            for passage in draft.passages(is_free=True)
            for at in range(1, len(passage.tokens) - 1)
            if not passage.tokens[at].is_pinned
        ]
        if len(free) < len(self.words):
            draft.body()[0].passages.insert(1, draft.new_passage())
            return
        places = sorted(draft.rng.sample(range(len(free)), len(self.words)))
        for word, place in zip(self.words, places, strict=True):
            passage, at = free[place]
            passage.tokens[at] = Token(text=word, is_pinned=True)


@dataclass(frozen=True, kw_only=True)
class WordRepeatsAtMost(Constraint):
    """No word more than so many times."""

    KIND = "word_repeats_at_most"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "No word may be used more than {num} times, short words and different capitals included.",
            "Use each word at most {num} times; 'The' and 'the' are the same word.",
        ),
        "zh": ("任何一个字最多出现{num}次（大小写算同一个）。",),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordRepeatsAtMost":
        return cls(num=scaled(rng, level, easy=(5, 6), hard=(2, 2)))

    def fault_in(self, reply: Reply) -> str:
        word, num = Counter(reply.keys).most_common(1)[0]
        return f"'{word}' {num} times, not {self.num} or fewer" if num > self.num else ""

    def mend(self, draft: Draft) -> None:
        counts = Counter(Reply(draft.render()).keys)
        for passage in draft.passages(is_free=True):
            for token in passage.tokens:
                key = token.text.casefold()
                if counts[key] > self.num and not token.is_pinned and token.size == 1:
                    counts[key] -= 1
                    new = draft.find_word(lambda word: counts[word.casefold()] < self.num, script=passage.script)
                    token.text = new or token.text
                    counts[token.text.casefold()] += 1


@dataclass(frozen=True, kw_only=True)
class DistinctWordsAtLeast(Constraint):
    """At least so many different words."""

    KIND = "distinct_words_at_least"
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use at least {num} different words ('The' and 'the' are the same).",
            "The reply must have {num} or more different words, capitals ignored.",
        ),
        "zh": ("至少使用{num}个不同的字。", "全文不重复的字不少于{num}个。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "DistinctWordsAtLeast":
        return cls(num=scaled(rng, level, easy=(12, 20), hard=(50, 80)))

    def fault_in(self, reply: Reply) -> str:
        num = len(set(reply.keys))
        return "" if num >= self.num else f"{num} different words, not {self.num} or more"

    def mend(self, draft: Draft) -> None:
        missing = self.num - len(set(Reply(draft.render()).keys))
        if missing <= 0:
            return
        WordRepeatsAtMost(num=1).mend(draft)
        seen = [draft.render()]
        room = draft.demands.words.high - len(Reply(seen[0]).words)
        passages = draft.passages(is_free=True)
        for _ in range(min(missing, room) if passages else 0):
            if word := draft.find_word(lambda word: not any(word in text for text in seen)):
                draft.rng.choice(passages).tokens.insert(1, Token(text=word))
                seen.append(word)


@dataclass(frozen=True, kw_only=True)
class LongWordsAtLeast(Constraint):
    """At least so many words of at least so many letters."""

    KIND = "long_words_at_least"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use at least {num} different words of {letters} or more letters.",
            "At least {num} different words must be {letters} letters long or longer.",
        ),
        "zh": ("至少使用{num}个不同的、有{letters}个以上字母（含{letters}个）的单词。",),
    }
    num: int
    letters: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "LongWordsAtLeast":
        letters = scaled(rng, level, easy=(7, 8), hard=(9, 10))
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(5, 8)), letters=letters)

    def fault_in(self, reply: Reply) -> str:
        num = len({word for word in reply.keys if sum(map(str.isalpha, word)) >= self.letters})
        return "" if num >= self.num else f"{num} words of {self.letters} letters, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return ("y" * self.letters,)

    def mend(self, draft: Draft) -> None:
        found = {word for word in Reply(draft.render()).keys if len(word) >= self.letters}
        for _ in range(len(found), self.num):
            new = draft.find_word(lambda word: len(word) >= self.letters and word not in found)
            if not new:
                return
            found.add(new)
            draft.insert_word(new)


@dataclass(frozen=True, kw_only=True)
class WordLettersAtMost(Constraint):
    """No word over so many letters."""

    KIND = "word_letters_at_most"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": ("No word may have more than {num} letters.", "Use only words of {num} letters or fewer."),
        "zh": ("任何单词都不得超过{num}个字母。",),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordLettersAtMost":
        return cls(num=scaled(rng, level, easy=(9, 10), hard=(5, 6)))

    def fault_in(self, reply: Reply) -> str:
        for word in reply.words:
            if sum(map(str.isalpha, word)) > self.num:
                return f"'{word}' has more than {self.num} letters"
        return ""

    def allows(self, piece: str) -> bool:
        return all(len(word) <= self.num for word in split_words(piece))

    def mend(self, draft: Draft) -> None:
        draft.fit()


@dataclass(frozen=True, kw_only=True)
class NumbersAtLeast(Constraint):
    """At least so many numbers in digits."""

    KIND = "numbers_at_least"
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use at least {num} different numbers written in digits (list numbers do not count).",
            "At least {num} different numbers in digits, such as 7 or 42, must occur, list numbers not counted.",
        ),
        "zh": (
            "至少使用{num}个不同的阿拉伯数字写成的数（列表编号不算）。",
            "文中要有{num}个以上（含）不同的数，用阿拉伯数字写，列表编号不算。",
        ),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "NumbersAtLeast":
        return cls(num=scaled(rng, level, easy=(2, 2), hard=(4, 8)))

    def fault_in(self, reply: Reply) -> str:
        num = len(_numbers(reply))
        return "" if num >= self.num else f"{num} numbers, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def mend(self, draft: Draft) -> None:
        for _ in range(len(_numbers(Reply(draft.render()))), self.num):
            draft.insert_word(str(draft.rng.randint(2, 999)))


@dataclass(frozen=True, kw_only=True)
class NoDigits(Constraint):
    """No digits."""

    KIND = "no_digits"
    PHRASES: ClassVar[Phrases] = {
        "en": ("Do not use any digits, list numbers included.", "No digit from 0 to 9 may occur anywhere."),
        "zh": ("全文不得出现任何阿拉伯数字，列表编号也不行。", "不要使用0到9的任何数字。"),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "NoDigits":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        return "" if self.allows(reply.folded) else "has a digit"

    def allows(self, piece: str) -> bool:
        return not re.search(r"\d", piece)

    def mend(self, draft: Draft) -> None:
        draft.fit()


def count_word(reply: Reply, word: str) -> int:
    """Returns how often a word occurs."""
    if _HAN.search(word):
        return reply.text.count(word)
    return reply.keys.count(word.casefold())


def first_place(reply: Reply, word: str) -> int:
    """Returns where a word first occurs, or -1."""
    if _HAN.search(word):
        return reply.text.find(word)
    return reply.keys.index(word.casefold()) if word.casefold() in reply.keys else -1


def has_hidden_word(folded: str, word: str) -> bool:
    """Returns whether a folded text has a word."""
    if _HAN.search(word):
        return word in folded.replace(" ", "")
    return fold(word) in split_words(folded)


def _numbers(reply: Reply) -> set[str]:
    """Returns the different numbers of a reply."""
    return {word for word in reply.words if re.fullmatch(r"[0-9]+(?:[.,][0-9]+)*", word)}


KINDS: tuple[type[Constraint], ...] = (
    WordsIncluded,
    WordCountExactly,
    WordsForbidden,
    WordsInOrder,
    WordRepeatsAtMost,
    DistinctWordsAtLeast,
    LongWordsAtLeast,
    WordLettersAtMost,
    NumbersAtLeast,
    NoDigits,
)
