"""Causal softmax attention with grouped key/value heads: packed documents, and rows of a key/value cache.

In half precision on CUDA packed documents go to kernels of our own while they are short (`attention_triton.py`), and
to torch's FlashAttention when they are long; all else is torch's scaled_dot_product_attention, for which this file lays
the data out.
Axes: `T` tokens of all documents, `N` documents or rows, `L` longest document, `S` cache length, `H` query heads,
`J` key/value heads, `D` head width of queries and keys, `V` of values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.kernels.ragged import collect_rows, spread

FLASH_WIDTH_MAX = 256
"""Widest head of torch's FlashAttention."""
SHORT_MAX = 1024
"""Longest document for the kernels of our own."""
SHORT_WIDTH_MAX = 128
SHORT_TILE = 64


@dataclass(frozen=True, kw_only=True)
class Borders:
    """Documents as CUDA's attention takes them."""

    cu_seqlens: Tensor
    """int32 `[N + 1]`."""
    longest: int
    """Length of the longest document, or a bound of it."""
    lengths: Sequence[int] | None = None
    """The same on the host; None has them read back where they are needed."""

    given_tiles: Int[Tensor, "X 2"] | None = None
    """`tiles`, where they are there already."""

    @cached_property
    def tiles(self) -> Int[Tensor, "X 2"]:
        """(document, first token) of tiles of 64 tokens, int32; one of a document that is empty does nothing."""
        if self.given_tiles is not None:
            return self.given_tiles
        lengths = self.cu_seqlens.diff().tolist() if self.lengths is None else self.lengths
        host, device = torch.from_numpy(tiles_of(lengths)), self.cu_seqlens.device
        return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host


def tiles_of(lengths: Sequence[int]) -> np.ndarray:
    """Returns (document, first token) of tiles of 64 tokens `[X, 2]`, int32, those that see most first."""
    counts = -(-np.asarray(lengths, dtype=np.int64) // SHORT_TILE)
    documents = np.repeat(np.arange(len(counts)), counts)
    starts = (np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)) * SHORT_TILE
    order = np.argsort(-starts, kind="stable")
    return np.stack([documents[order], starts[order]], axis=1).astype(np.int32)


def packed_attention(
    q: Float[Tensor, "T H D"],
    k: Float[Tensor, "T J D"],
    v: Float[Tensor, "T J V"],
    cu_seqlens: Int[Tensor, "N1"],
    *,
    scale: float | None = None,
    borders: Borders | None = None,
) -> Float[Tensor, "T H V"]:
    """Returns softmax(scale q k^T) v, causal, inside each document; scale None is 1 / sqrt(D). Differentiable.

    With `borders` (the same documents) nothing is padded or read back on CUDA in half precision. Else documents become
    rows of one right-padded batch: causality keeps padding, which comes last, out of every real row.
    """
    if borders is not None and _has_short(q, k, v, borders.longest):
        from fulmen.kernels.attention_triton import short_attention

        scale = q.shape[2] ** -0.5 if scale is None else scale
        return short_attention(q, k, v, borders.cu_seqlens, borders.tiles, scale=scale)
    if borders is not None and _has_flash(q, k, v):
        return torch.ops.aten._flash_attention_forward(
            q, k, v, borders.cu_seqlens, borders.cu_seqlens, borders.longest, borders.longest, 0.0, True, False,
            scale=scale,
        )[0]  # fmt: skip
    cell_T, shape = padded_cells(cu_seqlens)
    q_NHLD, k_NJLD, v_NJLD = (
        spread(x, cell_T, shape[0] * shape[1]).unflatten(0, shape).transpose(1, 2) for x in (q, k, v)
    )
    output = F.scaled_dot_product_attention(
        q_NHLD, k_NJLD, v_NJLD, is_causal=True, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return collect_rows(output.transpose(1, 2).flatten(0, 1), cell_T)


def _is_half(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Returns whether CUDA's kernels take these, up to their width."""
    return q.is_cuda and q.dtype.itemsize == 2 and q.dtype == k.dtype == v.dtype and q.shape[2] == v.shape[2]


def _has_short(q: Tensor, k: Tensor, v: Tensor, longest: int) -> bool:
    return _is_half(q, k, v) and q.shape[2] <= SHORT_WIDTH_MAX and longest <= SHORT_MAX


def _has_flash(q: Tensor, k: Tensor, v: Tensor) -> bool:
    return _is_half(q, k, v) and q.shape[2] <= FLASH_WIDTH_MAX and q.shape[2] % 8 == 0


def cached_attention(
    q: Float[Tensor, "T H D"],
    keys: Float[Tensor, "N J S D"],
    values: Float[Tensor, "N J S V"],
    positions_T: Int[Tensor, "T"],
    cu_seqlens: Int[Tensor, "N1"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "T H V"]:
    """Returns attention of new tokens over the cache, whose rows already hold the new keys and values.

    `positions_T` is each token's position in its row: it sees cache entries 0..position. Query heads that share a
    key/value head become rows of one product, so that nothing of the cache is repeated.
    """
    num_kv_heads, length = keys.shape[1:3]
    cell_T, shape = padded_cells(cu_seqlens)
    num_cells = shape[0] * shape[1]
    q_NJGLD = spread(q, cell_T, num_cells).unflatten(0, shape).unflatten(2, (num_kv_heads, -1)).permute(0, 2, 3, 1, 4)
    position_N_L = spread(positions_T, cell_T, num_cells).unflatten(0, shape)
    visible_N_L_S = torch.arange(length, device=q.device) <= position_N_L[..., None]
    mask = visible_N_L_S[:, None].repeat(1, 1, q_NJGLD.shape[2], 1)
    output = F.scaled_dot_product_attention(q_NJGLD.flatten(2, 3), keys, values, attn_mask=mask, scale=scale)
    output = output.unflatten(2, q_NJGLD.shape[2:4]).permute(0, 3, 1, 2, 4).flatten(2, 3).flatten(0, 1)
    return collect_rows(output, cell_T)


def padded_cells(cu_seqlens: Int[Tensor, "N1"]) -> tuple[Int[Tensor, "T"], tuple[int, int]]:
    """Returns each token's cell in the right-padded layout of N rows by L cells, and (N, L)."""
    lengths_N = cu_seqlens.diff()
    longest = int(lengths_N.max())
    is_token_N_L = torch.arange(longest, device=cu_seqlens.device) < lengths_N[:, None]
    return is_token_N_L.flatten().nonzero().squeeze(1), (len(lengths_N), longest)
