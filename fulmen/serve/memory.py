"""What an engine's memory is for: planned before any of it is taken, so that nothing is refused half-way."""

from dataclasses import dataclass

import torch

from fulmen.errors import ConfigError
from fulmen.model import Model
from fulmen.model.cache import BLOCK, block_bytes, is_aligned_by_default, slot_bytes

MAX_LENGTH = 131_072
"""Longest sequence unless told otherwise; the block table grows with it."""
CPU_CACHE_BYTES = 1 << 30
CUDA_CACHE_FRAC = 0.5
"""Share of the free memory of a CUDA device that the cache takes unless told otherwise."""
SNAPSHOT_FRAC = 1 / 8
"""Share of the cache that snapshots of lightning states may take."""
SNAPSHOTS_MAX = 1024


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Sizes of an engine's cache."""

    num_slots: int
    """Sequences that run at once."""
    num_snapshots: int
    """States of prefixes that can be kept."""
    num_blocks: int
    max_length: int
    """Most tokens of one sequence."""
    is_aligned: bool
    """Whether lightning states move on at whole chunks only."""
    slot_bytes: int
    """Of one sequence's states, or one snapshot."""
    block_bytes: int
    weight_bytes: int

    def describe(self) -> str:
        """Returns in a line what memory is taken, and for what."""
        parts = (
            (self.weight_bytes, "weights"),
            (self.num_blocks * self.block_bytes, f"keys and values of {self.num_blocks * BLOCK:,} tokens"),
            ((self.num_slots + 1) * self.slot_bytes, f"states of {self.num_slots} sequences"),
            (self.num_snapshots * self.slot_bytes, f"{self.num_snapshots} snapshots"),
        )
        sizes = ", ".join(f"{size / 2**30:.2f} GiB {what}" for size, what in parts if size)
        return f"{sizes}; at most {self.max_length:,} tokens a sequence"


def plan_memory(
    model: Model,
    *,
    num_slots: int,
    max_length: int | None,
    cache_bytes: int | None,
    has_prefix_cache: bool,
    is_aligned: bool | None,
) -> MemoryPlan:
    """Returns the plan; `cache_bytes` holds keys, values and snapshots, and None means this file's defaults.

    Raises: ConfigError for a `max_length` below 2, or a cache without room for one block.
    """
    config, weight = model.config, model.lm_head.weight
    if is_aligned is None:
        is_aligned = is_aligned_by_default(config, weight.dtype, weight.device)
    longest = MAX_LENGTH if max_length is None else max_length
    if longest < 2:
        raise ConfigError(f"max_length={max_length}; allowed: at least 2")
    if cache_bytes is None:
        is_cuda = weight.device.type == "cuda"
        cache_bytes = int(torch.cuda.mem_get_info(weight.device)[0] * CUDA_CACHE_FRAC) if is_cuda else CPU_CACHE_BYTES
    per_slot, per_block = slot_bytes(config, weight.dtype, is_aligned=is_aligned), block_bytes(config, weight.dtype)
    num_snapshots = 0
    if has_prefix_cache and per_slot:
        num_snapshots = min(int(cache_bytes * SNAPSHOT_FRAC) // per_slot, SNAPSHOTS_MAX)
    most = num_slots * -(-longest // BLOCK)
    num_blocks = min((cache_bytes - num_snapshots * per_slot) // per_block, most) if per_block else most
    if num_blocks < 1:
        raise ConfigError(f"cache_bytes={cache_bytes}; allowed: at least one block of {per_block} bytes")
    return MemoryPlan(
        num_slots=num_slots, num_snapshots=num_snapshots, num_blocks=num_blocks,
        max_length=min(longest, num_blocks * BLOCK), is_aligned=is_aligned, slot_bytes=per_slot, block_bytes=per_block,
        weight_bytes=sum(p.numel() * p.element_size() for p in model.parameters()),
    )  # fmt: skip
