"""One completion on its way to a client: what a delta of the engine adds to it, in the protocol's words.

Streamed and whole answers are built from the same parts, so they cannot differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fulmen.serve.http.turns import num_thinking_tokens, token_bytes
from fulmen.text.parse import CompletionParser, ContentDelta, Part, ThinkingDelta, ToolCallDelta
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Completion, Delta, Request, StopReason, TopLogprob

FinishReason = Literal["stop", "length", "tool_calls"]
CUT_SHORT: tuple[StopReason, ...] = ("length", "repetition", "deadline", "cancelled", "error")
"""Reasons after which an answer is not whole."""


@dataclass(kw_only=True)
class Choice:
    """One completion and what it consists of so far."""

    index: int
    request: Request
    tokenizer: Tokenizer
    parser: CompletionParser | None
    """None for plain completions, whose text is everything."""
    template_options: Mapping[str, Any] = field(default_factory=dict)
    has_logprobs: bool = False
    first_call_only: bool = False
    content: str = ""
    thinking: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    completion: Completion | None = None

    def feed(self, delta: Delta) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Returns what a delta adds: fields of the message, and log-probabilities of its tokens."""
        if delta.completion is not None:
            self.completion = delta.completion
        if self.parser is None:
            self.content += delta.text
            added: dict[str, Any] = {"content": delta.text} if delta.text else {}
        else:
            parts = self.parser.feed(delta.text) if delta.text else []
            if delta.completion is not None:
                parts = [*parts, *self.parser.finish()]
            added = self._add(parts)
        entries = self._logprobs_of(delta) if self.has_logprobs else []
        self.logprobs += entries
        return added, entries

    @property
    def is_finished(self) -> bool:
        """Whether the last delta has come."""
        return self.completion is not None

    @property
    def stop_reason(self) -> StopReason:
        """Why it ended, in our words."""
        assert self.completion is not None, "asked after the last delta"
        return self.completion.stop_reason

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended, in OpenAI's words."""
        if self.stop_reason in CUT_SHORT:
            return "length"
        return "tool_calls" if self.calls else "stop"

    @property
    def num_thinking(self) -> int:
        """Tokens of thinking."""
        if self.completion is None or self.parser is None:
            return 0
        return num_thinking_tokens(self.tokenizer, self.completion.token_ids.tolist(), options=self.template_options)

    def rollout(self) -> dict[str, Any]:
        """Returns what a trainer needs of the completion, as JSON."""
        completion = self.completion
        assert completion is not None, "asked after the last delta"
        return {
            "prompt_ids": completion.prompt_ids.tolist(),
            "token_ids": completion.token_ids.tolist(),
            "logprobs": _floats(completion.logprobs),
            "model_logprobs": None if completion.model_logprobs is None else _floats(completion.model_logprobs),
            "mask": [True] * len(completion.token_ids) if completion.mask is None else completion.mask.tolist(),
            "policy_version": completion.policy_version,
            "token_versions": None if completion.token_versions is None else completion.token_versions.tolist(),
            "stop_reason": completion.stop_reason,
        }

    def _add(self, parts: Sequence[Part]) -> dict[str, Any]:
        added: dict[str, Any] = {}
        for part in parts:
            if isinstance(part, ThinkingDelta):
                self.thinking += part.text
                added["reasoning_content"] = added.get("reasoning_content", "") + part.text
            elif isinstance(part, ContentDelta):
                self.content += part.text
                added["content"] = added.get("content", "") + part.text
            elif part.index == 0 or not self.first_call_only:
                added.setdefault("tool_calls", []).append(self._add_call(part))
        return added

    def _add_call(self, part: ToolCallDelta) -> dict[str, Any]:
        """The first news of a call has its id and name, all have arguments."""
        if part.index < len(self.calls):
            self.calls[part.index]["function"]["arguments"] += part.arguments
            return {"index": part.index, "function": {"arguments": part.arguments}}
        call = {"id": part.call_id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        self.calls.append(call)
        return {"index": part.index, **call, "function": {"name": part.name, "arguments": part.arguments}}

    def _logprobs_of(self, delta: Delta) -> list[dict[str, Any]]:
        """One entry per token; the end token is none of the text's."""
        tokens = delta.token_ids
        if delta.completion is not None and delta.completion.stop_reason == "stop":
            tokens = tokens[:-1]
        entries = []
        for place, token_id in enumerate(tokens):
            top = delta.top_logprobs[place] if place < len(delta.top_logprobs) else ()
            entry = self._token(token_id, delta.logprobs[place])
            entries.append({**entry, "top_logprobs": self._top(top)})
        return entries

    def _top(self, top: Sequence[TopLogprob]) -> list[dict[str, Any]]:
        return [self._token(candidate.token_id, candidate.logprob) for candidate in top]

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        data = token_bytes(self.tokenizer, token_id)
        return {"token": data.decode("utf-8", "replace"), "logprob": finite(logprob), "bytes": list(data)}


def finite(logprob: float) -> float:
    """Returns a log-probability that JSON can hold; impossible tokens have OpenAI's -9999."""
    return logprob if logprob > -9999.0 else -9999.0


def _floats(values: np.ndarray) -> list[float]:
    return [finite(value) for value in values.tolist()]
