"""Documents to packed batches. Axes: `T` tokens of all documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fulmen.errors import DataError
from fulmen.types import Batch


@dataclass(frozen=True, kw_only=True)
class Document:
    """One sequence to train on; arrays beside `token_ids` are aligned with it, or None for the whole batch."""

    token_ids: np.ndarray
    mask: np.ndarray
    """bool, True on tokens to predict (never the first)."""
    token_weight: float
    """Weight of each trained token of this document."""
    old_logprobs: np.ndarray | None = None
    advantage: float | np.ndarray | None = None
    """One for all its tokens, or one per token."""
    ref_logprobs: np.ndarray | None = None
    """Under a reference policy."""
    expert_ids: np.ndarray | None = None
    """int8 `[tokens - 1, LK]`, recorded routing of every token but the last."""


def pack(documents: Sequence[Document]) -> Batch:
    """Returns one packed batch; a document of n tokens gives n - 1 positions, each predicting the next token.

    Raises: DataError for no document, one shorter than two tokens, arrays not aligned with `token_ids`, a first token
    to predict, or a field that only some documents have.
    """
    _check(documents)
    lengths = [len(d.token_ids) - 1 for d in documents]
    has_old, has_routes = documents[0].old_logprobs is not None, documents[0].expert_ids is not None

    def joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
        return np.concatenate(parts).astype(dtype, copy=False)

    return Batch(
        token_ids_T=joined([d.token_ids[:-1] for d in documents], np.int64),
        target_ids_T=joined([d.token_ids[1:] for d in documents], np.int64),
        cu_seqlens=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        mask_T=joined([d.mask[1:] for d in documents], np.bool_),
        token_weights_T=joined(
            [np.full(n, d.token_weight) for n, d in zip(lengths, documents, strict=True)], np.float32
        ),
        old_logprobs_T=joined([d.old_logprobs[1:] for d in documents if d.old_logprobs is not None], np.float32)
        if has_old
        else None,
        advantages_T=joined([_per_target(d.advantage, n) for n, d in zip(lengths, documents, strict=True)], np.float32)
        if documents[0].advantage is not None
        else None,
        ref_logprobs_T=joined([d.ref_logprobs[1:] for d in documents if d.ref_logprobs is not None], np.float32)
        if documents[0].ref_logprobs is not None
        else None,
        expert_ids_T_LK=joined([d.expert_ids for d in documents if d.expert_ids is not None], np.int8)
        if has_routes
        else None,
    )


def _per_target(value: float | np.ndarray | None, count: int) -> np.ndarray:
    """Returns a document's value for each of its `count` targets."""
    return value[1:] if isinstance(value, np.ndarray) else np.full(count, value)


def _check(documents: Sequence[Document]) -> None:
    if not documents or min(len(d.token_ids) for d in documents) < 2:
        raise DataError("pack: allowed: at least one document, each of at least two tokens")
    for d in documents:
        length = len(d.token_ids)
        for name, values, wanted in (
            ("mask", d.mask, length),
            ("old_logprobs", d.old_logprobs, length),
            ("ref_logprobs", d.ref_logprobs, length),
            ("advantage", d.advantage if isinstance(d.advantage, np.ndarray) else None, length),
            ("expert_ids", d.expert_ids, length - 1),
        ):
            if values is not None and len(values) != wanted:
                raise DataError(f"{name}: {len(values)} of them for {length} tokens; allowed: {wanted}")
        if d.mask[0]:
            raise DataError("mask[0]=True; allowed: False, since nothing predicts the first token")
    for name in ("old_logprobs", "advantage", "ref_logprobs", "expert_ids"):
        if len({getattr(d, name) is None for d in documents}) > 1:
            raise DataError(f"{name}: None in some documents only; allowed: in all of them or in none")
