"""What lightning attention is measured against: fla's three operators and torch's softmax attention.

fla (flash-linear-attention, `pip install fla-core`) is compared at the same decay: `g_gamma` is the log of the decay
per head and `scale` is 1. Its kernels tune themselves at first use over dozens of configurations; `precompile` compiles
those in several processes first. Leaves out fla's `chunk_lightning_attn`, which computes another decay.
"""

import importlib.util
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HAS_FLA = importlib.util.find_spec("fla") is not None
Operator = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""From q, k, v `[B, T, H, D]` and slopes `[H]` to the output."""


def fla_chunk(q: Tensor, k: Tensor, v: Tensor, slope: Tensor) -> Tensor:
    """Returns fla's chunked form: states in memory, two kernels forward."""
    from fla.ops.simple_gla import chunk_simple_gla

    return chunk_simple_gla(q, k, v, g_gamma=-slope, scale=1.0)[0]


def fla_fused_chunk(q: Tensor, k: Tensor, v: Tensor, slope: Tensor) -> Tensor:
    """Returns fla's one-pass form."""
    from fla.ops.simple_gla import fused_chunk_simple_gla

    return fused_chunk_simple_gla(q, k, v, g_gamma=-slope, scale=1.0)[0]


def fla_step(q: Tensor, k: Tensor, v: Tensor, slope: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Returns one step of fla's recurrence: output and new state, `[B, 1, H, D]` and `[B, H, D, D]`."""
    from fla.ops.simple_gla import fused_recurrent_simple_gla

    return fused_recurrent_simple_gla(q, k, v, g_gamma=-slope, scale=1.0, initial_state=state, output_final_state=True)


def softmax_attention(backend: str) -> Operator:
    """Returns torch's causal softmax attention on one backend, `CUDNN_ATTENTION` or `FLASH_ATTENTION`."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    chosen = getattr(SDPBackend, backend)

    def attend(q: Tensor, k: Tensor, v: Tensor, slope: Tensor) -> Tensor:
        with sdpa_kernel([chosen]):
            q, k, v = (x.transpose(1, 2) for x in (q, k, v))
            return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    return attend


def precompile(num_workers: int, widths: tuple[int, ...]) -> None:
    """Compiles every configuration that fla's tuners may try into Triton's cache on disk, in several processes."""
    if not HAS_FLA:
        return
    command = [sys.executable, "-m", "benchmarks.lightning_peers"]
    workers = [
        subprocess.Popen(
            [*command, str(index), str(num_workers), *map(str, widths)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for index in range(num_workers)
    ]
    for worker in workers:
        worker.wait()


def compile_share(index: int, num_workers: int, widths: tuple[int, ...]) -> None:
    """Compiles every `num_workers`-th configuration of each tuned kernel, launching none of them."""
    import fla.ops.utils.cache
    from triton.runtime.autotuner import Autotuner

    def compile_only(self: Any, *args: Any, **kwargs: Any) -> None:
        self.nargs = dict(zip(self.arg_names, args, strict=False))
        offset = zlib.crc32(self.base_fn.__name__.encode())
        for number, config in enumerate(self.prune_configs(kwargs)):
            if (number + offset) % num_workers == index:
                try:
                    self.fn.run(*args, **{**kwargs, "warmup": True}, **config.all_kwargs())
                except Exception as error:
                    # A configuration that does not compile is one that the tuner drops too.
                    print(f"{self.base_fn.__name__}: {error}", file=sys.stderr)

    Autotuner.run = compile_only
    fla.ops.utils.cache.CachedAutotuner.run = compile_only
    for width in widths:
        for num_heads in (64, 16):
            slope = torch.full((num_heads,), 0.1, device="cuda")
            shape = (1, 256, num_heads, width)
            q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16).requires_grad_() for _ in range(3))
            for operator in (fla_chunk, fla_fused_chunk):
                output = operator(q, k, v, slope)
                torch.autograd.grad(output, (q, k, v), torch.ones_like(output))
            step = [torch.randn(2, 1, num_heads, width, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
            with torch.no_grad():
                fla_step(*step, slope, torch.zeros(2, num_heads, width, width, device="cuda"))


if __name__ == "__main__":
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    compile_share(int(sys.argv[1]), int(sys.argv[2]), tuple(map(int, sys.argv[3:])))
