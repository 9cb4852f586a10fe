"""What every GPU benchmark shares: the machine, its measured limits, timing, memory, errors and the JSON of results.

Limits are measured on the card at hand, because a data sheet's figure is never reached: a device-to-device copy for
bytes, one large bfloat16 product for operations. Leaves out multi-GPU timing. Timings are milliseconds, as Triton's.
"""

import datetime
import json
import os
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Timing = dict[str, float]
"""`ms` (the median) and the 20th and 80th percentile, `p20` and `p80`."""


def hardware() -> dict[str, Any]:
    """Returns what the numbers depend on: GPU, its multiprocessors, and versions of torch, triton and CUDA.

    Without a GPU, `gpu` is "cpu" and the number of multiprocessors 0.
    """
    import triton

    is_cuda = torch.cuda.is_available()
    properties = torch.cuda.get_device_properties(0) if is_cuda else None
    return {
        "gpu": "cpu" if properties is None else properties.name,
        "num_sms": 0 if properties is None else properties.multi_processor_count,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "cuda": torch.version.cuda,
    }


def hardware_slug() -> str:
    """Returns the GPU's short name for file names, such as "h100"."""
    words = re.findall(r"[a-z]*\d+[a-z]*|[a-z]+", hardware()["gpu"].lower())
    skipped = {"nvidia", "geforce", "tesla", "rtx"}
    return next((word for word in words if word not in skipped), "gpu")


def copy_bytes_per_s(*, num_bytes: int = 2 << 30) -> float:
    """Returns bytes per second of a device-to-device copy of `num_bytes`, counting what is read and what is written."""
    source = torch.zeros(num_bytes // 4, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    timing = median_ms(lambda: target.copy_(source), warmup_ms=20, rep_ms=100)
    return 2 * source.numel() * 4 / (timing["ms"] * 1e-3)


def matmul_flops_per_s(*, size: int = 8192) -> float:
    """Returns operations per second of one bfloat16 product `size`^3, on normal operands."""
    a, b = (torch.randn(size, size, device="cuda").bfloat16() for _ in range(2))
    timing = median_ms(lambda: a @ b, warmup_ms=50, rep_ms=200)
    return 2 * size**3 / (timing["ms"] * 1e-3)


def median_ms(fn: Callable[[], object], *, warmup_ms: float = 25, rep_ms: float = 100) -> Timing:
    """Returns median and spread of one call; the L2 cache is emptied before each.

    `warmup_ms` and `rep_ms` are the time to spend, from which triton.testing.do_bench derives the number of calls.
    """
    from triton.testing import do_bench

    ms, p20, p80 = do_bench(fn, warmup=warmup_ms, rep=rep_ms, quantiles=[0.5, 0.2, 0.8])
    return {"ms": ms, "p20": p20, "p80": p80}


def graph_ms(
    fn: Callable[..., object],
    inputs: Sequence[tuple[Any, ...]] = ((),),
    *,
    num_calls: int = 20,
    warmup_ms: float = 25,
    rep_ms: float = 100,
) -> Timing:
    """Returns median and spread of one call inside a CUDA graph of `num_calls` calls, which take turns at `inputs`.

    Launch gaps shrink to what a graph has. Pass several input sets, together larger than the L2 cache, to keep it
    cold; one set measures it warm. A result is freed at once, so later calls write the same memory; pass outputs in
    `inputs` where that matters. `fn` must not synchronise.
    """
    num_calls = max(num_calls, len(inputs))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for args in inputs:
            fn(*args)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in range(num_calls):
            fn(*inputs[call % len(inputs)])

    def replay_ms() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)

    estimate = max(statistics.median(replay_ms() for _ in range(3)), 1e-3)
    for _ in range(max(1, int(warmup_ms / estimate))):
        graph.replay()
    samples = [replay_ms() / num_calls for _ in range(max(5, int(rep_ms / estimate)))]
    p20, ms, p80 = (quantile(samples, q) for q in (0.2, 0.5, 0.8))
    return {"ms": ms, "p20": p20, "p80": p80}


def quantile(samples: Sequence[float], q: float) -> float:
    """Returns the q-quantile of the samples, interpolated between neighbours."""
    return torch.tensor(samples, dtype=torch.float64).quantile(q).item()


def peak_bytes(fn: Callable[[], object]) -> int:
    """Returns the most bytes allocated during one call, above what was allocated before it.

    The call's result counts. One call is made before, so that caches which a first call fills do not count.
    """
    fn()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = fn()
    torch.cuda.synchronize()
    del result
    return torch.cuda.max_memory_allocated() - before


def relative_error(actual: Tensor, exact: Tensor) -> float:
    """Returns |actual - exact| / |exact| in the Frobenius norm, in float64; inf if either has a NaN or infinity.

    Where `exact` is all zeros: 0 if `actual` is too, else inf.
    """
    exact_64 = exact.detach().double()
    difference = (actual.detach().to(exact_64) - exact_64).norm().item()
    norm = exact_64.norm().item()
    if difference == 0.0:
        return 0.0
    error = difference / norm if norm > 0 else float("inf")
    return error if error < float("inf") else float("inf")


def results_folder() -> Path:
    """Returns where results go: the folder in the environment variable OUT if it is set, else benchmarks/results."""
    return Path(os.environ["OUT"]) if os.environ.get("OUT") else Path(__file__).parent / "results"


def write_result(name: str, content: dict[str, Any]) -> Path:
    """Writes `<results_folder>/<name>_<hardware>_<date>.json` and returns its path; adds name, date and hardware."""
    folder = results_folder()
    folder.mkdir(parents=True, exist_ok=True)
    date = datetime.date.today().isoformat()
    path = folder / f"{name}_{hardware_slug()}_{date}.json"
    record = {"benchmark": name, "date": date, "hardware": hardware(), **content}
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
