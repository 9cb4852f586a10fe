"""Lightning attention on one GPU: ours, fla's, and softmax attention for scale; forward, with backward, and decoding.

    python -m benchmarks.lightning             # one GPU, bfloat16, slopes of M1's first layer; about eight minutes
    python -m benchmarks.lightning --short     # up to 32K tokens: two minutes
    python -m benchmarks.lightning --selftest  # CPU, tiny shapes: runs every line, measures nothing
    python -m benchmarks.lightning_figure RESULT.json [SHORT.json] PICTURE.png

First every configuration that our kernels may take, and fla's operators, are compared with float64 (64 heads, T = 549,
SiLU inputs, layers 0, 40 and 78 of 80, an initial state for ours); one that is out of bounds is refused and not timed.
Peers have twice our bounds: what is off by less is reported with its error.
`ms` is the median of triton.testing.do_bench with an empty L2 cache, host time included where it is longer than the
device's; `graph_ms` (up to 32K tokens) is one call inside a CUDA graph, the device's time alone. `floor_frac` is the
larger of bytes over the measured copy bandwidth and operations over the measured matmul rate, over `ms`: q, k, v, o
once forward, and q, k, v, do, dq, dk, dv in addition backward; 4D^2 + 2CD operations per token and head (C = 64), 2.5
times that backward; softmax 2 T^2 D a head. Decoding runs in CUDA graphs; its floor is the bytes of its own form.
"""

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import gpu
from benchmarks.lightning_peers import (
    HAS_FLA,
    Operator,
    fla_chunk,
    fla_fused_chunk,
    fla_step,
    precompile,
    softmax_attention,
)
from fulmen.kernels.lightning import (
    CHUNK,
    LightningPool,
    decode_pool,
    lightning_attention,
    lightning_decode,
    slopes,
)

LIMITS = {"o": 2e-3, "state": 1e-3, "dq": 2.5e-3, "dk": 3e-3, "dv": 2.7e-3}
LAYERS = (0, 40, 78)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What is measured; the self-test shrinks it."""

    device: str = "cuda"
    lengths: tuple[int, ...] = (2048, 8192, 32768, 131072, 524288, 1048576)
    heads: tuple[int, ...] = (64, 16)
    widths: tuple[int, ...] = (128, 64)
    batches: tuple[int, ...] = (1, 32, 256)
    narrow_lengths: tuple[int, ...] = (2048, 8192, 32768, 131072)
    """For widths below 128."""
    softmax_length_max: int = 32768
    check_length: int = 549
    check_heads: int = 64
    rep_ms: float = 30

    @property
    def is_selftest(self) -> bool:
        return self.device == "cpu"


def ours(q: Tensor, k: Tensor, v: Tensor, slope: Tensor) -> Tensor:
    """Returns the output of our operator."""
    return lightning_attention(q, k, v, slope).output


def silu_normal(*shape: int, device: str) -> Tensor:
    """Returns bfloat16 normal noise through SiLU, as the model's q, k and v; made in place."""
    x = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_()
    return torch.nn.functional.silu(x, inplace=True)


# ---------------------------------------------------------------------------------------------- correctness


def exact(q: Tensor, k: Tensor, v: Tensor, slope: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Returns output and last state by the masked sum in float64, from `[1, T, H, D]` inputs."""
    t = torch.arange(q.shape[1], device=q.device, dtype=torch.float64)
    rate = slope.double()[:, None, None]
    decay = torch.where(t[:, None] >= t, torch.exp(-rate * (t[:, None] - t).clamp(min=0)), 0.0)
    scores = torch.einsum("bthd,bjhd->bhtj", q, k) * decay
    output = torch.einsum("bhtj,bjhd->bthd", scores, v)
    output = output + torch.einsum("bthd,bhde,ht->bthe", q, state, torch.exp(-rate[:, 0] * (t + 1)))
    last = torch.einsum("bthd,ht,bthe->bhde", k, torch.exp(-rate[:, 0] * (len(t) - 1 - t)), v)
    return output, last + torch.exp(-rate * len(t)) * state


def errors_of(
    run: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor | None]], scale: Scale, width: int
) -> dict[str, float]:
    """Returns the largest relative error over layers of output, state and gradients; `run` takes q, k, v, slope, S."""
    worst: dict[str, float] = {}
    for layer in LAYERS:
        slope = slopes(scale.check_heads, layer, 80).to(scale.device)
        shape = (1, scale.check_length, scale.check_heads, width)
        q, k, v = (silu_normal(*shape, device=scale.device).requires_grad_() for _ in range(3))
        d_output = torch.randn(shape, device=scale.device).bfloat16()
        state = torch.randn(1, scale.check_heads, width, width, device=scale.device)
        output, last = run(q, k, v, slope, state)
        wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
        start = state.double() if last is not None else torch.zeros_like(state).double()
        expected, expected_last = exact(*wide, slope, start)
        found = {"o": (output, expected)}
        if last is not None:
            found["state"] = (last, expected_last)
        gradients = torch.autograd.grad(output, (q, k, v), d_output)
        for name, mine, theirs in zip(
            ("dq", "dk", "dv"), gradients, torch.autograd.grad(expected, wide, d_output.double()), strict=True
        ):
            found[name] = (mine, theirs)
        for name, (mine, theirs) in found.items():
            worst[name] = max(worst.get(name, 0.0), gpu.relative_error(mine, theirs))
    return worst


def check(scale: Scale) -> tuple[dict[str, dict[str, float]], set[str]]:
    """Returns the errors of every implementation and width, and the names of those that are refused."""
    runs: dict[str, Callable[..., tuple[Tensor, Tensor | None]]] = {}
    if not scale.is_selftest:
        from fulmen.kernels.lightning.scan import all_tiles, triton_lightning

        for kind, tiles in all_tiles().items():
            for num_slots in (1, 2048):
                name = f"fulmen {kind} {'segments' if num_slots > 1 else 'one segment'}"
                runs[name] = lambda q, k, v, slope, state, tiles=tiles, num_slots=num_slots: triton_lightning(
                    q, k, v, slope, (0, q.shape[1]), state, output_final_state=True, tiles=tiles, num_slots=num_slots
                )
    for width in scale.widths:
        runs[f"fulmen K{width}"] = lambda q, k, v, slope, state: lightning_attention(
            q, k, v, slope, initial_state=state, output_final_state=True
        )
        for name, operator in (("fla-chunk", fla_chunk), ("fla-fused-chunk", fla_fused_chunk)):
            if HAS_FLA and not scale.is_selftest:
                runs[f"{name} K{width}"] = lambda q, k, v, slope, state, f=operator: (f(q, k, v, slope), None)
    table, refused = {}, set()
    for name, run in runs.items():
        width = int(name.split("K")[1].split()[0])
        table[name] = errors_of(run, scale, width)
        slack = 1.0 if name.startswith("fulmen") else 2.0
        is_bad = any(error > slack * LIMITS[key] for key, error in table[name].items())
        if is_bad:
            refused.add(name)
        figures = "  ".join(f"{key} {error:.1e}" for key, error in table[name].items())
        print(f"{'REFUSED ' if is_bad else ''}{name:<36} {figures}", flush=True)
    return table, refused


# ---------------------------------------------------------------------------------------------- attention


def floor_ms(
    limits: dict[str, float], shape: tuple[int, int, int, int], *, is_softmax: bool, with_backward: bool
) -> float:
    """Returns the time the card needs at least."""
    batch, length, heads, width = shape
    elements = batch * length * heads * width
    num_bytes = 2 * elements * (11 if with_backward else 4)
    per_token = 2.0 * length * width if is_softmax else 4.0 * width**2 + 2.0 * CHUNK * width
    flops = batch * length * heads * per_token * (3.5 if with_backward else 1.0)
    return 1e3 * max(num_bytes / limits["copy_bytes_per_s"], flops / limits["matmul_flops_per_s"])


def time_attention(
    operator: Operator, inputs: list[Tensor], slope: Tensor, scale: Scale, *, with_backward: bool
) -> Row:
    """Returns ms, spread, graph_ms where the call is short, and peak bytes above the inputs."""
    d_output = silu_normal(*inputs[0].shape, device=scale.device) if with_backward else None
    leaves = [x.detach().requires_grad_(with_backward) for x in inputs]

    def call() -> None:
        with torch.set_grad_enabled(with_backward):
            output = operator(*leaves, slope)
            if with_backward:
                torch.autograd.grad(output, leaves, d_output)

    if scale.is_selftest:
        started = time.perf_counter()
        call()
        return {"ms": 1e3 * (time.perf_counter() - started), "peak_bytes": 0}
    row: Row = {"peak_bytes": gpu.peak_bytes(call)}
    row |= gpu.median_ms(call, warmup_ms=10, rep_ms=scale.rep_ms)
    if inputs[0].shape[1] <= 32768 and operator in (ours, fla_chunk, fla_fused_chunk):
        try:
            row["graph_ms"] = gpu.graph_ms(call, num_calls=4, warmup_ms=3, rep_ms=15)["ms"]
        except RuntimeError as error:
            row["graph_note"] = str(error).splitlines()[0][:80]
    return row


def attention_rows(
    scale: Scale, limits: dict[str, float], errors: dict[str, dict[str, float]], refused: set[str]
) -> Iterator[Row]:
    """Yields a row per operator, pass, number of heads, width and length, as far as memory goes."""
    for width in scale.widths:
        for heads in scale.heads:
            slope = slopes(heads, 0, 80).to(scale.device)
            for length in scale.lengths if width == max(scale.widths) else scale.narrow_lengths:
                operators: dict[str, Operator] = {"fulmen": ours}
                if HAS_FLA and not scale.is_selftest:
                    operators |= {"fla-chunk": fla_chunk, "fla-fused-chunk": fla_fused_chunk}
                if width == 128 and length <= scale.softmax_length_max and not scale.is_selftest:
                    operators |= {
                        "softmax-cudnn": softmax_attention("CUDNN_ATTENTION"),
                        "softmax-fa2": softmax_attention("FLASH_ATTENTION"),
                    }
                shape = (1, length, heads, width)
                for name, operator in operators.items():
                    for with_backward in (False, True):
                        row: Row = {
                            "op": "attention", "impl": name, "pass": "fwd+bwd" if with_backward else "fwd",
                            "B": 1, "T": length, "H": heads, "K": width, "dtype": "bfloat16",
                        }  # fmt: skip
                        row |= measure(scale, limits, operator, shape, slope, row, errors, refused)
                        print_row(row)
                        yield row


def measure(
    scale: Scale, limits: dict[str, float], operator: Operator, shape: tuple[int, int, int, int], slope: Tensor,
    row: Row, errors: dict[str, dict[str, float]], refused: set[str],
) -> Row:  # fmt: skip
    """Returns the measured part of a row, or why there is none."""
    is_softmax, with_backward = row["impl"].startswith("softmax"), row["pass"] == "fwd+bwd"
    own = f"{row['impl']} K{row['K']}"
    if own in refused or (row["impl"] == "fulmen" and any(name.startswith("fulmen") for name in refused)):
        return {"ms": None, "note": "refused: error out of bounds"}
    least = floor_ms(limits, shape, is_softmax=is_softmax, with_backward=with_backward)
    if is_softmax and least > 600:
        return {"ms": None, "note": "skipped: too long"}
    # Inputs, output and, backward, their gradients; the framework's own buffers come on top.
    tensor_bytes = 2 * shape[1] * shape[2] * shape[3]
    if not scale.is_selftest and tensor_bytes * (8 if with_backward else 4) > torch.cuda.mem_get_info()[1] * 0.97:
        return {"ms": None, "note": "skipped: inputs, outputs and gradients exceed the memory"}
    try:
        inputs = [silu_normal(*shape, device=scale.device) for _ in range(3)]
        timed = time_attention(operator, inputs, slope, scale, with_backward=with_backward)
    except torch.OutOfMemoryError:
        timed = {"ms": None, "note": "out of memory"}
    inputs = []
    if not scale.is_selftest:
        torch.cuda.empty_cache()
    if timed["ms"] is not None:
        timed["floor_frac"] = least / timed["ms"]
        keys = ("o",) if not with_backward else ("o", "dq", "dk", "dv")
        timed["rel_err"] = max((errors[own][key] for key in keys), default=None) if own in errors else None
    return timed


def print_row(row: Row) -> None:
    """Prints one line of the table."""
    shape = f"B{row['B']:<4} T{row['T']:<8} H{row['H']:<3} K{row['K']:<4}"
    where = f"{row['op']:<10} {row['impl']:<16} {row['pass']:<8} {shape}"
    if row["ms"] is None:
        print(f"{where} {row['note']}", flush=True)
        return
    graph = f"  graph {row['graph_ms']:9.4f}" if "graph_ms" in row else ""
    peak = f"  {row['peak_bytes'] / 2**30:6.2f} GiB" if "peak_bytes" in row else ""
    print(f"{where} {row['ms']:10.4f} ms  {row.get('floor_frac', 0):6.1%}{graph}{peak}", flush=True)


# ---------------------------------------------------------------------------------------------- decoding


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to decode, and the bytes that it has to move."""

    step: Callable[[], object]
    num_bytes: int


def decode_forms(scale: Scale, batch: int, heads: int, width: int) -> dict[str, Form]:
    """Returns the forms of decoding on random states; rings hold 0 to C - 1 tokens."""
    slope = slopes(heads, 0, 80).to(scale.device)
    q, k, v = torch.randn(batch, heads, 3, width, device=scale.device).bfloat16().unbind(2)
    slots = torch.arange(1, batch + 1, device=scale.device, dtype=torch.int32)
    lengths = torch.randint(0, CHUNK, (batch,), device=scale.device)
    pool = LightningPool.allocate(
        num_slots=batch + 1, num_heads=heads, head_dim=width, dtype=torch.bfloat16, device=scale.device
    )
    for x in (pool.state_S_H_D_D, pool.shadow_S_H_D_D, pool.ring_S_H_2_C_D):
        x.normal_()
    state = torch.randn(batch + 1, heads, width, width, device=scale.device)
    state_bytes, vector_bytes = 4 * batch * heads * width**2, 8 * batch * heads * width
    # One step in C commits: the state is read and written, the shadow written. Two rows join the ring every step.
    aligned = int(state_bytes * (0.5 + 2.5 / CHUNK)) + 4 * heads * width * int(lengths.sum()) + vector_bytes * 3 // 2

    def plain_step() -> Tensor:
        return lightning_decode(q, k, v, slope, state, slots=slots, is_silu=True)

    def aligned_step() -> Tensor:
        return decode_pool(q, k, v, slope, pool, slots=slots, lengths=lengths, is_silu=True)

    dense = [x[:, None].contiguous() for x in (q, k, v)]

    def peer_step() -> object:
        return fla_step(dense[0], dense[1], dense[2], slope, state[1:])

    forms = {
        "fulmen": Form(step=plain_step, num_bytes=2 * state_bytes + vector_bytes),
        "fulmen-aligned": Form(step=aligned_step, num_bytes=aligned),
    }
    if HAS_FLA and not scale.is_selftest:
        forms["fla-recurrent"] = Form(step=peer_step, num_bytes=2 * state_bytes + vector_bytes)
    return forms


def decode_rows(scale: Scale, limits: dict[str, float]) -> list[Row]:
    """Returns a row per form of decoding, batch, width and number of heads."""
    rows = []
    for width, heads, batch in itertools.product(scale.widths, scale.heads, scale.batches):
        for name, form in decode_forms(scale, batch, heads, width).items():
            row: Row = {
                "op": "decode", "impl": name, "pass": "step", "B": batch, "T": 1, "H": heads, "K": width,
                "dtype": "bfloat16", "bytes": form.num_bytes,
            }  # fmt: skip
            with torch.no_grad():
                form.step()
                row |= {"ms": 1.0} if scale.is_selftest else gpu.graph_ms(form.step, num_calls=20, rep_ms=40)
            row["floor_frac"] = form.num_bytes / limits["copy_bytes_per_s"] * 1e3 / row["ms"]
            rows.append(row)
            print_row(row)
    return rows


def agreement(scale: Scale) -> list[Row]:
    """Returns how far decoding, prefill in pieces and one forward pass are apart, by layer and width."""
    rows = []
    length = 300 if not scale.is_selftest else 70
    for width in scale.widths:
        for layer in LAYERS:
            slope = slopes(64, layer, 80)[::8].to(scale.device)
            q, k, v = (silu_normal(length, len(slope), width, device=scale.device) for _ in range(3))
            with torch.no_grad():
                whole = lightning_attention(q[None], k[None], v[None], slope, is_invariant=True).output[0]
            pool = LightningPool.allocate(
                num_slots=2, num_heads=len(slope), head_dim=width, dtype=torch.bfloat16, device=scale.device
            )
            slots = torch.ones(1, dtype=torch.int32, device=scale.device)
            state = torch.zeros(1, len(slope), width, width, device=scale.device)
            aligned, plain = torch.empty_like(whole), torch.empty_like(whole)
            for t in range(length):
                one = slice(t, t + 1)
                seen = torch.tensor([t], device=scale.device)
                aligned[one] = decode_pool(q[one], k[one], v[one], slope, pool, slots=slots, lengths=seen)
                plain[one] = lightning_decode(q[one], k[one], v[one], slope, state)
            for name, output in (("aligned step", aligned), ("plain step", plain)):
                difference = (output.float() - whole.float()).abs()
                rows.append({
                    "form": name, "layer": layer, "K": width, "tokens": length, "max_abs": difference.max().item(),
                    "num_different": int((difference > 0).sum()), "num_elements": difference.numel(),
                    "relative": gpu.relative_error(output, whole.double()),
                })  # fmt: skip
                print(f"{name} against forward, layer {layer}, K {width}: {rows[-1]['num_different']} of "
                      f"{rows[-1]['num_elements']} differ, largest {rows[-1]['max_abs']:.2e}", flush=True)  # fmt: skip
    return rows


def main(*, is_selftest: bool = False, is_short: bool = False) -> None:
    """Checks, measures, prints and writes the results."""
    started = time.perf_counter()
    small = Scale(device="cpu", lengths=(70,), heads=(2,), widths=(16,), batches=(2,), check_length=40, check_heads=2)
    short = Scale(lengths=(2048, 8192, 32768), widths=(128,), softmax_length_max=0)
    scale = small if is_selftest else short if is_short else Scale()
    if is_selftest:
        limits = {"copy_bytes_per_s": 1e10, "matmul_flops_per_s": 1e11}
    else:
        precompile(max(1, min(14, (os.cpu_count() or 2) - 2)), scale.widths)
        print(f"precompiled after {time.perf_counter() - started:.0f} s", flush=True)
        limits = {"copy_bytes_per_s": gpu.copy_bytes_per_s(), "matmul_flops_per_s": gpu.matmul_flops_per_s()}
    print(gpu.hardware(), {name: f"{value:.3e}" for name, value in limits.items()}, flush=True)
    errors, refused = check(scale)
    content = {
        "command": "python -m benchmarks.lightning", "layer": "0 of 80", **limits, "errors_vs_float64": errors,
        "refused": sorted(refused), "agreement": agreement(scale), "rows": decode_rows(scale, limits),
    }  # fmt: skip
    for row in attention_rows(scale, limits, errors, refused):
        content["rows"].append(row)
        content["seconds"] = time.perf_counter() - started
        if not is_selftest:
            # After each row: a run that is cut short keeps what it has.
            gpu.write_result("lightning_short" if is_short else "lightning", content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--selftest", action="store_true")
    parser.add_argument(
        "--short", action="store_true", help="up to 32K tokens and width 128, without softmax attention"
    )
    arguments = parser.parse_args()
    main(is_selftest=arguments.selftest, is_short=arguments.short)
