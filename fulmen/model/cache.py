"""What decoding remembers: a fixed state per lightning layer, keys and values of every token per softmax layer.

A pool holds the memory: slots with the states of all lightning layers, and blocks of `BLOCK` tokens of keys and
values. A cache is some rows of a pool, each with its slot, its blocks in order and how many tokens it has seen; one
forward pass continues one cache. Blocks end where chunks of lightning attention end, so a slot copied at any moment is
the state at the end of the row's last whole block. Slot 0 and block 0 are nobody's: padded rows name them.

Latent attention keeps one latent and one rotated key for all its heads: they lie in the keys, and values are empty.
Axes: `M` lightning layers, `W` softmax layers, `S` slots, `P` blocks, `R` rows, `X` blocks of a row, `H`/`J` heads,
`C` tokens of a block or chunk, `K`/`V`/`D` widths.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fulmen.kernels.lightning import CHUNK, LightningPool
from fulmen.model.config import ModelConfig

BLOCK = CHUNK
"""Tokens of a block."""


@dataclass(frozen=True, kw_only=True)
class CachePool:
    """The memory of all rows."""

    states_M_S_H_K_V: Tensor
    """Lightning states, float32 (float64 for float64 models): those of the last whole chunk if there are rings, else
    of the last token."""
    shadows_M_S_H_V_K: Tensor | None
    """The same transposed, in the model's dtype, for chunk-aligned decoding; None for the plain recurrence."""
    rings_M_S_H_2_C_D: Tensor | None
    """Keys and values since the last whole chunk."""
    keys_W_P_J_C_D: Tensor
    values_W_P_J_C_V: Tensor

    @classmethod
    def allocate(
        cls,
        config: ModelConfig,
        *,
        num_slots: int,
        num_blocks: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        is_aligned: bool | None = None,
    ) -> "CachePool":
        """Returns an empty pool; `num_slots` and `num_blocks` count slot 0 and block 0.

        `is_aligned` None takes chunk-aligned states where their kernels run (`is_aligned_by_default`). Blocks are not
        cleared: what a row has not written is never read.
        """
        if is_aligned is None:
            is_aligned = is_aligned_by_default(config, dtype, torch.device(device))
        num_lightning = config.num_lightning_layers
        heads, width = config.num_heads, config.head_dim
        square = (num_lightning, num_slots, heads, width, width)
        ring = (num_lightning, num_slots, heads, 2, CHUNK, width)
        *shape, widths = _block_shape(config)
        kv = (config.num_layers - num_lightning, num_blocks, *shape)
        state_dtype = torch.promote_types(dtype, torch.float32)
        return cls(
            states_M_S_H_K_V=torch.zeros(square, dtype=state_dtype, device=device),
            shadows_M_S_H_V_K=torch.zeros(square, dtype=dtype, device=device) if is_aligned else None,
            rings_M_S_H_2_C_D=torch.zeros(ring, dtype=dtype, device=device) if is_aligned else None,
            keys_W_P_J_C_D=_unwritten((*kv, widths[0]), dtype, device),
            values_W_P_J_C_V=_unwritten((*kv, widths[1]), dtype, device),
        )

    @property
    def is_aligned(self) -> bool:
        """Whether states move on at whole chunks only."""
        return self.rings_M_S_H_2_C_D is not None

    def lightning(self, layer: int) -> LightningPool:
        """Returns the chunk-aligned pool of one lightning layer, in place."""
        assert self.shadows_M_S_H_V_K is not None, "the pool is chunk-aligned"
        assert self.rings_M_S_H_2_C_D is not None, "the pool is chunk-aligned"
        return LightningPool(
            state_S_H_D_D=self.states_M_S_H_K_V[layer],
            shadow_S_H_D_D=self.shadows_M_S_H_V_K[layer],
            ring_S_H_2_C_D=self.rings_M_S_H_2_C_D[layer],
        )

    def _slot_tensors(self) -> list[Tensor]:
        tensors = (self.states_M_S_H_K_V, self.shadows_M_S_H_V_K, self.rings_M_S_H_2_C_D)
        return [tensor for tensor in tensors if tensor is not None and tensor.numel()]

    def clear_slots(self, slots: Tensor) -> None:
        """Makes slots ones that have seen nothing. Rings need no clearing: a length says what is valid."""
        self.states_M_S_H_K_V[:, slots] = 0
        if self.shadows_M_S_H_V_K is not None:
            self.shadows_M_S_H_V_K[:, slots] = 0

    def copy_slots(self, destination: Tensor, source: Tensor) -> None:
        """Copies the states of slots over those of other slots; the two lists must not overlap."""
        for tensor in self._slot_tensors():
            tensor[:, destination] = tensor[:, source]

    def copy_blocks(self, destination: Tensor, source: Tensor) -> None:
        """Copies blocks over other blocks; the two lists must not overlap."""
        for tensor in (self.keys_W_P_J_C_D, self.values_W_P_J_C_V):
            if tensor.numel():
                tensor[:, destination] = tensor[:, source]

    def poison(self) -> None:
        """Fills everything with NaN: whoever reads what was not written will be seen."""
        for tensor in (*self._slot_tensors(), self.keys_W_P_J_C_D, self.values_W_P_J_C_V):
            tensor.fill_(torch.nan)


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Rows of a pool: what one forward pass continues."""

    pool: CachePool
    slots_R: Tensor
    """int64, distinct, except that padded rows have slot 0."""
    lengths_R: Tensor
    """Tokens seen by each row, int64; a forward pass adds its own."""
    table_R_X: Tensor
    """int32, the blocks of each row in order; 0 where there is none."""
    span: tuple[int, int] | None = None
    """(first, last + 1) where the slots are first, first + 1, ..., last: states are then used in place."""

    @classmethod
    def allocate(
        cls,
        config: ModelConfig,
        *,
        num_rows: int,
        max_length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        is_aligned: bool | None = None,
    ) -> "Cache":
        """Returns empty rows with a pool of their own and room for `max_length` tokens each."""
        num_row_blocks = -(-max_length // BLOCK)
        pool = CachePool.allocate(
            config, num_slots=num_rows + 1, num_blocks=num_rows * num_row_blocks + 1,
            dtype=dtype, device=device, is_aligned=is_aligned,
        )  # fmt: skip
        blocks = torch.arange(1, num_rows * num_row_blocks + 1, dtype=torch.int32, device=device)
        return cls(
            pool=pool,
            slots_R=torch.arange(1, num_rows + 1, device=device),
            lengths_R=torch.zeros(num_rows, dtype=torch.int64, device=device),
            table_R_X=blocks.view(num_rows, num_row_blocks),
            span=(1, num_rows + 1),
        )

    @property
    def num_rows(self) -> int:
        """Rows of this cache."""
        return self.lengths_R.shape[0]

    @property
    def max_length(self) -> int:
        """Tokens a row can hold."""
        return self.table_R_X.shape[1] * BLOCK

    def clear(self) -> None:
        """Makes every row one that has seen nothing."""
        self.pool.clear_slots(self.slots_R)
        self.lengths_R.zero_()

    def rows(self, start: int, stop: int) -> "Cache":
        """Returns rows start..stop-1, in place."""
        return Cache(
            pool=self.pool,
            slots_R=self.slots_R[start:stop],
            lengths_R=self.lengths_R[start:stop],
            table_R_X=self.table_R_X[start:stop],
            span=None if self.span is None else (self.span[0] + start, self.span[0] + stop),
        )


def is_aligned_by_default(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> bool:
    """Returns whether lightning states are chunk-aligned: where the tile kernels run. Elsewhere a ring costs more."""
    return device.type == "cuda" and dtype == torch.bfloat16 and config.head_dim in (64, 128)


def block_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
    """Returns the size of one block in all softmax layers."""
    heads, tokens, (key_width, value_width) = _block_shape(config)
    num_softmax = config.num_layers - config.num_lightning_layers
    return num_softmax * heads * tokens * (key_width + value_width) * dtype.itemsize


def slot_bytes(config: ModelConfig, dtype: torch.dtype, *, is_aligned: bool) -> int:
    """Returns the size of one slot in all lightning layers."""
    square = config.head_dim**2
    size = square * torch.promote_types(dtype, torch.float32).itemsize
    if is_aligned:
        size += (square + 2 * CHUNK * config.head_dim) * dtype.itemsize
    return config.num_lightning_layers * config.num_heads * size


def _unwritten(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Returns memory that costs nothing before it is written: on CPU the system gives pages out as they are used."""
    if torch.device(device).type != "cpu" or 0 in shape:
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)).view(dtype).view(shape)


def _block_shape(config: ModelConfig) -> tuple[int, int, tuple[int, int]]:
    """Returns heads, tokens, and the widths of key and value of one layer's block."""
    if config.mla is not None:
        return 1, BLOCK, (config.mla.kv_rank + config.mla.rope_dim, 0)
    return config.num_kv_heads, BLOCK, (config.head_dim, config.head_dim)
