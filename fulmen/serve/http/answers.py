"""Bodies of the answers, after OpenAI's API, whole and in chunks.

Fields of ours: `reasoning_content` of a message, `stop_reason` and `rollout` of a choice.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fulmen.serve.http.choices import Choice
from fulmen.types import Delta

Kind = Literal["chat", "text"]
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
DONE = b"data: [DONE]\n\n"


@dataclass(kw_only=True)
class Answer:
    """All choices of one request."""

    kind: Kind
    model: str
    choices: list[Choice]
    num_per_prompt: int
    """Choices of the first prompt come first, then those of the next."""
    includes_usage: bool = False
    includes_rollout: bool = False
    echoes: Sequence[str] = ()
    """Plain completions: text to put before each choice's."""
    answer_id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.answer_id = f"{'chatcmpl' if self.kind == 'chat' else 'cmpl'}-{self.answer_id}"
        self._offsets = [0] * len(self.choices)

    def opening(self) -> list[bytes]:
        """Returns the events before any delta: the role of each choice, or the prompt to be echoed."""
        if self.kind == "chat":
            return [self._event(i, delta={"role": "assistant", "content": ""}) for i in range(len(self.choices))]
        return [self._event(i, text=echo) for i, echo in enumerate(self.echoes)]

    def feed(self, index: int, delta: Delta) -> list[bytes]:
        """Returns the events that a delta of one choice makes."""
        choice = self.choices[index]
        added, entries = choice.feed(delta)
        events: list[bytes] = []
        if added or entries:
            logprobs = self._logprobs(index, entries) if entries else None
            if self.kind == "chat":
                events.append(self._event(index, delta=added, logprobs=logprobs))
            else:
                events.append(self._event(index, text=added.get("content", ""), logprobs=logprobs))
        if choice.is_finished:
            last: dict[str, Any] = {"delta": {}} if self.kind == "chat" else {"text": ""}
            events.append(self._event(index, **last, **self._ending(choice)))
        return events

    def closing(self) -> list[bytes]:
        """Returns the events after the last delta."""
        usage = [_sse(self._head(chunk=True) | {"choices": [], "usage": self.usage()})] if self.includes_usage else []
        return [*usage, DONE]

    def body(self) -> dict[str, Any]:
        """Returns the whole answer, for a client that does not stream."""
        choices = [self._chat_choice(c) if self.kind == "chat" else self._text_choice(c) for c in self.choices]
        return self._head(chunk=False) | {"choices": choices, "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """Returns the counts of tokens; the prompt of several choices counts once."""
        done = [choice.completion for choice in self.choices if choice.completion is not None]
        prompts: dict[int, tuple[int, int]] = {}
        for choice in self.choices:
            completion, key = choice.completion, choice.index // self.num_per_prompt
            if completion is None:
                continue
            _, cached = prompts.get(key, (0, len(completion.prompt_ids)))
            prompts[key] = (len(completion.prompt_ids), min(cached, completion.num_cached))
        prompt_tokens = sum(length for length, _ in prompts.values())
        completion_tokens = sum(len(completion.token_ids) for completion in done)
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": sum(cached for _, cached in prompts.values())},
            "completion_tokens_details": {"reasoning_tokens": sum(choice.num_thinking for choice in self.choices)},
        }

    def _head(self, *, chunk: bool) -> dict[str, Any]:
        kind = "text_completion" if self.kind == "text" else f"chat.completion{'.chunk' if chunk else ''}"
        return {"id": self.answer_id, "object": kind, "created": self.created, "model": self.model}

    def _event(self, index: int, **fields: Any) -> bytes:
        choice = {"index": index, "logprobs": None, "finish_reason": None, **fields}
        # The usage chunk comes last; clients that asked for it look for the field in all of them.
        usage = {"usage": None} if self.includes_usage else {}
        return _sse(self._head(chunk=True) | {"choices": [choice]} | usage)

    def _ending(self, choice: Choice) -> dict[str, Any]:
        ending: dict[str, Any] = {"finish_reason": choice.finish_reason, "stop_reason": choice.stop_reason}
        return ending | ({"rollout": choice.rollout()} if self.includes_rollout else {})

    def _chat_choice(self, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.content, "refusal": None}
        if choice.thinking:
            message["reasoning_content"] = choice.thinking
        if choice.calls:
            message["tool_calls"] = choice.calls
            message["content"] = choice.content or None
        logprobs = {"content": choice.logprobs, "refusal": None} if choice.has_logprobs else None
        return {"index": choice.index, "message": message, "logprobs": logprobs, **self._ending(choice)}

    def _text_choice(self, choice: Choice) -> dict[str, Any]:
        text = (self.echoes[choice.index] if self.echoes else "") + choice.content
        logprobs = self._logprobs(choice.index, choice.logprobs, start=0) if choice.has_logprobs else None
        return {"index": choice.index, "text": text, "logprobs": logprobs, **self._ending(choice)}

    def _logprobs(self, index: int, entries: list[dict[str, Any]], *, start: int | None = None) -> dict[str, Any]:
        """Log-probabilities in the form of the route; plain completions count the characters before each token."""
        if self.kind == "chat":
            return {"content": entries, "refusal": None}
        place = self._offsets[index] if start is None else start
        offsets = []
        for entry in entries:
            offsets.append(place)
            place += len(entry["token"])
        if start is None:
            self._offsets[index] = place
        return {
            "tokens": [entry["token"] for entry in entries],
            "token_logprobs": [entry["logprob"] for entry in entries],
            "top_logprobs": [{top["token"]: top["logprob"] for top in entry["top_logprobs"]} for entry in entries],
            "text_offset": offsets,
        }


def error_event(error: dict[str, Any]) -> bytes:
    """Returns the event that tells a client of an error after the answer has begun."""
    return _sse(error)


def _sse(record: dict[str, Any]) -> bytes:
    return b"data: " + _ENCODER.encode(record).encode() + b"\n\n"
