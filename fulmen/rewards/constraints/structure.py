"""The build of a whole reply: title, postscript, labelled sections, refrain, chain, questions, quotation."""

import random
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Block, Demands, Draft, Passage, Span, Token
from fulmen.rewards.constraints.letters import set_first_word
from fulmen.rewards.constraints.position import only_words
from fulmen.rewards.constraints.reading import Language, Reply, split_words
from fulmen.rewards.constraints.vocabulary import ENDINGS, LABELS

Opening = Literal["P.S.", "附言："]
_TITLE = re.compile(r"<<([^<>\n]+)>>")


@dataclass(frozen=True, kw_only=True)
class Titled(Constraint):
    """A title in double angular brackets on the first line."""

    KIND = "titled"
    CLAIMS = frozenset({"opening", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "The first line must be a title of at least {num} words in double angular brackets, <<like this>>, alone.",
            "Put a title of {num} words or more, wrapped in << and >>, on the first line and nothing else on it.",
        ),
        "zh": ("第一行必须是标题，用双尖括号括起来，如<<标题>>，至少{num}字，该行不得有其他内容。",),
    }
    UNITS = ("word",)
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Titled":
        return cls(num=scaled(rng, level, easy=(1, 2), hard=(3, 6)))

    def fault_in(self, reply: Reply) -> str:
        match = _TITLE.fullmatch(reply.lines[0].text)
        if match is None:
            return "the first line is no title in << >>"
        num = len(split_words(match.group(1)))
        if num < self.num:
            return f"a title of {num} words, not {self.num} or more"
        return "" if len(reply.worded_lines) > 1 else "nothing but a title"

    def needs(self) -> tuple[str, ...]:
        return ("<<", ">>")

    def demands(self) -> Demands:
        return Demands(lines=Span(low=2), sentences=Span(low=2))

    def mend(self, draft: Draft) -> None:
        draft.blocks = [block for block in draft.blocks if block.passages[0].tokens[:1] != [] or not block.is_sealed]
        draft.blocks = [block for block in draft.blocks if not (block.is_sealed and block.passages[0].marker == "<<")]
        num = max(self.num, draft.demands.sentence_words.low)
        title = draft.new_passage(num)
        title.marker, title.end, title.is_fixed = "<<", ">>", True
        rest = [draft.new_passage() for _ in range(min(8, draft.demands.paragraph_sentences.low) - 1)]
        for passage in rest[:1]:
            passage.starts_line = True
        draft.blocks.insert(0, Block(passages=[title, *rest], is_sealed=True))
        draft.body()


@dataclass(frozen=True, kw_only=True)
class Postscript(Constraint):
    """A postscript as the last paragraph."""

    KIND = "postscript"
    UNITS = ("paragraph", "word")
    CLAIMS = frozenset({"ending", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Add a postscript: the last paragraph must begin with '{opening}' with at least {num} words after it.",
            "The last of two or more paragraphs must be a postscript that starts with '{opening}' and has {num} "
            "words or more after that.",
        ),
        "zh": ("最后一段是附言，以“{opening}”开头，其后至少{num}字，前面还要有其他段落。",),
    }
    opening: Opening
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Postscript":
        opening: Opening = "附言：" if language == "zh" else "P.S."
        return cls(opening=opening, num=scaled(rng, level, easy=(3, 5), hard=(8, 20)))

    def fault_in(self, reply: Reply) -> str:
        last = reply.paragraphs[-1]
        if not last.startswith(self.opening):
            return f"the last paragraph does not begin with '{self.opening}'"
        num = len(split_words(last[len(self.opening) :]))
        if num < self.num:
            return f"a postscript of {num} words, not {self.num} or more"
        return "" if len(reply.paragraphs) > 1 else "nothing but a postscript"

    def needs(self) -> tuple[str, ...]:
        return (self.opening,)

    def demands(self) -> Demands:
        return Demands(paragraphs=Span(low=2), sentences=Span(low=2), words=Span(low=self.num + 4))

    def mend(self, draft: Draft) -> None:
        if not draft.blocks[-1].passages[0].marker.startswith(self.opening):
            low = draft.demands.paragraph_sentences.low
            # "P.S." ends a sentence itself.
            passages = [draft.new_passage(self.num + 2) for _ in range(max(1, low - (self.opening == "P.S.")))]
            passages[0].marker = "P.S. " if self.opening == "P.S." else self.opening
            draft.blocks.append(Block(passages=passages, is_sealed=True))
        passage = draft.blocks[-1].passages[0]
        if passage.size < self.num:
            draft.grow(passage, self.num)


@dataclass(frozen=True, kw_only=True)
class SectionsExactly(Constraint):
    """Sections with numbered labels."""

    KIND = "sections_exactly"
    CLAIMS = frozenset({"layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write exactly {num} sections, each with text under a line that is just '{label} 1', '{label} 2', ...",
            "Make {num} sections with text, each under a line that is just its label: '{label} 1' to '{label} {num}'.",
        ),
        "zh": ("正好写{num}个小节，每节前用单独一行标明“{label} 1”“{label} 2”……依次到“{label} {num}”，每节都有内容。",),
    }
    num: int
    label: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "SectionsExactly":
        return cls(num=scaled(rng, level, easy=(2, 2), hard=(3, 6)), label=rng.choice(LABELS[language]))

    def fault_in(self, reply: Reply) -> str:
        pattern = re.compile(f"{re.escape(self.label)} ?([0-9]+)", re.IGNORECASE)
        lines = reply.worded_lines
        places = [at for at, line in enumerate(lines) if pattern.fullmatch(line.text)]
        numbers = [lines[at].text[len(self.label) :].strip() for at in places]
        if numbers != [str(1 + at) for at in range(self.num)]:
            return f"sections {', '.join(numbers[:20]) or 'none'}"
        empty = any(after - before < 2 for before, after in zip(places, [*places[1:], len(lines)], strict=True))
        return "a section without text" if empty else ""

    def needs(self) -> tuple[str, ...]:
        return tuple(f"{self.label} {1 + at}" for at in range(self.num))

    def demands(self) -> Demands:
        return Demands(lines=Span(low=2 * self.num), sentences=Span(low=2 * self.num), sentence_words=Span(low=0))

    def mend(self, draft: Draft) -> None:
        labels = [f"{self.label} {1 + at}" for at in range(self.num)]
        draft.blocks = [
            block
            for block in draft.blocks
            if not (
                block.passages[0].is_fixed and block.passages[0].tokens and block.passages[0].tokens[0].text in labels
            )
        ]
        at = 1 if draft.blocks and not draft.blocks[0].is_sealed else len(draft.blocks)
        for label in reversed(labels):
            script = draft.script
            head = Passage(tokens=[Token(text=label, is_pinned=True)], end="", is_fixed=True, script=script)
            rest = [draft.new_passage(4) for _ in range(max(1, min(8, draft.demands.paragraph_sentences.low) - 1))]
            rest[0].starts_line = True
            draft.blocks.insert(min(at, len(draft.blocks)), Block(passages=[head, *rest], is_sealed=True))
        if (
            len(draft.passages()) > draft.demands.sentences.high
            or sum(block.is_worded for block in draft.blocks) > draft.demands.paragraphs.high
        ):
            draft.blocks = [block for block in draft.blocks if block.is_sealed]


@dataclass(frozen=True, kw_only=True)
class Refrain(Constraint):
    """Every paragraph ends with the same words."""

    KIND = "refrain"
    UNITS = ("paragraph",)
    CLAIMS = frozenset({"ending", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} paragraphs, each ending with the words '{text}' (capitals and marks do not matter).",
            "Every paragraph, {num} or more of them, must end with '{text}'; case and punctuation are free.",
        ),
        "zh": ("至少写{num}段，每段都以“{text}”结尾（标点不计）。",),
    }
    num: int
    text: str

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Refrain":
        return cls(num=scaled(rng, level, easy=(2, 2), hard=(3, 6)), text=rng.choice(ENDINGS[language]))

    def fault_in(self, reply: Reply) -> str:
        wanted = split_words(self.text.casefold())
        for place, paragraph in enumerate(reply.paragraphs, start=1):
            if split_words(paragraph.casefold())[-len(wanted) :] != wanted:
                return f"paragraph {place} does not end with '{self.text}'"
        num = len(reply.paragraphs)
        return "" if num >= self.num else f"{num} paragraphs, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return (self.text,)

    def demands(self) -> Demands:
        return Demands(paragraphs=Span(low=self.num), sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        for block in draft.blocks:
            if block.is_worded and not only_words(draft.render_block(block)).endswith(only_words(self.text)):
                last = block.passages[-1]
                for passage in block.passages:
                    passage.tokens = [token for token in passage.tokens if token.text != self.text or passage is last]
                    if not passage.tokens:
                        draft.grow(passage, 4)
                last.tokens.append(Token(text=self.text, is_pinned=True))


@dataclass(frozen=True, kw_only=True)
class Chain(Constraint):
    """Every sentence begins with the last word of the one before."""

    KIND = "chain"
    LANGUAGES = ("en",)
    UNITS = ("sentence", "word")
    CLAIMS = frozenset({"sentence_start", "layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write at least {num} sentences; each must begin with the word that the one before it ends with "
            "(capitals do not matter).",
            "The last word of every sentence must be the first word of the next; write {num} sentences or more.",
        ),
        "zh": ("至少写{num}句话，每句的第一个单词是上一句的最后一个单词。",),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Chain":
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(4, 8)))

    def fault_in(self, reply: Reply) -> str:
        for before, after in pairwise(reply.sentences):
            if before.words[-1].casefold() != after.words[0].casefold():
                return f"'{after.words[0]}' follows '{before.words[-1]}'"
        num = len(reply.sentences)
        return "" if num >= self.num else f"{num} sentences, not {self.num} or more"

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        passages = draft.passages()
        for before, after in pairwise(passages):
            last = split_words(before.tokens[-1].text)[-1].casefold()
            if not after.is_fixed and split_words(after.tokens[0].text)[0].casefold() != last:
                before.tokens[-1].is_pinned = True
                if after.tokens[0].is_pinned and after.tokens[0].size == 1:
                    after.tokens[0].text = last
                set_first_word(draft, after, last)


@dataclass(frozen=True, kw_only=True)
class QuestionAtPlace(Constraint):
    """The n-th sentence is a question."""

    KIND = "question_at_place"
    UNITS = ("sentence",)
    CLAIMS = frozenset({"sentence_end"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Sentence number {place} must be a question that ends with a question mark, and no other sentence may.",
            "Only sentence number {place} may end with a question mark, and it must.",
        ),
        "zh": ("第{place}句必须以问号结尾，其他句子都不能以问号结尾。",),
    }
    place: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "QuestionAtPlace":
        return cls(place=scaled(rng, level, easy=(1, 2), hard=(4, 8)))

    def fault_in(self, reply: Reply) -> str:
        asked = [at for at, sentence in enumerate(reply.sentences, start=1) if set(sentence.end) & set("?？")]
        return "" if asked == [self.place] else f"questions at {', '.join(map(str, asked[:20])) or 'no place'}"

    def needs(self) -> tuple[str, ...]:
        return ("?",)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.place))

    def mend(self, draft: Draft) -> None:
        for place, passage in enumerate(draft.passages(), start=1):
            if place == self.place:
                passage.end = "？" if passage.script == "han" else "?"
            elif passage.end in ("?", "？"):
                passage.end = "。" if passage.script == "han" else "."


@dataclass(frozen=True, kw_only=True)
class Quotation(Constraint):
    """Everything inside double quotation marks."""

    KIND = "quotation"
    CLAIMS = frozenset({"opening", "ending", "layout", "whole"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Put the whole reply in double quotation marks: one at the very start, one at the very end, none between.",
            "The first and the last character must be double quotation marks, and there may be no others.",
        ),
        "zh": ("整篇回答放在一对双引号里：开头一个，结尾一个，中间不得再有双引号。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Quotation":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        text = reply.text.strip()
        if text[0] not in '"“' or text[-1] not in '"”':
            return "not between double quotation marks"
        return "double quotation marks inside" if re.search('["“”„«»]', text[1:-1]) else ""

    def needs(self) -> tuple[str, ...]:
        return ('"',)

    def allows(self, piece: str) -> bool:
        return piece == '"' or not re.search('["“”„«»]', piece)

    def mend(self, draft: Draft) -> None:
        draft.frame = ("“", "”") if draft.language == "zh" else ('"', '"')


KINDS: tuple[type[Constraint], ...] = (
    Titled,
    Postscript,
    SectionsExactly,
    Refrain,
    Chain,
    QuestionAtPlace,
    Quotation,
)
