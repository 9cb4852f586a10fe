"""Who owns which block and slot: reference counts, the prefix cache, snapshots. No tensors here.

A block of tokens that is full can be found again by the hash of everything up to its end, as long as nobody needs its
memory for something else. A state cannot be made from keys and values, so models with lightning layers can go on at a
block's end only where a snapshot of the states was kept: a slot that belongs to no sequence.
"""

import hashlib
import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import takewhile

import numpy as np

Key = bytes
"""Hash of all tokens up to the end of a block."""


def block_keys(token_ids: Sequence[int], *, block: int, salt: bytes = b"") -> list[Key]:
    """Returns the keys of the full blocks of a sequence; `salt` sets apart what must not be mixed."""
    tokens = np.asarray(token_ids, dtype=np.int64)
    keys: list[Key] = []
    previous = salt
    for start in range(0, len(tokens) - block + 1, block):
        previous = hashlib.blake2b(previous + tokens[start : start + block].tobytes(), digest_size=16).digest()
        keys.append(previous)
    return keys


class BlockPool:
    """Blocks 1 to `num_blocks`; 0 is nobody's. A block is owned (counted), cached (findable, evictable) or free."""

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._count: dict[int, int] = {}
        self._free: deque[int] = deque(range(1, num_blocks + 1))
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Cached blocks that nobody owns, least recently used first."""
        self._block_of: dict[Key, int] = {}
        self._key_of: dict[int, Key] = {}

    @property
    def num_free(self) -> int:
        """Blocks that can be had, cached ones included."""
        return len(self._free) + len(self._idle)

    @property
    def num_owned(self) -> int:
        """Blocks that somebody owns."""
        return len(self._count)

    def allocate(self, count: int) -> list[int]:
        """Returns blocks that the caller owns; the least recently used cached ones are forgotten for it."""
        assert count <= self.num_free, "the caller looks at num_free first"
        blocks = []
        for _ in range(count):
            if self._free:
                block = self._free.popleft()
            else:
                block, _ = self._idle.popitem(last=False)
                del self._block_of[self._key_of.pop(block)]
            self._count[block] = 1
            blocks.append(block)
        return blocks

    def retain(self, blocks: Iterable[int]) -> None:
        """Adds an owner to blocks that are owned or cached."""
        for block in blocks:
            if block in self._idle:
                del self._idle[block]
                self._count[block] = 1
            else:
                self._count[block] += 1

    def release(self, blocks: Iterable[int]) -> list[int]:
        """Takes an owner away; returns the blocks that are free now, and whose content is lost."""
        freed = []
        for block in blocks:
            self._count[block] -= 1
            if self._count[block]:
                continue
            del self._count[block]
            if block in self._key_of:
                self._idle[block] = None
            else:
                self._free.append(block)
                freed.append(block)
        return freed

    def register(self, block: int, key: Key) -> None:
        """Makes a full block findable; the first of equal blocks stays the one that is found."""
        assert block in self._count, "only an owned block can be registered"
        if key not in self._block_of and block not in self._key_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def find(self, keys: Sequence[Key]) -> list[int]:
        """Returns the cached blocks of the longest run of keys, from the first on."""
        return [self._block_of[key] for key in takewhile(self._block_of.__contains__, keys)]

    def forget(self) -> list[int]:
        """Empties the prefix cache, as when weights change; returns the blocks that are free now."""
        freed = list(self._idle)
        self._free.extend(freed)
        self._idle.clear()
        self._block_of.clear()
        self._key_of.clear()
        return freed


class SlotPool:
    """Slots 1 to `num_slots`; 0 is nobody's. The lowest free slot comes first."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(1, num_slots + 1))

    @property
    def num_free(self) -> int:
        """Slots that can be had."""
        return len(self._free)

    @property
    def lowest_free(self) -> int:
        """The slot that comes next; there must be one."""
        return self._free[0]

    def allocate(self) -> int:
        """Returns a slot that the caller owns."""
        return heapq.heappop(self._free)

    def release(self, slot: int) -> None:
        """Takes a slot back."""
        assert 1 <= slot <= self.num_slots, "slot 0 belongs to nobody"
        assert slot not in self._free, f"slot {slot} is free already"
        heapq.heappush(self._free, slot)


class Snapshots:
    """Slots `first` to `first + count - 1`, each with the states at the end of one block; the least used one goes."""

    def __init__(self, first: int, count: int) -> None:
        self.count = count
        self._free = list(range(first, first + count))
        self._slot_of: OrderedDict[Key, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, key: Key) -> bool:
        return key in self._slot_of

    def use(self, key: Key) -> int:
        """Returns the slot of a snapshot that is there."""
        self._slot_of.move_to_end(key)
        return self._slot_of[key]

    def add(self, key: Key) -> int:
        """Returns the slot to write a new snapshot to, or 0 when there is one already or no room at all."""
        if self.count == 0:
            return 0
        if key in self._slot_of:
            self._slot_of.move_to_end(key)
            return 0
        slot = self._free.pop() if self._free else self._slot_of.popitem(last=False)[1]
        self._slot_of[key] = slot
        return slot

    def forget(self) -> None:
        """Drops all snapshots."""
        self._free.extend(self._slot_of.values())
        self._slot_of.clear()
