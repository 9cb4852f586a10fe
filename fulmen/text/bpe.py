"""Byte-level BPE tokenizers made of a vocabulary and merges, as GGUF files hold them.

Such a file names the rule that cuts text before the merges; the rules below are known, any other name is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from fulmen.errors import CheckpointError

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "llama-bpe": _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _TAIL,
    "qwen2": _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _TAIL,
}
"""Regular expressions of Llama 3 and Qwen2; `smollm` and `gpt-2` use GPT-2's, the former after single digits."""
PRE_TOKENIZERS = ("smollm", "gpt-2", *SPLITS)
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of token in a GGUF file."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a GGUF file says of a byte-level BPE tokenizer."""

    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[str]
    pre: str
    """Name of the rule that cuts text before the merges."""


def build_tokenizer(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    """Returns the tokenizer; control tokens are structural, and every token keeps its id.

    Raises: CheckpointError for an unknown rule, or ids that do not come out.
    """
    if vocabulary.pre not in PRE_TOKENIZERS:
        raise CheckpointError(f"tokenizer.ggml.pre={vocabulary.pre!r}; allowed: {', '.join(PRE_TOKENIZERS)}")
    kinds = vocabulary.kinds or [NORMAL] * len(vocabulary.tokens)
    ids = {token: index for index, (token, kind) in enumerate(zip(vocabulary.tokens, kinds, strict=True))
           if kind != UNUSED}  # fmt: skip
    merges = [(left, right) for left, _, right in (merge.partition(" ") for merge in vocabulary.merges)]
    try:
        backend = tokenizers.Tokenizer(
            models.BPE(vocab=ids, merges=merges, ignore_merges=vocabulary.pre == "llama-bpe")
        )
    except Exception as error:  # the library raises bare Exception
        raise CheckpointError(f"tokenizer.ggml.merges: no BPE can be made of them ({error})") from error
    if vocabulary.pre in SPLITS:
        cut = [
            pre_tokenizers.Split(Regex(SPLITS[vocabulary.pre]), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    else:
        digits = [pre_tokenizers.Digits(individual_digits=True)] if vocabulary.pre == "smollm" else []
        cut = [*digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    if vocabulary.pre == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(cut)
    backend.decoder = decoders.ByteLevel()
    added = [
        AddedToken(token, special=kind == CONTROL, normalized=False)
        for token, kind in zip(vocabulary.tokens, kinds, strict=True)
        if kind in (CONTROL, USER_DEFINED)
    ]
    backend.add_tokens(added)
    for token in added:
        if backend.token_to_id(token.content) != ids[token.content]:
            raise CheckpointError(f"token {token.content!r} got another id than {ids[token.content]}")
    return backend
