"""Where the server meets the text layer: prompts to tokens, completions to thinking, answer and calls."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fulmen.text.chat import encode_prompt
from fulmen.text.parse import CompletionParser, style_of, thinking_markers
from fulmen.text.tokenizer import Tokenizer
from fulmen.text.tools import tool_grammar
from fulmen.types import Grammar, Message


def encode_chat(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
) -> list[int]:
    """Returns the prompt's tokens; `options` are the chat template's."""
    return encode_prompt(tokenizer, messages, tools=tools, template_options=options)


def make_parser(tokenizer: Tokenizer, *, has_tools: bool, options: Mapping[str, Any]) -> CompletionParser:
    """Returns what reads one completion; the ids of its calls are like no others."""
    style = style_of(tokenizer, template_options=options)
    return CompletionParser(style, has_tools=has_tools, id_prefix=f"call_{secrets.token_hex(8)}_")


def calls_grammar(
    tokenizer: Tokenizer, tools: Sequence[Mapping[str, Any]], *, name: str | None, is_single: bool
) -> Grammar:
    """Returns the grammar of an answer that must call one of the tools, or the one called `name`."""
    return tool_grammar(tools, name=name, style=style_of(tokenizer), is_single=is_single)


def num_thinking_tokens(tokenizer: Tokenizer, token_ids: Sequence[int], *, options: Mapping[str, Any]) -> int:
    """Returns how many tokens of a completion are thinking, its opening and closing included."""
    markers = thinking_markers(tokenizer, template_options=options)
    tokens, opening, closing = tuple(token_ids), markers.opening, markers.closing
    if not closing or not (markers.is_open or tokens[: len(opening)] == opening):
        return 0
    ends = (end for end in range(len(closing), len(tokens) + 1) if tokens[end - len(closing) : end] == closing)
    return next(ends, len(tokens))


def token_bytes(tokenizer: Tokenizer, token_id: int) -> bytes:
    """Returns the bytes that a token stands for; a structural token's are those of its name."""
    if token_id in tokenizer.structural:
        return tokenizer.structural[token_id].encode()
    return tokenizer.token_bytes(token_id) if tokenizer.is_byte_level else tokenizer.decode([token_id]).encode()
