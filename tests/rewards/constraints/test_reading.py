"""How replies are read: segmentation by hand, what is invisible, bounded time on hostile text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.rewards.constraints.reading import (
    MAX_CHARS,
    Reply,
    clean,
    fold,
    split_sentences,
    split_words,
    strip_accents,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't mind", ["Don't", "mind"]),
        ("rock'n'roll ain’t 'quoted'", ["rock'n'roll", "ain’t", "quoted"]),
        ("well-kept e-mail", ["well", "kept", "e", "mail"]),
        ("3.5 and 1,000,000 or 7.", ["3.5", "and", "1,000,000", "or", "7"]),
        ("snake_case a/b", ["snake", "case", "a", "b"]),
        ("我love你 123米", ["我", "love", "你", "123", "米"]),
        ("日本のカー", ["日", "本", "の", "カ", "ー"]),
        ("Привет, κόσμε! مرحبا 안녕", ["Привет", "κόσμε", "مرحبا", "안녕"]),
        ("café cafe\u0301", ["café", "cafe\u0301"]),
        ("-- ... !? ** 🙂", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert list(split_words(text)) == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It is 3.5 m. Why? Go!", ["It is 3.5 m.", "Why?", "Go!"]),
        ("Mr. Fox came.", ["Mr.", "Fox came."]),
        ('He said "Stop!" Then (he left.) Yes', ['He said "Stop!"', "Then (he left.)", "Yes"]),
        ("Well... maybe?! No", ["Well...", "maybe?!", "No"]),
        ("你好。“走吧！”他说…… 好", ["你好。", "“走吧！”", "他说……", "好"]),
        ("走吧!你好", ["走吧!", "你好"]),
        ("example.com is a.b.c", ["example.com is a.b.c"]),
        ("... !? .", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [sentence.text for sentence in split_sentences(text)] == sentences


def test_end_marks() -> None:
    ends = [sentence.end for sentence in split_sentences('Is it?" It is! (He left.) **Bold.** Well... and so')]
    assert ends == ["?", "!", ".", ".", "...", ""]


def test_paragraphs_lines_and_markers() -> None:
    reply = Reply("# Tea\n\n  - one. two\n12) three\n\n\n \n---\n\n```text\n<answer>\nlast -not a bullet\n#neither")
    assert reply.paragraphs == ("# Tea", "- one. two\n12) three", "```text\n<answer>\nlast -not a bullet\n#neither")
    assert [line.content for line in reply.worded_lines] == [
        *("Tea", "one. two", "three", "last -not a bullet", "#neither")
    ]
    assert [(line.heading, line.bullet, line.number) for line in reply.worded_lines] == [
        *(("#", "", ""), ("", "-", ""), ("", "", "12"), ("", "", ""), ("", "", ""))
    ]
    assert len(reply.sentences) == 6
    assert len(reply.words) == 9


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u200bn\u2060d\ufeff \u00adok", "and ok"),
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        ("a\u00a0b\u3000c\td", "a b c d"),
        ("a  \nb   ", "a\nb"),
        ("a\n \n\n\nb", "a\n\nb"),
        ("Ａ１ｂ，", "A1b，"),
        ("a<!-- hidden -->b<!-- open", "ab"),
        ("x\U000e0041\ufe0fy\x00\x1b", "xy"),
        ("cafe\u0301", "café"),
    ],
)
def test_what_a_reader_sees(text: str, seen: str) -> None:
    assert clean(text) == seen


def test_folding() -> None:
    assert fold("É ｅ 𝐞 е Ε ⓔ ﬁ") == "e e e e e e fi"
    assert strip_accents("É ё е") == "e \u0435 \u0435"


@given(st.text(max_size=400))
def test_reading_arbitrary_text(text: str) -> None:
    reply = Reply(text)
    assert clean(reply.text) == reply.text
    assert all(sentence.words for sentence in reply.sentences)
    words = [word for sentence in reply.sentences for word in sentence.words]
    assert words == list(reply.words) == [word for line in reply.worded_lines for word in line.words]
    assert [line for block in reply.blocks for line in block if line.words] == list(reply.worded_lines)
    assert len(reply.words) <= reply.num_chars
    assert isinstance(reply.fault, str)


HOSTILE = [
    *("!", ".", '."', "a'", "1,", "- ", "*", "**a", "[", "(", "<!--", "<", "|", "`", "\n", "\n\n", " ", "a", "é", "中"),
    *(
        "。",
        "```",
        "<a>",
        "# ",
        "1. ",
        "\u0301",
        "a\u0301",
        "\u200b",
        "\r",
        "﷽",
        "!\n",
        ' "',
        "…)",
        "_",
        "<<",
        "[[",
        '{"a":',
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_bounded_time(piece: str) -> None:
    text = (piece * MAX_CHARS)[: MAX_CHARS - 1] + "x"
    start = time.process_time()
    reply = Reply(text)
    assert reply.words is not None
    assert reply.sentences is not None
    assert reply.blocks is not None
    assert reply.folded is not None
    assert reply.fault is not None
    assert time.process_time() - start < 5


def test_a_megabyte_is_not_read() -> None:
    start = time.process_time()
    assert "over 20000 characters" in Reply("word " * 200_000).fault
    assert time.process_time() - start < 0.1
