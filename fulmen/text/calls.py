"""Calls of tools between their tags: JSON objects `{"name": ..., "arguments": {...}}`, read as their text comes.

Any split gives the same calls, in time linear in the text. What is no call is kept for its reader.
"""

import json
import re
from typing import Any, NamedTuple, NoReturn

_OUTSIDE = re.compile(r'["{}<]')
_IN_STRING = re.compile(r'\\[^\n]|\\\Z|["\n]')
_SPACE = re.compile(r"[ \t\r\n]*")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class CallBlock:
    """Text between call tags, cut into JSON objects by its braces.

    A line break ends a string, which cannot hold one, and the broken object with it. Braces, commas and space after a
    call are dropped.
    """

    def __init__(self, *, opening: str, closing: str) -> None:
        self._closing = closing
        self._tags = (closing, opening)
        self._raw = [opening]
        """All text, until there is a call."""
        self._is_begun = False
        self._piece: list[str] = []
        """The object being read, or what stands between objects."""
        self._depth = 0
        self._in_string = False
        self._tail = ""
        self._found: list[tuple[str, str]] = []
        self._broken: list[str] = []
        self._follows_call = False
        self.num_calls = 0

    def feed(self, text: str) -> str | None:
        """Returns the text after the block once it has ended: by its tag, or since no object comes first."""
        text, self._tail = self._tail + text, ""
        if not self._is_begun:
            match = _SPACE.match(text)
            space = match.end() if match else 0
            self._raw.append(text[:space])
            text = text[space:]
            if not text:
                return None
            if text[0] != "{":
                return text
            self._is_begun = True
        end, is_closed = self._scan(text)
        if not self.num_calls:
            self._raw.append(text[:end])
        if is_closed:
            return text[end:]
        self._tail = text[end:]
        return None

    def finish(self) -> str:
        """Returns what was no call: the whole block if it has none, or else the broken objects."""
        if self._tail:
            self._raw.append(self._tail)
            if not any(tag.startswith(self._tail) for tag in self._tags):
                self._piece.append(self._tail)
        self._flush()
        return "".join(self._broken).strip("\n") if self.num_calls else "".join(self._raw)

    def take(self) -> list[tuple[str, str]]:
        """Returns names and arguments of the calls found since."""
        found, self._found = self._found, []
        return found

    def _scan(self, text: str) -> tuple[int, bool]:
        """Returns how far the text was read, and whether the end tag stands there; the rest may become a tag."""
        start = place = 0
        while match := (_IN_STRING if self._in_string else _OUTSIDE).search(text, place):
            at, place, found = match.start(), match.end(), match.group()
            if found == "\\" or (found == "<" and self._may_be_tag(text, at)):
                self._piece.append(text[start:at])
                return at, False
            if found == "<":
                tag = next((tag for tag in self._tags if text.startswith(tag, at)), "")
                if tag:
                    self._piece.append(text[start:at])
                    self._flush()
                    start = place = at + len(tag)
                if tag == self._closing:
                    return place, True
            elif found == '"':
                self._in_string = not self._in_string and self._depth > 0
            elif found == "\n" or (found == "}" and self._depth == 1):
                self._piece.append(text[start:place])
                self._flush()
                start = place
            elif found == "{":
                if not self._depth:
                    self._piece.append(text[start:at])
                    self._flush()
                    start = at
                self._depth += 1
            elif found == "}" and self._depth:
                self._depth -= 1
        self._piece.append(text[start:])
        return len(text), False

    def _may_be_tag(self, text: str, at: int) -> bool:
        """Whether the text ends within what may be a tag."""
        return any(len(text) - at < len(tag) and tag.startswith(text[at:]) for tag in self._tags)

    def _flush(self) -> None:
        piece = "".join(self._piece)
        self._piece, self._depth, self._in_string = [], 0, False
        call = _read_call(piece) if piece.startswith("{") else None
        if call is None and piece.startswith("{") and "\n" in piece.strip("\n"):
            for line in _LINE.findall(piece):
                self._keep(line, _read_call(line))
        else:
            self._keep(piece, call)

    def _keep(self, piece: str, call: tuple[str, str] | None) -> None:
        if call is not None:
            self._found.append(call)
            self.num_calls += 1
            self._follows_call = True
        elif not self._follows_call or piece.strip("}, \t\r\n"):
            self._broken.append(piece)
            self._follows_call = False


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=float)


class _Member(NamedTuple):
    """A value of a JSON object and its text."""

    value: Any
    text: str


def _read_call(text: str) -> tuple[str, str] | None:
    """Returns name and arguments, byte for byte, of a JSON object; None if it is no call.

    Arguments may be missing, or a string that holds the object. Surplus closing braces do not matter.
    """
    try:
        members, end = _read_members(text, _skip(text, 0))
        name = members["name"].value
        if not isinstance(name, str) or not name or text[end:].strip("} \t\r\n"):
            return None
        name.encode()
        arguments = members.get("arguments", _Member(value={}, text="{}"))
        if isinstance(arguments.value, str):
            written = arguments.value
            value, end = _DECODER.raw_decode(written, _skip(written, 0))
            arguments = _Member(value="" if written[end:].strip() else value, text=written)
        arguments.text.encode()
    except (ValueError, KeyError, IndexError, RecursionError):
        return None
    return (name, arguments.text) if isinstance(arguments.value, dict) else None


def _read_members(text: str, place: int) -> tuple[dict[str, _Member], int]:
    """Returns the members of the JSON object at `place`, and where it ends. Raises: ValueError, IndexError."""
    members: dict[str, _Member] = {}
    separator = "{"
    while text[place] == separator:
        place = _skip(text, place + 1)
        if separator == "{" and text[place] == "}":
            break
        key, place = _DECODER.raw_decode(text, place)
        place = _skip(text, place)
        if not isinstance(key, str) or text[place] != ":":
            raise ValueError("a member is a string, a colon and a value")
        start = _skip(text, place + 1)
        value, place = _DECODER.raw_decode(text, start)
        members[key] = _Member(value=value, text=text[start:place])
        place, separator = _skip(text, place), ","
    if text[place] != "}":
        raise ValueError("a comma or brace follows a member")
    return members, place + 1


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place
