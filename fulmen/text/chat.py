"""Conversations to tokens and back, in the dialect of MiniMax-M1's released chat template.

A tokenizer that came with a chat template of its own speaks that instead.

    <begin_of_document><beginning_of_sentence>user name=user
    2+2?<end_of_sentence>
    <beginning_of_sentence>ai name=assistant
    <think>
    two and two
    </think>
    4<end_of_sentence>

System messages are joined and come first; tools follow (`tool_turns.py`).
Left out: content parts, which a server joins.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fulmen.errors import DataError
from fulmen.text.parse import message_of
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import BEGIN_DOCUMENT, BEGIN_TURN, END_THINK, END_TURN, HEADERS, THINK, Tokenizer
from fulmen.text.tool_turns import (
    RESULTS_HEADER,
    TOOLS_HEADER,
    announce_tools,
    result_names,
    wrap_functions,
    write_calls,
    write_result,
)
from fulmen.types import Message, ToolCall

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Tokens of a conversation and which of them the assistant wrote."""

    token_ids: list[int]
    mask: list[bool]
    """True on the tokens of assistant turns after their header, the end token included."""


def encode_prompt(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    keep_thinking: bool = True,
    template_options: Mapping[str, Any] = NO_OPTIONS,
) -> list[int]:
    """Returns the tokens of a conversation, up to where the assistant's next turn begins.

    `tools`: functions as JSON schemas, bare or wrapped as OpenAI does. `keep_thinking`: whether turns before the last
    user's keep their thinking. `template_options`: variables of a checkpoint's own template (`enable_thinking`).
    Raises: DataError when there is no message, or the last one is the assistant's; for answers of tools that nothing
    names; for options where there is no template, or that it refuses. ConfigError for tools without a name.
    """
    if not messages or messages[-1].role == "assistant":
        raise DataError("a prompt needs at least one message, and its last one must not be the assistant's")
    if not keep_thinking:
        messages = _without_thinking(messages)
    if tokenizer.template is not None:
        turns = [_as_dict(message, tokenizer.template) for message in messages]
        return tokenizer.encode_chat(
            turns, add_generation_prompt=True, tools=wrap_functions(tools), options=template_options
        )
    ids = tokenizer.ids
    encoded = encode_conversation(tokenizer, messages, tools=tools, template_options=template_options)
    return [*encoded.token_ids, ids[BEGIN_TURN], ids[HEADERS["assistant"]]]


def encode_conversation(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    keep_thinking: bool = True,
    template_options: Mapping[str, Any] = NO_OPTIONS,
) -> Encoded:
    """Returns the tokens of whole turns and their loss mask; settings are those of `encode_prompt`.

    A turn that lost its thinking is not trained: the assistant did not write it like that.
    Raises: as `encode_prompt` does, and DataError when a chat template writes earlier turns differently once later
    ones are there.
    """
    kept = list(messages) if keep_thinking else _without_thinking(messages)
    is_trained = [new == old and new.role == "assistant" for new, old in zip(kept, messages, strict=True)]
    if tokenizer.template is not None:
        return _encode_by_template(tokenizer, kept, is_trained, tools=tools, options=template_options)
    if template_options:
        raise DataError(f"template_options={dict(template_options)}; allowed: none, in MiniMax-M1's dialect")
    ids = tokenizer.ids
    token_ids, mask = [ids[BEGIN_DOCUMENT]], [False]
    for head, body, has_loss in _write_turns(tokenizer, kept, is_trained, tools=tools):
        token_ids += [ids[BEGIN_TURN], *head, *body, ids[END_TURN], ids["\n"]]
        mask += [False] * (1 + len(head)) + [has_loss] * (len(body) + 1) + [False]
    return Encoded(token_ids=token_ids, mask=mask)


def decode_completion(tokenizer: Tokenizer, token_ids: Sequence[int], *, has_tools: bool = True) -> Message:
    """Returns the assistant's message that sampled tokens spell: thinking, answer and calls apart.

    Thinking that was never closed leaves an empty answer. Without `has_tools`, calls are content.
    """
    return decode_completions(tokenizer, [token_ids], has_tools=has_tools)[0]


def decode_completions(
    tokenizer: Tokenizer, sequences: Sequence[Sequence[int]], *, has_tools: bool = True
) -> list[Message]:
    """Returns what `decode_completion` does of each; together they are decoded faster."""
    if tokenizer.template is None:
        texts = [text.removesuffix(END_TURN) for text in tokenizer.decode_many(sequences)]
    else:
        end = tokenizer.end_id
        texts = tokenizer.decode_many([ids[:-1] if len(ids) and int(ids[-1]) == end else ids for ids in sequences])
    return [message_of(tokenizer, text, has_tools=has_tools) for text in texts]


def _write_turns(
    tokenizer: Tokenizer, messages: Sequence[Message], is_trained: Sequence[bool], *, tools: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[list[int], list[int], bool]]:
    """Yields header, body and whether it is trained, of each turn in MiniMax-M1's dialect."""
    ids = tokenizer.ids
    system = [message.content for message in messages if message.role == "system"]
    if system:
        yield [ids[HEADERS["system"]]], tokenizer.encode("".join(system)), False
    if tools:
        # Vocabularies have no structural token for these headers: they are text.
        yield [], tokenizer.encode(TOOLS_HEADER + announce_tools(tools)), False
    names = result_names(messages)
    results = ""
    for index, message in enumerate(messages):
        if message.role == "tool":
            results += write_result(names[index], message.content)
            if index + 1 == len(messages) or messages[index + 1].role != "tool":
                yield [], tokenizer.encode(RESULTS_HEADER + results), False
                results = ""
        elif message.role == "user":
            yield [ids[HEADERS["user"]]], tokenizer.encode(message.content), False
        elif message.role == "assistant":
            text = message.content
            if message.tool_calls:
                text += ("\n" if text else "") + write_calls(message.tool_calls)
            body = tokenizer.encode(text)
            if message.thinking:
                body = [ids[THINK], *tokenizer.encode(message.thinking), ids[END_THINK], *body]
            yield [ids[HEADERS["assistant"]]], body, is_trained[index]


def _without_thinking(messages: Sequence[Message]) -> list[Message]:
    """Returns messages whose turns before the last user's have no thinking."""
    last = max((index for index, message in enumerate(messages) if message.role == "user"), default=0)
    return [
        replace(message, thinking="") if index < last and message.role == "assistant" else message
        for index, message in enumerate(messages)
    ]


def _encode_by_template(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    is_trained: Sequence[bool],
    *,
    tools: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
) -> Encoded:
    """What the assistant wrote lies between the generation prompt and the end token of its turn."""
    assert tokenizer.template is not None, "the caller looks at `template` first"
    turns = [_as_dict(message, tokenizer.template) for message in messages]
    wrapped = wrap_functions(tools)

    def encode(turns: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> list[int]:
        return tokenizer.encode_chat(turns, add_generation_prompt=add_generation_prompt, tools=wrapped, options=options)

    token_ids = encode(turns, add_generation_prompt=False)
    mask = [False] * len(token_ids)
    for index in range(len(messages)):
        if not is_trained[index]:
            continue
        before = encode(turns[:index], add_generation_prompt=True) if index else []
        through = encode(turns[: index + 1], add_generation_prompt=False)
        end = max((place for place, token in enumerate(through) if token == tokenizer.end_id), default=-1)
        if token_ids[: len(before)] != before or token_ids[: end + 1] != through[: end + 1] or end < len(before):
            raise DataError(
                f"message {index}: the chat template writes this turn differently when others follow or precede it; "
                "allowed: templates whose turns stand for themselves"
            )
        mask[len(before) : end + 1] = [True] * (end + 1 - len(before))
    return Encoded(token_ids=token_ids, mask=mask)


def _as_dict(message: Message, template: ChatTemplate) -> dict[str, Any]:
    """Returns a message as transformers hands it to templates: calls with their arguments as objects."""
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "assistant" and message.thinking:
        if "reasoning_content" in template.source:
            record["reasoning_content"] = message.thinking
        else:
            record["content"] = f"{THINK}{message.thinking}{END_THINK}{message.content}"
    if message.tool_calls:
        record["tool_calls"] = [_call_as_dict(call) for call in message.tool_calls]
    if message.role == "tool":
        record |= {key: text for key, text in (("name", message.name), ("tool_call_id", message.call_id)) if text}
    return record


def _call_as_dict(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments
    function = {"name": call.name, "arguments": arguments if isinstance(arguments, dict) else call.arguments}
    return {"type": "function", "function": function} | ({"id": call.call_id} if call.call_id else {})
