"""Episodes of several turns in which the policy calls tools, which are Python functions of the environment.

A subclass of `ToolEnv` is one file: `task`, `tools`, and `grade`. Tools of one episode share its state, a dict of JSON
values that begins as `task.meta["state"]`; the grader reads what became of it, as the tau benchmarks do.
Wrong arguments, unknown tools and errors of the kind `ToolError` are answered with text, and the policy goes on; any
other exception of a tool is a failure of the environment. Left out: tools that outlive an episode, and parallel turns.
"""

import abc
import copy
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args, get_origin

from fulmen.envs.base import stream
from fulmen.errors import ConfigError, FulmenError
from fulmen.types import Attempt, Complete, Episode, Message, Score, Split, Task, ToolCall

State = dict[str, Any]
JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


class ToolError(FulmenError):
    """What a tool says of a call it refuses; the policy reads it."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function the policy may call: of the state, then of named JSON arguments; returns JSON or text."""

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """The function's."""
        return self.function.__name__

    def describe(self) -> dict[str, Any]:
        """Returns the tool as OpenAI's clients write it; the text is the docstring's first line.

        Raises: ConfigError for a parameter without a type that JSON has.
        """
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        schema = {"type": "object", "properties": {p.name: {"type": _json_type(self.name, p)} for p in parameters}}
        required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
        doc = (inspect.getdoc(self.function) or "").split("\n")[0]
        function = {"name": self.name, "description": doc, "parameters": {**schema, "required": required}}
        return {"type": "function", "function": function}

    def call(self, state: State, arguments: str) -> str:
        """Returns what the function answers, as text.

        Raises: ToolError for arguments that are not what it takes.
        """
        schema = self.describe()["function"]["parameters"]
        try:
            values = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise ToolError(f"arguments of {self.name}: not JSON; allowed: an object") from None
        if not isinstance(values, dict):
            raise ToolError(f"arguments of {self.name}: {type(values).__name__}; allowed: an object")
        known = schema["properties"]
        for name, value in values.items():
            if name not in known:
                raise ToolError(f"{self.name}: no argument {name!r}; allowed: {', '.join(known) or 'none'}")
            if not _is_of(value, known[name]["type"]):
                raise ToolError(f"{self.name}.{name}: {json.dumps(value)[:60]}; allowed: {known[name]['type']}")
        if missing := [name for name in schema["required"] if name not in values]:
            raise ToolError(f"{self.name}: {missing[0]!r} is missing; allowed: all of {', '.join(schema['required'])}")
        result = self.function(state, **values)
        return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class ToolEnv(abc.ABC):
    """An environment whose policy acts through tools until it answers without calling one."""

    name: str
    """What `Task.env` says."""
    max_turns: int = 8
    """Replies of the policy per episode; the last one cannot be answered by tools any more."""
    max_result_chars: int = 4000
    """Longest answer of a tool; the rest is cut off, and says so."""

    tools: ClassVar[tuple[Tool, ...]]

    def __post_init__(self) -> None:
        """Checks the settings; subclasses call it before they check their own."""
        for field_name in ("max_turns", "max_result_chars"):
            if getattr(self, field_name) < 1:
                raise ConfigError(f"{field_name}: {getattr(self, field_name)}; allowed: 1 or more")

    @abc.abstractmethod
    def task(self, split: Split, *, seed: int, index: int) -> Task:
        """Returns the task at a place of the stream; `meta["state"]` is the state at the beginning."""

    @abc.abstractmethod
    def grade(self, task: Task, state: State, reply: Message) -> Score:
        """Returns the score of an episode from the state it ended in and the last reply."""

    def tasks(self, split: Split, *, seed: int, start: int = 0) -> Iterator[Task]:
        """Yields the stream of tasks from a place on, without end."""
        return stream(self, split, seed=seed, start=start)

    async def rollout(self, task: Task, complete: Complete, attempt: Attempt) -> Episode:
        """Returns an attempt: the policy's replies, and the tools' answers between them."""
        state: State = copy.deepcopy(dict(task.meta.get("state", {})))
        messages = list(task.prompt)
        tools = [tool.describe() for tool in self.tools]
        completions = []
        for turn in range(self.max_turns):
            completion = await complete(attempt.request(task, messages, turn=turn, tools=tools))
            completions.append(completion)
            messages.append(completion.message)
            if not completion.message.tool_calls or completion.stop_reason != "stop":
                break
            messages += [self._answer(call, state) for call in completion.message.tool_calls]
        return Episode(completions=tuple(completions), messages=tuple(messages), state=state)

    async def score(self, task: Task, episode: Episode) -> Score:
        """Returns the grade, or 0 for an episode that never came to an answer."""
        stop_reason = episode.completions[-1].stop_reason
        if stop_reason == "length":
            return Score(value=0.0, status="truncated", info=f"turn {len(episode.completions)} was cut off")
        if stop_reason == "repetition":
            return Score(value=0.0, status="repetition", info=f"turn {len(episode.completions)} repeated itself")
        if episode.reply.tool_calls:
            return Score(value=0.0, status="policy_error", info=f"no answer within {self.max_turns} turns")
        return self.grade(task, dict(episode.state), episode.reply)

    def _answer(self, call: ToolCall, state: State) -> Message:
        by_name: Mapping[str, Tool] = {tool.name: tool for tool in self.tools}
        try:
            if call.name not in by_name:
                raise ToolError(f"no tool {call.name!r}; allowed: {', '.join(by_name)}")
            text = by_name[call.name].call(state, call.arguments)
        except ToolError as error:
            text = f"error: {error}"
        if len(text) > self.max_result_chars:
            text = f"{text[: self.max_result_chars]}... ({len(text)} characters in all)"
        return Message(role="tool", content=text, name=call.name, call_id=call.call_id)


def _json_type(tool: str, parameter: inspect.Parameter) -> str:
    annotation = get_origin(parameter.annotation) or parameter.annotation
    options = [option for option in get_args(parameter.annotation) if option is not type(None)]
    if annotation not in JSON_TYPES and len(options) == 1:
        annotation = get_origin(options[0]) or options[0]
    if annotation not in JSON_TYPES:
        allowed = ", ".join(kind.__name__ for kind in JSON_TYPES)
        raise ConfigError(f"{tool}.{parameter.name}: type {parameter.annotation!r}; allowed: {allowed}")
    return JSON_TYPES[annotation]


def _is_of(value: object, json_type: str) -> bool:
    if isinstance(value, bool):
        return json_type == "boolean"
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
    }  # fmt: skip
    return isinstance(value, kinds[json_type])
