"""A micro-batch as the arrays that one forward and backward pass takes, padded to a shape where one is asked for.

Padding tokens are a document of their own, padding documents are empty, padding targets are masked and weigh nothing:
what is real comes out as without them. Axes: `T` tokens, `N` documents, `X` tiles of attention, `M` trained tokens.
"""

from typing import NamedTuple

import numpy as np

from fulmen.kernels.attention import tiles_of
from fulmen.types import Batch

STEPS = 32
"""Sizes between two powers of two: padding is at most 1 / 32."""


class Shape(NamedTuple):
    """Sizes that arrays are padded to."""

    tokens: int
    trained: int
    documents: int
    tiles: int


def shape_for(batch: Batch) -> Shape:
    """Returns the shape that a micro-batch is padded to: few different ones, so that graphs are used again."""
    tokens = round_up(len(batch.token_ids_T))
    # Empty documents and tiles cost next to nothing: powers of two.
    documents, tiles = (1 << n.bit_length() for n in (len(batch.cu_seqlens), len(tiles_of(_lengths(batch, tokens)))))
    return Shape(tokens, round_up(int(batch.mask_T.sum())), documents, tiles)


def round_up(size: int) -> int:
    """Returns the next of 32 steps to the next power of two, at least a multiple of 8."""
    step = max(1 << max(size.bit_length() - 1, 0), STEPS * 8) // STEPS
    return -(-size // step) * step


def _lengths(batch: Batch, tokens: int) -> list[int]:
    lengths: list[int] = np.diff(batch.cu_seqlens).tolist()
    missing = tokens - sum(lengths)
    return [*lengths, missing] if missing else lengths


def arrange(batch: Batch, shape: Shape | None = None) -> dict[str, np.ndarray]:
    """Returns arrays by name: token_ids, positions, documents `[T]`, cu_seqlens `[N + 1]`, tiles `[X, 2]`; trained
    (places), targets, mask, target_documents, weights `[M]`; and what else the batch has: old_logprobs, advantages,
    ref_logprobs `[M]`, expert_ids `[T, LK]`.
    """
    num_tokens = len(batch.token_ids_T)
    lengths = _lengths(batch, num_tokens if shape is None else shape.tokens)
    borders = np.concatenate([[0], np.cumsum(lengths)])
    documents = np.repeat(np.arange(len(lengths)), lengths)
    trained = np.flatnonzero(batch.mask_T)
    arrays = {
        "token_ids": batch.token_ids_T, "positions": np.arange(len(documents)) - borders[documents],
        "documents": documents, "cu_seqlens": borders, "tiles": tiles_of(lengths),
        "trained": trained, "targets": batch.target_ids_T[trained], "mask": np.ones(len(trained), np.bool_),
        "target_documents": documents[trained], "weights": batch.token_weights_T[trained],
    }  # fmt: skip
    for name, values in (
        ("old_logprobs", batch.old_logprobs_T),
        ("advantages", batch.advantages_T),
        ("ref_logprobs", batch.ref_logprobs_T),
    ):
        if values is not None:
            arrays[name] = values[trained]
    if batch.expert_ids_T_LK is not None:
        arrays["expert_ids"] = batch.expert_ids_T_LK
    return arrays if shape is None else _padded(arrays, lengths, shape)


def _padded(arrays: dict[str, np.ndarray], lengths: list[int], shape: Shape) -> dict[str, np.ndarray]:
    sizes = {"token_ids": shape.tokens, "expert_ids": shape.tokens}
    whole = {"positions", "documents", "cu_seqlens", "tiles"}
    found = {name: x if name in whole else _fill(x, sizes.get(name, shape.trained)) for name, x in arrays.items()}
    empty = len(lengths)
    found["cu_seqlens"] = _fill(arrays["cu_seqlens"], shape.documents + 2, value=shape.tokens)
    found["tiles"] = np.full((shape.tiles, 2), (empty, 0), np.int32)
    found["tiles"][: len(arrays["tiles"])] = arrays["tiles"]
    return found


def _fill(values: np.ndarray, size: int, *, value: int = 0) -> np.ndarray:
    """Returns values with padding behind them."""
    out = np.full((size, *values.shape[1:]), value, values.dtype)
    out[: len(values)] = values
    return out
