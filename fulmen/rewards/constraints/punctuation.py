"""Marks a reply has, lacks, or ends its sentences with. A mark and its full-width form are one."""

import random
import re
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Demands, Draft, Span
from fulmen.rewards.constraints.reading import Language, Reply, split_words
from fulmen.rewards.constraints.vocabulary import KEYWORDS
from fulmen.rewards.constraints.words import count_word

Mark = Literal["comma", "period", "question", "exclamation", "colon", "semicolon", "quote", "parenthesis", "dash"]
FORMS: dict[Mark, str] = {
    "comma": ",，、﹐﹑､‚",
    "period": ".。｡．﹒…",
    "question": "?？¿﹖⁇⁈⁉",
    "exclamation": "!！¡﹗‼⁈⁉",
    "colon": ":：﹕∶",
    "semicolon": ";；﹔",
    "quote": '"“”„«»「」『』＂',
    "parenthesis": "()（）﹙﹚",
    "dash": "-－–—―‐‑‒−",
}
"""All forms of a mark; the first is how it is shown."""
NAMES: dict[Language, dict[Mark, str]] = {
    "en": {
        "comma": "comma (, ， 、)",
        "period": "period or ellipsis (. 。 …)",
        "question": "question mark (? ？)",
        "exclamation": "exclamation mark (! ！)",
        "colon": "colon (: ：)",
        "semicolon": "semicolon (; ；)",
        "quote": 'double quotation mark (" “ ” 「 」 « »)',
        "parenthesis": "parenthesis ( ) （ ）",
        "dash": "dash or hyphen (- – —)",
    },
    "zh": {
        "comma": "逗号或顿号（, ， 、）",
        "period": "句号或省略号（. 。 …）",
        "question": "问号（? ？）",
        "exclamation": "感叹号（! ！）",
        "colon": "冒号（: ：）",
        "semicolon": "分号（; ；）",
        "quote": '双引号（" “ ” 「 」 « »）',
        "parenthesis": "圆括号（( ) （ ））",
        "dash": "破折号或连字符（- – —）",
    },
}
_WIDE: dict[Mark, str] = {
    "comma": "，",
    "question": "？",
    "exclamation": "！",
    "colon": "：",
    "semicolon": "；",
    "period": "。",
}
_ASIDE = re.compile(r"[(（]([^()（）\n]*)[)）]")


class _Marked(Constraint):
    """A kind with one mark among its parameters."""

    mark: Mark

    def values(self, language: Language) -> dict[str, str]:
        return super().values(language) | {"mark": NAMES[language][self.mark]}


@dataclass(frozen=True, kw_only=True)
class MarkForbidden(_Marked):
    """A mark that must not occur."""

    KIND = "mark_forbidden"
    PHRASES: ClassVar[Phrases] = {
        "en": ("Do not use any {mark}.", "No {mark} may occur anywhere."),
        "zh": ("不得使用{mark}。", "全文不能出现任何{mark}。"),
    }
    mark: Mark

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "MarkForbidden":
        return cls(mark=rng.choice(get_args(Mark)[-1 - 2 * level :]))

    def fault_in(self, reply: Reply) -> str:
        return "" if self.allows(reply.text) else f"has a {NAMES['en'][self.mark]}"

    def allows(self, piece: str) -> bool:
        return not set(piece) & set(FORMS[self.mark])

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages():
            if not self.allows(passage.end):
                passage.end = draft.end_mark(passage.script)
                passage.starts_line = passage.starts_line or not passage.end
        draft.fit()


@dataclass(frozen=True, kw_only=True)
class MarkCountExactly(_Marked):
    """A mark that occurs exactly so many times."""

    KIND = "mark_count_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "In the whole reply, use exactly {num} of this mark: {mark}.",
            "The mark {mark} must occur exactly {num} times.",
        ),
        "zh": ("全文正好使用{num}个{mark}。", "{mark}必须恰好出现{num}次。"),
    }
    mark: Mark
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "MarkCountExactly":
        mark: Mark = rng.choice(("comma", "question", "exclamation", "colon", "semicolon"))
        return cls(mark=mark, num=scaled(rng, level, easy=(2, 3), hard=(4, 9)))

    def fault_in(self, reply: Reply) -> str:
        num = sum(map(reply.text.count, FORMS[self.mark]))
        return "" if num == self.num else f"{num} of {NAMES['en'][self.mark]}, not {self.num}"

    def needs(self) -> tuple[str, ...]:
        return (FORMS[self.mark][0],)

    def mend(self, draft: Draft) -> None:
        forms = FORMS[self.mark]
        missing = self.num - sum(map(draft.render().count, forms))
        places = [(passage, at) for passage in draft.passages(is_free=True) for at in range(len(passage.tokens) - 1)]
        draft.rng.shuffle(places)
        for passage, at in places:
            token = passage.tokens[at]
            if missing > 0 and not token.after and self.mark not in ("question", "exclamation"):
                token.after = _WIDE[self.mark] if passage.script == "han" else forms[0]
                missing -= 1
            elif missing < 0 and token.after and token.after in forms:
                token.after = ""
                missing += 1
        for passage in draft.passages(is_free=True):
            if missing > 0 and self.mark in ("question", "exclamation") and passage.end in (".", "。"):
                passage.end = _WIDE[self.mark] if passage.script == "han" else forms[0]
                missing -= 1
            elif missing < 0 and passage.end and passage.end in forms:
                passage.end = "。" if passage.script == "han" else "."
                missing += 1
        if missing > 0 and len(draft.passages()) < draft.demands.sentences.high:
            draft.body()[0].passages.insert(1, draft.new_passage())


@dataclass(frozen=True, kw_only=True)
class SentencesEndWith(_Marked):
    """Every sentence ends with the same mark."""

    KIND = "sentences_end_with"
    UNITS = ("sentence",)
    CLAIMS = frozenset({"sentence_end", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} sentences and end every one, headings and list items too, with a {mark}.",
            "Every sentence, {num} or more of them, must end with a {mark} and no other mark.",
        ),
        "zh": ("至少写{num}句话，每句（包括标题和列表项）都以{mark}结尾。", "不少于{num}句，句末一律只用{mark}。"),
    }
    mark: Mark
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SentencesEndWith":
        mark: Mark = rng.choice(("question", "exclamation"))
        return cls(mark=mark, num=scaled(rng, level, easy=(2, 3), hard=(5, 9)))

    def fault_in(self, reply: Reply) -> str:
        for place, sentence in enumerate(reply.sentences, start=1):
            if not sentence.end or set(sentence.end) - set(FORMS[self.mark]):
                return f"sentence {place} ends with '{sentence.text[-1]}'"
        num = len(reply.sentences)
        return "" if num >= self.num else f"{num} sentences, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (FORMS[self.mark][0],)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages():
            passage.end = _WIDE[self.mark] if passage.script in ("han", "kana") else FORMS[self.mark][0]


@dataclass(frozen=True, kw_only=True)
class NoPunctuation(Constraint):
    """Letters, digits, spaces and line breaks only."""

    KIND = "no_punctuation"
    CLAIMS = frozenset({"layout", "sentence_end"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use no punctuation and no symbols at all: only letters, digits, spaces and line breaks.",
            "Nothing but letters, digits, spaces and line breaks may occur; no punctuation, no symbols.",
        ),
        "zh": (
            "不得使用任何标点和符号，只能有文字、数字、空格和换行。",
            "全文只用文字、数字、空格和换行，不加任何标点或符号。",
        ),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "NoPunctuation":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        mark = re.search(r"[^\w\s\u0300-\u036f\u064b-\u065f]|_", reply.text)
        return f"has '{mark.group()}'" if mark else ""

    def allows(self, piece: str) -> bool:
        return not re.search(r"[^\w\s]|_", piece)

    def mend(self, draft: Draft) -> None:
        draft.end = ""
        for passage in draft.passages():
            passage.end, passage.starts_line = "", True
            for token in passage.tokens:
                token.before = token.after = ""


@dataclass(frozen=True, kw_only=True)
class AsidesExactly(Constraint):
    """Exactly so many asides in parentheses."""

    KIND = "asides_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use exactly {num} pairs of parentheses, none inside another, each with at least one word in it.",
            "The reply must have exactly {num} asides in parentheses, each of a word or more, and no others.",
        ),
        "zh": (
            "正好使用{num}对圆括号，不可嵌套，每对里至少有一个字。",
            "全文恰好有{num}处括号内的补充说明，除此之外不得出现圆括号。",
        ),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "AsidesExactly":
        return cls(num=scaled(rng, level, easy=(1, 2), hard=(4, 6)))

    def fault_in(self, reply: Reply) -> str:
        inside = _ASIDE.findall(reply.text)
        num_marks = sum(map(reply.text.count, FORMS["parenthesis"]))
        if num_marks != 2 * len(inside):
            return "parentheses that do not pair up on a line"
        if not all(map(split_words, inside)):
            return "parentheses without a word"
        return "" if len(inside) == self.num else f"{len(inside)} pairs of parentheses, not {self.num}"

    def needs(self) -> tuple[str, ...]:
        return ("(", ")")

    def mend(self, draft: Draft) -> None:
        num = len(_ASIDE.findall(draft.render()))
        for _ in range(num, self.num):
            pin_filler(draft, "（" if draft.script == "han" else "(", "）" if draft.script == "han" else ")")


@dataclass(frozen=True, kw_only=True)
class QuotedWord(Constraint):
    """A word that stands in double quotation marks wherever it occurs."""

    KIND = "quoted_word"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use the word '{word}' at least {num} times, each time directly between double quotation marks.",
            "The word '{word}' must occur {num} times or more, always with double quotation marks right around it.",
        ),
        "zh": (
            "“{word}”一词至少出现{num}次，每次都要紧挨着加上双引号。",
            "“{word}”出现不少于{num}次，并且每次都放在双引号里，引号内没有别的字。",
        ),
    }
    word: str
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "QuotedWord":
        return cls(word=rng.choice(KEYWORDS[language]), num=scaled(rng, level, easy=(1, 2), hard=(3, 5)))

    def fault_in(self, reply: Reply) -> str:
        num = count_word(reply, self.word)
        quoted = len(re.findall(f'["“„«「『]{re.escape(self.word)}["”“»」』]', reply.text, re.IGNORECASE))
        if num < self.num:
            return f"'{self.word}' {num} times, not {self.num} or more"
        return "" if quoted == num else f"'{self.word}' without quotation marks"

    def needs(self) -> tuple[str, ...]:
        return (self.word, '"')

    def mend(self, draft: Draft) -> None:
        opening, closing = ("“", "”") if draft.script == "han" else ('"', '"')
        num = 0
        for passage in draft.passages(is_free=True):
            for token in passage.tokens:
                if token.text.casefold() == self.word.casefold():
                    token.before, token.after = opening, closing
                    num += 1
        for _ in range(num, self.num):
            token = draft.insert_word(self.word)
            token.before, token.after = opening, closing


def pin_filler(draft: Draft, before: str, after: str) -> None:
    """Puts marks around a word of filler and pins it."""
    token = draft.filler(2)
    if token is not None:
        pinned = draft.insert_word(token.text)
        pinned.before, pinned.after = before, after


KINDS: tuple[type[Constraint], ...] = (
    MarkForbidden,
    MarkCountExactly,
    SentencesEndWith,
    NoPunctuation,
    AsidesExactly,
    QuotedWord,
)
