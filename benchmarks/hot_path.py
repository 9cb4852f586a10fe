"""The neighbours of lightning attention on the hot path: norm and gate, log-probabilities, experts; beside baselines.

    python -m benchmarks.hot_path             # one GPU, bfloat16, about two minutes with compilation
    python -m benchmarks.hot_path --selftest  # CPU, tiny shapes: runs every line, measures nothing

Every implementation is first compared with the formula in float64 on the very inputs it is timed on, outputs and
gradients; one that is off by more than its bound is refused and not timed. Inputs are normal; times are medians of
triton.testing.do_bench with an empty L2 cache (10 ms warm-up, 60 ms of repeats), forward as training runs it, with
gradients required. `floor` is the fraction of what the card can do, measured in the same run: of a device-to-device
copy's bandwidth for norm and gate (3 elements moved forward, 8 with backward), of a large product's rate for the
others, counting the operations the mathematics asks for: 2 T V D and 6 T V D for log-probabilities (ours does 8, since
it makes the logits again), 6 X D F and 18 X D F for X rows of experts. `peak` is memory above the inputs.
"""

import argparse
import functools
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu import (
    Timing,
    copy_bytes_per_s,
    hardware,
    matmul_flops_per_s,
    median_ms,
    peak_bytes,
    relative_error,
    write_result,
)
from fulmen.kernels.experts import expert_mlp
from fulmen.kernels.logprob import TILE_BYTES, token_logprobs
from fulmen.kernels.norm_gate import norm_gate

EPS = 1e-6
Function = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One operator at one shape: inputs, the exact results, and the implementations to compare."""

    op: str
    shape: str
    leaves: tuple[Tensor, ...]
    """Differentiated inputs."""
    cotangent: Tensor
    exact: tuple[Tensor, ...]
    """Output and gradients in float64."""
    bound: float
    """Largest relative error of an output or gradient that is still reported."""
    implementations: dict[str, Function]
    """From the leaves to the output."""
    floor_s: dict[str, float]
    """Seconds the card needs at least, of `fwd` and `fwd+bwd`."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the benchmark runs and how it measures there; the self-test measures nothing."""

    device: str
    is_selftest: bool
    copy_bytes_per_s: float
    matmul_flops_per_s: float

    def time(self, fn: Callable[[], object]) -> Timing:
        """Returns median and spread of one call in milliseconds."""
        if not self.is_selftest:
            return median_ms(fn, warmup_ms=10, rep_ms=60)
        started = time.perf_counter()
        fn()
        ms = 1e3 * (time.perf_counter() - started)
        return {"ms": ms, "p20": ms, "p80": ms}

    def peak(self, fn: Callable[[], object]) -> int:
        """Returns the most bytes allocated during one call."""
        return 0 if self.is_selftest else peak_bytes(fn)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Returns bfloat16 noise; the generator is torch's, seeded by main."""
        return (torch.randn(*shape, device=self.device) * scale).bfloat16()

    def compile(self, fn: Function) -> Function:
        """Returns the function under torch.compile, for one shape."""
        backend = "aot_eager" if self.is_selftest else "inductor"
        return torch.compile(fn, dynamic=False, backend=backend)


def gradients(fn: Function, leaves: Sequence[Tensor], cotangent: Tensor) -> tuple[Tensor, ...]:
    """Returns the output and the gradients of the leaves."""
    output = fn(*leaves)
    return output, *torch.autograd.grad(output, leaves, cotangent.to(output.dtype))


def rows_of(machine: Machine, case: Case) -> list[dict[str, Any]]:
    """Returns the measurements of one case, one row per implementation and pass; prints each."""
    rows = []
    for name, fn in case.implementations.items():
        # One baseline that does not run here, or not in this memory, must not cost the rest of a run on borrowed time.
        try:
            rows += measure(machine, case, name, fn)
        except Exception as error:
            traceback.print_exc(limit=3)
            print(f"failed  {case.op} {name} {case.shape}: {type(error).__name__}", flush=True)
            rows.append(
                {"op": case.op, "impl": name, "shape": case.shape, "failed": f"{type(error).__name__}: {error}"}
            )
        if not machine.is_selftest:
            torch.cuda.empty_cache()
    return rows


def measure(machine: Machine, case: Case, name: str, fn: Function) -> list[dict[str, Any]]:
    """Returns the rows of one implementation: refused, or timed forward and forward with backward."""
    found = gradients(fn, case.leaves, case.cotangent)
    errors = [relative_error(ours, exact) for ours, exact in zip(found, case.exact, strict=True)]
    del found
    common = {
        "op": case.op, "impl": name, "shape": case.shape, "dtype": "bfloat16",
        "rel_err": max(errors), "rel_errs": errors, "bound": case.bound,
    }  # fmt: skip
    if not max(errors) <= case.bound:
        print(f"refused {case.op} {name} {case.shape}: error {max(errors):.2e} > {case.bound:.2e}", flush=True)
        return [{**common, "refused": True}]
    passes: dict[str, Callable[[], object]] = {
        "fwd": lambda: fn(*case.leaves),
        "fwd+bwd": lambda: gradients(fn, case.leaves, case.cotangent),
    }
    rows = []
    for which, call in passes.items():
        timing, peak = machine.time(call), machine.peak(call)
        floor_frac = 1e3 * case.floor_s[which] / timing["ms"]
        rows.append({**common, "pass": which, **timing, "floor_frac": floor_frac, "peak_bytes": peak})
        print(
            f"{case.op:<10} {name:<30} {which:<8} {case.shape:<28} {timing['ms']:>9.3f} {floor_frac:>6.1%} "
            f"{max(errors):>9.1e} {peak / 2**20:>9.0f}",
            flush=True,
        )
    return rows


def norm_gate_case(machine: Machine, *, num_tokens: int, width: int) -> Case:
    """Returns norm and gate: ours, torch's operators one by one, and those under torch.compile."""

    def eager(x: Tensor, gate: Tensor, weight: Tensor) -> Tensor:
        return torch.sigmoid(gate) * F.rms_norm(x, (width,), weight, EPS)

    leaves = tuple(
        t.requires_grad_()
        for t in (machine.normal(num_tokens, width), machine.normal(num_tokens, width), machine.normal(width))
    )
    cotangent = machine.normal(num_tokens, width)
    parts = []
    d_weight = torch.zeros(width, dtype=torch.float64, device=machine.device)
    for rows in torch.arange(num_tokens).split(2048):
        block = slice(int(rows[0]), int(rows[-1]) + 1)
        own = [leaves[0][block], leaves[1][block], leaves[2]]
        y, dx, dgate, dw = gradients(
            lambda x, g, w: torch.sigmoid(g) * w * x / (x.square().mean(-1, keepdim=True) + EPS).sqrt(),
            [t.detach().double().requires_grad_() for t in own],
            cotangent[block],
        )
        parts.append((y.detach(), dx, dgate))
        d_weight += dw
    element_s = 2 * num_tokens * width / machine.copy_bytes_per_s
    return Case(
        op="norm_gate",
        shape=f"T{num_tokens} W{width}",
        leaves=leaves,
        cotangent=cotangent,
        exact=(*(torch.cat(column) for column in zip(*parts, strict=True)), d_weight),
        bound=1e-2,
        implementations={
            "ours": lambda x, gate, weight: norm_gate(x, gate, weight, eps=EPS),
            "torch, eager (baseline)": eager,
            "torch.compile (baseline)": machine.compile(eager),
        },
        floor_s={"fwd": 3 * element_s, "fwd+bwd": 8 * element_s},
    )


def exact_logprobs(hidden: Tensor, weight: Tensor, target_ids: Tensor, cotangent: Tensor) -> tuple[Tensor, ...]:
    """Returns log-probabilities and gradients in float64, 512 tokens at a time."""
    weight_64 = weight.detach().double()
    d_weight = torch.zeros_like(weight_64)
    parts = []
    for rows in torch.arange(len(hidden)).split(512):
        block = slice(int(rows[0]), int(rows[-1]) + 1)
        h, y, d = hidden[block].detach().double(), target_ids[block, None], cotangent[block, None].double()
        logp = (h @ weight_64.T).log_softmax(-1)
        logprob = logp.gather(1, y).squeeze(1)
        d_logits = logp.exp_().mul_(-d)
        d_logits.scatter_add_(1, y, d)
        parts.append((logprob, d_logits @ weight_64))
        d_weight += d_logits.T @ h
    logprobs, d_hidden = (torch.cat(column) for column in zip(*parts, strict=True))
    return logprobs, d_hidden, d_weight


def logprob_case(
    machine: Machine, *, num_tokens: int, width: int, num_words: int, tile_sizes: Sequence[int]
) -> Case:  # fmt: skip
    """Returns log-probabilities: ours at several tile sizes, the head in float32, and torch's losses."""
    hidden = machine.normal(num_tokens, width).requires_grad_()
    weight = machine.normal(num_words, width, scale=2.0 / width**0.5).requires_grad_()
    target_ids = torch.randint(num_words, (num_tokens,), device=machine.device)
    cotangent = torch.randn(num_tokens, device=machine.device) / num_tokens

    def ours(hidden: Tensor, weight: Tensor, tile_bytes: int) -> Tensor:
        return token_logprobs(hidden, weight, target_ids, tile_bytes=tile_bytes).logprob

    def float32_head(hidden: Tensor, weight: Tensor) -> Tensor:
        return (hidden.float() @ weight.float().T).log_softmax(-1).gather(-1, target_ids[:, None]).squeeze(-1)

    def float32_softmax(hidden: Tensor, weight: Tensor) -> Tensor:
        return -F.cross_entropy((hidden @ weight.T).float(), target_ids, reduction="none")

    def bfloat16_softmax(hidden: Tensor, weight: Tensor) -> Tensor:
        return -F.cross_entropy(hidden @ weight.T, target_ids, reduction="none")

    implementations: dict[str, Function] = {}
    for tile_bytes in tile_sizes:
        default = ", default" if tile_bytes == TILE_BYTES else ""
        implementations[f"ours, {tile_bytes >> 20} MiB tiles{default}"] = functools.partial(ours, tile_bytes=tile_bytes)
    implementations |= {
        "fp32 head (baseline)": float32_head,
        "bf16 product, fp32 loss (b.)": float32_softmax,
        "bf16 product and loss (b.)": bfloat16_softmax,
    }
    # Newer than the oldest torch that fulmen runs on.
    if hasattr(F, "linear_cross_entropy"):
        implementations["F.linear_cross_entropy (b.)"] = lambda hidden, weight: (
            -F.linear_cross_entropy(
                hidden, weight, target_ids, reduction="none", options=torch.nn.LinearCrossEntropyOptions()
            )
        )
    product_s = 2 * num_tokens * width * num_words / machine.matmul_flops_per_s
    return Case(
        op="logprob",
        shape=f"T{num_tokens} D{width} V{num_words}",
        leaves=(hidden, weight),
        cotangent=cotangent,
        exact=exact_logprobs(hidden, weight, target_ids, cotangent),
        bound=2e-2,
        implementations=implementations,
        floor_s={"fwd": product_s, "fwd+bwd": 3 * product_s},
    )


def loop_over_experts(x: Tensor, w13: Tensor, w2: Tensor, weights: Tensor, expert_ids: Tensor) -> Tensor:
    """Returns the experts' output one expert after another, in any dtype, with torch's own indexing."""
    output = torch.zeros_like(x)
    for expert in range(len(w2)):
        tokens, slots = (expert_ids == expert).nonzero(as_tuple=True)
        gate, up = F.linear(x[tokens], w13[expert]).chunk(2, dim=-1)
        own = F.linear(F.silu(gate) * up, w2[expert]) * weights[tokens, slots, None]
        output = output.index_add(0, tokens, own)
    return output


def expert_cases(
    machine: Machine, *, num_tokens: int, width: int, inner: int, num_experts: int, per_token: int
) -> list[Case]:
    """Returns experts (ours and a loop), and one dense MLP over as many rows: the most that grouping could reach."""
    x = machine.normal(num_tokens, width)
    w13 = machine.normal(num_experts, 2 * inner, width, scale=width**-0.5)
    w2 = machine.normal(num_experts, width, inner, scale=inner**-0.5)
    scores = torch.randn(num_tokens, num_experts, device=machine.device)
    weights, expert_ids = scores.softmax(-1).topk(per_token)
    weights = (weights / weights.sum(-1, keepdim=True)).bfloat16()
    leaves = tuple(t.requires_grad_() for t in (x, w13, w2, weights))
    cotangent = machine.normal(num_tokens, width)
    num_rows = num_tokens * per_token
    product_s = 6 * num_rows * width * inner / machine.matmul_flops_per_s
    floor_s = {"fwd": product_s, "fwd+bwd": 3 * product_s}
    looped = functools.partial(loop_over_experts, expert_ids=expert_ids)

    def doubled(leaves: Sequence[Tensor]) -> list[Tensor]:
        return [t.detach().double().requires_grad_() for t in leaves]

    def detached(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(t.detach() for t in results)

    grouped = Case(
        op="experts",
        shape=f"E{num_experts} X{num_rows} D{width} F{inner}",
        leaves=leaves,
        cotangent=cotangent,
        exact=detached(gradients(looped, doubled(leaves), cotangent)),
        bound=2e-2,
        implementations={
            "ours": lambda x, w13, w2, weights: expert_mlp(x, w13, w2, expert_ids, weights),
            "loop (baseline)": looped,
        },
        floor_s=floor_s,
    )

    def dense(rows: Tensor, w13: Tensor, w2: Tensor) -> Tensor:
        gate, up = F.linear(rows, w13).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, w2)

    dense_leaves = tuple(
        t.detach().requires_grad_() for t in (machine.normal(num_rows, width), w13[0].contiguous(), w2[0].contiguous())
    )
    dense_cotangent = machine.normal(num_rows, width)
    plain = Case(
        op="experts",
        shape=grouped.shape,
        leaves=dense_leaves,
        cotangent=dense_cotangent,
        exact=detached(gradients(dense, doubled(dense_leaves), dense_cotangent)),
        bound=2e-2,
        implementations={"dense MLP, same rows (limit)": dense},
        floor_s=floor_s,
    )
    return [grouped, plain]


def all_cases(machine: Machine) -> list[Callable[[], list[Case]]]:
    """Returns what is measured, each case made only when its turn comes."""
    part = functools.partial
    if machine.is_selftest:
        norm_shapes, heads = [(5, 24)], [(7, 16, 50)]
        mlps = [(9, 8, 16, 3)]
        tile_sizes: tuple[int, ...] = (1 << 20, TILE_BYTES)
    else:
        norm_shapes = [(8192, 8192), (32768, 8192)]
        heads = [(8192, width, num_words) for width in (2048, 576) for num_words in (49152, 200064)]
        mlps = [(32768, 1024, 2816, 32), (65536, 512, 704, 8)]
        tile_sizes = (64 << 20, TILE_BYTES, 1 << 30)

    def norm(num_tokens: int, width: int) -> list[Case]:
        return [norm_gate_case(machine, num_tokens=num_tokens, width=width)]

    def head(num_tokens: int, width: int, num_words: int) -> list[Case]:
        return [logprob_case(machine, num_tokens=num_tokens, width=width, num_words=num_words, tile_sizes=tile_sizes)]

    def mlp(num_tokens: int, width: int, inner: int, num_experts: int) -> list[Case]:
        return expert_cases(
            machine, num_tokens=num_tokens, width=width, inner=inner, num_experts=num_experts, per_token=2
        )

    return [
        *(part(norm, *shape) for shape in norm_shapes),
        *(part(head, *shape) for shape in heads),
        *(part(mlp, *shape) for shape in mlps),
    ]


def main(*, is_selftest: bool = False) -> list[dict[str, Any]]:
    """Measures, prints a table, writes the JSON (not in a self-test), and returns its rows."""
    started = time.perf_counter()
    torch.manual_seed(0)
    machine = Machine(
        device="cpu" if is_selftest else "cuda",
        is_selftest=is_selftest,
        copy_bytes_per_s=1e10 if is_selftest else copy_bytes_per_s(),
        matmul_flops_per_s=1e11 if is_selftest else matmul_flops_per_s(),
    )
    print(hardware())
    limits = {name: getattr(machine, name) for name in ("copy_bytes_per_s", "matmul_flops_per_s")}
    print({name: f"{value:.3e}" for name, value in limits.items()})
    print(f"{'op':<10} {'implementation':<30} {'pass':<8} {'shape':<28} {'ms':>9} {'floor':>6} {'error':>9} {'MiB':>9}")
    rows: list[dict[str, Any]] = []
    for make in all_cases(machine):
        for case in make():
            rows += rows_of(machine, case)
            # The next case's inputs must not be made beside this one's.
            del case
    wall_s = time.perf_counter() - started
    print(f"{wall_s:.0f} s")
    if not is_selftest:
        content = {"command": "python -m benchmarks.hot_path", "limits": limits, "wall_s": wall_s, "rows": rows}
        print(write_result("hot_path", content))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selftest", action="store_true", help="run every line on CPU at tiny shapes")
    main(is_selftest=parser.parse_args().selftest)
