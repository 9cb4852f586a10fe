"""A `Generate` over HTTP: any server that speaks OpenAI's chat completions, ours or another's.

For evaluation and calibration: completions carry text, not tokens, so nothing can be trained on them.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fulmen.errors import ConfigError, RunError
from fulmen.types import Completion, Message, Request, StopReason, ToolCall

STOP_REASONS: dict[str, StopReason] = {"stop": "stop", "length": "length", "tool_calls": "stop"}


@dataclass(frozen=True, kw_only=True)
class RemoteGenerate:
    """Completions by a model behind an OpenAI-compatible endpoint."""

    base_url: str
    """Up to and including `/v1`."""
    model: str
    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; servers that want none ignore it."""
    num_parallel: int = 16
    """Requests in flight."""
    timeout_s: float = 3600.0
    """Of one completion."""
    retries: int = 4
    """Times that a request is sent again after a refused connection, a 429 or a 5xx."""
    backoff_s: float = 1.0
    """Seconds before the first of these; doubled for each further one."""

    def __post_init__(self) -> None:
        """Checks the settings."""
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url: {self.base_url!r}; allowed: http://... or https://..., up to /v1")
        if not self.model:
            raise ConfigError("model: empty; allowed: a name the server knows (GET /v1/models lists them)")
        if self.num_parallel < 1 or self.retries < 0:
            raise ConfigError(f"num_parallel={self.num_parallel}, retries={self.retries}; allowed: 1, 0 or more")

    def __call__(
        self, requests: Sequence[Request], *, on_finish: Callable[[int], None] | None = None
    ) -> list[Completion]:
        """Returns one completion per request, in order.

        Raises: RunError when the server refuses a request, or keeps failing.
        """
        completions = []
        with ThreadPoolExecutor(self.num_parallel) as pool:
            for completion, num_tokens in pool.map(self._complete, requests):
                completions.append(completion)
                if on_finish is not None:
                    on_finish(num_tokens)
        return completions

    def _complete(self, request: Request) -> tuple[Completion, int]:
        answer = self._post("/chat/completions", to_body(request, self.model))
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            calls = tuple(
                ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"], call_id=call["id"])
                for call in message.get("tool_calls") or ()
            )
            said = Message(
                role="assistant", content=message.get("content") or "",
                thinking=message.get("reasoning_content") or "", tool_calls=calls,
            )  # fmt: skip
            reason = STOP_REASONS.get(choice["finish_reason"], "stop")
        except (KeyError, IndexError, TypeError) as error:
            raise RunError(f"{self.base_url}: no chat completion in the answer ({error!r})") from None
        nothing = np.zeros(0, np.int64)
        completion = Completion(
            prompt_ids=nothing, token_ids=nothing, logprobs=np.zeros(0, np.float32), stop_reason=reason, message=said
        )
        return completion, int((answer.get("usage") or {}).get("completion_tokens") or 0)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key = os.environ.get(self.api_key_variable, "none")
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        data = json.dumps(body).encode()
        problem = ""
        for trial in range(self.retries + 1):
            if trial:
                time.sleep(self.backoff_s * 2 ** (trial - 1))
            try:
                call = urllib.request.Request(self.base_url.rstrip("/") + path, data=data, headers=headers)
                with urllib.request.urlopen(call, timeout=self.timeout_s) as response:
                    found: dict[str, Any] = json.load(response)
                    return found
            except urllib.error.HTTPError as error:
                problem = f"{error.code}: {error.read(300).decode(errors='replace')}"
                if error.code != 429 and error.code < 500:
                    break
            except (OSError, ValueError) as error:
                problem = str(error)
        raise RunError(f"{self.base_url}{path}: {problem}")


def to_body(request: Request, model: str) -> dict[str, Any]:
    """Returns a request as JSON of chat completions. Raises: ConfigError for a prompt of tokens."""
    if request.prompt_ids is not None:
        raise ConfigError("prompt_ids: set; allowed over HTTP: messages")
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model, "messages": [_to_json(message) for message in request.messages],
        "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens,
        "seed": request.seed % (1 << 31),
    }  # fmt: skip
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    return body


def _to_json(message: Message) -> dict[str, Any]:
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        record["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return record | ({"tool_call_id": message.call_id} if message.role == "tool" else {})
