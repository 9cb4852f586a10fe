"""Chat templates of other people's checkpoints: Jinja, rendered in a sandbox, turned into tokens safely.

Text of a message or tool never becomes a structural token: before rendering, structural tokens written out in it are
replaced by marks, and come back as ordinary text once the rendered string has been cut at the template's own.
Left out: content parts, templates chosen by name.
"""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import tokenizers
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fulmen.errors import CheckpointError, DataError

CONFIG_FILE = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
MARK_OPEN, MARK_CLOSE = "\U000f0000", "\U000f0001"
"""Around the id of a structural token that a message wrote out; private-use characters."""
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A template and the tokens it may name. Source of the protocol: transformers' `apply_chat_template`."""

    source: str
    """Jinja."""
    tokens: Mapping[str, str]
    """`eos_token`, which ends a turn, and those of `bos_token`, `unk_token`, `pad_token` that exist."""

    @classmethod
    def load(cls, folder: Path) -> "ChatTemplate | None":
        """Returns the template in a checkpoint's folder, or None when there is none.

        Raises: CheckpointError for files that cannot be read, or a template without an `eos_token`.
        """
        path = folder / CONFIG_FILE
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            file = folder / TEMPLATE_FILE
            source = file.read_text(encoding="utf-8") if file.is_file() else record.get("chat_template")
        except (OSError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: unreadable ({error}); allowed: JSON") from error
        if source is None:
            return None
        if isinstance(source, list):
            source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
        tokens = {name: _token_text(record[name]) for name in NAMED_TOKENS if record.get(name) is not None}
        if "eos_token" not in tokens or not isinstance(source, str):
            raise CheckpointError(f"{path}: eos_token={tokens.get('eos_token')}; allowed: the token that ends a turn")
        return cls(source=source, tokens=tokens)

    def save(self, folder: Path) -> None:
        """Writes `tokenizer_config.json` and `chat_template.jinja`, as transformers reads them."""
        record = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **self.tokens}
        (folder / CONFIG_FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / TEMPLATE_FILE).write_text(self.source, encoding="utf-8")

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Returns the conversation as the template writes it; `options` are further variables of the template.

        Raises: DataError when the template refuses the messages.
        """
        variables = dict(options or {}) | dict(self.tokens)
        try:
            return _compile(self.source).render(
                variables, messages=messages, add_generation_prompt=add_generation_prompt, tools=tools, documents=None
            )
        except (jinja2.TemplateError, TypeError) as error:
            raise DataError(f"the chat template refuses these messages ({error})") from error


def encode_rendered(
    backend: tokenizers.Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    tools: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> list[int]:
    """Returns the tokens of a conversation: those of transformers, except that messages hold no structural tokens.

    Raises: DataError for private-use characters that the encoding needs itself.
    """
    special = special_tokens(backend)
    texts = sorted(special, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, texts))) if texts else None

    def mark(value: Any) -> Any:
        return _mark(value, pattern, special)

    rendered = template.render(
        [{key: value if key == "role" else mark(value) for key, value in message.items()} for message in messages],
        add_generation_prompt=add_generation_prompt, tools=mark(tools) or None, options=mark(options or {}),
    )  # fmt: skip
    token_ids: list[int] = []
    start = 0
    for match in pattern.finditer(rendered) if pattern else ():
        token_ids += [*_encode_plain(backend, rendered[start : match.start()], special), special[match.group()]]
        start = match.end()
    return token_ids + _encode_plain(backend, rendered[start:], special)


def special_tokens(backend: tokenizers.Tokenizer) -> dict[str, int]:
    """Returns the structural tokens of a tokenizer and their ids."""
    return {token.content: index for index, token in backend.get_added_tokens_decoder().items() if token.special}


def _mark(value: Any, pattern: re.Pattern[str] | None, special: Mapping[str, int]) -> Any:
    """Returns a JSON value with the structural tokens in all of its text marked."""
    if isinstance(value, Mapping):
        return {_mark(key, pattern, special): _mark(item, pattern, special) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mark(item, pattern, special) for item in value]
    if not isinstance(value, str):
        return value
    if MARK_OPEN in value or MARK_CLOSE in value:
        raise DataError("a message holds U+F0000 or U+F0001; allowed: text without these two characters")
    if pattern is None:
        return value
    return pattern.sub(lambda match: f"{MARK_OPEN}{special[match.group()]}{MARK_CLOSE}", value)


def _encode_plain(backend: tokenizers.Tokenizer, text: str, special: Mapping[str, int]) -> list[int]:
    if MARK_OPEN in text:
        by_id = {str(index): name for name, index in special.items()}
        text = re.sub(f"{MARK_OPEN}(\\d+){MARK_CLOSE}", lambda match: by_id[match.group(1)], text)
    ids: list[int] = backend.encode(text, add_special_tokens=False).ids
    return ids


@functools.lru_cache(maxsize=16)
def _compile(source: str) -> jinja2.Template:
    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        # The order of the arguments is transformers'.
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = to_json
    return environment.from_string(source)


def _token_text(value: Any) -> str:
    return str(value["content"]) if isinstance(value, dict) else str(value)
