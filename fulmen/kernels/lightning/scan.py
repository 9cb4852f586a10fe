"""Lightning attention on the Triton kernels of `tiles.py`: launches, and the gradients by symmetry.

Forward: one scan. Backward: dq is the scan of (do, v, k); dk and dv are two scans backwards in time of (v, do, q) and
(k, q, do), whose states are transposes of each other. Nothing is saved but the inputs and the states at segment starts.
Axes: `B` rows, `T` tokens, `N` documents, `I` items, `H` heads, `D` head width.
"""

import contextlib
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from fulmen.kernels.launch import run
from fulmen.kernels.lightning import tiles
from fulmen.kernels.lightning.plan import CHUNK, MAX_SEGMENTS, Choice, Plan, choose_segments, make_plan


@dataclass(frozen=True, kw_only=True)
class Tile:
    """How a kernel is compiled. `value_width` columns of the state belong to one program."""

    value_width: int
    num_warps: int
    num_stages: int
    chunk_time: float = 1.0
    """Time of a chunk, relative to that of the other tile there is to choose."""


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """The configurations of one head width on one kind of device: a table, so that two runs take the same kernel."""

    scan: Tile
    narrow: Tile
    """Scans too, with more programs: where there are few heads and no time for segments. Same result, bit by bit."""
    gradient: Tile
    piece: Tile
    chunk: int = CHUNK


def _tile(value_width: int, num_warps: int, num_stages: int, chunk_time: float = 1.0) -> Tile:
    return Tile(value_width=value_width, num_warps=num_warps, num_stages=num_stages, chunk_time=chunk_time)


SMALL = Tiles(scan=_tile(64, 4, 2), narrow=_tile(64, 4, 2), gradient=_tile(64, 4, 2), piece=_tile(64, 4, 2))
# Measured on one H100 (README.md beside this file). The small-memory table serves every other device.
TABLE: dict[tuple[str, int], Tiles] = {
    ("sm90", 128): Tiles(
        scan=_tile(128, 8, 3), narrow=_tile(64, 4, 3, 0.72), gradient=_tile(128, 8, 3), piece=_tile(64, 4, 4)
    ),
    ("sm90", 64): Tiles(scan=_tile(64, 4, 4), narrow=_tile(64, 4, 4), gradient=_tile(64, 4, 3), piece=_tile(64, 4, 4)),
    ("small", 128): SMALL,
    ("small", 64): SMALL,
}
"""The configurations of each device class and head width."""


def all_tiles() -> dict[str, Tiles]:
    """Returns every configuration that a call may take, each with one tile for its scans, by name."""
    found = {}
    for (kind, width), entry in TABLE.items():
        for role in ("scan", "narrow"):
            tile = entry.scan if role == "scan" else entry.narrow
            found[f"{kind} K{width} {role}"] = replace(entry, scan=tile, narrow=tile)
    return found


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
    lengths: tuple[int, ...]
    """Of the documents, shortest first."""
    tiles: Tiles
    num_slots: int
    is_invariant: bool

    def plan_scan(self, x: Tensor) -> tuple[Tile, Plan]:
        """Returns the tile of the scan and its segments."""
        choices = [(self._choose(x, tile, 1), tile) for tile in (self.tiles.scan, self.tiles.narrow)]
        choice, tile = min(choices, key=lambda pair: pair[0].time)
        return tile, self._plan(x, choice, is_reversed=False)

    def plan_gradient(self, x: Tensor) -> Plan:
        """Returns the segments of the gradients of k and v, backwards in time."""
        return self._plan(x, self._choose(x, self.tiles.gradient, 2), is_reversed=True)

    def _choose(self, x: Tensor, tile: Tile, num_roles: int) -> Choice:
        programs = num_roles * (x.shape[-1] // tile.value_width)
        most = 1 if self.is_invariant else MAX_SEGMENTS
        return choose_segments(self.lengths, x.shape[-2], programs, self.num_slots, tile.chunk_time, most)

    def _plan(self, x: Tensor, choice: Choice, *, is_reversed: bool) -> Plan:
        return make_plan(self.borders, choice.num_segments, x.shape[-2], self.num_slots, x.device, is_reversed)


@lru_cache(maxsize=128)
def make_launch(
    borders: tuple[int, ...], device: torch.device, width: int, is_invariant: bool,
    tiles: Tiles | None, num_slots: int | None,
) -> Launch:  # fmt: skip
    """Returns what the launches of one call share; made once, since calls repeat."""
    own_tiles, own_slots = device_tiles(device, width) if tiles is None else (tiles, 8)
    return Launch(
        borders=borders, lengths=tuple(sorted(end - start for start, end in pairwise(borders))), tiles=own_tiles,
        num_slots=own_slots if num_slots is None else num_slots, is_invariant=is_invariant,
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
    launch = make_launch(borders, q.device, q.shape[-1], is_invariant, tiles, num_slots)
    q, k, v = row_aligned(q), row_aligned(k), row_aligned(v)
    slope, initial_state = dense(slope), None if initial_state is None else dense(initial_state)
    if not torch.is_grad_enabled():
        with on_device(q):
            return launch_forward(q, k, v, initial_state, slope, launch, output_final_state)[:2]
    return _Lightning.apply(q, k, v, initial_state, slope, launch, output_final_state)


def row_aligned(x: Tensor) -> Tensor:
    """Returns x `[..., H, D]`, copied unless its tokens lie evenly, its rows at 16 bytes, and its last axis densely."""
    stride, step = x.stride(), 16 // x.element_size()
    is_even = x.ndim == 3 or x.shape[0] == 1 or stride[0] == x.shape[1] * stride[1]
    is_fit = is_even and stride[-1] == 1 and stride[-2] % step == stride[-3] % step == x.data_ptr() % 16 == 0
    return x if is_fit else x.clone(memory_format=torch.contiguous_format)


def dense(x: Tensor) -> Tensor:
    """Returns x, copied unless its elements lie in order and start at 16 bytes."""
    is_fit = x.is_contiguous() and x.data_ptr() % 16 == 0
    return x if is_fit else x.clone(memory_format=torch.contiguous_format)


class _Lightning(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, initial, slope, launch, output_final_state):  # type: ignore[no-untyped-def]
        with on_device(q):
            output, final, starts = launch_forward(q, k, v, initial, slope, launch, output_final_state)
        ctx.save_for_backward(q, k, v, starts, slope)
        ctx.launch = launch
        ctx.set_materialize_grads(False)
        return output, final

    @staticmethod
    @once_differentiable
    def backward(ctx, d_output, d_final):  # type: ignore[no-untyped-def]
        q, k, v, starts, slope = ctx.saved_tensors
        launch = ctx.launch
        d_output = torch.zeros_like(v) if d_output is None else row_aligned(d_output)
        with on_device(q):
            dq = dk = dv = d_initial = None
            if ctx.needs_input_grad[0]:
                dq = torch.empty(q.shape, dtype=q.dtype, device=q.device)
                tile, plan = launch.plan_scan(q)
                scan(d_output, v, k, dq, slope, tile, plan, starts, None, is_transposed=True, chunk=launch.tiles.chunk)
            if any(ctx.needs_input_grad[1:4]):
                dk = torch.empty(k.shape, dtype=k.dtype, device=k.device)
                dv = torch.empty(v.shape, dtype=v.dtype, device=v.device)
                d_initial = new_states(q, len(launch.borders) - 1) if ctx.needs_input_grad[3] else None
                key_value_gradient(q, k, v, d_output, dk, dv, slope, launch, d_final, d_initial)
        return dq, dk, dv, d_initial, None, None, None


def launch_forward(
    q: Tensor, k: Tensor, v: Tensor, initial: Tensor | None, slope: Tensor, launch: Launch, output_final_state: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Returns outputs, final states if asked for, and the states that items start from."""
    tile, plan = launch.plan_scan(q)
    starts = segment_starts(k, v, slope, plan, launch, initial)
    output = torch.empty(q.shape, dtype=v.dtype, device=q.device)
    final = new_states(q, len(launch.borders) - 1) if output_final_state else None
    scan(q, k, v, output, slope, tile, plan, starts, final, chunk=launch.tiles.chunk)
    return output, final, starts


def on_device(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Makes the tensor's CUDA device the current one, since Triton launches there."""
    if x.is_cuda and x.device.index != torch.cuda.current_device():
        return torch.cuda.device(x.device)
    return contextlib.nullcontext()


def new_states(x: Tensor, count: int) -> Tensor:
    """Returns uninitialised states `[count, H, D, D]` float32."""
    return torch.empty(count, x.shape[-2], x.shape[-1], x.shape[-1], dtype=torch.float32, device=x.device)


def precision(x: Tensor) -> str:
    """Returns how products of these inputs run: float32 keeps all its bits, and bfloat16 does not care."""
    return "ieee" if x.dtype == torch.float32 else "tf32"


def segment_starts(
    k: Tensor, v: Tensor, slope: Tensor, plan: Plan, launch: Launch, initial: Tensor | None, *,
    is_reversed: bool = False,
) -> Tensor | None:  # fmt: skip
    """Returns the state each item starts from, `[I, H, D, D]`, or, with one item per document, `initial` as it is."""
    split = plan.split
    if split is None:
        return initial
    num_heads, width = k.shape[-2:]
    count, tile = split.pieces_J_2.shape[0], launch.tiles.piece
    partial, starts = new_states(k, count), new_states(k, plan.num_items)
    run(
        tiles.piece_kernel, count * num_heads * (width // tile.value_width), tile.num_warps, tile.num_stages,
        (k, v, slope, split.pieces_J_2, partial, launch.borders[-1], split.piece_length),
        (k.stride(-3), v.stride(-3), k.stride(-2), v.stride(-2), num_heads, width, launch.tiles.chunk,
         tile.value_width, tile.num_stages, precision(k), is_reversed),
    )  # fmt: skip
    block = min(1024, width * width)
    run(
        tiles.fold_kernel, split.documents_N_4.shape[0] * num_heads * (width * width // block), 4, 3,
        (partial, initial, starts, slope, split.documents_N_4, split.piece_length, split.pieces_per_segment),
        (num_heads, width, block, initial is not None),
    )  # fmt: skip
    return starts


def scan(
    q: Tensor, k: Tensor, v: Tensor, output: Tensor, slope: Tensor, tile: Tile, plan: Plan,
    initial: Tensor | None, final: Tensor | None, *, is_transposed: bool = False, chunk: int = CHUNK,
) -> None:  # fmt: skip
    """Writes `output` and `final`; transposed: the stored states have keys and values swapped."""
    num_heads, width = q.shape[-2:]
    run(
        tiles.scan_kernel, plan.num_items * num_heads * (width // tile.value_width), tile.num_warps, tile.num_stages,
        (q, k, v, output, slope, plan.items_I_5, initial, final, 0, width, width),
        (q.stride(-3), k.stride(-3), v.stride(-3), output.stride(-3),
         q.stride(-2), k.stride(-2), v.stride(-2), output.stride(-2), num_heads, width, chunk,
         tile.value_width, tile.num_stages, precision(q), initial is not None, final is not None,
         plan.split is not None, is_transposed),
    )  # fmt: skip


def key_value_gradient(
    q: Tensor, k: Tensor, v: Tensor, d_output: Tensor, dk: Tensor, dv: Tensor, slope: Tensor, launch: Launch,
    d_final: Tensor | None, d_initial: Tensor | None,
) -> None:  # fmt: skip
    """Writes dk, dv and `d_initial`.

    A scan ages its initial state before the first token, so `d_final` enters younger by one token, and the state that
    leaves at the document's start is older by one.
    """
    tile, (num_heads, width) = launch.tiles.gradient, q.shape[-2:]
    programs_per_head = 2 * (width // tile.value_width)
    plan = launch.plan_gradient(q)
    initial = None if d_final is None else (d_final * torch.exp(slope)[:, None, None]).contiguous()
    initial = segment_starts(q, d_output, slope, plan, launch, initial, is_reversed=True)
    run(
        tiles.key_value_gradient_kernel, plan.num_items * num_heads * programs_per_head, tile.num_warps,
        tile.num_stages,
        (q, k, v, d_output, dk, dv, slope, plan.items_I_5, initial, d_initial, launch.borders[-1], width, width),
        (q.stride(-3), k.stride(-3), v.stride(-3), d_output.stride(-3), dk.stride(-3), dv.stride(-3),
         q.stride(-2), k.stride(-2), v.stride(-2), d_output.stride(-2), dk.stride(-2), dv.stride(-2),
         num_heads, width, launch.tiles.chunk, tile.value_width, tile.num_stages, precision(q),
         initial is not None, d_initial is not None, plan.split is not None),
    )  # fmt: skip
    if d_initial is not None:
        d_initial.mul_(torch.exp(-slope)[:, None, None])
