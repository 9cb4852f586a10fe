"""Byte-level BPE through the `tokenizers` library, with the structural tokens of a chat dialect.

The dialect is MiniMax-M1's where the vocabulary has its tokens, and otherwise that of the checkpoint's chat template.
Digits and punctuation are tokens of their own, so that arithmetic and grids are seen character by character.
Structural tokens are never produced from ordinary text: a user who types `</think>` gets characters.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from fulmen.errors import CheckpointError, ConfigError, DataError
from fulmen.text.template import ChatTemplate, encode_rendered, special_tokens

BEGIN_DOCUMENT = "<begin_of_document>"
BEGIN_TURN = "<beginning_of_sentence>"
END_TURN = "<end_of_sentence>"
THINK = "<think>\n"
END_THINK = "\n</think>\n"
HEADERS = {
    "system": "system ai_setting=assistant\n",
    "user": "user name=user\n",
    "assistant": "ai name=assistant\n",
}
"""First line of a turn, by role. Source: the chat template released with MiniMax-M1."""
STRUCTURE = (BEGIN_DOCUMENT, BEGIN_TURN, END_TURN, THINK, END_THINK, *HEADERS.values(), "\n")

FILE_NAME = "tokenizer.json"
_RELEASED = (
    BEGIN_DOCUMENT,
    BEGIN_TURN,
    END_TURN,
    "system ai_setting=assistant",
    "ai name=assistant",
    "tool name=tools",
)
"""What the chat template released with MiniMax-M1 writes; other templates of that family have other names."""
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
BYTE_OF = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(0x100 + place): byte for place, byte in enumerate(sorted(set(range(256)) - set(_PRINTABLE)))
}
"""Which byte a character of a byte-level token stands for. Source: GPT-2's encoder."""


class Tokenizer:
    """A byte-level BPE and the ids of the structural tokens; `template` is None in MiniMax-M1's dialect."""

    def __init__(self, backend: tokenizers.Tokenizer, *, template: ChatTemplate | None = None) -> None:
        found = {text: backend.token_to_id(text) for text in STRUCTURE}
        self.ids = {text: token_id for text, token_id in found.items() if token_id is not None}
        self.template = None if len(self.ids) == len(STRUCTURE) else template
        if self.template is not None:
            self.ids = special_tokens(backend)
            if self.template.tokens["eos_token"] not in self.ids:
                raise DataError(f"tokenizer lacks the end token {self.template.tokens['eos_token']!r} of its template")
        elif len(self.ids) < len(STRUCTURE):
            raise DataError(
                f"tokenizer has no chat template, and lacks the structural tokens "
                f"{sorted(found.keys() - self.ids.keys())}"
            )
        self.structural = {token_id: text for text, token_id in self.ids.items()}
        """Text of the structural tokens, by id."""
        self.skipped = frozenset(special_tokens(backend).values()) - self.structural.keys()
        """Special tokens that are no structure of this dialect: `decode` leaves them out."""
        self._bytes: dict[int, bytes] = {}
        backend.encode_special_tokens = True
        self.backend = backend

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> "Tokenizer":
        """Returns a tokenizer learnt from `texts`.

        Raises: ConfigError when `vocab_size` cannot hold the 256 bytes and the structural tokens.
        """
        least = 256 + len(STRUCTURE)
        if vocab_size < least:
            raise ConfigError(f"vocab_size={vocab_size}; allowed: at least {least}")
        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.Punctuation("isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=list(STRUCTURE),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        return cls(backend)

    @classmethod
    def load(cls, folder: Path | str) -> "Tokenizer":
        """Returns the tokenizer saved in a checkpoint's folder.

        The template released with MiniMax-M1, which refuses content that is a string and drops calls, is replaced by
        ours of the same dialect.
        Raises: CheckpointError when the file is missing or unreadable.
        """
        from fulmen.text.dialect import MINIMAX_TEMPLATE  # which is written with the names above

        path = Path(folder) / FILE_NAME
        template = ChatTemplate.load(Path(folder))
        if template is not None and all(text in template.source for text in _RELEASED):
            template = dataclasses.replace(template, source=MINIMAX_TEMPLATE)
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)), template=template)
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"{path}: no readable tokenizer ({error})") from error

    def save(self, folder: Path | str) -> None:
        """Writes `tokenizer.json`, and the chat template if there is one, into an existing folder."""
        # As other readers want it: structural tokens in a rendered template are to be found.
        self.backend.encode_special_tokens = False
        self.backend.save(str(Path(folder) / FILE_NAME))
        self.backend.encode_special_tokens = True
        if self.template is not None:
            self.template.save(Path(folder))

    @property
    def vocab_size(self) -> int:
        """Number of tokens, structural ones included."""
        return self.backend.get_vocab_size()

    @property
    def end_id(self) -> int:
        """Token that ends a turn."""
        return self.ids[END_TURN if self.template is None else self.template.tokens["eos_token"]]

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] = (),
        options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Returns the tokens of a conversation by the checkpoint's own template."""
        assert self.template is not None, "the caller looks at `template` first"
        return encode_rendered(
            self.backend, self.template, messages, add_generation_prompt=add_generation_prompt, tools=tools,
            options=options or {},
        )  # fmt: skip

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of ordinary text; structural tokens written out in it stay text.

        Raises: DataError for text that is not Unicode (lone surrogates).
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"text cannot be encoded ({error}); allowed: Unicode without lone surrogates") from error
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, token_ids: Sequence[int]) -> str:
        """Returns the text of tokens, structural ones written out; broken UTF-8 becomes U+FFFD."""
        known = list(map(int, token_ids))
        if self.structural.keys().isdisjoint(known):
            return self.backend.decode(known)
        pieces: list[str] = []
        pending: list[int] = []
        for token_id in known:
            if token_id in self.structural:
                pieces += [self.backend.decode(pending), self.structural[token_id]]
                pending = []
            else:
                pending.append(token_id)
        return "".join([*pieces, self.backend.decode(pending)])

    def decode_many(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """Returns the texts of several sequences, as `decode` does; where it can, on all cores."""
        known = [list(map(int, sequence)) for sequence in sequences]
        plain = [i for i, ids in enumerate(known) if self.structural.keys().isdisjoint(ids)]
        texts = dict(zip(plain, self.backend.decode_batch([known[i] for i in plain]), strict=True))
        return [texts[i] if i in texts else self.decode(ids) for i, ids in enumerate(known)]

    @property
    def is_byte_level(self) -> bool:
        """Whether tokens are strings of bytes, so that text is decoded token by token."""
        return isinstance(self.backend.decoder, decoders.ByteLevel)

    def token_bytes(self, token_id: int) -> bytes:
        """Returns the bytes that a token of a byte-level tokenizer stands for; none if `decode` leaves it out."""
        found = self._bytes.get(token_id)
        if found is None:
            token = None if token_id in self.skipped else self.backend.id_to_token(token_id)
            if token is None:
                found = b""
            elif all(char in BYTE_OF for char in token):
                found = bytes(BYTE_OF[char] for char in token)
            else:  # an added token, whose text is its own
                found = token.encode()
            self._bytes[token_id] = found
        return found
