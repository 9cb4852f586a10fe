"""Tools in MiniMax-M1's dialect: how they are announced, called and answered.

    <beginning_of_sentence>system tool_setting=tools
    You are provided with these tools:
    <tools>
    {"name": "add", "parameters": {"type": "object"}}
    </tools>

    If you need to call tools, ...
    <beginning_of_sentence>tool name=tools
    tool name: add
    tool result: 4

Source: the chat template released with MiniMax-M1, whose call instructions have lost their quotes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fulmen.errors import DataError
from fulmen.text.parse import MINIMAX_STYLE
from fulmen.text.tools import bare_function
from fulmen.types import Message, ToolCall

TOOLS_HEADER = "system tool_setting=tools\n"
RESULTS_HEADER = "tool name=tools\n"
TOOLS_BEGIN = "You are provided with these tools:\n<tools>\n"
TOOLS_END = (
    "</tools>\n\nIf you need to call tools, please respond with <tool_calls></tool_calls> XML tags, and provide "
    "tool-name and json-object of arguments, following the format below:\n<tool_calls>\n"
    '{"name": <tool-name-1>, "arguments": <args-json-object-1>}\n...\n</tool_calls>'
)
RESULT_NAME, RESULT_TEXT, RESULT_END = "tool name: ", "\ntool result: ", "\n\n"


def wrap_functions(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns tools as OpenAI and transformers write them. Raises: ConfigError for a tool without a name."""
    return [{"type": "function", "function": bare_function(tool)} for tool in tools]


def announce_tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """Returns what a conversation says of its tools: one JSON object a line.

    Raises: ConfigError for a tool without a name.
    """
    lines = "".join(json.dumps(bare_function(tool), ensure_ascii=False) + "\n" for tool in tools)
    return TOOLS_BEGIN + lines + TOOLS_END


def write_calls(calls: Sequence[ToolCall]) -> str:
    """Returns calls as the assistant writes them; their arguments are JSON already."""
    lines = (
        f'{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {call.arguments or "{}"}}}\n'
        for call in calls
    )
    return f"{MINIMAX_STYLE.calls_open}\n{''.join(lines)}{MINIMAX_STYLE.calls_close}"


def write_result(name: str, content: str) -> str:
    """Returns what a tool answered."""
    return f"{RESULT_NAME}{name}{RESULT_TEXT}{content}{RESULT_END}"


def result_names(messages: Sequence[Message]) -> list[str]:
    """Returns the tool that each message of a tool comes from: its name, or that of the call it answers; else "".

    Raises: DataError for an answer of a tool that nothing names.
    """
    called: dict[str, str] = {}
    names: list[str] = []
    for index, message in enumerate(messages):
        called |= {call.call_id: call.name for call in message.tool_calls if call.call_id}
        name = message.name or called.get(message.call_id, "")
        if message.role == "tool" and not name:
            raise DataError(
                f"message {index}: name={message.name!r}, call_id={message.call_id!r}; "
                "allowed: a tool's name, or the id of an earlier call"
            )
        names.append(name if message.role == "tool" else "")
    return names
