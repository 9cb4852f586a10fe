"""Completions read piece by piece: any split gives one message, nothing is lost, and time is linear."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulmen.text.chat import decode_completion
from fulmen.text.parse import (
    HERMES_STYLE,
    MINIMAX_STYLE,
    CompletionParser,
    ContentDelta,
    ParserStyle,
    Part,
    ThinkingDelta,
    ThinkingMarkers,
    ToolCallDelta,
    message_of,
    style_of,
    thinking_markers,
)
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import END_THINK, END_TURN, THINK, Tokenizer
from fulmen.types import Message, ToolCall
from tests.text.test_template import make_tokenizer

ROOT = Path(__file__).parents[2]
OURS = Tokenizer.train(["two and two"], vocab_size=300)
ADD = '{"name": "add", "arguments": {"a": 2,  "b": "}\\"</tool_calls>"}}'
ADDED = ("add", '{"a": 2,  "b": "}\\"</tool_calls>"}')
OPEN = ParserStyle(starts_in_thinking=True)


def call(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(name=name, arguments=arguments)


def read(text: str, style: ParserStyle = MINIMAX_STYLE, *, has_tools: bool = True, size: int = 10**9) -> Message:
    """Reads a text in pieces of a size; parts and message must say the same."""
    parser = CompletionParser(style, has_tools=has_tools, id_prefix="")
    parts: list[Part] = []
    for start in range(0, len(text), size):
        parts += parser.feed(text[start : start + size])
    parts += parser.finish()
    message = parser.message
    assert "".join(part.text for part in parts if isinstance(part, ThinkingDelta)) == message.thinking
    assert "".join(part.text for part in parts if isinstance(part, ContentDelta)) == message.content
    calls = [part for part in parts if isinstance(part, ToolCallDelta)]
    assert [(part.name, part.arguments) for part in calls] == [(c.name, c.arguments) for c in message.tool_calls]
    assert [part.index for part in calls] == list(range(len(calls)))
    return message


# Text, thinking, content, calls.
CASES: dict[str, tuple[str, str, str, list[tuple[str, str]]]] = {
    "all three": (
        f"<think>\ntwo\n</think>\n\nI add.\n<tool_calls>\n{ADD}\n</tool_calls>\n", "two", "I add.", [ADDED]),
    "several calls": (
        f'<tool_calls>\n{ADD}\n{{"name": "now", "arguments": {{}}}}\n</tool_calls>', "", "", [ADDED, ("now", "{}")]),
    "no end tag": (f"x\n<tool_calls>\n{ADD}\n", "", "x", [ADDED]),
    "half an end tag": (f"x\n<tool_calls>\n{ADD}\n</tool_c", "", "x", [ADDED]),
    "no line breaks": (f"x<tool_calls>{ADD}{ADD}</tool_calls>", "", "x", [ADDED, ADDED]),
    "surplus braces": (f"<tool_calls>\n{ADD}}}}}\n{ADD}}}\n</tool_calls>", "", "", [ADDED, ADDED]),
    "commas": (f"<tool_calls>\n{ADD},\n{ADD}\n</tool_calls>", "", "", [ADDED, ADDED]),
    "indented": ('<tool_calls>\n{\n  "arguments": {\n "a": [1, {}]},\n "name": "f"\n}\n</tool_calls>', "", "",
                 [("f", '{\n "a": [1, {}]}')]),
    "calls in thinking": (f"<think>\na\n<tool_calls>\n{ADD}\n</tool_calls>\n</think>\n4",
                          f"a\n<tool_calls>\n{ADD}\n</tool_calls>", "4", []),
    "thinking without end": (f"<think>\na\n<tool_calls>\n{ADD}\n</tool_calls>\n",
                             f"a\n<tool_calls>\n{ADD}\n</tool_calls>", "", []),
    "text after calls": (f"a\n\n<tool_calls>\n{ADD}\n</tool_calls>\n\nb\n<tool_calls>\n{ADD}\n</tool_calls>\n",
                         "", "a\nb", [ADDED, ADDED]),
    "text after calls alone": (f"<tool_calls>\n{ADD}\n</tool_calls>\nb", "", "b", [ADDED]),
    "no arguments": ('<tool_calls>\n{"name": "now"}\n</tool_calls>', "", "", [("now", "{}")]),
    "arguments as a string": ('<tool_calls>\n{"name": "f", "arguments": "{\\"a\\": 1}"}\n</tool_calls>', "", "",
                              [("f", '{"a": 1}')]),
    "long numbers": (f'<tool_calls>\n{{"name": "f", "arguments": {{"a": {"9" * 4500}}}}}\n</tool_calls>', "", "",
                     [("f", f'{{"a": {"9" * 4500}}}')]),
    "surplus braces of a broken call": (f'<tool_calls>\n{ADD}\n{{"a": 1}}}}\n</tool_calls>', "", '{"a": 1}}', [ADDED]),
    "a line that lacks a brace": (
        '<tool_calls>\n{"name": "f", "arguments": {"a": 1}\n{"name": "g"}}}\n</tool_calls>', "",
        '{"name": "f", "arguments": {"a": 1}', [("g", "{}")]),
    "only a mention": ("Write <tool_calls> and\n then </tool_calls>.\n", "",
                       "Write <tool_calls> and\n then </tool_calls>.\n", []),
    "half a tag": ("a\n\n<tool_cal", "", "a\n\n<tool_cal", []),
    "half a think tag": ("<thin", "", "<thin", []),
    "half an end of thinking": ("<think>a\n</thi", "a\n</thi", "", []),
    "an empty block": ("a\n<tool_calls>\n\n</tool_calls>\n", "", "a\n<tool_calls>\n\n</tool_calls>\n", []),
    "content as it is": ("\n\n 4 \n\n", "", "\n\n 4 \n\n", []),
    "late thinking": (" <think>\na\n</think>\n", "", " <think>\na\n</think>\n", []),
}  # fmt: skip
BROKEN = [
    '{"name": "f", "arguments": {"a": 1}', '{"name": "f", "arguments": {"a: 1}}', '{"name": "f", "arguments": [1]}',
    '{"name": 3, "arguments": {}}', '{"name": "", "arguments": {}}', '{"arguments": {}}', "{}", "{", '{"', '{"name',
    '{"name": "f", "arguments": {"a": NaN}}', '{"name": "f", "arguments": "x"}', '{"name": "f" "arguments": {}}',
    '{"name": "f", "arguments": null}', '{"name": "f", "arguments": {"a": "\\', '{"name": "f",}', "{1: 2}",
    '{"name": "\\ud800", "arguments": {}}', '{"name": "f", "arguments": "{} {}"}',
]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_text_is_read_the_same_however_it_is_split(name: str) -> None:
    text, thinking, content, calls = CASES[name]
    expected = Message(
        role="assistant", content=content, thinking=thinking, tool_calls=tuple(call(*pair) for pair in calls)
    )
    for size in (10**9, 1, 3, 7):
        assert read(text, size=size) == expected
    for place in range(0, len(text), 1 + len(text) // 200):
        parser = CompletionParser(MINIMAX_STYLE, id_prefix="")
        parser.feed(text[:place])
        parser.feed(text[place:])
        parser.finish()
        assert parser.message == expected
    assert message_of(OURS, text) == expected


@pytest.mark.parametrize("style", [MINIMAX_STYLE, HERMES_STYLE], ids=["minimax", "hermes"])
@pytest.mark.parametrize("broken", BROKEN)
def test_broken_calls_are_content(broken: str, style: ParserStyle) -> None:
    """Alone with their tags, so that the content is the whole text; beside calls by themselves."""
    opening, closing = style.calls_open, style.calls_close
    for text in (f"a\n{opening}\n{broken}\n{closing}\nb\n", f"{opening}\n{broken}"):
        assert read(text, style) == read(text, style, size=1)
        if broken.endswith(("{", '{"', "\\")) and closing in text:
            continue
        assert read(text, style) == Message(role="assistant", content=text)
    message = read(f"{opening}\n{ADD}\n{broken}\n{ADD}\n{closing}", style)
    assert (message.content, message.tool_calls) == (broken, (call(*ADDED), call(*ADDED)))
    assert message == read(f"{opening}\n{ADD}\n{broken}\n{ADD}\n{closing}", style, size=1)


def test_every_call_may_have_its_own_tags() -> None:
    text = f"x\n<tool_call>\n{ADD}\n</tool_call>\n<tool_call>\n{ADD}\n</tool_call>"
    for whole in (text, text.replace("\n</tool_call>", "")):
        for size in (1, 10**9):
            message = read(whole, HERMES_STYLE, size=size)
            assert (message.content, message.tool_calls) == ("x", (call(*ADDED), call(*ADDED)))


def test_without_tools_calls_are_content() -> None:
    text = f"<think>\na\n</think>\n<tool_calls>\n{ADD}\n</tool_calls>"
    message = read(text, has_tools=False)
    assert message == Message(role="assistant", content=f"<tool_calls>\n{ADD}\n</tool_calls>", thinking="a")
    assert decode_completion(OURS, OURS.encode(text), has_tools=False) == message
    parser = CompletionParser(MINIMAX_STYLE, has_tools=False)
    assert [parser.feed(char) for char in "x<t"] == [[ContentDelta(text=char)] for char in "x<t"]


@pytest.mark.parametrize("opening", ["", "\n", "<think>\n"])
def test_a_prompt_may_have_opened_thinking(opening: str) -> None:
    for size in (1, 10**9):
        assert read(f"{opening}two\n</think>\n\n4", OPEN, size=size) == Message(
            role="assistant", content="4", thinking="two"
        )
    assert read("two", OPEN).thinking == "two"
    assert read("<thi", OPEN).thinking == "<thi"


def test_text_is_shown_as_soon_as_it_can_be() -> None:
    parser = CompletionParser(MINIMAX_STYLE)
    feeds: list[tuple[str, list[Part]]] = [
        ("<think", []), (">\n", []), ("a", [ThinkingDelta(text="a")]), ("\n<", []),
        ("/b", [ThinkingDelta(text="\n</b")]), ("\n</think>\n", []), ("4", [ContentDelta(text="4")]), ("\n\n", []),
        ("5<", [ContentDelta(text="\n\n5")]), ("tool_calls>\n{", []), ('"name": "f", "arguments": {}', []),
        ("}", [ToolCallDelta(index=0, call_id="call_0", name="f", arguments="{}")]), ("\n</tool_calls>", []),
        ("6", [ContentDelta(text="\n6")]), ("<tool_calls>", []),
        ("x", [ContentDelta(text="<tool_calls>"), ContentDelta(text="x")]),
    ]  # fmt: skip
    for text, parts in feeds:
        assert parser.feed(text) == parts
    assert parser.finish() == []
    assert parser.message == Message(
        role="assistant", content="4\n\n5\n6<tool_calls>x", thinking="a\n</b",
        tool_calls=(ToolCall(name="f", arguments="{}", call_id="call_0"),),
    )  # fmt: skip


FRAGMENTS = st.sampled_from(
    ["<think>", "</think>", "<tool_calls>", "</tool_calls>", "<tool_call>", "</tool_call>", "\n", "\n", " ", "<", "{",
     "}", '"', "\\", ",", ":", "a", "é", ADD, '{"name": "f", "arguments": {"a": 1}}', '{"name": "f"', *BROKEN]
)  # fmt: skip
STYLES = [MINIMAX_STYLE, HERMES_STYLE, OPEN]


@given(st.lists(FRAGMENTS, max_size=20), st.sampled_from(STYLES), st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_random_fragments_give_one_message_for_every_split(
    fragments: list[str], style: ParserStyle, cuts: list[int]
) -> None:
    text = "".join(fragments)
    whole = read(text, style)
    assert read(text, style, size=1) == whole
    parser, place = CompletionParser(style, id_prefix=""), 0
    for index in range(len(text)):
        step = cuts[index % len(cuts)]
        parser.feed(text[place : place + step])
        place += step
    parser.finish()
    assert parser.message == whole
    for tool_call in whole.tool_calls:
        assert isinstance(json.loads(tool_call.arguments), dict)
    if not whole.tool_calls:
        # Only tags of thinking, its line breaks and those around it are gone.
        rest = text.removeprefix(style.think_open)
        if text == rest and not style.starts_in_thinking:
            assert whole.content == text
        else:
            thinking, _, content = rest.partition(style.think_close)
            assert (whole.thinking, whole.content) == (thinking.strip("\n"), content.strip("\n"))


@given(st.text("ab \n<>"), st.text("ab \n<>{}"))
def test_every_letter_of_plain_text_survives(thinking: str, content: str) -> None:
    message = read(f"<think>\n{thinking}\n</think>\n{content}", size=1)
    assert (message.thinking, message.content) == (thinking.strip("\n"), content.strip("\n"))


HEAVY = """
import time
from fulmen.text.parse import MINIMAX_STYLE, CompletionParser

def check(text, size):
    start_s = time.process_time()
    parser = CompletionParser(MINIMAX_STYLE)
    for start in range(0, len(text), size):
        parser.feed(text[start : start + size])
    parser.finish()
    spent_s = time.process_time() - start_s
    assert spent_s < 3, (text[:20], size, spent_s)

call = '<tool_calls>{"name":"f","arguments":{"a":'
for text in (
    "<" * 10**6, "<think>" + "</thin" * 10**5, "\\n" * 10**6, "\\n<" * 10**5, "<tool_calls>{}</tool_calls>" * 40_000,
    "<tool_calls>" + "{" * 10**5, "<tool_calls>" + '{"a":' * 10**5, "<tool_calls>" + "{}" * 10**4,
    "<tool_calls>" + '{"name":"f","arguments":' * 10**4 + "}" * 10**5, call + "[" * 10**5 + "]" * 10**5 + "}}",
    "<tool_calls>" + '{"name\\n' * 10**4, "<tool_calls>{" + "<tool_calls>" * 10**5, call + '"' + '\\\\"' * 10**5,
    call + '"' + "x" * 10**6 + '"}}',
):
    check(text, 10**9)
for text in ("<", "\\n", call + '"x'):
    check(text + text[-1] * 50_000, 1)
"""


@pytest.mark.slow
def test_time_is_linear() -> None:
    """Up to a megabyte at once, a twentieth of it by characters; in a process whose calls are not type-checked."""
    run = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr


def test_completions_of_tokens_hold_calls() -> None:
    token_ids = [OURS.ids[THINK], *OURS.encode("two"), OURS.ids[END_THINK]]
    token_ids += [*OURS.encode(f"4\n<tool_calls>\n{ADD}\n</tool_calls>"), OURS.ids[END_TURN]]
    assert decode_completion(OURS, token_ids) == Message(
        role="assistant", content="4", thinking="two", tool_calls=(call(*ADDED),)
    )


@pytest.mark.parametrize(
    ("source", "expected", "is_open"),
    [
        ("{{ '<tool_calls>' }}", MINIMAX_STYLE, False),
        ("{{ '<tool_call>' }}", HERMES_STYLE, False),
        ("{{ messages[0].content }}<think>\n", HERMES_STYLE, True),
        ("{% if enable_thinking is false %}<think></think>{% else %}<think>\n\n{% endif %}", HERMES_STYLE, True),
        ("{{ raise_exception('no') }}", HERMES_STYLE, False),
    ],
)
def test_the_style_is_that_of_the_template(source: str, expected: ParserStyle, is_open: bool) -> None:
    style = style_of(make_tokenizer(source))
    assert (style.calls_open, style.is_one_call) == (expected.calls_open, expected.is_one_call)
    assert style.starts_in_thinking == is_open
    closed = style_of(make_tokenizer(source), template_options={"enable_thinking": False})
    assert closed.starts_in_thinking == (is_open and "enable_thinking" not in source)
    assert style_of(OURS) == MINIMAX_STYLE


def test_markers_are_tokens_where_there_are_some_and_text_elsewhere() -> None:
    ids = OURS.ids
    assert thinking_markers(OURS) == ThinkingMarkers(
        opening=(ids[THINK],), closing=(ids[END_THINK],), forced=(ids[END_THINK],)
    )
    assert thinking_markers(make_tokenizer()) == ThinkingMarkers()

    text = make_tokenizer("{{ 'x' }}<think>\n")
    markers = thinking_markers(text)
    line = tuple(text.encode("\n"))
    assert markers.opening == tuple(text.encode("<think>"))
    assert markers.forced == (*line, *text.encode("</think>"), *line)
    assert markers.is_open
    assert len(markers.closing) > 1

    added = make_tokenizer()
    added.backend.add_tokens(["<think>", "</think>"])
    first, last = (added.backend.token_to_id(tag) for tag in ("<think>", "</think>"))
    expected: dict[str, Any] = {"opening": (first,), "closing": (last,), "forced": (*line, last, *line)}
    assert thinking_markers(added) == ThinkingMarkers(**expected)


def test_markers_of_template_options() -> None:
    source = "{% if enable_thinking is not false %}<think>\n{% endif %}"
    tokenizer = Tokenizer(
        make_tokenizer().backend, template=ChatTemplate(source=source, tokens={"eos_token": "<|im_end|>"})
    )
    assert thinking_markers(tokenizer).is_open
    assert not thinking_markers(tokenizer, template_options={"enable_thinking": False}).is_open
