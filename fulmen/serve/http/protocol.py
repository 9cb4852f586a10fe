"""Bodies of the requests, after OpenAI's API, and what of it is refused.

A field that we do not know, or know and do not support, is refused with 400 and its name, never ignored.
Fields of ours: `top_k`, `min_p`, `repetition_penalty`, `repetition_window`, `min_tokens`, `thinking_budget`,
`deadline_s`, `chat_template_kwargs`, `return_token_ids`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

MAX_CHOICES = 128
"""Completions of one request: prompts times `n`."""
MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
MAX_DEPTH = 64
"""Levels of a JSON schema."""
MAX_COUNT = 2**31 - 1
"""Of anything in tokens. The engine counts in int64; beyond it one request would end the engine's thread."""
MAX_MESSAGES = 10_000
MAX_FIELDS = 256
"""Fields of an object with known names. Each unknown one would be an error of its own."""
MAX_METADATA = 16
MAX_BIASES = 1024

Finite = Annotated[float, Field(allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]
TokenId = Count
JsonObject = dict[str, Any]


class _Body(BaseModel):
    """A JSON object: no unknown fields, no conversions, `null` where a field may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    unsupported: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Fields of OpenAI's that we refuse, and the values that ask for nothing."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if len(data) > MAX_FIELDS:
            raise ValueError(f"an object of {len(data)} fields; allowed: at most {MAX_FIELDS}")
        for name in cls.unsupported.keys() & data.keys():
            if data[name] is not None and not any(data[name] == value for value in cls.unsupported[name]):
                raise PydanticCustomError("unsupported", "{param} is not supported", {"param": name})
        return {name: value for name, value in data.items() if name not in cls.unsupported}


class TextPart(_Body):
    """A part of a message's content; others than text are refused."""

    type: Literal["text"]
    text: str


class CalledFunction(_Body):
    """What the assistant called."""

    name: str = Field(min_length=1)
    arguments: str
    """A JSON object, as text."""


class CalledTool(_Body):
    """A call in an assistant's message."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None
    """Clients that add up streamed chunks leave it in."""


class ChatMessage(_Body):
    """One turn of the conversation."""

    unsupported = {"audio": (), "refusal": (), "function_call": (), "annotations": ([],)}

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)] | None = None
    reasoning_content: str | None = None
    tool_calls: Annotated[list[CalledTool], Field(fail_fast=True)] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    """Of the tool that answers; refused in other turns."""

    @field_validator("content", mode="before")
    @classmethod
    def _text_only(cls, value: Any) -> Any:
        for part in value if isinstance(value, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind != "text":
                raise ValueError(f"parts of type {kind!r} are not supported; allowed: text")
        return value

    @model_validator(mode="after")
    def _fits_role(self) -> "ChatMessage":
        is_assistant, is_tool = self.role == "assistant", self.role == "tool"
        for name, value, is_right in (
            ("tool_calls", self.tool_calls, is_assistant),
            ("reasoning_content", self.reasoning_content, is_assistant),
            ("tool_call_id", self.tool_call_id, is_tool),
            ("name", self.name, is_tool),
        ):
            if value is not None and not is_right:
                raise ValueError(f"{name} does not go with the role {self.role}")
        if is_tool and not self.tool_call_id:
            raise ValueError("a message of the role tool needs tool_call_id")
        if self.content is None and not (is_assistant and self.tool_calls):
            raise ValueError("content is missing")
        return self

    @property
    def text(self) -> str:
        """The content, parts joined."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class FunctionSpec(_Body):
    """A function the assistant may call."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _shallow(cls, value: JsonObject | None) -> JsonObject | None:
        return _check_depth(value)


class Tool(_Body):
    """A tool the assistant may call."""

    type: Literal["function"]
    function: FunctionSpec


class FunctionName(_Body):
    """Which function."""

    name: str


class NamedTool(_Body):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionName


class JsonSchema(_Body):
    """What the answer must look like."""

    name: str = Field(min_length=1, max_length=64)
    description: str | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None

    @field_validator("schema_")
    @classmethod
    def _shallow(cls, value: JsonObject) -> JsonObject | None:
        return _check_depth(value)


class ResponseFormat(_Body):
    """Form of the answer after the thinking."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _complete(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with the type json_schema, and only with it")
        return self


class StreamOptions(_Body):
    """Of a streamed answer."""

    unsupported = {"include_obfuscation": (False,)}

    include_usage: bool | None = None


class TemplateOptions(_Body):
    """What may be told to the chat template."""

    enable_thinking: bool | None = None


class Generation(_Body):
    """What chat and plain completions share."""

    model: str = Field(max_length=1000)
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Count | None = None
    min_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = None
    logit_bias: Annotated[dict[str, Finite], Field(max_length=MAX_BIASES)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=MAX_STOPS, fail_fast=True)] | None = None
    max_tokens: Positive | None = None
    min_tokens: Count | None = None
    thinking_budget: Count | None = None
    repetition_window: Positive | None = None
    deadline_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: Annotated[dict[str, str], Field(max_length=MAX_METADATA)] | None = None
    return_token_ids: bool | None = None
    """Adds `rollout` to every choice: token ids, log-probabilities and what else a trainer needs."""

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _few_biases(cls, value: Any) -> Any:
        return _check_count(value, MAX_BIASES)

    @field_validator("metadata", mode="before")
    @classmethod
    def _few_metadata(cls, value: Any) -> Any:
        return _check_count(value, MAX_METADATA)

    @field_validator("logit_bias")
    @classmethod
    def _token_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for token, bias in (value or {}).items():
            if not (token.isascii() and token.isdigit() and len(token) < 10):
                raise ValueError(f"{token[:40]!r} is no token id; allowed: decimal numbers")
            if not -100 <= bias <= 100:
                raise ValueError(f"{bias} for token {token}; allowed: from -100 to 100")
        return value

    @model_validator(mode="after")
    def _stream_options_fit(self) -> "Generation":
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("invalid", "allowed only when stream is true", {"param": "stream_options"})
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the completion."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def includes_usage(self) -> bool:
        """Whether a streamed answer ends with a chunk of usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ChatRequest(Generation):
    """Body of `POST /v1/chat/completions`."""

    unsupported = {
        "audio": (), "modalities": (["text"],), "functions": (), "function_call": (), "store": (False,),
        "prediction": (), "web_search_options": (), "reasoning_effort": (), "verbosity": (),
        "service_tier": ("auto", "default"), "prompt_cache_key": (), "prompt_cache_retention": (),
        "safety_identifier": (), "best_of": (1,), "suffix": (), "echo": (False,), "prompt": (),
    }  # fmt: skip

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    max_completion_tokens: Positive | None = None
    tools: Annotated[list[Tool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    """False returns the first call only."""
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    chat_template_kwargs: TemplateOptions | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ChatRequest":
        names = [tool.function.name for tool in self.tools or ()]
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            _refuse("max_tokens", "allowed: max_tokens or max_completion_tokens, not both")
        if self.top_logprobs and not self.logprobs:
            _refuse("top_logprobs", "allowed only when logprobs is true")
        if len(set(names)) < len(names):
            _refuse("tools", "two tools have the same name")
        if not names and self.tool_choice not in (None, "none", "auto"):
            _refuse("tool_choice", "allowed only when tools are given")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            _refuse("tool_choice", "allowed: a function among tools")
        if names and self.tool_choice != "none" and self.response_format not in (None, ResponseFormat(type="text")):
            _refuse("response_format", "does not go with tools; allowed: text, or tool_choice none")
        return self

    @property
    def limit(self) -> int | None:
        """Most tokens of a completion; None is what the model's length leaves."""
        return self.max_completion_tokens if self.max_tokens is None else self.max_tokens

    @property
    def template_options(self) -> dict[str, Any]:
        """Variables for the chat template."""
        return {} if self.chat_template_kwargs is None else self.chat_template_kwargs.model_dump(exclude_none=True)

    @property
    def active_tools(self) -> list[Tool]:
        """The tools that the model is shown."""
        return [] if self.tool_choice == "none" else (self.tools or [])


class CompletionRequest(Generation):
    """Body of `POST /v1/completions`."""

    unsupported = {
        "suffix": (), "best_of": (1,), "messages": (), "tools": (), "store": (False,), "functions": (),
    }  # fmt: skip

    prompt: (
        str
        | Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
        | Annotated[list[str], Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True)]
        | Annotated[
            list[Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]],
            Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True),
        ]
    )
    """Text, texts, the tokens of one prompt, or of several."""
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    echo: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "CompletionRequest":
        if len(self.prompts) * (self.n or 1) > MAX_CHOICES:
            _refuse("n", f"{len(self.prompts)} prompts times n={self.n or 1}; allowed: at most {MAX_CHOICES}")
        if self.echo and self.logprobs is not None:
            _refuse("echo", "log-probabilities of a prompt are not supported; allowed: echo or logprobs")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """One text or list of tokens per prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        parts: list[Any] = list(self.prompt)
        return [parts] if isinstance(parts[0], int) else parts


def _refuse(param: str, message: str) -> None:
    raise PydanticCustomError("invalid", "{message}", {"param": param, "message": message})


def _check_count(value: Any, most: int) -> Any:
    """Returns an object unchanged unless it has too many entries, each of which could be an error of its own."""
    if isinstance(value, dict) and len(value) > most:
        raise ValueError(f"{len(value)} entries; allowed: at most {most}")
    return value


def _check_depth(value: JsonObject | None) -> JsonObject | None:
    """Returns a schema unchanged unless it is nested so deeply that walking it would fail."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child for node in level if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]  # fmt: skip
        if not level:
            return value
    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
