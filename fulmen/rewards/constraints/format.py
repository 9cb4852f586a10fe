"""Markdown and other forms: lists, headings, bold, code blocks, tables, tags, placeholders, separators.

Markdown is read line by line with the markers of `reading`; nothing is rendered.
"""

import random
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from fulmen.rewards.constraints.constraint import Constraint, Phrases, scaled
from fulmen.rewards.constraints.draft import Block, Demands, Draft, Passage, Span
from fulmen.rewards.constraints.punctuation import pin_filler
from fulmen.rewards.constraints.reading import Language, Reply, split_words

_BOLD = re.compile(r"\*\*(?![\s*])([^*\n]+)(?<!\s)\*\*")
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]+)\](?!\()")
_MARKDOWN = re.compile(
    r"\*\*|__|`|~~|\]\(|^ *(?:[-*+•] |#{1,6} |[0-9]+[.)] |>|\||(?:\* *){3,}$|(?:- *){3,}$)", re.MULTILINE
)
_CELL_RULE = re.compile(r":?-{3,}:?")

Tag = Literal["answer", "reply", "text", "result"]
CodeLanguage = Literal["text", "markdown", "plaintext"]


@dataclass(frozen=True, kw_only=True)
class BulletsExactly(Constraint):
    """Exactly so many bullet points."""

    KIND = "bullets_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use exactly {num} bullet points: lines that begin with '- ' or '* ' and have some text.",
            "The reply must contain exactly {num} lines that are Markdown bullets ('- ' or '* ') with text.",
        ),
        "zh": (
            "正好用{num}个项目符号：以“- ”或“* ”开头并带文字的行。",
            "全文恰好有{num}行以“- ”或“* ”开头、后面有文字的列表项。",
        ),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "BulletsExactly":
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(5, 9)))

    def fault_in(self, reply: Reply) -> str:
        num = sum(line.bullet in ("-", "*") for line in reply.worded_lines)
        return "" if num == self.num else f"{num} bullet points, not {self.num}"

    def needs(self) -> tuple[str, ...]:
        return ("- ",)

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num), lines=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        set_list(draft, [("- " if draft.allows("- ") else "* ")] * self.num, r"[-*] ")


@dataclass(frozen=True, kw_only=True)
class NumberedExactly(Constraint):
    """Exactly so many numbered points, counted from 1."""

    KIND = "numbered_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use a numbered list of exactly {num} points: lines that begin with '1. ', '2. ' and so on up to {num}.",
            "Exactly {num} lines must be numbered, in order, '1. ', '2. ', ... '{num}. ', each with some text.",
        ),
        "zh": (
            "用正好{num}项的编号列表：各行依次以“1. ”“2. ”……直到“{num}. ”开头。",
            "恰好{num}行带编号，从“1. ”起依次编到“{num}. ”，每行都有文字。",
        ),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "NumberedExactly":
        return cls(num=scaled(rng, level, easy=(2, 3), hard=(5, 9)))

    def fault_in(self, reply: Reply) -> str:
        numbers = [line.number for line in reply.worded_lines if line.number and f"{line.number}. " in line.text[:5]]
        return (
            "" if numbers == [str(1 + at) for at in range(self.num)] else f"points {', '.join(numbers[:20]) or 'none'}"
        )

    def needs(self) -> tuple[str, ...]:
        return tuple(f"{1 + at}. " for at in range(self.num))

    def demands(self) -> Demands:
        return Demands(sentences=Span(low=self.num), lines=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        set_list(draft, [f"{1 + at}. " for at in range(self.num)], r"[0-9]+\. ")


@dataclass(frozen=True, kw_only=True)
class HeadingsExactly(Constraint):
    """Exactly so many Markdown headings of one depth."""

    KIND = "headings_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use exactly {num} Markdown headings, each a line that begins with '{marker} ', and no other headings.",
            "The reply must have exactly {num} headings marked with '{marker} ' and none of another depth.",
        ),
        "zh": ("正好用{num}个Markdown标题，每个都是以“{marker} ”开头的一行，不得有其他级别的标题。",),
    }
    num: int
    marker: Literal["#", "##", "###"]

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "HeadingsExactly":
        return cls(num=scaled(rng, level, easy=(1, 2), hard=(4, 6)), marker=rng.choice(("#", "##", "###")))

    def fault_in(self, reply: Reply) -> str:
        found = [line.heading for line in reply.worded_lines if line.heading]
        if set(found) - {self.marker}:
            return f"a heading of depth {len(max(found, key=len))}"
        return "" if len(found) == self.num else f"{len(found)} headings, not {self.num}"

    def needs(self) -> tuple[str, ...]:
        return (self.marker + " ",)

    def demands(self) -> Demands:
        return Demands(lines=Span(low=2 * self.num), sentences=Span(low=2 * self.num))

    def mend(self, draft: Draft) -> None:
        draft.blocks = [
            block for block in draft.blocks if not (block.is_sealed and block.passages[0].marker[:1] == "#")
        ]
        for _ in range(self.num):
            body = draft.body()
            heading = draft.new_passage(max(2, draft.demands.sentence_words.low))
            heading.marker = self.marker + " "
            rest = [draft.new_passage() for _ in range(max(1, min(3, draft.demands.paragraph_sentences.low) - 1))]
            rest[0].starts_line = True
            spare = body[-1] if len(body) > 1 and len(draft.passages()) >= draft.demands.sentences.high else None
            at = draft.blocks.index(body[0]) + 1
            draft.blocks.insert(at, Block(passages=[heading, *rest], is_sealed=True))
            if spare:
                draft.blocks.remove(spare)


@dataclass(frozen=True, kw_only=True)
class BoldAtLeast(Constraint):
    """At least so many different pieces in bold."""

    KIND = "bold_at_least"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Put at least {num} different words or phrases in bold with two asterisks on each side, **like this**.",
            "At least {num} different pieces of text must be **bold** in Markdown (double asterisks).",
        ),
        "zh": (
            "至少把{num}处不同的文字用双星号加粗，例如**这样**。",
            "用Markdown的双星号加粗不少于{num}处不同的文字。",
        ),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "BoldAtLeast":
        return cls(num=scaled(rng, level, easy=(1, 2), hard=(5, 8)))

    def fault_in(self, reply: Reply) -> str:
        num = _num_different(_BOLD.findall(reply.text))
        return "" if num >= self.num else f"{num} pieces in bold, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return ("**",)

    def mend(self, draft: Draft) -> None:
        for _ in range(_num_different(_BOLD.findall(draft.render())), self.num):
            pin_filler(draft, "**", "**")


@dataclass(frozen=True, kw_only=True)
class PlaceholdersAtLeast(Constraint):
    """At least so many different placeholders in square brackets."""

    KIND = "placeholders_at_least"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Include at least {num} different placeholders in square brackets, such as [name].",
            "Leave {num} or more different gaps for the reader to fill, each named in square brackets, as in [date].",
        ),
        "zh": (
            "至少包含{num}个不同的方括号占位符，例如[姓名]。",
            "留出不少于{num}处不同的待填内容，用方括号标明，如[日期]。",
        ),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "PlaceholdersAtLeast":
        return cls(num=scaled(rng, level, easy=(1, 2), hard=(4, 7)))

    def fault_in(self, reply: Reply) -> str:
        num = _num_different(_PLACEHOLDER.findall(reply.text))
        return "" if num >= self.num else f"{num} placeholders, not {self.num} or more"

    def needs(self) -> tuple[str, ...]:
        return ("[", "]")

    def mend(self, draft: Draft) -> None:
        for _ in range(_num_different(_PLACEHOLDER.findall(draft.render())), self.num):
            pin_filler(draft, "[", "]")


@dataclass(frozen=True, kw_only=True)
class NoMarkdown(Constraint):
    """Plain text."""

    KIND = "no_markdown"
    CLAIMS = frozenset({"layout"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Use no Markdown: no list marker, heading, quote ('>'), table, rule, link, bold, strikethrough or code.",
            "Plain text only: no Markdown list, heading, block quote, table, rule, link, bold, strikethrough or code.",
        ),
        "zh": ("不得使用Markdown：不要列表符号、标题、引用、表格、分隔线、链接、加粗、删除线和代码。",),
    }

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "NoMarkdown":
        return cls()

    def fault_in(self, reply: Reply) -> str:
        mark = _MARKDOWN.search(reply.text)
        return f"has '{mark.group()}'" if mark else ""

    def allows(self, piece: str) -> bool:
        return not _MARKDOWN.search(piece)

    def mend(self, draft: Draft) -> None:
        draft.fit()


@dataclass(frozen=True, kw_only=True)
class CodeBlock(Constraint):
    """Everything inside one fenced code block."""

    KIND = "code_block"
    CLAIMS = frozenset({"layout", "opening", "ending", "whole"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Put the whole reply in one code block: the first line is ```{label}, the last is ```, no other backticks.",
            "Begin with the line ```{label} and end with the line ```; everything stands between, without backticks.",
        ),
        "zh": ("把全部内容放进一个代码块：第一行是```{label}，最后一行是```，此外不得有反引号。",),
    }
    label: CodeLanguage

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "CodeBlock":
        return cls(label=rng.choice(("text", "markdown", "plaintext")))

    def fault_in(self, reply: Reply) -> str:
        first, _, rest = reply.text.partition("\n")
        body, _, last = rest.rpartition("\n")
        if first != f"```{self.label}" or last != "```":
            return f"does not begin with the line ```{self.label} and end with the line ```"
        return "backticks inside the block" if "`" in body else ""

    def needs(self) -> tuple[str, ...]:
        return ("```", self.label)

    def mend(self, draft: Draft) -> None:
        draft.frame = (f"```{self.label}\n", "\n```")


@dataclass(frozen=True, kw_only=True)
class Tagged(Constraint):
    """Everything inside one tag."""

    KIND = "tagged"
    CLAIMS = frozenset({"opening", "ending", "layout", "whole"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Wrap the whole reply in <{tag}> and </{tag}>, each used once, with nothing outside them.",
            "Begin the reply with <{tag}> and end it with </{tag}>; use both only once.",
        ),
        "zh": ("全部内容放在<{tag}>和</{tag}>之间，两个标签各用一次，外面不得有任何内容。",),
    }
    tag: Tag

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "Tagged":
        return cls(tag=rng.choice(("answer", "reply", "text", "result")))

    def fault_in(self, reply: Reply) -> str:
        opening, closing = f"<{self.tag}>", f"</{self.tag}>"
        text = reply.text.strip()
        if not text.startswith(opening) or not text.endswith(closing):
            return f"not between {opening} and {closing}"
        return "a tag used twice" if text.count(opening) + text.count(closing) > 2 else ""

    def needs(self) -> tuple[str, ...]:
        return (f"<{self.tag}>", f"</{self.tag}>")

    def mend(self, draft: Draft) -> None:
        draft.frame = (f"<{self.tag}>\n", f"\n</{self.tag}>")


@dataclass(frozen=True, kw_only=True)
class PartsExactly(Constraint):
    """Parts separated by lines of asterisks."""

    KIND = "parts_exactly"
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Write exactly {num} parts, separated by lines of just three asterisks (***), none before or after.",
            "Divide the reply into exactly {num} parts with text, by lines of just *** between them.",
        ),
        "zh": ("正好写{num}个部分，相邻部分之间用只含三个星号（***）的一行隔开，首尾不加。",),
    }
    num: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "PartsExactly":
        return cls(num=scaled(rng, level, easy=(2, 2), hard=(3, 6)))

    def fault_in(self, reply: Reply) -> str:
        parts = re.split(r"^ *\*\*\*$", reply.text, flags=re.MULTILINE)
        if not all(map(split_words, parts)):
            return "a part without text"
        return "" if len(parts) == self.num else f"{len(parts)} parts, not {self.num}"

    def needs(self) -> tuple[str, ...]:
        return ("\n***\n",)

    def demands(self) -> Demands:
        return Demands(paragraphs=Span(low=self.num), sentences=Span(low=self.num))

    def mend(self, draft: Draft) -> None:
        draft.blocks = [block for block in draft.blocks if block.is_worded]
        draft.fit()
        at = sorted(draft.rng.sample(range(1, len(draft.blocks)), min(self.num, len(draft.blocks)) - 1))
        for place in reversed(at):
            rule = Passage(tokens=[], end="", marker="***", is_fixed=True)
            draft.blocks.insert(place, Block(passages=[rule], is_sealed=True))


@dataclass(frozen=True, kw_only=True)
class TableExactly(Constraint):
    """One Markdown table of a given size, and nothing else."""

    KIND = "table_exactly"
    CLAIMS = frozenset({"layout", "opening", "ending", "sentence_start", "whole"})
    PHRASES: ClassVar[Phrases] = {
        "en": (
            "Answer with one Markdown table and nothing else: a header, a rule and {rows} rows; {columns} columns; "
            "every line begins and ends with '|' and no cell is empty.",
        ),
        "zh": (
            "只用一个Markdown表格回答：一行表头、一行分隔线、{rows}行内容，共{columns}列；每行以“|”开头和结尾，单元格不得为空。",
        ),
    }
    rows: int
    columns: int

    @classmethod
    def draw(cls, rng: random.Random, *, level: int, language: Language) -> "TableExactly":
        columns = scaled(rng, level, easy=(2, 2), hard=(3, 5))
        return cls(rows=scaled(rng, level, easy=(2, 3), hard=(4, 8)), columns=columns)

    def fault_in(self, reply: Reply) -> str:
        lines = [line.text for line in reply.lines]
        if len(lines) != self.rows + 2:
            return f"{len(lines)} lines, not {self.rows + 2}"
        for place, line in enumerate(lines):
            if len(line) < 2 or line[0] != "|" or line[-1] != "|":
                return f"line {place + 1} is not between '|'"
            cells = [cell.strip() for cell in line[1:-1].split("|")]
            if len(cells) != self.columns:
                return f"line {place + 1} has {len(cells)} columns, not {self.columns}"
            if not all(map(_CELL_RULE.fullmatch if place == 1 else split_words, cells)):
                return f"line {place + 1}: " + ("no rule" if place == 1 else "an empty cell")
        return ""

    def needs(self) -> tuple[str, ...]:
        return ("\n| ", "-")

    def demands(self) -> Demands:
        lines = self.rows + 1
        return Demands(
            lines=Span(low=lines, high=lines),
            paragraphs=Span(high=1),
            sentences=Span(low=lines, high=lines),
            words=Span(low=lines * self.columns),
            sentence_words=Span(low=self.columns),
        )

    def mend(self, draft: Draft) -> None:
        for passage in draft.passages(is_free=True):
            while len(passage.tokens) < self.columns and (token := draft.filler(0, most=1, script=passage.script)):
                passage.tokens.append(token)

        def render(draft: Draft) -> str:
            rows = []
            for passage in draft.passages():
                words = [token.before + token.text + token.after for token in passage.tokens]
                cells = [*words[: self.columns - 1], " ".join(words[self.columns - 1 :])]
                rows.append(f"| {' | '.join(cells)} |")
            return "\n".join([*rows[:1], "|" + " --- |" * self.columns, *rows[1:]])

        draft.layout = render


def set_list(draft: Draft, markers: list[str], pattern: str) -> None:
    """Makes a list block with these markers, in place of the one with markers of this pattern."""
    draft.blocks = [
        block for block in draft.blocks if not (block.is_sealed and re.fullmatch(pattern, block.passages[0].marker))
    ]
    size = 6 if draft.demands.words.high > 12 * len(markers) else 2
    passages = [draft.new_passage(size) for _ in markers]
    for passage, marker in zip(passages, markers, strict=True):
        passage.marker = marker
    body = draft.body()
    draft.blocks.insert(draft.blocks.index(body[0]) + 1, Block(passages=passages, is_sealed=True))
    for block in body[:1]:
        while len(block.passages) > 1 and len(draft.passages()) > draft.demands.sentences.high:
            block.passages.pop()


def _num_different(pieces: list[str]) -> int:
    """Returns how many different pieces have a word."""
    return len({piece.casefold() for piece in pieces if split_words(piece)})


KINDS: tuple[type[Constraint], ...] = (
    BulletsExactly,
    NumberedExactly,
    HeadingsExactly,
    BoldAtLeast,
    PlaceholdersAtLeast,
    NoMarkdown,
    CodeBlock,
    Tagged,
    PartsExactly,
    TableExactly,
)
