"""How a reply is read: what a reader sees of it, and its words, sentences, paragraphs and lines.

Every checker of this package counts by these rules, and users are told them (`RULES`):

word       a run of letters or digits. Every Han or Kana character is a word of its own. An apostrophe inside does not
           split (up to twice), nor a point or comma between digits; every other mark does, hyphens too.
sentence   ends with . ! ? or … before a space or the end of the line (closing quotes and brackets may come between),
           with 。！？ anywhere, or with its line. Abbreviations are not known: "Mr. Fox" ends a sentence.
paragraph  a block between blank lines; a block without a word is none.
line       a line with at least one word.
marker     `-`, `*`, `+`, `•` and a space, `1.` or `1)`, or `#` to `######` and a space, at the start of a line; no
           marker is a word or a part of a sentence; nor is a line that is just a code fence or a tag like <answer>.

The checkers read what a reader sees: invisible characters and HTML comments are gone, every kind of line break and
space is one, full-width letters and digits are plain, a line has no spaces at its end.
Left out: words of scripts that need marks inside a word or a dictionary (Devanagari, Thai, ...), and languages: only
scripts are told apart, so French passes for English.
"""

import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import Literal, get_args

Language = Literal["en", "zh"]
Unit = Literal["word", "sentence", "paragraph", "line", "letter"]
Script = Literal["latin", "han", "cyrillic", "kana", "hangul", "arabic", "greek"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
SCRIPTS: tuple[Script, ...] = get_args(Script)

MAX_CHARS = 20_000
"""Longest reply that is read at all."""
MIN_WORDS = 5
"""Fewest words of a reply, numbers not counted."""
MAX_WORD_LETTERS = 40
"""Longest run of letters that passes for a word."""
DISTINCT_PER_ROOT = 1.5
"""A reply of n words has at least this times √n different ones; prose has several times as many."""

RULES: dict[Language, dict[Unit, str]] = {
    "en": {
        "word": (
            "A word is a run of letters or digits; hyphens and other marks split words, an apostrophe inside does not. "
            "Each Chinese or Japanese character is one word. List markers such as '1.' are not words, nor are code "
            "fences and tags on lines of their own."
        ),
        "sentence": (
            "A sentence ends with . ! ? … before a space, with 。！？, or at the end of its line, "
            "whether it has an end mark or not."
        ),
        "paragraph": "Paragraphs are separated by blank lines.",
        "line": "Lines without a word are not counted.",
        "letter": "Capital and accented forms of a letter are the same letter.",
    },
    "zh": {
        "word": (
            "字数的算法：每个汉字（或假名）算一个字，连续的字母或数字算一个字，标点不算，列表编号（如“1.”）、单独成行的标签和代码块标记不算。"
        ),
        "sentence": "句子以“。！？”、后接空格的“. ! ? …”或换行结束；一行末尾没有标点也算一句。",
        "paragraph": "段落之间用空行隔开。",
        "line": "没有文字的行不算。",
        "letter": "大写字母和带变音符号的字母都算同一个字母。",
    },
}

_CJK = "々\u3041-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_RANGES: dict[Script, str] = {
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "han": "々\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "cyrillic": "\u0400-\u0481\u048a-\u052f",
    "kana": "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff",
    "hangul": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "arabic": "\u0620-\u063f\u0641-\u064a\u066e-\u06d3\u0750-\u077f",
    "greek": "\u0370-\u0373\u0376-\u037d\u0386\u0388-\u03ff\u1f00-\u1fbc\u1fc2-\u1fcc\u1fd0-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ffc",
}
_SCRIPT = {script: re.compile(f"[{chars}]") for script, chars in _RANGES.items()}
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACE = re.compile("[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_LINE_END = re.compile(r"(?<! ) +(?=\n|$)")
_WIDE = {
    code: code - 0xFEE0
    for start, stop in ((0xFF10, 0xFF1A), (0xFF21, 0xFF3B), (0xFF41, 0xFF5B))
    for code in range(start, stop)
}
_LOOKALIKES = str.maketrans(
    "аеорсухіѕјһԁԛԝкмтвнАВЕКМНОРСТУХІЅЈ" + "οαειυνρκχτΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "ɑɡıօոѵ",
    "aeopcyxisjhdqwkmtbhABEKMHOPCTYXISJ" + "oaeiuvpkxtABEZHIKMNOPTYX" + "agionv",
)
_LOOKALIKE = re.compile("[" + "".join(map(chr, _LOOKALIKES)) + "]")
_MARKS = "\u0300-\u036f\u064b-\u065f\u0670"
_LETTERS = f"(?:(?![{_CJK}])[^\\W_][{_MARKS}]*)+"
WORD = re.compile(f"[{_CJK}][{_MARKS}\u3099\u309a]*|{_LETTERS}(?:(?:['’]|(?<=[0-9])[.,](?=[0-9])){_LETTERS}){{0,2}}")
# Possessive, and only from the start of a run: linear in the worst case.
_END = re.compile(f"(?<![.!?…])[.!?…]++[\"'”’»）)\\]*_]*+(?=\\s|$|[{_CJK}])|[。！？｡]++[\"'”’」』）)*_]*+")
_MARKER = re.compile(r" *(?:([-*+•]) +|([0-9]{1,3})[.)](?: +|(?=[^0-9 ]))|(#{1,6}) +)(?=\S)")
_FENCE = re.compile(r" *(?:```\w*|</?\w+>) *")
_MARKUP = re.compile(r"[*_`~]+")


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of a reply."""

    text: str
    """With its end mark, without spaces around it."""
    words: tuple[str, ...]
    """At least one."""
    end: str
    """Its end mark without quotes and brackets; empty if the line just ends."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line with at least one character."""

    text: str
    """The whole line, without spaces around it."""
    bullet: str
    """Its bullet, or empty."""
    number: str
    """The digits of its list number, or empty."""
    heading: str
    """Its `#` signs, or empty."""
    content: str
    """What follows the marker."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words after the marker."""
        return split_words(self.content)

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """The sentences after the marker."""
        return split_sentences(self.content)


class Reply:
    """A reply as its reader sees it; every part is made once, when it is asked for."""

    def __init__(self, text: str) -> None:
        self.is_too_long = len(text) > MAX_CHARS
        """Whether it is not read: `text` is then empty."""
        self.text = "" if self.is_too_long else clean(text)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """All lines that are not blank."""
        return tuple(read_line(line) for line in self.text.split("\n") if line)

    @cached_property
    def worded_lines(self) -> tuple[Line, ...]:
        """All lines with a word."""
        return tuple(line for line in self.lines if line.words)

    @cached_property
    def blocks(self) -> tuple[tuple[Line, ...], ...]:
        """The paragraphs, as lines."""
        lines = iter(self.lines)
        blocks = [tuple(islice(lines, block.count("\n") + 1)) for block in self.text.split("\n\n") if block]
        return tuple(block for block in blocks if any(line.words for line in block))

    @cached_property
    def paragraphs(self) -> tuple[str, ...]:
        """The paragraphs, as text."""
        return tuple("\n".join(line.text for line in block) for block in self.blocks)

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """All sentences."""
        return tuple(sentence for line in self.lines for sentence in line.sentences)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words, as they are written."""
        return tuple(word for line in self.lines for word in line.words)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """All words, with capitals and small letters made equal."""
        return tuple(word.casefold() for word in self.words)

    @cached_property
    def folded(self) -> str:
        """The text with accents, look-alike letters and Markdown marks gone: for what must not be in a reply."""
        return _MARKUP.sub("", fold(self.text))

    @cached_property
    def num_chars(self) -> int:
        """Characters other than spaces and line breaks."""
        return sum(map(len, self.text.split()))

    def num_of_script(self, script: Script) -> int:
        """Returns how many letters belong to a script."""
        return len(_SCRIPT[script].findall(self.text))

    @cached_property
    def num_letters(self) -> int:
        """Letters of any script."""
        return sum(map(str.isalpha, self.text))

    @cached_property
    def fault(self) -> str:
        """What makes it no reply at all, whatever was asked for: the rule of least content, the same for all kinds."""
        if self.is_too_long:
            return f"over {MAX_CHARS} characters"
        num = len(self.words)
        worded = sum(any(map(str.isalpha, word)) for word in self.words)
        if worded < MIN_WORDS:
            return f"{worded} words that are not numbers; a reply has at least {MIN_WORDS}"
        least = math.floor(DISTINCT_PER_ROOT * math.sqrt(num))
        if (distinct := len(set(self.keys))) < least:
            return f"{distinct} different words among {num}; at least {least}"
        for word in self.words:
            if len(word) > MAX_WORD_LETTERS:
                return f"a word of {len(word)} letters; at most {MAX_WORD_LETTERS}"
            if _SCRIPT["latin"].search(word) and _LOOKALIKE.search(word):
                return f"{word!r} mixes alphabets that look alike"
        return ""


@lru_cache(maxsize=16)
def read(text: str) -> Reply:
    """Returns the reply; the checkers of one task read the same text."""
    return Reply(text)


def clean(text: str) -> str:
    """Returns what a reader sees of a text."""
    text = _INVISIBLE.sub("", _without_comments(text))
    text = _SPACE.sub(" ", _BREAK.sub("\n", text)).translate(_WIDE)
    text = _LINE_END.sub("", unicodedata.normalize("NFC", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def fold(text: str) -> str:
    """Returns the text in small letters, without accents, with compatible and look-alike letters made plain."""
    decomposed = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return bare.translate(_LOOKALIKES).casefold()


def strip_accents(text: str) -> str:
    """Returns the text in small letters, without accents; look-alike letters stay what they are."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold()


def split_words(text: str) -> tuple[str, ...]:
    """Returns the words of a text without markers.

    >>> split_words("Don't mind: 3.5 well-kept 花园")
    ("Don't", 'mind', '3.5', 'well', 'kept', '花', '园')
    """
    return tuple(WORD.findall(text))


def split_sentences(text: str) -> tuple[Sentence, ...]:
    """Returns the sentences of one line without its marker; what has no word joins no sentence.

    >>> [sentence.text for sentence in split_sentences("It is 3.5 m. Why? 好。是吗")]
    ['It is 3.5 m.', 'Why?', '好。', '是吗']
    """
    sentences = []
    start = 0
    for end in (*(match.end() for match in _END.finditer(text)), len(text)):
        piece = text[start:end].strip()
        start = end
        if words := split_words(piece):
            tail = piece.rstrip("\"'”’»）)]*_」』")
            mark = re.search(r"[.!?…。！？｡]*$", tail[-8:])
            sentences.append(Sentence(text=piece, words=words, end=mark.group() if mark else ""))
    return tuple(sentences)


def read_line(text: str) -> Line:
    """Returns one line with its marker apart."""
    if _FENCE.fullmatch(text):
        return Line(text=text.strip(), bullet="", number="", heading="", content="")
    match = _MARKER.match(text)
    bullet, number, heading = (group or "" for group in match.groups()) if match else ("", "", "")
    content = text[match.end() :] if match else text
    return Line(text=text.strip(), bullet=bullet, number=number, heading=heading, content=content.strip())


def _without_comments(text: str) -> str:
    """Returns the text without HTML comments; an unclosed one goes to the end."""
    kept = []
    while True:
        before, opening, after = text.partition("<!--")
        kept.append(before)
        if not opening:
            return "".join(kept)
        text = after.partition("-->")[2]
