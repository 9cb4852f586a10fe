"""Launches of the decoding kernels of `step_tiles.py`. Axes: `N` rows, `T` tokens, `H` heads, `D` head width."""

from typing import Any

import torch
from torch import Tensor

from fulmen.kernels.lightning import step_tiles
from fulmen.kernels.lightning.plan import CHUNK, Plan
from fulmen.kernels.lightning.pool import Extension, LightningPool
from fulmen.kernels.lightning.scan import Tiles, dense, device_tiles, on_device, row_aligned, scan

VALUE_WIDTH = 64
"""Columns of the state one program owns. Wider programs read the ring's keys fewer times and hide less latency."""
STEP_REGISTERS = 168
"""Registers per thread of a step, which let an SM hold three programs instead of two."""


def triton_decode(
    q: Tensor, k: Tensor, v: Tensor, slope: Tensor, state: Tensor, slots: Tensor | None, is_silu: bool
) -> Tensor:
    """Returns outputs `[N, H, D]` of the plain recurrence, in place on `state`; arguments as in `lightning_decode`."""
    q, k, v = (row_aligned(x) for x in (q, k, v))
    num_rows, num_heads, width = v.shape
    value_width = min(width, VALUE_WIDTH)
    output = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    with on_device(v):
        step_tiles.recurrence_kernel[(num_rows * num_heads * (width // value_width),)](
            q, k, v, output, dense(slope), state, None if slots is None else dense(slots), state.stride(0),
            *(x.stride(0) for x in (q, k, v)), *(x.stride(1) for x in (q, k, v)),
            H=num_heads, D=width, BV=value_width, HAS_SLOTS=slots is not None, IS_SILU=is_silu,
            num_warps=4, num_stages=1,
        )  # fmt: skip
    return output


def open_tile(
    q: Tensor, k: Tensor, v: Tensor, output: Tensor, slope: Tensor, state: Tensor, shadow: Tensor, ring: Tensor,
    items: Tensor, lengths: Tensor | None, *, is_silu: bool = False,
) -> None:  # fmt: skip
    """Writes the outputs of the new tokens of open chunks, in place on the pool.

    With `lengths` a step: one token a row, `items` are the slots. Without: `items` `[N, 5]` of `open_tile_kernel`.
    """
    num_heads, width = v.shape[1:]
    value_width = min(width, VALUE_WIDTH)
    is_step = lengths is not None
    constants: dict[str, Any] = {"PRECISION": "ieee" if v.dtype == torch.float32 else "tf32", "BT": CHUNK}
    if is_step and v.is_cuda:
        constants["maxnreg"] = STEP_REGISTERS
    with on_device(v):
        step_tiles.open_tile_kernel[(items.shape[0] * num_heads * (width // value_width),)](
            q, k, v, output, slope, state, shadow, ring, items, lengths,
            *(x.stride(0) for x in (q, k, v)), *(x.stride(1) for x in (q, k, v)),
            H=num_heads, D=width, BV=value_width, BN=16 if is_step else CHUNK, IS_STEP=is_step, IS_SILU=is_silu,
            **constants, num_warps=4, num_stages=1,
        )  # fmt: skip


def triton_decode_pool(
    q: Tensor, k: Tensor, v: Tensor, slope: Tensor, pool: LightningPool, slots: Tensor, lengths: Tensor, is_silu: bool
) -> Tensor:
    """Returns outputs `[N, H, D]` of one token per row, in place on the pool; arguments as in `decode_pool`."""
    output = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    open_tile(
        row_aligned(q), row_aligned(k), row_aligned(v), output, dense(slope),
        pool.state_S_H_D_D, pool.shadow_S_H_D_D, pool.ring_S_H_2_C_D, dense(slots), dense(lengths), is_silu=is_silu,
    )  # fmt: skip
    return output


def triton_extend(
    q: Tensor, k: Tensor, v: Tensor, slope: Tensor, pool: LightningPool, extension: Extension,
    tiles: Tiles | None = None,
) -> Tensor:  # fmt: skip
    """Returns outputs `[T, H, D]` of new tokens, in place on the pool: rest of open chunks, whole chunks, new ones.

    The whole chunks go through the kernel of training, one segment per document, its documents being slots.
    """
    q, k, v, slope = row_aligned(q), row_aligned(k), row_aligned(v), dense(slope)
    output = torch.empty(v.shape, dtype=v.dtype, device=v.device)
    states = pool.state_S_H_D_D, pool.shadow_S_H_D_D, pool.ring_S_H_2_C_D
    open_tile(q, k, v, output, slope, *states, extension.head_N_5, None)
    chosen = device_tiles(v.device, v.shape[-1])[0] if tiles is None else tiles
    plan = Plan(items_I_5=extension.body_N_5, num_items=extension.body_N_5.shape[0], split=None)
    with on_device(v):
        scan(q, k, v, output, slope, chosen.narrow, plan, states[0], states[0])
    open_tile(q, k, v, output, slope, *states, extension.tail_N_5, None)
    return output
