"""Text of completions to messages, piece by piece: thinking, then the answer, then calls of tools.

    <think>
    two and two
    </think>
    I look it up.
    <tool_calls>
    {"name": "add", "arguments": {"a": 2, "b": 2}}
    </tool_calls>

Any split of a text gives the same message, in time linear in its length. Nothing a model wrote is lost: text between
call tags that is no call is content. Left out: dialects whose calls are not JSON objects; pieces of one call (a call is
handed out whole, since broken JSON cannot be taken back).
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fulmen.errors import DataError
from fulmen.text.calls import CallBlock
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import END_THINK, THINK, Tokenizer
from fulmen.types import Message, ToolCall

_PIECE = 4096
THINK_TAG, END_THINK_TAG = THINK.strip(), END_THINK.strip()


@dataclass(frozen=True, kw_only=True)
class ParserStyle:
    """How a dialect marks thinking and calls; the defaults are MiniMax-M1's."""

    think_open: str = THINK_TAG
    think_close: str = END_THINK_TAG
    calls_open: str = "<tool_calls>"
    """Before JSON objects, one a line, each `{"name": ..., "arguments": {...}}`."""
    calls_close: str = "</tool_calls>"
    is_one_call: bool = False
    """Whether every call has tags of its own; matters to who writes calls, both ways are read."""
    starts_in_thinking: bool = False
    """Whether the prompt has already opened thinking."""


MINIMAX_STYLE = ParserStyle()
HERMES_STYLE = ParserStyle(calls_open="<tool_call>", calls_close="</tool_call>", is_one_call=True)
"""Of Hermes, Qwen and many others."""


@dataclass(frozen=True, kw_only=True)
class ThinkingDelta:
    """More thinking."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ContentDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ToolCallDelta:
    """More of a call, as OpenAI streams them: its first delta brings id and name. Ours is the only one of its call."""

    index: int
    """Which call, from 0."""
    call_id: str | None
    name: str | None
    arguments: str
    """A JSON object as the model wrote it."""


Part = ThinkingDelta | ContentDelta | ToolCallDelta


@dataclass(frozen=True, kw_only=True)
class ThinkingMarkers:
    """How thinking is marked, as tokens; empty where the dialect has none."""

    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()
    """What ends it when the model writes it."""
    forced: tuple[int, ...] = ()
    """What is written for the model to end it; contains `closing`."""
    is_open: bool = False
    """Whether the generation prompt opens thinking."""


def style_of(tokenizer: Tokenizer, *, template_options: Mapping[str, Any] | None = None) -> ParserStyle:
    """Returns the style of a tokenizer's dialect.

    A template that names `<tool_calls>` speaks MiniMax-M1's, any other one Hermes'.
    `template_options`: those of `encode_prompt`; they may open or close thinking.
    """
    template = tokenizer.template
    if template is None:
        return MINIMAX_STYLE
    is_minimax = MINIMAX_STYLE.calls_open in template.source
    return _template_style(
        template.source, tuple(template.tokens.items()), json.dumps(dict(template_options or {})), is_minimax=is_minimax
    )


def thinking_markers(
    tokenizer: Tokenizer, *, template_options: Mapping[str, Any] | None = None
) -> ThinkingMarkers:  # fmt: skip
    """Returns the tokens that open and end thinking: structural or added ones, or else those of the encoded tags.

    A template has thinking when it names a think tag, or its vocabulary holds one.
    """
    if tokenizer.template is None:
        ids = tokenizer.ids
        return ThinkingMarkers(opening=(ids[THINK],), closing=(ids[END_THINK],), forced=(ids[END_THINK],))
    style = style_of(tokenizer, template_options=template_options)
    tags = (style.think_open, style.think_close)
    known = [tokenizer.backend.token_to_id(tag) for tag in tags]
    if not any(tag in tokenizer.template.source for tag in tags) and None in known:
        return ThinkingMarkers()
    opening, closing = (
        tuple(tokenizer.encode(tag)) if token_id is None else (token_id,)
        for tag, token_id in zip(tags, known, strict=True)
    )
    line = tuple(tokenizer.encode("\n"))
    return ThinkingMarkers(
        opening=opening, closing=closing, forced=(*line, *closing, *line), is_open=style.starts_in_thinking
    )


def message_of(tokenizer: Tokenizer, text: str, *, has_tools: bool = True) -> Message:
    """Returns the assistant's message that a text without end token spells; calls have no ids."""
    parser = CompletionParser(style_of(tokenizer), has_tools=has_tools, id_prefix="")
    parser.feed(text)
    parser.finish()
    return parser.message


class CompletionParser:
    """Reads a completion as its text comes.

    Thinking comes first or not at all, and lasts to the end if it is never closed; call tags within it are thinking.
    Line breaks around thinking and around calls are dropped. What is held back: line breaks that may be dropped, text
    that may become a tag, and calls until they are whole.
    `has_tools`: without it, call tags are content. `id_prefix`: ids of calls are this and their index; a server makes
    it unique. Empty: calls have no ids.
    """

    def __init__(self, style: ParserStyle, *, has_tools: bool = True, id_prefix: str = "call_") -> None:
        self._style = style
        self._id_prefix = id_prefix
        self._calls_open = style.calls_open if has_tools else ""
        self._state = "thinking" if style.starts_in_thinking else "start"
        self._can_open = True
        """Whether an opening think tag may still come first."""
        self._tail = ""
        """May become a tag."""
        self._newlines = 0
        """Line breaks before `_tail`, dropped if a tag follows."""
        self._skips_newlines = False
        """Whether line breaks are dropped until other text comes."""
        self._joint = ""
        """Goes before more content, after calls."""
        self._block: CallBlock | None = None
        self._is_trimmed = False
        """Whether content ends without line breaks."""
        self._thinking: list[str] = []
        self._content: list[str] = []
        self._calls: list[ToolCall] = []

    @property
    def message(self) -> Message:
        """The message as far as it was handed out."""
        return Message(
            role="assistant", content="".join(self._content), thinking="".join(self._thinking),
            tool_calls=tuple(self._calls),
        )  # fmt: skip

    def feed(self, text: str) -> list[Part]:
        """Returns what more text adds to the message."""
        parts: list[Part] = []
        # In pieces, so that what follows a tag is copied a bounded number of times.
        for start in range(0, len(text), _PIECE):
            self._feed(text[start : start + _PIECE], parts)
        return parts

    def _feed(self, text: str, parts: list[Part]) -> None:
        text, self._tail = self._tail + text, ""
        while text:
            if self._can_open:
                text = self._read_opening(text)
            elif self._state == "thinking":
                text = self._read_thinking(text, parts)
            elif self._block is not None:
                text = self._read_block(self._block, text, parts)
            else:
                text = self._read_content(text, parts)

    def finish(self) -> list[Part]:
        """Returns what was held back, once no text follows."""
        parts: list[Part] = []
        tail, self._tail, self._can_open = self._tail, "", False
        if self._block is not None:
            self._end_block(self._block, self._block.finish(), parts)
        self._add(tail, parts)
        if self._newlines and self._state != "thinking" and not self._is_trimmed:
            self._content.append("\n" * self._newlines)
            parts.append(ContentDelta(text=self._content[-1]))
        self._newlines = 0
        return parts

    def _read_opening(self, text: str) -> str:
        opening = self._style.think_open
        if len(text) < len(opening) and opening.startswith(text):
            self._tail = text
            return ""
        self._can_open = False
        if text.startswith(opening):
            self._state, text = "thinking", text[len(opening) :]
        self._skips_newlines = self._state == "thinking"
        return text

    def _read_thinking(self, text: str, parts: list[Part]) -> str:
        head, tag, rest = self._split(text, self._style.think_close)
        self._add(head, parts)
        if tag:
            self._state, self._newlines, self._skips_newlines, self._is_trimmed = "content", 0, True, True
        return rest

    def _read_content(self, text: str, parts: list[Part]) -> str:
        self._state = "content"
        head, tag, rest = self._split(text, self._calls_open)
        self._add(head, parts)
        if tag:
            self._block = CallBlock(opening=self._style.calls_open, closing=self._style.calls_close)
        return rest

    def _read_block(self, block: CallBlock, text: str, parts: list[Part]) -> str:
        rest = block.feed(text)
        if rest is not None:
            self._end_block(block, block.finish(), parts)
            return rest
        self._take_calls(block, parts)
        return ""

    def _end_block(self, block: CallBlock, leftover: str, parts: list[Part]) -> None:
        """What was no call is content; a block without any call is content with its tags."""
        self._block = None
        self._take_calls(block, parts)
        self._add(leftover, parts)
        if block.num_calls:
            self._is_trimmed = True
            self._begin_after_calls()

    def _take_calls(self, block: CallBlock, parts: list[Part]) -> None:
        for name, arguments in block.take():
            self._begin_after_calls()
            index = len(self._calls)
            call_id = f"{self._id_prefix}{index}" if self._id_prefix else ""
            self._calls.append(ToolCall(name=name, arguments=arguments, call_id=call_id))
            parts.append(ToolCallDelta(index=index, call_id=call_id or None, name=name, arguments=arguments))

    def _begin_after_calls(self) -> None:
        self._newlines, self._skips_newlines = 0, True
        self._joint = "\n" if self._content else ""

    def _split(self, text: str, tag: str) -> tuple[str, str, str]:
        """Returns the text before a tag, the tag if it is there, and the rest; holds back what may become the tag."""
        if not tag:
            return text, "", ""
        head, found, rest = text.partition(tag)
        if not found:
            length = _overlap(text, tag)
            if length:
                head, self._tail = text[:-length], text[-length:]
        return head, found, rest

    def _add(self, text: str, parts: list[Part]) -> None:
        """Hands out text, without the line breaks at its end, which may be dropped."""
        if self._skips_newlines:
            text = text.lstrip("\n")
        body = text.rstrip("\n")
        if not body:
            self._newlines += len(text)
            return
        num_last = len(text) - len(body)
        body = "\n" * self._newlines + body
        self._newlines, self._skips_newlines = num_last, False
        if self._state == "thinking":
            self._thinking.append(body)
            parts.append(ThinkingDelta(text=body))
        else:
            body, self._joint = self._joint + body, ""
            self._content.append(body)
            parts.append(ContentDelta(text=body))


def _overlap(text: str, tag: str) -> int:
    """Returns the length of the longest proper prefix of a tag that a text ends with."""
    lengths = range(min(len(tag) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(tag[:length])), 0)


@functools.lru_cache(maxsize=64)
def _template_style(source: str, tokens: tuple[tuple[str, str], ...], options: str, *, is_minimax: bool) -> ParserStyle:
    """Returns the style of a template; whether its prompt opens thinking is seen where it ends."""
    style = MINIMAX_STYLE if is_minimax else HERMES_STYLE
    template = ChatTemplate(source=source, tokens=dict(tokens))
    try:
        prompt = template.render(
            [{"role": "user", "content": "2+2?"}], add_generation_prompt=True, options=json.loads(options)
        )
    except DataError:
        return style
    return replace(style, starts_in_thinking=prompt.rstrip().endswith(style.think_open))
