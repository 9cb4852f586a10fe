"""Which tokens a grammar allows next: JSON schemas, regular expressions and Lark grammars, through llguidance.

Structural tokens are no text: a grammar never allows them, whatever they are called, except the end token once it is
complete. White space between the tokens of JSON is bounded, so that a model cannot fill its budget with it.
Left out: tokens that a grammar forces are drawn like any others.
Source of the syntax: llguidance's documentation, docs/syntax.md.
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from fulmen.errors import ConfigError
from fulmen.text.tokenizer import Tokenizer
from fulmen.types import Grammar

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

JSON_OPTIONS: "JsonCompileOptions" = {"whitespace_pattern": r"[ \n\t]{0,64}"}
"""White space wherever JSON allows some; a schema's own `x-guidance` comes before it."""
_MOST_GRAMMARS = 64


class TokenMasker:
    """The state of one completion in its grammar. Cost: one pass over the vocabulary's trie per mask, on the host."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self._matcher = matcher

    def mask(self) -> np.ndarray:
        """Returns int32 `[ceil(vocab_size / 32)]`, bit t % 32 of word t // 32 set where token t may come next.

        The end token may once the grammar is complete. Raises: ConfigError when the grammar is too complex to go on.
        """
        words = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.int32)
        if self._matcher.is_error():
            raise ConfigError(f"grammar: {self._matcher.get_error().strip()}; allowed: a simpler grammar")
        return words

    def advance(self, token_id: int) -> None:
        """Moves on by a token that was allowed."""
        is_taken = self._matcher.consume_token(token_id)
        assert is_taken, f"token {token_id} is not allowed here ({self._matcher.get_error()})"

    @property
    def is_complete(self) -> bool:
        """Whether the text so far is a whole sentence of the grammar; longer ones may exist."""
        return self._matcher.is_accepting()


def make_masker(tokenizer: Tokenizer, grammar: Grammar, vocab_size: int) -> TokenMasker:
    """Returns the masker of a new completion; `vocab_size` is the model's, whose rows beyond the tokenizer's are never
    allowed.

    Raises: ConfigError for a grammar that cannot be read, or without llguidance.
    """
    return TokenMasker(_compile(tokenizer, grammar, vocab_size).deep_copy())


@functools.lru_cache(maxsize=_MOST_GRAMMARS)
def _compile(tokenizer: Tokenizer, grammar: Grammar, vocab_size: int) -> "LLMatcher":
    try:
        from llguidance import LLMatcher
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"grammar: {grammar.kind} needs llguidance; allowed: without it, or pip install 'fulmen[structured]'"
        ) from error
    try:
        if grammar.kind == "json_schema":
            source = LLMatcher.grammar_from_json_schema(grammar.source, defaults=JSON_OPTIONS)
        elif grammar.kind == "regex":
            source = LLMatcher.grammar_from_regex(grammar.source)
        else:
            source = LLMatcher.grammar_from_lark(grammar.source)
    except ValueError as error:
        raise _refusal(grammar, str(error)) from error
    matcher = LLMatcher(_vocabulary(tokenizer, vocab_size), source, log_level=0)
    if matcher.is_error():
        raise _refusal(grammar, matcher.get_error())
    return matcher


def _refusal(grammar: Grammar, reason: str) -> ConfigError:
    return ConfigError(f"grammar: no {grammar.kind} can be read ({reason.strip()}); allowed: what llguidance reads")


@functools.lru_cache(maxsize=4)
def _vocabulary(tokenizer: Tokenizer, vocab_size: int) -> "LLTokenizer":
    """Returns the vocabulary as bytes: read from a `tokenizer.json`, structural tokens would count as their names."""
    from llguidance import LLTokenizer, TokenizerWrapper

    if not tokenizer.is_byte_level:
        return LLTokenizer(tokenizer.backend.to_str(), n_vocab=vocab_size, eos_token=tokenizer.end_id)
    return LLTokenizer(TokenizerWrapper(_ByteVocabulary(tokenizer, vocab_size)), eos_token=tokenizer.end_id)


class _ByteVocabulary:
    """What llguidance asks of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = tokenizer.end_id
        self.bos_token_id = None
        self.tokens = [b""] * vocab_size
        for token_id in range(min(vocab_size, tokenizer.vocab_size)):
            self.tokens[token_id] = b"" if token_id in tokenizer.structural else tokenizer.token_bytes(token_id)
        self.special_token_ids = [tokenizer.end_id]

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenizer.encode(text.decode())
