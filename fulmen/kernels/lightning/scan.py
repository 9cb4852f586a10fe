"""Lightning attention on the Triton kernels of `tiles.py`: launches, and the gradients by symmetry.

Forward: one scan. Backward: dq is the scan of (do, v, k); dk and dv are two scans backwards in time of (v, do, q) and
(k, q, do), whose states are transposes of each other. Nothing is saved but the inputs and the states of pieces.
Axes: `B` rows, `T` tokens, `N` documents, `I` items, `J` pieces, `H` heads, `D` head width.
"""

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from fulmen.kernels.lightning import tiles
from fulmen.kernels.lightning.plan import CHUNK, Plan, make_plan

Constants = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """How a kernel is compiled. `value_width` columns of the state belong to one program."""

    value_width: int
    num_warps: int
    num_stages: int


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """The configurations of one head width on one kind of device: a table, so that two runs take the same kernel."""

    scan: Tile
    gradient: Tile
    piece: Tile
    chunk: int = CHUNK


def _tiles(scan: tuple[int, int, int], gradient: tuple[int, int, int], piece: tuple[int, int, int]) -> "Tiles":
    made = [
        Tile(value_width=width, num_warps=warps, num_stages=stages) for width, warps, stages in (scan, gradient, piece)
    ]
    return Tiles(scan=made[0], gradient=made[1], piece=made[2])


# Measured on one H100 (README.md beside this file). The small-memory table serves every other device.
TABLE: dict[tuple[str, int], Tiles] = {
    ("sm90", 128): _tiles((128, 8, 3), (128, 8, 3), (64, 4, 4)),
    ("sm90", 64): _tiles((64, 4, 4), (64, 4, 3), (64, 4, 4)),
    ("small", 128): _tiles((64, 4, 2), (64, 4, 2), (64, 4, 2)),
    ("small", 64): _tiles((64, 4, 2), (64, 4, 2), (64, 4, 2)),
}
"""Value width, warps and stages of each kernel, by device class and head width."""


@lru_cache
def device_tiles(device: torch.device, width: int) -> tuple[Tiles, int]:
    """Returns the configurations for a device and head width, and its number of processors."""
    if device.type != "cuda":
        return TABLE["small", width], 8
    properties = torch.cuda.get_device_properties(device)
    chosen = TABLE["sm90" if properties.major == 9 else "small", width]
    return chosen, properties.multi_processor_count


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the launches of one call share."""

    borders: tuple[int, ...]
    tiles: Tiles
    num_slots: int
    is_invariant: bool

    def plan(self, x: Tensor, *, programs_per_head: int = 1, is_reversed: bool = False) -> Plan:
        """Returns the segments; `programs_per_head` programs work on one item and head."""
        return make_plan(
            self.borders, programs_per_item=programs_per_head * x.shape[-2], num_slots=self.num_slots,
            device=x.device, is_reversed=is_reversed, is_invariant=self.is_invariant,
        )  # fmt: skip


def triton_lightning(
    q: Float[Tensor, "B T H D"],
    k: Float[Tensor, "B T H D"],
    v: Float[Tensor, "B T H D"],
    slope: Float[Tensor, "H"],
    borders: tuple[int, ...],
    initial_state: Float[Tensor, "N H D D"] | None,
    *,
    output_final_state: bool,
    is_invariant: bool = False,
    tiles: Tiles | None = None,
    num_slots: int | None = None,
) -> tuple[Float[Tensor, "B T H D"], Float[Tensor, "N H D D"] | None]:
    """Returns outputs, and final states if asked for; differentiable in q, k, v and `initial_state`.

    `borders` count tokens over all rows. `tiles` and `num_slots` (programs that run at a time) stand in for the
    device's own. Views of one projection are read in place. Deterministic: no atomics, and a table of configurations
    instead of a tuner.
    Cost: reads q, k, v and writes the output once, 8 D bytes per token and head in bfloat16; where documents are
    segmented, k and v of slow heads once more. Backward: 20 D bytes.
    """
    own_tiles, own_slots = (tiles, 8) if tiles is not None else device_tiles(q.device, q.shape[-1])
    launch = Launch(
        borders=borders, tiles=own_tiles, num_slots=own_slots if num_slots is None else num_slots,
        is_invariant=is_invariant,
    )  # fmt: skip
    q, k, v = row_aligned(q), row_aligned(k), row_aligned(v)
    return _Lightning.apply(q, k, v, initial_state, slope, launch, output_final_state)


def row_aligned(x: Tensor) -> Tensor:
    """Returns x `[..., H, D]`, copied unless its tokens lie evenly, its rows at 16 bytes, and its last axis densely."""
    stride, step = x.stride(), 16 // x.element_size()
    is_even = x.ndim == 3 or x.shape[0] == 1 or stride[0] == x.shape[1] * stride[1]
    is_fit = is_even and stride[-1] == 1 and stride[-2] % step == stride[-3] % step == x.data_ptr() % 16 == 0
    return x if is_fit else x.clone(memory_format=torch.contiguous_format)


class _Lightning(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, initial, slope, launch, output_final_state):  # type: ignore[no-untyped-def]
        with on_device(q):
            plan = launch.plan(q, programs_per_head=q.shape[-1] // launch.tiles.scan.value_width)
            partial = piece_states(k, v, slope, plan, launch)
            output = torch.empty(q.shape, dtype=v.dtype, device=q.device)
            final = new_states(q, len(launch.borders) - 1) if output_final_state else None
            scan(q, k, v, output, slope, plan, launch, initial, partial, final)
        ctx.save_for_backward(q, k, v, initial, slope, partial)
        ctx.launch, ctx.plan = launch, plan
        ctx.set_materialize_grads(False)
        return output, final

    @staticmethod
    @once_differentiable
    def backward(ctx, d_output, d_final):  # type: ignore[no-untyped-def]
        q, k, v, initial, slope, partial = ctx.saved_tensors
        launch = ctx.launch
        d_output = torch.zeros_like(v) if d_output is None else row_aligned(d_output)
        with on_device(q):
            dq = dk = dv = d_initial = None
            if ctx.needs_input_grad[0]:
                dq = torch.empty(q.shape, dtype=q.dtype, device=q.device)
                scan(d_output, v, k, dq, slope, ctx.plan, launch, initial, partial, None, is_transposed=True)
            if any(ctx.needs_input_grad[1:4]):
                dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (k, v))
                d_initial = new_states(q, len(launch.borders) - 1) if ctx.needs_input_grad[3] else None
                key_value_gradient(q, k, v, d_output, dk, dv, slope, launch, d_final, d_initial)
        return dq, dk, dv, d_initial, None, None, None


def on_device(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Makes the tensor's CUDA device the current one, since Triton launches there."""
    if x.is_cuda and x.device.index != torch.cuda.current_device():
        return torch.cuda.device(x.device)
    return contextlib.nullcontext()


def new_states(x: Tensor, count: int) -> Tensor:
    """Returns uninitialised states `[count, H, D, D]` float32."""
    return torch.empty(count, x.shape[-2], x.shape[-1], x.shape[-1], dtype=torch.float32, device=x.device)


def constants(x: Tensor, launch: Launch, tile: Tile, **strided: Tensor) -> Constants:
    """Returns the constants of a launch: shapes, strides of the named tensors, tile; float32 keeps all its bits."""
    made: Constants = {
        "H": x.shape[-2], "D": x.shape[-1], "BT": launch.tiles.chunk, "BV": tile.value_width,
        "STAGES": tile.num_stages, "PRECISION": "ieee" if x.dtype == torch.float32 else "tf32",
        "num_warps": tile.num_warps, "num_stages": tile.num_stages,
    }  # fmt: skip
    for name, tensor in strided.items():
        made[name + "_ROW"], made[name + "_HEAD"] = tensor.stride(-3), tensor.stride(-2)
    return made


def piece_states(
    k: Tensor, v: Tensor, slope: Tensor, plan: Plan, launch: Launch, *, is_reversed: bool = False
) -> Tensor | None:
    """Returns what each piece adds to the state at its end, `[J, H, D, D]`, or None if no document is segmented."""
    if plan.pieces_J is None:
        return None
    count, tile = plan.pieces_J.shape[0], launch.tiles.piece
    partial = new_states(k, count)
    tiles.piece_kernel[(count * k.shape[-2] * (k.shape[-1] // tile.value_width),)](
        k, v, slope, plan.pieces_J, partial, launch.borders[-1], plan.piece_length,
        IS_REVERSED=is_reversed, **constants(k, launch, tile, K=k, V=v),
    )  # fmt: skip
    return partial


def scan(
    q: Tensor, k: Tensor, v: Tensor, output: Tensor, slope: Tensor, plan: Plan, launch: Launch,
    initial: Tensor | None, partial: Tensor | None, final: Tensor | None, *, is_transposed: bool = False,
) -> None:  # fmt: skip
    """Writes `output` and `final`; transposed: the stored states have keys and values swapped."""
    tile, width = launch.tiles.scan, q.shape[-1]
    strides = (1, width) if is_transposed else (width, 1)
    tiles.scan_kernel[(plan.num_items * q.shape[-2] * (width // tile.value_width),)](
        q, k, v, output, slope, plan.items_I_6, initial, partial, final, 0, plan.piece_length, *strides, *strides,
        HAS_INITIAL=initial is not None, HAS_FINAL=final is not None, IS_SPLIT=partial is not None,
        **constants(q, launch, tile, Q=q, K=k, V=v, O=output),
    )  # fmt: skip


def key_value_gradient(
    q: Tensor, k: Tensor, v: Tensor, d_output: Tensor, dk: Tensor, dv: Tensor, slope: Tensor, launch: Launch,
    d_final: Tensor | None, d_initial: Tensor | None,
) -> None:  # fmt: skip
    """Writes dk, dv and `d_initial`.

    A scan ages its initial state before the first token, so `d_final` enters younger by one token, and the state that
    leaves at the document's start is older by one.
    """
    tile, width = launch.tiles.gradient, q.shape[-1]
    programs_per_head = 2 * (width // tile.value_width)
    plan = launch.plan(q, programs_per_head=programs_per_head, is_reversed=True)
    partial = piece_states(q, d_output, slope, plan, launch, is_reversed=True)
    initial = None if d_final is None else (d_final * torch.exp(slope)[:, None, None]).contiguous()
    tiles.key_value_gradient_kernel[(plan.num_items * q.shape[-2] * programs_per_head,)](
        q, k, v, d_output, dk, dv, slope, plan.items_I_6, initial, partial, d_initial,
        launch.borders[-1], plan.piece_length, width, width,
        HAS_INITIAL=initial is not None, HAS_FINAL=d_initial is not None, IS_SPLIT=partial is not None,
        **constants(q, launch, tile, Q=q, K=k, V=v, DO=d_output, DK=dk, DV=dv),
    )  # fmt: skip
    if d_initial is not None:
        d_initial.mul_(torch.exp(-slope)[:, None, None])
