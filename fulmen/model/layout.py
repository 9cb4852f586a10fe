"""How the tokens of one forward pass lie: packed documents, their positions, and the cache rows they continue.

Axes: `T` tokens of all documents, `N` documents.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fulmen.errors import DataError
from fulmen.model.cache import Cache


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Shared by all layers of one forward pass. Dense rows `[B, T]` are the packed case of B equal documents."""

    cu_seqlens: Tensor
    """int64 `[N + 1]`, document borders."""
    positions_T: Tensor
    """Position of each token in its row, the cached tokens counted."""
    document_T: Tensor
    """Document of each token."""
    is_step: bool
    """True when every document brings one token: a decoding step."""
    longest: int
    """Largest number of tokens any row has seen after this pass."""
    cache: Cache | None


def make_layout(token_ids_B_T: Tensor, cu_seqlens: Tensor | None, cache: Cache | None) -> Layout:
    """Returns the layout of one forward pass.

    Raises: DataError when rows, documents and cache rows do not fit together.
    """
    batch, length = token_ids_B_T.shape
    device = token_ids_B_T.device
    if length == 0 or batch == 0:
        raise DataError(f"token_ids of shape [{batch}, {length}]; allowed: at least one token")
    if cu_seqlens is None:
        cu_seqlens = torch.arange(0, (batch + 1) * length, length, device=device)
    elif batch != 1:
        raise DataError(f"cu_seqlens with B = {batch}; packed documents need B = 1")
    lengths_N = cu_seqlens.diff()
    num_documents = len(lengths_N)
    borders = [0, batch * length]
    if num_documents < 1 or cu_seqlens[[0, -1]].tolist() != borders or int(lengths_N.min()) < 1:
        raise DataError(f"cu_seqlens {cu_seqlens.tolist()} must rise strictly from 0 to {batch * length}")
    document_T = torch.repeat_interleave(lengths_N)
    positions_T = torch.arange(len(document_T), device=device) - cu_seqlens[document_T]
    longest = int(lengths_N.max())
    if cache is not None:
        if cache.num_rows != num_documents:
            raise DataError(f"{num_documents} documents for a cache of {cache.num_rows} rows")
        positions_T = positions_T + cache.lengths_R[document_T]
        longest = int((cache.lengths_R + lengths_N).max())
        if longest > cache.max_length:
            raise DataError(f"a row would hold {longest} tokens; allowed: at most {cache.max_length}")
    return Layout(
        cu_seqlens=cu_seqlens, positions_T=positions_T, document_T=document_T,
        is_step=len(document_T) == num_documents, longest=longest, cache=cache,
    )  # fmt: skip
