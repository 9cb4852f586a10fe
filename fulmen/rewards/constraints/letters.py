"""Which letters a reply has, and how its words and sentences begin. Latin letters, save for the acrostic.

An accented or capital form is the same letter. What must be absent is also found in look-alike letters.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Demands, Draft, Passage, Span, Token
from fulmen.rewards.constraints.reading import Language, Reply, fold, split_words, strip_accents
from fulmen.rewards.constraints.vocabulary import ACROSTICS


@dataclass(frozen=True, kw_only=True)
class LettersForbidden(Constraint):
    """None of some letters."""

    KIND = "letters_forbidden"
    LANGUAGES = ("en",)
    UNITS = ("letter",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Do not use any of these letters anywhere: {letters}.",
            "The whole reply must be free of these letters: {letters}.",
        ),
        "zh": ("全文不得出现以下字母：{letters}。",),
    }
    letters: tuple[str, ...]

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "LettersForbidden":
        pool = ("qzxjkv", "qzxjkvbp", "bpkvgwyf", "ugcmdlwh", "eatoins")[level]
        return cls(letters=tuple(sorted(rng.sample(pool, scaled(rng, level, easy=(1, 2), hard=(1, 1))))))

    def fault_in(self, reply: Reply) -> str:
        found = [letter for letter in self.letters if letter in reply.folded]
        return f"has the letter {', '.join(found)}" if found else ""

    def allows(self, piece: str) -> bool:
        return not set(fold(piece)) & set(self.letters)

    def mend(self, draft: Draft) -> None:
        draft.fit()


@dataclass(frozen=True, kw_only=True)
class LetterAtLeast(Constraint):
    """A letter at least so many times."""

    KIND = "letter_at_least"
    LANGUAGES = ("en",)
    UNITS = ("letter",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "The letter '{letter}' must occur at least {num} times.",
            "Use the letter '{letter}' {num} times or more in all.",
        ),
        "zh": ("字母“{letter}”至少出现{num}次。",),
    }
    letter: str
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "LetterAtLeast":
        return cls(letter=rng.choice("bcdfghkmpvwyqz"), num=scaled(rng, level, easy=(3, 5), hard=(8, 16)))

    def fault_in(self, reply: Reply) -> str:
        num = strip_accents(reply.text).count(self.letter)
        return "" if num >= self.num else f"'{self.letter}' {num} times, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (self.letter,)

    def mend(self, draft: Draft) -> None:
        for _ in range(strip_accents(draft.render()).count(self.letter), self.num):
            if word := draft.find_word(lambda word: self.letter in word):
                draft.insert_word(word)


@dataclass(frozen=True, kw_only=True)
class LetterAtMost(Constraint):
    """A letter at most so many times."""

    KIND = "letter_at_most"
    LANGUAGES = ("en",)
    UNITS = ("letter",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "The letter '{letter}' may occur at most {num} times.",
            "Use the letter '{letter}' no more than {num} times in all.",
        ),
        "zh": ("字母“{letter}”最多出现{num}次。",),
    }
    letter: str
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "LetterAtMost":
        return cls(letter=rng.choice("adhilmnorstu"), num=scaled(rng, level, easy=(12, 16), hard=(3, 5)))

    def fault_in(self, reply: Reply) -> str:
        num = reply.folded.count(self.letter)
        return "" if num <= self.num else f"'{self.letter}' {num} times, not {self.num} or fewer"

    def mend(self, draft: Draft) -> None:
        excess = fold(draft.render()).count(self.letter) - self.num
        for passage in draft.passages(is_free=True):
            for token in passage.tokens:
                if excess > 0 and self.letter in token.text.casefold() and not token.is_pinned:
                    excess -= token.text.casefold().count(self.letter)
                    token.text = draft.find_word(lambda word: self.letter not in word, script=passage.script)


@dataclass(frozen=True, kw_only=True)
class WordsStartingAtLeast(Constraint):
    """At least so many different words that begin with a letter."""

    KIND = "words_starting_at_least"
    LANGUAGES = ("en",)
    UNITS = ("word", "letter")
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use at least {num} different words that begin with the letter '{letter}'.",
            "{num} or more different words must start with '{letter}'.",
        ),
        "zh": ("至少使用{num}个以字母“{letter}”开头的不同单词。",),
    }
    letter: str
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordsStartingAtLeast":
        return cls(letter=rng.choice("bcfhlmprst"), num=scaled(rng, level, easy=(3, 4), hard=(6, 9)))

    def fault_in(self, reply: Reply) -> str:
        num = len({word for word in reply.keys if strip_accents(word).startswith(self.letter)})
        return "" if num >= self.num else f"{num} words begin with '{self.letter}', not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (self.letter,)

    def mend(self, draft: Draft) -> None:
        found = {word for word in Reply(draft.render()).keys if word.startswith(self.letter)}
        for _ in range(len(found), self.num):
            if word := draft.find_word(lambda word: word.startswith(self.letter) and word not in found):
                found.add(word)
                draft.insert_word(word)


@dataclass(frozen=True, kw_only=True)
class SentencesStartWithLetter(Constraint):
    """Every sentence begins with a given letter."""

    KIND = "sentences_start_with_letter"
    LANGUAGES = ("en",)
    UNITS = ("sentence", "letter")
    CLAIMS = frozenset({"sentence_start", "opening", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} sentences, the first word of each beginning with the letter '{letter}'.",
            "Every sentence must begin with a word in '{letter}'; write {num} sentences or more.",
        ),
        "zh": ("至少写{num}句话，每句的第一个单词都以字母“{letter}”开头。",),
    }
    letter: str
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentencesStartWithLetter":
        return cls(letter=rng.choice("abcdfhilmoprstw"), num=scaled(rng, level, easy=(2, 3), hard=(5, 8)))

    def fault_in(self, reply: Reply) -> str:
        for place, sentence in enumerate(reply.sentences, start=1):
            if not strip_accents(sentence.words[0]).startswith(self.letter):
                return f"sentence {place} begins with '{sentence.words[0]}'"
        num = len(reply.sentences)
        return "" if num >= self.num else f"{num} sentences, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (self.letter,)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages(is_free=True):
            set_first_word(draft, passage, draft.find_word(lambda word: word.startswith(self.letter)))


@dataclass(frozen=True, kw_only=True)
class SentenceStartsDiffer(Constraint):
    """No two sentences begin with the same word."""

    KIND = "sentence_starts_differ"
    UNITS = ("sentence",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} sentences, no two of which begin with the same word.",
            "Begin every sentence with another word; write {num} sentences or more.",
        ),
        "zh": ("至少写{num}句话，任何两句的第一个字都不能相同。", "每句话的首字都要不同，不少于{num}句。"),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentenceStartsDiffer":
        return cls(num=scaled(rng, level, easy=(3, 4), hard=(7, 12)))

    def fault_in(self, reply: Reply) -> str:
        starts = [sentence.words[0].casefold() for sentence in reply.sentences]
        if len(set(starts)) < len(starts):
            return f"two sentences begin with '{max(starts, key=starts.count)}'"
        return "" if len(starts) >= self.num else f"{len(starts)} sentences, not {self.num} or more"

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        seen: set[str] = set()
        for passage in draft.passages():
            first = split_words(passage.tokens[0].text.casefold())[:1]
            if set(first) & seen and not passage.is_fixed and not passage.tokens[0].is_pinned:
                new = draft.find_word(lambda word: split_words(word)[0] not in seen, script=passage.script)
                set_first_word(draft, passage, new)
                first = split_words(new)[:1]
            seen.update(first)


@dataclass(frozen=True, kw_only=True)
class Acrostic(Constraint):
    """The first letters of the lines spell a word."""

    KIND = "acrostic"
    UNITS = ("line",)
    CLAIMS = frozenset({"sentence_start", "opening", "layout", "whole"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "The first letters of your lines, read from top to bottom, must spell '{word}', with no further line.",
            "Write an acrostic of '{word}': one line per letter, each beginning with its letter, and nothing else.",
        ),
        "zh": (
            "写成藏头：每行的第一个字从上到下连起来正好是“{word}”，不能有多余的行。",
            "各行首字依次为“{word}”，行数与字数相同。",
        ),
    }
    word: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Acrostic":
        words = sorted(ACROSTICS[language], key=len)
        return cls(word=words[scaled(rng, level, easy=(0, 3), hard=(len(words) - 3, len(words) - 1))])

    def fault_in(self, reply: Reply) -> str:
        spelled = "".join(strip_accents(line.words[0])[0] for line in reply.worded_lines)
        return "" if spelled == self.word else f"the lines spell '{spelled[:40]}', not '{self.word}'"

    def needs(self) -> tuple[str, ...]:
        return tuple(self.word)

    def demands(self) -> Demands:
        return Demands(lines=Span(low=len(self.word), high=len(self.word)), sentences=Span(low=len(self.word)))

    def mend(self, draft: Draft) -> None:
        lines = [
            passage
            for block in draft.blocks
            for at, passage in enumerate(block.passages)
            if passage.tokens and (passage.starts_line or passage.marker or not at)
        ]
        for passage, letter in zip(lines, self.word, strict=False):
            word = letter
            if letter.isascii():
                word = draft.find_word(lambda word, letter=letter: word.startswith(letter))  # type: ignore[misc]
            set_first_word(draft, passage, word)


@dataclass(frozen=True, kw_only=True)
class NeighboursDiffer(Constraint):
    """No two words in a row begin with the same letter."""

    KIND = "neighbours_differ"
    LANGUAGES = ("en",)
    UNITS = ("word", "letter")
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} words; no two words in a row may begin with the same letter.",
            "Of {num} words or more, no word may start with the letter that the word before it starts with.",
        ),
        "zh": ("至少写{num}个单词，任何相邻的两个单词都不能以相同的字母开头。",),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "NeighboursDiffer":
        return cls(num=scaled(rng, level, easy=(8, 12), hard=(40, 80)))

    def fault_in(self, reply: Reply) -> str:
        before = ""
        for word in reply.words:
            if strip_accents(word)[:1] == strip_accents(before)[:1]:
                return f"'{before} {word}' begin alike"
            before = word
        return "" if len(reply.words) >= self.num else f"{len(reply.words)} words, not {self.num} or more"

    def demands(self) -> Demands:
        return Demands(words=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        tokens = [token for passage in draft.passages() for token in passage.tokens]
        for at, token in enumerate(tokens):
            if token.is_pinned or token.size != 1:
                continue
            sides = {
                split_words(side.text)[-1 if side is tokens[at - 1] else 0][:1].casefold()
                for side in _sides(tokens, at)
            }
            if token.text[:1].casefold() in sides:
                token.text = draft.find_word(lambda word, sides=sides: word[0] not in sides) or token.text  # type: ignore[misc]


def set_first_word(draft: Draft, passage: Passage, word: str) -> None:
    """Makes a pinned word the first of a sentence, in place of its first word."""
    if not word:
        return
    if passage.tokens and passage.tokens[0].text == word:
        passage.tokens[0].is_pinned = True
    elif len(passage.tokens) > 1 and not passage.tokens[0].is_pinned:
        passage.tokens[0] = Token(text=word, is_pinned=True, before=passage.tokens[0].before)
    else:
        passage.tokens.insert(0, Token(text=word, is_pinned=True))


def _sides(tokens: list[Token], at: int) -> list[Token]:
    """Returns the neighbours of a token that have words."""
    sides = ([tokens[at - 1]] if at else []) + tokens[at + 1 : at + 2]
    return [side for side in sides if side.size]


KINDS: tuple[type[Constraint], ...] = (
    LettersForbidden,
    LetterAtLeast,
    LetterAtMost,
    WordsStartingAtLeast,
    SentencesStartWithLetter,
    SentenceStartsDiffer,
    Acrostic,
    NeighboursDiffer,
)
