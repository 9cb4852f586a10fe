"""Requests of the protocol as requests of the engine."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fulmen.serve.grammar import make_masker
from fulmen.serve.http.errors import ApiError
from fulmen.serve.http.protocol import ChatMessage, ChatRequest, CompletionRequest, Generation, NamedTool, Tool
from fulmen.serve.http.turns import calls_grammar, encode_chat
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Grammar, Message, Request, Sampling, ToolCall, stable_seed

DEFAULT_COMPLETION_TOKENS = 16
"""Of a plain completion without `max_tokens`, as OpenAI has it; a chat may use what the model's length leaves."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the engine can hold."""

    max_length: int
    """Most tokens of prompt and completion together."""
    timeout_s: float
    """Longest time of a request."""
    vocab_size: int | None = None
    """The model's; with it, grammars are compiled before the engine sees them."""


def chat_requests(body: ChatRequest, *, tokenizer: Tokenizer, limits: Limits) -> list[Request]:
    """Returns one engine request per choice.

    Raises: ApiError, ConfigError or DataError for what cannot be served.
    """
    tools = [_tool_json(tool) for tool in body.active_tools]
    prompt = encode_chat(tokenizer, to_messages(body.messages), tools=tools, options=body.template_options)
    grammar = _grammar(body, tokenizer, tools)
    if grammar is not None and limits.vocab_size is not None:
        # Here, off the engine's thread: what is compiled is kept, so the engine finds it.
        make_masker(tokenizer, grammar, limits.vocab_size)
    top = (body.top_logprobs or 0) if body.logprobs else 0
    sampling = _sampling(
        body, prompt=prompt, limit=body.limit, default=None, limits=limits, top_logprobs=top, grammar=grammar
    )  # fmt: skip
    return _choices(body, prompt, sampling)


def completion_requests(body: CompletionRequest, *, tokenizer: Tokenizer, limits: Limits) -> list[Request]:
    """Returns one engine request per choice: all choices of the first prompt, then those of the next.

    Text is encoded as it is: nothing is put before it, and structural tokens written out in it stay text.
    """
    requests: list[Request] = []
    for prompt in body.prompts:
        token_ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        if not token_ids or max(token_ids) >= tokenizer.vocab_size:
            allowed = f"at least one token, each below {tokenizer.vocab_size}"
            raise ApiError(400, f"a prompt of {len(token_ids)} tokens; allowed: {allowed}", param="prompt")
        sampling = _sampling(
            body, prompt=token_ids, limit=body.max_tokens, default=DEFAULT_COMPLETION_TOKENS, limits=limits,
            top_logprobs=body.logprobs or 0, grammar=None,
        )  # fmt: skip
        requests += _choices(body, token_ids, sampling)
    return requests


def to_messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """Returns the conversation as records; a tool's answer gets the name of the call it answers.

    Raises: ApiError for an answer to a call that nobody made.
    """
    names: dict[str, str] = {}
    turns: list[Message] = []
    for index, message in enumerate(messages):
        calls = tuple(
            ToolCall(name=call.function.name, arguments=call.function.arguments, call_id=call.id)
            for call in message.tool_calls or ()
        )
        names |= {call.call_id: call.name for call in calls}
        call_id = message.tool_call_id or ""
        if message.role == "tool" and call_id not in names:
            raise ApiError(
                400, f"messages.{index}: no call before it has the id {call_id!r}",
                param=f"messages.{index}.tool_call_id", code="invalid_value",
            )  # fmt: skip
        turns.append(
            Message(
                role="system" if message.role == "developer" else message.role,
                content=message.text,
                thinking=message.reasoning_content or "",
                tool_calls=calls,
                name=names[call_id] if message.role == "tool" else "",
                call_id=call_id,
            )
        )
    return turns


def _sampling(
    body: Generation, *, prompt: Sequence[int], limit: int | None, default: int | None, limits: Limits,
    top_logprobs: int, grammar: Grammar | None,
) -> Sampling:  # fmt: skip
    left = limits.max_length - len(prompt)
    if left < 1 or (limit or 0) > left:
        asked = "" if limit is None else f" and a completion of up to {limit}"
        raise ApiError(
            400,
            f"the model holds {limits.max_length} tokens; the request has a prompt of {len(prompt)} tokens{asked}",
            param="messages" if isinstance(body, ChatRequest) else "prompt",
            code="context_length_exceeded",
        )
    plain = Sampling()
    max_tokens = limit or min(left, default or left)
    if (body.min_tokens or 0) > max_tokens:
        raise ApiError(400, f"min_tokens={body.min_tokens}; allowed: at most {max_tokens}", param="min_tokens")
    return Sampling(
        temperature=_or(body.temperature, 1.0),
        top_p=_or(body.top_p, 1.0),
        top_k=body.top_k or 0,
        min_p=body.min_p or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=_or(body.repetition_penalty, 1.0),
        logit_bias=tuple((int(token), float(bias)) for token, bias in (body.logit_bias or {}).items()),
        max_tokens=max_tokens,
        min_tokens=body.min_tokens or 0,
        stop=body.stops,
        thinking_budget=body.thinking_budget,
        repetition_window=body.repetition_window or plain.repetition_window,
        top_logprobs=top_logprobs,
        grammar=grammar,
        deadline_s=min(limits.timeout_s, _or(body.deadline_s, limits.timeout_s)),
    )


def _choices(body: Generation, prompt: Sequence[int], sampling: Sampling) -> list[Request]:
    """Choice 0 of a seed is the same whatever `n` is."""
    seed = secrets.randbits(62) if body.seed is None else body.seed
    return [
        Request(prompt_ids=tuple(prompt), sampling=sampling, seed=stable_seed(seed, index))
        for index in range(body.n or 1)
    ]


def _grammar(body: ChatRequest, tokenizer: Tokenizer, tools: list[dict[str, Any]]) -> Grammar | None:
    if isinstance(body.tool_choice, NamedTool):
        return calls_grammar(tokenizer, tools, name=body.tool_choice.function.name, is_single=True)
    if body.tool_choice == "required":
        return calls_grammar(tokenizer, tools, name=None, is_single=body.parallel_tool_calls is False)
    if body.response_format is None or body.response_format.type == "text":
        return None
    schema = body.response_format.json_schema
    source = {"type": "object"} if schema is None else schema.schema_
    return Grammar(kind="json_schema", source=json.dumps(source))


def _tool_json(tool: Tool) -> dict[str, Any]:
    """The tool as a chat template expects it; what was not given is left out."""
    return tool.model_dump(exclude_none=True)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
