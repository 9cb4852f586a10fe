"""Conversations to tokens and back, in the dialect of MiniMax-M1's released chat template.

A tokenizer that came with a chat template of its own speaks that instead.

    <begin_of_document><beginning_of_sentence>user name=user
    2+2?<end_of_sentence>
    <beginning_of_sentence>ai name=assistant
    <think>
    two and two
    </think>
    4<end_of_sentence>

Left out until an issue needs them: tools, content parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fulmen.errors import DataError
from fulmen.text.parse import message_of
from fulmen.text.tokenizer import BEGIN_DOCUMENT, BEGIN_TURN, END_THINK, END_TURN, HEADERS, THINK, Tokenizer
from fulmen.types import Message


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Tokens of a conversation and which of them the assistant wrote."""

    token_ids: list[int]
    mask: list[bool]
    """True on the tokens of assistant turns after their header, the end token included."""


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Returns the tokens of a conversation, up to where the assistant's next turn begins.

    Raises: DataError when there is no message, or the last one is the assistant's.
    """
    if not messages or messages[-1].role == "assistant":
        raise DataError("a prompt needs at least one message, and its last one must not be the assistant's")
    if tokenizer.template is not None:
        return tokenizer.encode_chat([_as_dict(message) for message in messages], add_generation_prompt=True)
    ids = tokenizer.ids
    return [*encode_conversation(tokenizer, messages).token_ids, ids[BEGIN_TURN], ids[HEADERS["assistant"]]]


def encode_conversation(tokenizer: Tokenizer, messages: Sequence[Message]) -> Encoded:
    """Returns the tokens of whole turns and their loss mask.

    Raises: DataError when a chat template writes earlier turns differently once later ones are there.
    """
    if tokenizer.template is not None:
        return _encode_by_template(tokenizer, messages)
    ids = tokenizer.ids
    token_ids, mask = [ids[BEGIN_DOCUMENT]], [False]
    for message in messages:
        is_assistant = message.role == "assistant"
        head = [ids[BEGIN_TURN], ids[HEADERS[message.role]]]
        body = tokenizer.encode(message.content)
        if is_assistant and message.thinking:
            body = [ids[THINK], *tokenizer.encode(message.thinking), ids[END_THINK], *body]
        token_ids += [*head, *body, ids[END_TURN], ids["\n"]]
        mask += [False] * len(head) + [is_assistant] * (len(body) + 1) + [False]
    return Encoded(token_ids=token_ids, mask=mask)


def decode_completion(tokenizer: Tokenizer, token_ids: Sequence[int], *, has_tools: bool = True) -> Message:
    """Returns the assistant's message that sampled tokens spell: thinking, answer and calls apart.

    Thinking that was never closed leaves an empty answer. Without `has_tools`, calls are content.
    """
    if tokenizer.template is not None:
        is_ended = len(token_ids) > 0 and int(token_ids[-1]) == tokenizer.end_id
        text = tokenizer.decode(token_ids[:-1] if is_ended else token_ids)
    else:
        text = tokenizer.decode(token_ids).removesuffix(END_TURN)
    return message_of(tokenizer, text, has_tools=has_tools)


def _encode_by_template(tokenizer: Tokenizer, messages: Sequence[Message]) -> Encoded:
    """What the assistant wrote lies between the generation prompt and the end token of its turn."""
    turns = [_as_dict(message) for message in messages]
    token_ids = tokenizer.encode_chat(turns, add_generation_prompt=False)
    mask = [False] * len(token_ids)
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        before = tokenizer.encode_chat(turns[:index], add_generation_prompt=True) if index else []
        through = tokenizer.encode_chat(turns[: index + 1], add_generation_prompt=False)
        end = max((place for place, token in enumerate(through) if token == tokenizer.end_id), default=-1)
        if token_ids[: len(before)] != before or token_ids[: end + 1] != through[: end + 1] or end < len(before):
            raise DataError(
                f"message {index}: the chat template writes this turn differently when others follow or precede it; "
                "allowed: templates whose turns stand for themselves"
            )
        mask[len(before) : end + 1] = [True] * (end + 1 - len(before))
    return Encoded(token_ids=token_ids, mask=mask)


def _as_dict(message: Message) -> dict[str, str]:
    is_thinking = message.role == "assistant" and message.thinking
    content = f"{THINK}{message.thinking}{END_THINK}{message.content}" if is_thinking else message.content
    return {"role": message.role, "content": content}
