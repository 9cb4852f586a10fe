"""How documents are cut into segments, so that few heads on short batches still fill the chip. Host arithmetic.

A segment is what one program scans. The state at its start is folded from pieces: equal parts of the segments before
it, each of which a program of its own turned into what it adds to the state (`tiles.piece_kernel`). That costs a second
reading of k and v, so segments are made only where they pay; pieces are shorter, since their programs have less to do.
Axes: `I` items (segments of all documents), `J` pieces, `N` documents.
"""

import weakref
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

CHUNK = 64
"""Tokens of a tile; documents are cut from their own starts, and states commit at multiples of it."""
MAX_SEGMENTS = 16
# In units of one chunk's time in a scan: what starting a program costs, and what a launch in between does.
PROGRAM_COST, LAUNCH_COST = 2.0, 4.0
# Time of a chunk in the kernel of pieces, which reads half of the bytes and makes a quarter of the products.
PIECE_COST = 0.4
# Pieces are cut until this many programs per processor work on them, or they have this many chunks.
PIECE_PROGRAMS, MIN_PIECE_CHUNKS = 4, 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The items of one launch."""

    items_I_6: Tensor
    """int32 on the device: document, first token, end, first piece of the document, is last of it, document's start."""
    num_items: int
    """Segments of all documents."""
    pieces_J: Tensor | None
    """int32 on the device: first tokens of the pieces; None if no document is segmented."""
    piece_length: int
    """Tokens of a piece."""


_seen: dict[int, tuple["weakref.ref[Tensor]", int, tuple[int | float, ...]]] = {}


def host_values(tensor: Tensor) -> tuple[int | float, ...]:
    """Returns the values of a small tensor, read from its device once as long as it lives unchanged.

    Every layer of a model passes the same `cu_seqlens` and, step after step, its own slopes: reading them each time
    would stall the device, and is forbidden while a CUDA graph is captured.
    """
    if tensor.device.type == "cpu":
        return tuple(tensor.tolist())
    version = 0 if tensor.is_inference() else tensor._version
    key = id(tensor)
    if key in _seen:
        alive, seen_version, values = _seen[key]
        if alive() is tensor and seen_version == version:
            return values
    values = tuple(tensor.tolist())
    _seen[key] = (weakref.ref(tensor, lambda _: _seen.pop(key, None)), version, values)
    return values


@lru_cache
def bounds(values: tuple[int | float, ...]) -> tuple[float, float]:
    """Returns the smallest and the largest value; NaN if there is one."""
    if any(value != value for value in values):
        return float("nan"), float("nan")
    return min(values), max(values)


@lru_cache(maxsize=1024)
def choose_segments(lengths: tuple[int, ...], programs_per_item: int, num_slots: int) -> int:
    """Returns the number of segments of the longest document with the shortest estimated time.

    `programs_per_item` programs scan one item, one per head and block of columns; `num_slots` of them run at a time.
    """
    longest = max(lengths)
    num_chunks = sum(-(-length // CHUNK) for length in lengths)
    best, best_time = 1, float("inf")
    for num_segments in range(1, min(MAX_SEGMENTS, -(-longest // CHUNK)) + 1):
        length = -(-longest // (num_segments * CHUNK)) * CHUNK
        num_items = sum(-(-x // length) for x in lengths)
        waves = -(-num_items * programs_per_item // num_slots)
        time = max(waves * (num_chunks / num_items + PROGRAM_COST), length / CHUNK + PROGRAM_COST)
        if num_items > len(lengths):
            repeated = num_chunks * (1 - len(lengths) / num_items)
            time += PIECE_COST * repeated * programs_per_item / num_slots + LAUNCH_COST
        # A tie goes to fewer segments.
        if time < best_time * 0.97:
            best, best_time = num_segments, time
    return best


@lru_cache(maxsize=128)
def make_plan(
    borders: tuple[int, ...],
    *,
    programs_per_item: int,
    num_slots: int,
    device: torch.device,
    is_reversed: bool = False,
    is_invariant: bool = False,
) -> Plan:
    """Returns the segments of documents with these borders; `is_reversed` counts tokens from the end of the batch.

    `is_invariant`: one segment per document, so that nothing depends on the batch or on the device.
    Long documents come first: the short ones then fill the gaps at the end.
    """
    num_tokens = borders[-1]
    documents = list(enumerate(pairwise(borders)))
    if is_reversed:
        documents = [(index, (num_tokens - end, num_tokens - start)) for index, (start, end) in documents]
    documents.sort(key=lambda item: item[1][0] - item[1][1])
    lengths = tuple(end - start for _, (start, end) in documents)
    num_segments = 1 if is_invariant else choose_segments(lengths, programs_per_item, num_slots)
    chunks_per_segment = -(-lengths[0] // (num_segments * CHUNK))
    num_repeated = sum((length - 1) // (chunks_per_segment * CHUNK) for length in lengths)
    wanted = PIECE_PROGRAMS * num_slots // max(1, num_repeated * programs_per_item)
    most = max(1, min(wanted, chunks_per_segment // MIN_PIECE_CHUNKS))
    pieces_per_segment = 1 << (most.bit_length() - 1)
    piece = -(-chunks_per_segment // pieces_per_segment) * CHUNK
    segment = piece * pieces_per_segment
    items: list[list[int]] = []
    pieces: list[int] = []
    for index, (start, end) in documents:
        first_piece = len(pieces)
        last_start = start + (end - start - 1) // segment * segment
        pieces += range(start, last_start, piece)
        for begin in range(start, end, segment):
            stop = min(begin + segment, end)
            items.append([index, begin, stop, first_piece, int(stop == end), start])
    return Plan(
        items_I_6=torch.tensor(items, dtype=torch.int32, device=device), num_items=len(items),
        pieces_J=torch.tensor(pieces, dtype=torch.int32, device=device) if pieces else None, piece_length=piece,
    )  # fmt: skip
