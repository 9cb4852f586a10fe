"""How documents are cut into segments, so that few heads on short batches still fill the chip. Host arithmetic.

A segment is what one program scans. The state at its start is folded from pieces: equal parts of the segments before
it, each of which a program of its own turned into what it adds to the state (`tiles.piece_kernel`, `fold_kernel`). That
costs a second reading of k and v, so segments are made only where they pay; pieces are shorter, for more programs.
Axes: `I` items (segments of all documents), `J` pieces, `N` documents.
"""

import weakref
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

CHUNK = 64
"""Tokens of a tile; documents are cut from their own starts, and states commit at multiples of it."""
MAX_SEGMENTS = 16
# In units of one chunk's time in a scan: what starting a program costs, and what the two launches for pieces do.
PROGRAM_COST, LAUNCH_COST = 2.0, 8.0
# Time of a chunk in the kernel of pieces, which reads half of the bytes and makes a quarter of the products.
PIECE_COST = 0.4
# Pieces are cut until this many programs per processor work on them, or they have this many chunks.
PIECE_PROGRAMS, MIN_PIECE_CHUNKS = 4, 8


@dataclass(frozen=True, kw_only=True)
class Split:
    """How segmented documents get the states at the starts of their segments; tables are int32 on the device."""

    pieces_J_2: Tensor
    """First token, and tokens from the piece's end to the start of the next segment."""
    documents_N_4: Tensor
    """Document, its first item, its number of items, its first piece."""
    piece_length: int
    """Tokens of a piece."""
    pieces_per_segment: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The items of one launch."""

    items_I_5: Tensor
    """int32 on the device: document, first token, end, is last of it, document's start."""
    num_items: int
    """Segments of all documents."""
    split: Split | None
    """None if every document is one segment."""


@dataclass(frozen=True, kw_only=True)
class HostCopy:
    """The values of a small tensor, and their smallest and largest (NaN if one is NaN)."""

    values: tuple[int | float, ...]
    lowest: float
    highest: float


_seen: dict[int, tuple["weakref.ref[Tensor]", int, HostCopy]] = {}


def host_copy(tensor: Tensor) -> HostCopy:
    """Returns the values of a small tensor, read from its device once as long as it lives unchanged.

    Every layer of a model passes the same `cu_seqlens` and, step after step, its own slopes: reading them each time
    would stall the device, and is forbidden while a CUDA graph is captured.
    """
    version = 0 if tensor.is_inference() else tensor._version
    key = id(tensor)
    if key in _seen:
        alive, seen_version, copy = _seen[key]
        if alive() is tensor and seen_version == version:
            return copy
    values = tuple(tensor.tolist())
    has_nan = any(value != value for value in values) or not values
    bounds = (float("nan"),) * 2 if has_nan else (float(min(values)), float(max(values)))
    copy = HostCopy(values=values, lowest=bounds[0], highest=bounds[1])
    # An inference tensor has no version to tell a change by.
    if not tensor.is_inference():
        _seen[key] = (weakref.ref(tensor, lambda _: _seen.pop(key, None)), version, copy)
    return copy


class Choice(NamedTuple):
    """A number of segments of the longest document, and the estimated time, in units of a chunk's."""

    num_segments: int
    time: float


@lru_cache(maxsize=1024)
def choose_segments(
    lengths: tuple[int, ...],
    num_heads: int,
    programs_per_head: int,
    num_slots: int,
    chunk_time: float = 1.0,
    most: int = MAX_SEGMENTS,
) -> Choice:
    """Returns the number of segments, at most `most`, with the shortest estimated time.

    `programs_per_head` programs scan one item and head, each chunk in `chunk_time`; `num_slots` run at a time.
    """
    longest = max(lengths)
    num_chunks = sum(-(-length // CHUNK) for length in lengths)
    best = Choice(1, float("inf"))
    for num_segments in range(1, min(most, -(-longest // CHUNK)) + 1):
        length = -(-longest // (num_segments * CHUNK)) * CHUNK
        num_items = sum(-(-x // length) for x in lengths)
        waves = -(-num_items * num_heads * programs_per_head // num_slots)
        chunks = max(waves * num_chunks / num_items, length / CHUNK)
        time = chunks * chunk_time + waves * PROGRAM_COST
        if num_items > len(lengths):
            repeated = num_chunks * (1 - len(lengths) / num_items)
            time += PIECE_COST * repeated * num_heads / num_slots + LAUNCH_COST
        # A tie goes to fewer segments.
        if time < best.time * 0.97:
            best = Choice(num_segments, time)
    return best


@lru_cache(maxsize=128)
def make_plan(
    borders: tuple[int, ...], num_segments: int, num_heads: int, num_slots: int, device: torch.device, is_reversed: bool
) -> Plan:
    """Returns the segments of documents with these borders; `is_reversed` counts tokens from the end of the batch.

    Long documents come first: the short ones then fill the gaps at the end.
    """
    num_tokens = borders[-1]
    documents = list(enumerate(pairwise(borders)))
    if is_reversed:
        documents = [(index, (num_tokens - end, num_tokens - start)) for index, (start, end) in documents]
    documents.sort(key=lambda item: item[1][0] - item[1][1])
    lengths = tuple(end - start for _, (start, end) in documents)
    chunks_per_segment = -(-lengths[0] // (num_segments * CHUNK))
    num_repeated = sum((length - 1) // (chunks_per_segment * CHUNK) for length in lengths)
    wanted = PIECE_PROGRAMS * num_slots // max(1, num_repeated * num_heads)
    most = max(1, min(wanted, chunks_per_segment // MIN_PIECE_CHUNKS))
    pieces_per_segment = 1 << (most.bit_length() - 1)
    piece = -(-chunks_per_segment // pieces_per_segment) * CHUNK
    segment = piece * pieces_per_segment
    items: list[list[int]] = []
    pieces: list[list[int]] = []
    tables: list[list[int]] = []
    for index, (start, end) in documents:
        first_item, first_piece = len(items), len(pieces)
        for begin in range(start, end, segment):
            stop = min(begin + segment, end)
            items.append([index, begin, stop, int(stop == end), start])
            if stop < end:
                pieces += [[first, stop - first - piece] for first in range(begin, stop, piece)]
        tables.append([index, first_item, len(items) - first_item, first_piece])

    def to_device(rows: list[list[int]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int32, device=device)

    split = None
    if pieces:
        split = Split(
            pieces_J_2=to_device(pieces), documents_N_4=to_device(tables), piece_length=piece,
            pieces_per_segment=pieces_per_segment,
        )  # fmt: skip
    return Plan(items_I_5=to_device(items), num_items=len(items), split=split)
