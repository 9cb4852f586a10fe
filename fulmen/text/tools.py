"""Tools a model may call, as OpenAI's clients describe them, and the grammar of an answer that must call one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fulmen.errors import ConfigError
from fulmen.text.parse import MINIMAX_STYLE, ParserStyle
from fulmen.types import Grammar

_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How arguments are written: as `json.dumps` does, on one line."""


def bare_function(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the function of a tool object, `{"type": "function", "function": {...}}` or the function itself.

    Raises: ConfigError for anything else, or a function without a name.
    """
    function = tool.get("function", tool) if tool.get("type", "function") == "function" else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        raise ConfigError(f"tools: {dict(tool)!r}; allowed: functions with a name")
    return function


def tool_grammar(
    tools: Sequence[Mapping[str, Any]],
    *,
    name: str | None = None,
    style: ParserStyle = MINIMAX_STYLE,
    is_single: bool = False,
) -> Grammar:
    """Returns the grammar of an answer made of calls of the tools (of the one called `name`), and nothing else.

    Names come before arguments, arguments follow the function's JSON schema, each call is one line:

        <tool_calls>
        {"name": "add", "arguments": {"a": 2, "b": 2}}
        </tool_calls>

    `is_single`: exactly one call, instead of at least one.
    Raises: ConfigError without a tool to call, or for parameters that are no JSON schema of an object.
    """
    functions = [bare_function(tool) for tool in tools]
    names = [function["name"] for function in functions]
    if name is not None:
        functions = [function for function in functions if function["name"] == name]
    if not functions:
        raise ConfigError(f"tool_choice={name!r}; allowed: one of {names}" if names else "tools=[]; allowed: some")
    opening, closing = _literal(style.calls_open + "\n"), _literal("\n" + style.calls_close)
    more = "" if is_single else f' ({closing} "\\n" {opening} call)*' if style.is_one_call else ' ("\\n" call)*'
    rules = [
        f"start: {opening} call{more} {closing}",
        "call: " + " | ".join(f"call_{index}" for index in range(len(functions))),
    ]
    for index, function in enumerate(functions):
        head = '{"name": ' + json.dumps(function["name"], ensure_ascii=False) + ', "arguments": '
        schema = json.dumps(_arguments_schema(function))
        rules += [f'call_{index}: {_literal(head)} arguments_{index} "}}"', f"arguments_{index}: %json {schema}"]
    return Grammar(kind="lark", source="\n".join(rules) + "\n")


def _literal(text: str) -> str:
    """Returns text as a string of Lark; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def _arguments_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {"properties": {}, "additionalProperties": False}
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise ConfigError(f"tools: parameters of {function['name']!r} are {schema!r}; allowed: a schema of an object")
    return {"x-guidance": _ONE_LINE, "type": "object", **schema}
