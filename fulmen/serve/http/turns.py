"""Where the server meets the text layer: prompts to tokens, completions to thinking, answer and calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fulmen.serve.http.errors import ApiError
from fulmen.text.chat import encode_prompt
from fulmen.text.tokenizer import END_THINK, THINK, Tokenizer
from fulmen.types import Grammar, Message


@dataclass(frozen=True, kw_only=True)
class ThinkingDelta:
    """More of the thinking."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ContentDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ToolCallDelta:
    """A call, or more of its arguments."""

    index: int
    name: str
    arguments: str


Part = ThinkingDelta | ContentDelta | ToolCallDelta
OPEN_CALLS, CLOSE_CALLS = "<tool_calls>", "</tool_calls>"


class TurnParser:
    """Provisional: until the text layer has its parser."""

    def __init__(self, *, has_tools: bool) -> None:
        self._has_tools = has_tools
        self._text, self._sent, self._num_calls = "", ["", ""], 0

    def feed(self, text: str) -> list[Part]:
        self._text += text
        return self._news(is_final=False)

    def finish(self) -> list[Part]:
        return self._news(is_final=True)

    def _news(self, *, is_final: bool) -> list[Part]:
        thinking, content, calls = self._split()
        parts: list[Part] = []
        for slot, whole in enumerate((thinking, content)):
            text = whole if is_final else whole[: max(len(whole) - 16, 0)]
            if len(text) > len(self._sent[slot]) and text.startswith(self._sent[slot]):
                news = text[len(self._sent[slot]) :]
                parts.append(ContentDelta(text=news) if slot else ThinkingDelta(text=news))
                self._sent[slot] = text
        for index in range(self._num_calls, len(calls)):
            parts.append(ToolCallDelta(index=index, name=calls[index][0], arguments=calls[index][1]))
        self._num_calls = len(calls)
        return parts

    def _split(self) -> tuple[str, str, list[tuple[str, str]]]:
        text, thinking = self._text, ""
        if text.startswith(THINK.strip()) or THINK.strip().startswith(text):
            thinking, _, text = text.removeprefix(THINK.strip()).partition(END_THINK.strip())
        if not self._has_tools:
            return thinking.strip("\n"), text.strip("\n"), []
        content, _, rest = text.partition(OPEN_CALLS)
        calls = []
        for line in rest.partition(CLOSE_CALLS)[0].split("\n"):
            try:
                call = json.loads(line)
                calls.append((call["name"], json.dumps(call["arguments"])))
            except (ValueError, KeyError):
                continue
        return thinking.strip("\n"), content.strip("\n"), calls


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]], enable_thinking: bool
) -> list[int]:
    """Returns the prompt's tokens."""
    if not enable_thinking:
        raise ApiError(400, "chat_template_kwargs.enable_thinking=false is not supported yet")
    return encode_prompt(tokenizer, messages)


def calls_grammar(tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]]) -> Grammar:
    """Returns the grammar of an answer that must call one of the tools."""
    raise ApiError(400, "tool_choice is not supported yet; allowed: none, auto", param="tool_choice")


def num_thinking_tokens(tokenizer: Tokenizer, token_ids: Sequence[int]) -> int:
    """Returns how many tokens of a completion are thinking, its opening and closing included."""
    ids = tokenizer.ids
    opening, closing = (
        (ids.get(THINK), ids.get(END_THINK))
        if tokenizer.template is None
        else (ids.get(THINK.strip()), ids.get(END_THINK.strip()))
    )
    tokens = [int(token) for token in token_ids]
    if opening is None or closing is None or opening not in tokens[:2]:
        return 0
    return tokens.index(closing) + 1 if closing in tokens else len(tokens)


def _byte_of_char() -> dict[str, int]:
    """Returns the byte that each character of a byte-level BPE stands for. Source: GPT-2's `bytes_to_unicode`."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_OF_CHAR = _byte_of_char()


def token_bytes(tokenizer: Tokenizer, token_id: int) -> bytes:
    """Returns the bytes that a token stands for; a structural token's are those of its name."""
    piece = tokenizer.backend.id_to_token(token_id)
    if piece is None:
        return b""
    if token_id in tokenizer.ids.values() or not all(char in BYTE_OF_CHAR for char in piece):
        return str(piece).encode()
    return bytes(BYTE_OF_CHAR[char] for char in piece)
