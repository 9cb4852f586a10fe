"""What stands where: openings, endings, words at a place."""

import random
import re
from dataclasses import dataclass
from typing import ClassVar

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Demands, Draft, Passage, Span, Token
from fulmen.rewards.constraints.letters import set_first_word
from fulmen.rewards.constraints.reading import Language, Reply, split_words
from fulmen.rewards.constraints.vocabulary import ENDINGS, KEYWORDS, OPENINGS

_END_MARKS = ".!?…。！？ "


@dataclass(frozen=True, kw_only=True)
class StartsWith(Constraint):
    """The reply begins with given words."""

    KIND = "starts_with"
    CLAIMS = frozenset({"opening", "sentence_start"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Begin the reply with the words '{text}' (capitals do not matter), with nothing in front of them.",
            "The very first words must be '{text}', in any case, with no mark before them.",
        ),
        "zh": ("以“{text}”开头，前面不能有任何内容。", "全文的第一句要从“{text}”写起，之前不得有任何字符。"),
    }
    text: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "StartsWith":
        return cls(text=rng.choice(OPENINGS[language]))

    def fault_in(self, reply: Reply) -> str:
        text = reply.text.casefold()
        is_whole = split_words(text)[: len(split_words(self.text))] == split_words(self.text.casefold())
        return "" if text.startswith(self.text.casefold()) and is_whole else f"begins with '{reply.text[:40]}'"

    def needs(self) -> tuple[str, ...]:
        return (self.text,)

    def mend(self, draft: Draft) -> None:
        first = next((passage for passage in draft.passages() if not passage.is_fixed), None)
        if first is None or first is not draft.blocks[0].passages[0] or first.marker:
            draft.blocks.insert(0, draft.new_block(1))
            first = draft.blocks[0].passages[0]
        first.tokens[0].before = ""
        set_first_word(draft, first, self.text)


@dataclass(frozen=True, kw_only=True)
class EndsWith(Constraint):
    """The reply ends with given words."""

    KIND = "ends_with"
    CLAIMS = frozenset({"ending"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "End the reply with the words '{text}' (capitals do not matter); only an end mark (. ! ? …) may follow.",
            "The last words must be '{text}', in any case, with nothing after them but an end mark.",
        ),
        "zh": ("以“{text}”结尾，后面最多只有句末标点。", "全文最后几个字必须是“{text}”，其后只能有句末标点。"),
    }
    text: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "EndsWith":
        return cls(text=rng.choice(ENDINGS[language]))

    def fault_in(self, reply: Reply) -> str:
        text = reply.text[-200:].rstrip(_END_MARKS).casefold()
        last = split_words(text)[-len(split_words(self.text)) :]
        is_whole = last == split_words(self.text.casefold())
        return "" if text.endswith(self.text.casefold()) and is_whole else f"ends with '{reply.text[-40:]}'"

    def needs(self) -> tuple[str, ...]:
        return (self.text,)

    def mend(self, draft: Draft) -> None:
        last = last_passage(draft)
        last.tokens = [token for token in last.tokens if token.text != self.text]
        last.tokens.append(Token(text=self.text, is_pinned=True))


@dataclass(frozen=True, kw_only=True)
class SameFirstAndLastWord(Constraint):
    """The first word is also the last one."""

    KIND = "same_first_and_last_word"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    CLAIMS = frozenset({"opening", "ending"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "The first and the last word of the reply must be the same word (capitals do not matter).",
            "End the reply with the very word it begins with, in any case.",
        ),
        "zh": ("全文第一个单词和最后一个单词必须相同。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SameFirstAndLastWord":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        first, last = reply.keys[0], reply.keys[-1]
        return "" if first == last else f"begins with '{first}', ends with '{last}'"

    def mend(self, draft: Draft) -> None:
        word = Reply(draft.render()).words[0]
        last = last_passage(draft)
        if len(last.tokens) > 2 and not last.tokens[-1].is_pinned:
            last.tokens.pop()
        last.tokens.append(Token(text=word.lower(), is_pinned=True))


@dataclass(frozen=True, kw_only=True)
class WordAtPlace(Constraint):
    """The n-th word is a given one."""

    KIND = "word_at_place"
    LANGUAGES = ("en",)
    UNITS = ("word",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Word number {place} of the reply must be '{word}' (capitals do not matter).",
            "Counted from the start, the word at place {place} must be '{word}', in any case.",
        ),
        "zh": ("从头数起第{place}个单词必须是“{word}”。",),
    }
    place: int
    word: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordAtPlace":
        return cls(place=scaled(rng, level, easy=(2, 4), hard=(12, 30)), word=rng.choice(KEYWORDS[language]))

    def fault_in(self, reply: Reply) -> str:
        if len(reply.words) < self.place:
            return f"{len(reply.words)} words, none at place {self.place}"
        found = reply.keys[self.place - 1]
        return "" if found == self.word else f"'{found}' at place {self.place}, not '{self.word}'"

    def needs(self) -> tuple[str, ...]:
        return (self.word,)

    def demands(self) -> Demands:
        return Demands(words=Span(low=self.place))

    def mend(self, draft: Draft) -> None:
        draft.replace_words(self.word)
        count = 0
        for passage in draft.passages():
            for at, token in enumerate(passage.tokens):
                count += token.size
                if count >= self.place and token.size == 1 and not token.is_pinned and not passage.is_fixed:
                    passage.tokens[at] = Token(text=self.word, is_pinned=True)
                if count >= self.place:
                    return


@dataclass(frozen=True, kw_only=True)
class SentenceHasWord(Constraint):
    """The n-th sentence has a given word."""

    KIND = "sentence_has_word"
    UNITS = ("sentence",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Sentence number {place} must contain the whole word '{word}' (capitals do not matter).",
            "Use the word '{word}', in any case, in sentence number {place}.",
        ),
        "zh": ("第{place}句话里要有“{word}”。", "“{word}”必须出现在第{place}句中。"),
    }
    place: int
    word: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentenceHasWord":
        return cls(place=scaled(rng, level, easy=(1, 2), hard=(4, 9)), word=rng.choice(KEYWORDS[language]))

    def fault_in(self, reply: Reply) -> str:
        if len(reply.sentences) < self.place:
            return f"{len(reply.sentences)} sentences, none at place {self.place}"
        sentence = reply.sentences[self.place - 1]
        return "" if has_word(sentence.text, self.word) else f"sentence {self.place} lacks '{self.word}'"

    def needs(self) -> tuple[str, ...]:
        return (self.word,)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.place))

    def mend(self, draft: Draft) -> None:
        passages = draft.passages()
        if len(passages) >= self.place and not passages[self.place - 1].is_fixed:
            draft.replace_words(self.word)
            draft.insert_word(self.word, passage=passages[self.place - 1])


@dataclass(frozen=True, kw_only=True)
class ParagraphStartsWith(Constraint):
    """The n-th paragraph begins with a given word."""

    KIND = "paragraph_starts_with"
    UNITS = ("paragraph",)
    CLAIMS = frozenset({"sentence_start", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {place} paragraphs; the first word of paragraph number {place} must be '{word}'.",
            "Paragraph number {place} must begin with the word '{word}' (capitals do not matter).",
        ),
        "zh": ("至少写{place}段，第{place}段以“{word}”开头。", "第{place}段开头的词必须是“{word}”。"),
    }
    place: int
    word: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "ParagraphStartsWith":
        return cls(place=scaled(rng, level, easy=(2, 2), hard=(3, 6)), word=rng.choice(KEYWORDS[language]))

    def fault_in(self, reply: Reply) -> str:
        if len(reply.paragraphs) < self.place:
            return f"{len(reply.paragraphs)} paragraphs, none at place {self.place}"
        words = split_words(reply.paragraphs[self.place - 1].casefold())
        wanted = split_words(self.word.casefold())
        return "" if words[: len(wanted)] == wanted else f"paragraph {self.place} begins with '{' '.join(words[:3])}'"

    def needs(self) -> tuple[str, ...]:
        return (self.word,)

    def demands(self) -> Demands:
        return Demands(paragraphs=Span(low=self.place))

    def mend(self, draft: Draft) -> None:
        blocks = [block for block in draft.blocks if block.is_worded]
        if len(blocks) >= self.place and not blocks[self.place - 1].passages[0].is_fixed:
            set_first_word(draft, blocks[self.place - 1].passages[0], self.word)


@dataclass(frozen=True, kw_only=True)
class WordEverySentence(Constraint):
    """A word in every sentence."""

    KIND = "word_every_sentence"
    UNITS = ("sentence",)
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} sentences, each with the whole word '{word}' in it (capitals do not matter).",
            "Every sentence must contain the word '{word}', in any case; write {num} sentences or more.",
        ),
        "zh": ("至少写{num}句话，每句都要包含“{word}”。", "每一句里都要有“{word}”，不少于{num}句。"),
    }
    num: int
    word: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "WordEverySentence":
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(5, 8)), word=rng.choice(KEYWORDS[language]))

    def fault_in(self, reply: Reply) -> str:
        for place, sentence in enumerate(reply.sentences, start=1):
            if not has_word(sentence.text, self.word):
                return f"sentence {place} lacks '{self.word}'"
        num = len(reply.sentences)
        return "" if num >= self.num else f"{num} sentences, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (self.word,)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages(is_free=True):
            if not has_word(draft.render_passage(passage), self.word):
                draft.insert_word(self.word, passage=passage)


def has_word(text: str, word: str) -> bool:
    """Returns whether a piece of text has a word: whole if it is written in letters, capitals ignored."""
    if not word.isascii():
        return word in text
    return word.casefold() in split_words(text.casefold())


def last_passage(draft: Draft) -> Passage:
    """Returns the last sentence of a draft, which may be changed; makes one where that is not so."""
    block = draft.blocks[-1]
    if block.is_sealed or not block.passages or block.passages[-1].is_fixed:
        draft.blocks.append(draft.new_block(1))
    return draft.blocks[-1].passages[-1]


def only_words(text: str) -> str:
    """Returns a text in small letters without anything but its words."""
    return re.sub(r"\s+", " ", " ".join(split_words(text.casefold())))


KINDS: tuple[type[Constraint], ...] = (
    StartsWith,
    EndsWith,
    SameFirstAndLastWord,
    WordAtPlace,
    SentenceHasWord,
    ParagraphStartsWith,
    WordEverySentence,
)
