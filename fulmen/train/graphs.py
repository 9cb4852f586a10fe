"""Forward and backward passes as CUDA graphs: a small model's kernels are shorter than the host takes to launch them.

A graph is of one padded shape (`arrange.py`) and one loss; it is captured when a shape comes a second time, and the
graphs share one pool of memory, since they never run at once. Left out: models whose passes ask the host (experts,
lightning layers, MLA, MTP modules) and parameters without fp32 masters, whose gradients have no fixed place.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fulmen.model import Model

GRAPHS_MAX = 12
"""Graphs that are kept; the one that was not used longest goes."""
WARMUPS = 2


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A graph, where its inputs are written to and its results are read."""

    graph: "torch.cuda.CUDAGraph"
    inputs: dict[str, Tensor]
    results: dict[str, Tensor]


def is_capturable(model: Model, *, has_masters: bool) -> bool:
    """Returns whether passes over a model can be graphs."""
    config = model.config
    is_plain = set(config.mixers) == {"S"} and not config.num_experts and not config.mtp_depth
    return is_plain and has_masters and model.lm_head.weight.is_cuda


class PassGraphs:
    """Graphs of `run_pass(inputs) -> results`, a function of device tensors that adds gradients to `gradient`."""

    def __init__(self) -> None:
        self._graphs: OrderedDict[Any, Captured] = OrderedDict()
        self._seen: set[Any] = set()
        self._pool: Any = None

    def find(self, key: Any, inputs: dict[str, Tensor], gradient: Tensor,
             run_pass: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Captured | None:  # fmt: skip
        """Returns the graph of a key, captured now if the key is known; None the first time."""
        if key in self._graphs:
            self._graphs.move_to_end(key)
            return self._graphs[key]
        if key not in self._seen:
            self._seen.add(key)
            return None
        if len(self._graphs) >= GRAPHS_MAX:
            self._graphs.popitem(last=False)
        self._graphs[key] = self._capture(inputs, gradient, run_pass)
        return self._graphs[key]

    def _capture(self, inputs: dict[str, Tensor], gradient: Tensor,
                 run_pass: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Captured:  # fmt: skip
        before = gradient.clone()
        static = {name: x.clone() for name, x in inputs.items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUPS):
                run_pass(static)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            results = run_pass(static)
        gradient.copy_(before)
        return Captured(graph=graph, inputs=static, results=results)

    def release(self) -> None:
        """Gives the graphs' memory back; they are captured again when they are needed."""
        self._graphs.clear()
        self._pool = None


def replay(captured: Captured, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns copies of what a graph makes of new inputs."""
    for name, tensor in inputs.items():
        captured.inputs[name].copy_(tensor, non_blocking=True)
    captured.graph.replay()
    return {name: x.clone() for name, x in captured.results.items()}
