"""How the tokens of one forward pass lie: packed documents, their positions, and the cache rows they continue.

Axes: `T` tokens of all documents, `N` documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from fulmen.errors import DataError
from fulmen.kernels.attention import Borders
from fulmen.kernels.lightning import Extension, plan_extension
from fulmen.model.cache import BLOCK, Cache


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
    """Largest number of tokens any row has seen after this pass, or a bound of it."""
    cache: Cache | None
    is_fresh: bool = True
    """True when no row has seen anything: attention then needs no cache."""
    cells_T: Tensor | None = None
    """With a cache: where each token's key and value go, block times `BLOCK` plus place in the block."""
    extension: Extension | None = None
    """With a chunk-aligned cache, unless a step: how the tokens fall on the grid of chunks."""
    is_invariant: bool = False
    """True when a token's result must not depend on what else is in the pass, bit by bit."""
    counts: Sequence[int] | None = None
    """New tokens of each document, where the host knows them."""
    tiles_X_2: Tensor | None = None
    """Tiles of attention, where they are there already."""

    @cached_property
    def borders(self) -> Borders:
        """The documents as CUDA's attention takes them; the longest is known to the host."""
        return Borders(
            cu_seqlens=self.cu_seqlens.to(torch.int32), longest=self.longest, lengths=self.counts,
            given_tiles=self.tiles_X_2,
        )  # fmt: skip

    @property
    def seen_after_N(self) -> Tensor:
        """Tokens each row will have seen after this pass; with a cache."""
        return self.positions_T[self.cu_seqlens[1:] - 1] + 1


def make_layout(
    token_ids_B_T: Tensor, cu_seqlens: Tensor | None, cache: Cache | None, *, is_invariant: bool = False
) -> Layout:
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
    if cache is None:
        document_T = torch.repeat_interleave(lengths_N)
        return Layout(
            cu_seqlens=cu_seqlens, document_T=document_T, longest=int(lengths_N.max()), cache=None,
            positions_T=torch.arange(len(document_T), device=device) - cu_seqlens[document_T],
            is_step=len(document_T) == num_documents, is_invariant=is_invariant,
        )  # fmt: skip
    if cache.num_rows != num_documents:
        raise DataError(f"{num_documents} documents for a cache of {cache.num_rows} rows")
    seen = cache.lengths_R.tolist()
    longest = int((cache.lengths_R + lengths_N).max())
    if longest > cache.max_length:
        raise DataError(f"a row would hold {longest} tokens; allowed: at most {cache.max_length}")
    if batch * length == num_documents:
        return step_layout(cache, longest=longest, is_invariant=is_invariant)
    return extend_layout(cache, cu_seqlens.tolist(), seen, is_invariant=is_invariant)


def _to_device(host: Tensor, device: torch.device) -> Tensor:
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host


def step_layout(cache: Cache, *, longest: int, is_invariant: bool = False) -> Layout:
    """Returns the layout of a decoding step; nothing is read back to the host, so a CUDA graph can hold it."""
    documents = torch.arange(cache.num_rows + 1, device=cache.lengths_R.device)
    positions = cache.lengths_R.clone()
    return Layout(
        cu_seqlens=documents, positions_T=positions, document_T=documents[:-1], is_step=True, longest=longest,
        cache=cache, is_fresh=False, cells_T=_cells(cache, documents[:-1], positions), is_invariant=is_invariant,
    )  # fmt: skip


def extend_layout(cache: Cache, borders: Sequence[int], seen: Sequence[int], *, is_invariant: bool = False) -> Layout:
    """Returns the layout of new tokens between `borders`, of rows that have seen `seen` tokens, both known to the host.

    Nothing is read back from the device.
    """
    device = cache.lengths_R.device
    counts = [end - start for start, end in pairwise(borders)]
    counts_N, seen_N = _to_device(torch.tensor([counts, list(seen)], dtype=torch.int64), device).unbind(0)
    cu_seqlens = torch.nn.functional.pad(counts_N.cumsum(0), (1, 0))
    document_T = torch.repeat_interleave(counts_N, output_size=borders[-1])
    positions_T = torch.arange(borders[-1], device=device) + (seen_N - cu_seqlens[:-1])[document_T]
    is_aligned = cache.pool.is_aligned
    return Layout(
        cu_seqlens=cu_seqlens, positions_T=positions_T, document_T=document_T, is_step=False,
        longest=max(count + before for count, before in zip(counts, seen, strict=True)), cache=cache,
        is_fresh=max(seen) == 0, cells_T=_cells(cache, document_T, positions_T),
        extension=plan_extension(cache.slots_R, seen_N, cu_seqlens) if is_aligned else None, is_invariant=is_invariant,
        counts=counts,
    )  # fmt: skip


def _cells(cache: Cache, document_T: Tensor, positions_T: Tensor) -> Tensor:
    if cache.table_R_X.shape[1] == 0:
        return torch.zeros_like(positions_T)
    blocks_T = cache.table_R_X[document_T, positions_T // BLOCK].long()
    return blocks_T * BLOCK + positions_T % BLOCK
