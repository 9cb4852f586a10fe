"""Registers, spills and shared memory of every shipped Triton kernel on sm_90, found without a GPU.

    python -m benchmarks.sm90 [--json]

The code that launches kernels runs on CPU tensors; each launch it asks for is compiled for compute capability 9.0
instead, with the arguments, strides and configuration it would have had. So no configuration is repeated here but one:
a decoding step's limit of registers, which is only set on a device. A kernel that comes out the same twice is listed
once. "projection" reads q, k, v as views of one tensor, "states" are initial and final ones, "segments" has them too,
and a scan in the backward pass makes dq.

Exits with 1 if a kernel needs more than STACK_BYTES_MAX of stack a thread, where spilled registers go, or more than
SHARED_BYTES_MAX of shared memory; such a line ends in "!".
Leaves out results, which the tests compare, and speed, which needs the card.

Axes: `T` tokens, `H` heads, `D` head width, `W` model width, `BN` new tokens of an open chunk.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.runtime import JITFunction, driver

from fulmen.kernels import (
    attention_triton,
    experts_decode_triton,
    invariant_triton,
    linear_triton,
    logprob_triton,
    norm_gate_triton,
    paged_triton,
    ragged_triton,
    residual_triton,
    rotary_triton,
    sample_triton,
    step_triton,
    swiglu_triton,
)
from fulmen.kernels.lightning import step_tiles, tiles
from fulmen.kernels.lightning.scan import TABLE, Tile, Tiles, triton_lightning
from fulmen.kernels.lightning.steps import STEP_REGISTERS, open_tile, triton_decode
from fulmen.kernels.paged import WIDTH_MAX
from fulmen.serve import slots_triton
from fulmen.serve.slots import Count, Setting

SHARED_BYTES_MAX = 232_448
"""Of one block on sm_90: 227 KiB."""
STACK_BYTES_MAX = 32
NUM_HEADS, NUM_TOKENS, NUM_PROGRAMS = 64, 4096, 1024
BF16 = torch.bfloat16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What one compiled kernel needs."""

    kernel: str
    case: str
    num_warps: int
    num_stages: int
    num_registers: int
    """Per thread."""
    stack_bytes: int
    """Per thread."""
    num_spill_stores: int
    """Instructions STL in the machine code."""
    num_spill_loads: int
    """Instructions LDL."""
    shared_bytes: int
    """Per block."""

    @property
    def is_refused(self) -> bool:
        """Whether it spills or cannot be launched."""
        return self.stack_bytes > STACK_BYTES_MAX or self.shared_bytes > SHARED_BYTES_MAX


class CompileOnlyDriver:
    """The driver of a machine that has a card of compute capability 9.0 and launches nothing."""

    def get_current_target(self) -> GPUTarget:
        """Returns sm_90."""
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        """Returns the only device."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """Returns the default stream."""
        return 0

    def get_active_torch_device(self) -> torch.device:
        """Returns where the tensors are."""
        return torch.device("cpu")


class Recorder:
    """The kernels compiled so far, each with the case that asked for it first."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.case = ""

    @contextlib.contextmanager
    def compile_launches(self, **options: int) -> Iterator[None]:
        """Turns launches into compilations; `options` join those of each launch."""
        compile_kernel = JITFunction.run

        def run(kernel: Any, *args: object, grid: object, warmup: bool, **kwargs: object) -> None:
            compiled = compile_kernel(kernel, *args, grid=grid, warmup=True, **kwargs, **options)
            if compiled.hash not in self.rows:
                self.rows[compiled.hash] = read_row(kernel, compiled, self.case)

        with mock.patch.object(JITFunction, "run", run):
            yield


def kernel_name(kernel: Any) -> str:
    """Returns module and function, since some modules name theirs alike."""
    return f"{kernel.fn.__module__.rpartition('.')[2].removesuffix('_triton')}.{kernel.fn.__name__}"


def shipped_kernels() -> set[str]:
    """Returns the names of the kernels that fulmen's modules define."""
    modules = (
        tiles,
        step_tiles,
        attention_triton,
        experts_decode_triton,
        invariant_triton,
        linear_triton,
        logprob_triton,
        norm_gate_triton,
        paged_triton,
        ragged_triton,
        residual_triton,
        rotary_triton,
        sample_triton,
        slots_triton,
        step_triton,
        swiglu_triton,
    )
    values = [value for module in modules for name, value in vars(module).items() if name.endswith("_kernel")]
    return {kernel_name(value) for value in values if isinstance(value, JITFunction)}


def read_row(kernel: Any, compiled: Any, case: str) -> Row:
    """Returns the resources of a compiled kernel, read from its machine code."""
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernel.cubin"
        cubin.write_bytes(compiled.asm["cubin"])
        usage, code = (
            subprocess.run(
                [triton.knobs.nvidia.cuobjdump.path, flag, cubin], capture_output=True, text=True, check=True
            ).stdout
            for flag in ("-res-usage", "-sass")
        )
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, f"cuobjdump printed no resources: {usage[:200]!r}"
    return Row(
        kernel=kernel_name(kernel),
        case=case,
        num_warps=compiled.metadata.num_warps,
        num_stages=compiled.metadata.num_stages,
        num_registers=int(found[1]),
        stack_bytes=int(found[2]),
        num_spill_stores=len(re.findall(r"\bSTL\b", code)),
        num_spill_loads=len(re.findall(r"\bLDL\b", code)),
        shared_bytes=compiled.metadata.shared,
    )


def scan_roles(entry: Tiles) -> dict[str, Tile]:
    """Returns the tiles that compile the scan, by name: all but those of the two other kernels."""
    values = {field.name: vars(entry)[field.name] for field in dataclasses.fields(entry)}
    return {name: tile for name, tile in values.items() if isinstance(tile, Tile) and name not in ("gradient", "piece")}


def build_scans(recorder: Recorder, device: str, width: int, role: str) -> None:
    """Compiles the forward pass and the gradients at one entry of TABLE, with the tile `role` for every scan."""
    roles = scan_roles(TABLE[device, width])
    chosen = dataclasses.replace(TABLE[device, width], **dict.fromkeys(roles, roles[role]))
    is_first = role == next(iter(roles))
    shape = (1, NUM_TOKENS, NUM_HEADS, width)
    slope = torch.rand(NUM_HEADS)
    state = torch.zeros(1, NUM_HEADS, width, width)
    projection = torch.empty(1, NUM_TOKENS, NUM_HEADS, 3, width, dtype=BF16)
    dense = [torch.empty(shape, dtype=BF16) for _ in range(3)]
    for layout, inputs, has_states, is_segmented in (
        ("dense", dense, False, False),
        ("dense, states", dense, True, False),
        ("dense, segments", dense, True, True),
        ("projection", list(projection.unbind(3)), False, False),
    ):
        # The gradients of k and v, and the pieces, do not depend on the tile of the scan.
        q, k, v = (x.detach().requires_grad_(is_first or i == 0) for i, x in enumerate(inputs))
        initial = state.detach().requires_grad_(is_first) if has_states else None
        recorder.case = where = f"{device} D{width}{'' if is_first else ' ' + role}, {layout}"
        with recorder.compile_launches():
            output, final = triton_lightning(
                q, k, v, slope, (0, NUM_TOKENS), initial, output_final_state=has_states,
                is_invariant=not is_segmented, tiles=chosen, num_slots=NUM_PROGRAMS,
            )  # fmt: skip
            recorder.case = f"{where}, backward"
            outputs = [output] if final is None else [output, final]
            leaves = [x for x in (q, k, v, initial) if x is not None and x.requires_grad]
            torch.autograd.grad(outputs, leaves, [torch.empty_like(x) for x in outputs])


def build_steps(recorder: Recorder, width: int) -> None:
    """Compiles decoding: the recurrence, and the open chunk with one new token a row or many."""
    rows, slots = 32, torch.ones(32, dtype=torch.int32)
    q, k, v, output = (torch.empty(rows, NUM_HEADS, width, dtype=BF16) for _ in range(4))
    slope, state = torch.rand(NUM_HEADS), torch.empty(rows, NUM_HEADS, width, width)
    shadow, ring = state.to(BF16), torch.empty(rows, NUM_HEADS, 2, 64, width, dtype=BF16)
    pool = (output, slope, state, shadow, ring)
    lengths, items = torch.ones(rows, dtype=torch.int64), torch.ones(rows, 5, dtype=torch.int32)
    for is_silu in (False, True):
        recorder.case = f"D{width}, slots{', silu' * is_silu}"
        with recorder.compile_launches():
            triton_decode(q, k, v, slope, state, slots, is_silu)
        recorder.case = f"D{width}, BN16, step{', silu' * is_silu}"
        with recorder.compile_launches(maxnreg=STEP_REGISTERS):
            open_tile(q, k, v, *pool, slots, lengths, is_silu=is_silu)
    recorder.case = f"D{width}, BN64"
    with recorder.compile_launches():
        open_tile(q, k, v, *pool, items, None)


def build_pages(recorder: Recorder, dtype: torch.dtype) -> None:
    """Compiles paged attention: steps with and without splits, and prefill, of several shapes; and the writers."""
    heads_widths = [(16, 4, 128, 128), (12, 3, 80, 64), (24, 8, 64, 64), (8, 8, 128, 128), (16, 2, 256, 256)]
    for num_heads, num_kv_heads, width, value_width in heads_widths:
        if width > WIDTH_MAX[dtype]:
            continue
        rows, num_tokens = 32, 2048
        name = f"H{num_heads} J{num_kv_heads} D{width} V{value_width}, {str(dtype).removeprefix('torch.')}"
        pages = [torch.empty(8, num_kv_heads, 64, size, dtype=dtype) for size in (width, value_width)]
        table, lengths = torch.ones(rows, 4, dtype=torch.int32), torch.zeros(rows, dtype=torch.int64)
        per_row = num_tokens // rows
        for case, count, splits, is_invariant in (
            ("step", 1, 1, False), ("splits", 1, 8, False), ("few", 2, 1, True), ("prefill", per_row, 1, False),
        ):  # fmt: skip
            q = torch.empty(rows * count, num_heads, width, dtype=dtype)
            cu_seqlens = None if count == 1 else torch.arange(0, (rows + 1) * count, count)
            recorder.case = f"{name}, {case}"
            with recorder.compile_launches():
                paged_triton.paged_attention_triton(
                    q, *pages, table, lengths, cu_seqlens, scale=1.0, num_splits=splits, is_invariant=is_invariant
                )
        recorder.case = name
        q, k = (torch.empty(num_tokens, heads, width, dtype=dtype) for heads in (num_heads, num_kv_heads))
        v, cells = k[..., :value_width].contiguous(), torch.zeros(num_tokens, dtype=torch.int64)
        with recorder.compile_launches():
            paged_triton.write_pages_triton(k, v, *pages, cells)
            for rotated in (width, width // 2):
                recorder.case = f"{name}, rotated {rotated}"
                frequencies = torch.ones(rotated // 2)
                paged_triton.rope_write_triton(q, k, v, cells, cells, frequencies, *pages, amplitude=1.0)


def build_others(recorder: Recorder) -> None:
    """Compiles the kernels that work on rows, at the widths of a large model."""

    def empty(*shape: int, dtype: torch.dtype = BF16) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    rows, width, expert_width, columns = 8192, 8192, 9216, 16384
    ids = torch.zeros(rows, dtype=torch.int64)
    x, per_row = empty(rows, width), empty(rows, dtype=torch.float32)
    with recorder.compile_launches():
        recorder.case = f"W{width}"
        norm_gate_triton.forward(x, x, empty(width), 1e-6)
        norm_gate_triton.backward(x, x, empty(width), per_row, x)
        recorder.case = f"{columns} columns"
        logits, sums = empty(rows, columns, dtype=torch.float32), empty(4, rows, dtype=torch.float32)
        logprob_triton.fold_tile(logits, ids, sums, first_col=0, temperature=1.0)
        for d_entropy in (None, per_row):
            recorder.case = f"{columns} columns{', entropy' * (d_entropy is not None)}"
            logprob_triton.tile_gradient(
                logits, ids, per_row, per_row, per_row, d_entropy, first_col=0, temperature=1.0, dtype=BF16
            )
        recorder.case = f"expert width {expert_width}"
        gate_up = empty(rows, 2 * expert_width)
        swiglu_triton.forward(gate_up, empty(rows))
        swiglu_triton.backward(gate_up, empty(rows), empty(rows, expert_width))
        recorder.case = f"width {expert_width}, no weights"
        swiglu_triton.forward(gate_up, None)
        swiglu_triton.backward(gate_up, None, empty(rows, expert_width))
        recorder.case = f"W{width}, 2 copies"
        ragged_triton.gather_sum(x, ids, 2)


def build_training(recorder: Recorder) -> None:
    """Compiles what a training step of a dense model runs: attention of short documents, rotation, residuals."""
    num_tokens = 2048
    positions = torch.zeros(num_tokens, dtype=torch.int64)
    cu_seqlens, tiles_X_2 = torch.arange(0, 2049, 256, dtype=torch.int32), torch.zeros(32, 2, dtype=torch.int32)
    with recorder.compile_launches():
        for heads, kv_heads, width in ((9, 3, 64), (16, 4, 128), (8, 8, 80)):
            recorder.case = f"H{heads} J{kv_heads} D{width}"
            q, k, v = (
                torch.empty(num_tokens, n, width, dtype=BF16).requires_grad_() for n in (heads, kv_heads, kv_heads)
            )
            o = attention_triton.short_attention(q, k, v, cu_seqlens, tiles_X_2, scale=1.0)
            o.backward(o.detach())
            frequencies = torch.ones(width // 2)
            product = torch.empty(num_tokens, (heads + 2 * kv_heads) * width, dtype=BF16)
            rotary_triton.rotate_(
                product, positions, frequencies, num_heads=heads + kv_heads, width=width, amplitude=1.0
            )
            rotary_triton.join_gradients(q.detach(), k.detach(), v.detach(), positions, frequencies, amplitude=1.0)
            if width in (64, 128):
                pages = [torch.empty(8, kv_heads, 64, width, dtype=BF16) for _ in range(2)]
                step_triton.step_attention_triton(
                    q.detach(), k.detach(), v.detach(), positions, frequencies, *pages,
                    torch.ones(num_tokens, 4, dtype=torch.int32), scale=1.0, amplitude=1.0,
                )  # fmt: skip
        for model_width in (576, 2048, 8192):
            x, weight = torch.empty(num_tokens, model_width, dtype=BF16), torch.empty(model_width, dtype=BF16)
            for alpha in (1.0, 2.0):
                recorder.case = f"W{model_width}, alpha {alpha}"
                residual_triton.add_norm_backward(x, weight, x, x, alpha=alpha, beta=1.0, eps=1e-5, has_branch=True)


def build_invariant(recorder: Recorder) -> None:
    """Compiles the products whose rows do not depend on each other, at each blocking."""
    width, num_experts, ends = 4096, 32, torch.zeros(32, dtype=torch.int32)
    with recorder.compile_launches():
        for columns, inner, dtype in (
            *((columns, width, BF16) for columns in (2048, 8192, 32000)),
            (2048, 1000, BF16), (2048, width, torch.float32),
        ):  # fmt: skip
            recorder.case = f"{inner} by {columns}, {str(dtype).removeprefix('torch.')}"
            weight = torch.empty(1, columns, inner, dtype=dtype)
            invariant_triton.mm_triton(torch.empty(1, 8, inner, dtype=dtype), weight.mT, dtype)
        for columns in (2048, 18432):
            recorder.case = f"{num_experts} groups, {columns} columns"
            weight = torch.empty(num_experts, columns, width, dtype=BF16)
            invariant_triton.grouped_mm_triton(torch.empty(100, width, dtype=BF16), weight.mT, ends, BF16)


def build_decoding(recorder: Recorder) -> None:
    """Compiles what a decoding step runs beside attention: residuals, experts and the draw."""
    with recorder.compile_launches():
        for width, dtype in ((512, BF16), (2048, BF16), (8192, BF16), (8192, torch.float32)):
            x, weight = torch.empty(8, width, dtype=dtype), torch.empty(width, dtype=dtype)
            for branch in (None, x):
                recorder.case = f"W{width}, {str(dtype).removeprefix('torch.')}{', branch' * (branch is not None)}"
                residual_triton.add_norm_triton(x, branch, weight, 2.0, 1.0, 1e-5)
        for width, inner, num_experts, per_token in ((512, 352, 32, 2), (2048, 1408, 64, 8), (6144, 9216, 256, 8)):
            x, weight = torch.empty(64, width, dtype=BF16), torch.empty(num_experts, width, dtype=BF16)
            # One expert's weights: how many there are is no constant of the products.
            w13, w2 = torch.empty(1, 2 * inner, width, dtype=BF16), torch.empty(1, width, inner, dtype=BF16)
            ids, weights = torch.zeros(64, per_token, dtype=torch.int64), torch.empty(64, per_token)
            for bias in (None, weights.new_empty(num_experts)):
                recorder.case = f"W{width}, {per_token} of {num_experts}{', sigmoid' * (bias is not None)}"
                experts_decode_triton.route(
                    x, weight, bias, per_token=per_token, is_sigmoid=bias is not None, renormalise=True, scale=1.0
                )
            recorder.case = f"W{width}, {per_token} of {num_experts}"
            experts_decode_triton.decode_experts(x, w13, w2, ids, weights, x)
            experts_decode_triton.sort_pairs(ids, num_experts)
        for width, outputs in ((576, 960), (2048, 768), (5632, 2048), (6144, 24_576)):
            for num_tokens in (1, 4):
                recorder.case = f"{num_tokens} x {width} -> {outputs}"
                linear_triton.linear_triton(
                    torch.empty(num_tokens, width, dtype=BF16), torch.empty(outputs, width, dtype=BF16)
                )
        ids, reals = torch.zeros(8, dtype=torch.int64), torch.ones(8)
        for vocab in (1000, 200_064):
            logits = torch.empty(8, vocab)
            for is_full in (False, True):
                recorder.case = f"{vocab} words{', all options' * is_full}"
                sample_triton.sample_triton(
                    logits, reals, reals, ids, position_R=ids, top_k_R=ids if is_full else None,
                    min_p_R=reals if is_full else None, model_logits=logits if is_full else None, num_real=vocab,
                    barred_R=ids if is_full else None,
                )  # fmt: skip


def build_slots(recorder: Recorder) -> None:
    """Compiles what moves the slots of a decoding step on."""
    counts, settings = torch.zeros(65, len(Count), dtype=torch.int64), torch.zeros(65, len(Setting))
    rows, reals, marker = torch.arange(64), torch.zeros(64), torch.zeros(4, dtype=torch.int64)
    for has_budget in (False, True):
        recorder.case = f"{len(rows)} rows{', budgets' * has_budget}"
        with recorder.compile_launches():
            slots_triton.advance_triton(
                counts, settings, rows, rows, reals, reals, markers=(marker,) * 3, end_id=2, has_budget=has_budget
            )


def build(job: tuple[Callable[..., None], tuple[object, ...]]) -> dict[str, Row]:
    """Returns the kernels of one job by their hash; runs in a process of its own."""
    driver.set_active(CompileOnlyDriver())
    recorder, (function, arguments) = Recorder(), job
    function(recorder, *arguments)
    return recorder.rows


def build_all() -> list[Row]:
    """Returns all kernels; processes share the work, since most of it is the compiler's."""
    jobs: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        (build_scans, (*key, role)) for key, entry in TABLE.items() for role in scan_roles(entry)
    ]
    jobs += [
        *((build_steps, (width,)) for width in sorted({width for _, width in TABLE})),
        (build_others, ()),
        (build_training, ()),
        (build_invariant, ()),
        (build_decoding, ()),
        (build_slots, ()),
    ]
    jobs += [(build_pages, (dtype,)) for dtype in (BF16, torch.float32)]
    rows: dict[str, Row] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        for built in pool.map(build, jobs):
            rows = built | rows
    missing = shipped_kernels() - {row.kernel for row in rows.values()}
    assert not missing, f"kernels that no launch asked for: {sorted(missing)}"
    return sorted(rows.values(), key=lambda row: (row.kernel, row.case))


def print_table(rows: list[Row]) -> None:
    """Prints a line for each kernel, at most 110 columns wide."""
    print(f"torch {torch.__version__}, triton {triton.__version__}, sm_90, {NUM_HEADS} heads, bfloat16")
    print(f"{'kernel':<31} {'case':<44}  w st regs stack STL LDL shared")
    for row in rows:
        print(
            f"{row.kernel:<31} {row.case:<44} {row.num_warps:>2} {row.num_stages:>2} {row.num_registers:>4} "
            f"{row.stack_bytes:>5} {row.num_spill_stores:>3} {row.num_spill_loads:>3} {row.shared_bytes:>6}"
            f"{'!' * row.is_refused}"
        )


def main() -> int:
    """Prints the table and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    is_json = parser.parse_args().json
    if triton.knobs.runtime.interpret:
        parser.error("TRITON_INTERPRET is set; allowed: unset, since the interpreter compiles nothing")
    rows = build_all()
    if is_json:
        print(json.dumps({"triton": triton.__version__, "rows": [dataclasses.asdict(row) for row in rows]}, indent=1))
    else:
        print_table(rows)
    refused = [row for row in rows if row.is_refused]
    for row in refused:
        print(
            f"{row.kernel} ({row.case}): {row.stack_bytes} bytes of stack, {row.shared_bytes} shared", file=sys.stderr
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
