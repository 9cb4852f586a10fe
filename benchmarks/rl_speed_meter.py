"""One clock for both sides of `benchmarks.rl_speed`: iterations, their parts, memory, and when to stop.

The device is synchronised at every boundary. An iteration runs from the end of the one before to the end of its last
optimizer step, so that it holds everything, data loading included; the first one (compilation, graphs, allocator) is
cold and counts in no rate. What is not generation or reward counts as learning.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from fulmen.model.flops import mfu


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long a setting is measured."""

    num_warm: int
    """Iterations wanted after the cold one."""
    least_warm: int
    """Iterations that are made even past the share."""
    share_ends_at: float
    """Moment of time.perf_counter after which no iteration beyond `least_warm` should end."""
    ends_at: float
    """Moment after which no iteration should end."""


@dataclass(kw_only=True)
class Iteration:
    """Seconds of one RL iteration."""

    wall_s: float = 0.0
    generation_s: float = 0.0
    reward_s: float = 0.0

    @property
    def learner_s(self) -> float:
        """Seconds that are neither generation nor reward."""
        return self.wall_s - self.generation_s - self.reward_s


class Meter:
    """Measures one setting, from before its model is loaded."""

    def __init__(self, plan: Plan, *, device: str) -> None:
        self.plan, self.device = plan, device
        self.iterations: list[Iteration] = []
        self.num_generations = 0
        self.num_steps = 0
        """Optimizer steps."""
        self._open = Iteration()
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self._created_at = self._border = self.now()
        self.setup_s = 0.0

    def now(self) -> float:
        """Returns the time once the device has done all it was asked."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def begin(self) -> None:
        """Says that models and optimizer are there: the cold iteration begins."""
        self._border = self.now()
        self.setup_s = self._border - self._created_at

    @contextlib.contextmanager
    def generation(self) -> Iterator[None]:
        """Counts what runs inside as generation."""
        started = self.now()
        yield
        self._open.generation_s += self.now() - started
        self.num_generations += 1

    @contextlib.contextmanager
    def reward(self) -> Iterator[None]:
        """Counts what runs inside as reward."""
        started = self.now()
        yield
        self._open.reward_s += self.now() - started

    def end_iteration(self) -> bool:
        """Closes an iteration; returns whether there is to be another."""
        ended = self.now()
        self._open.wall_s = ended - self._border
        self.iterations.append(self._open)
        self._open, self._border = Iteration(), ended
        num_warm, expected = len(self.iterations) - 1, ended + self.iterations[-1].wall_s
        if num_warm >= self.plan.num_warm or (num_warm and expected > self.plan.ends_at):
            return False
        return num_warm < self.plan.least_warm or expected <= self.plan.share_ends_at

    def row(self, *, num_generated: int, num_trained: int, flops: float) -> dict[str, Any]:
        """Returns rates by the medians of the warm iterations, their spread, and memory."""
        cold, *warm = self.iterations
        row: dict[str, Any] = {"warm_iterations": len(warm), "setup_s": self.setup_s, "cold_iteration_s": cold.wall_s}
        if warm:
            wall, generation, reward, learner = (
                statistics.median(getattr(i, name) for i in warm)
                for name in ("wall_s", "generation_s", "reward_s", "learner_s")
            )
            row |= {
                "iterations_per_hour": 3600 / wall, "optimizer_steps_per_hour": 3600 / wall * self._steps_each(),
                "rollout_tok_per_s": num_generated / generation, "learner_tok_per_s": num_trained / learner,
                "learner_mfu": mfu(flops, seconds=learner), "iteration_s": wall,
                "iteration_s_min": min(i.wall_s for i in warm), "iteration_s_max": max(i.wall_s for i in warm),
                "generation_s": generation, "reward_s": reward, "learner_s": learner,
            }  # fmt: skip
        if self.device == "cuda":
            row |= {
                "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
                "peak_reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
            }
        row["iterations"] = [vars(i) for i in self.iterations]
        return row

    def _steps_each(self) -> float:
        return self.num_steps / len(self.iterations)
