"""How large gradients are, decade by decade, how many AdamW's eps would stop, and whether they agree over steps.

The report saw magnitudes from 1e-18 to 1e-5, most below 1e-14, and gradients of successive steps that correlate
weakly; hence its eps of 1e-15 and beta2 of 0.95. Source: MiniMax-M1 report, section 3.2.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fulmen.errors import CheckpointError, ConfigError

DECADES = range(-20, 2)
"""k of the decades [10^k, 10^(k+1)): from 1e-20 to 1e2."""
DECADE_EDGES = [float(f"1e{k}") for k in (*DECADES, DECADES[-1] + 1)]
BLOCK = 1 << 24
"""Entries looked at together: bounds the memory for it."""


@dataclass(frozen=True, kw_only=True)
class Magnitudes:
    """Histogram of |g|; counts of entries."""

    num_zero: int
    num_below: int
    """Not zero, but below the first decade."""
    num_decade: tuple[int, ...]
    """One per decade of `DECADES`."""
    num_above: int
    """Finite, but above the last decade."""
    num_nonfinite: int
    num_tiny: int
    """Below eps, zeros too: parameters that AdamW silently hardly moves."""

    @property
    def num_entries(self) -> int:
        """All of them."""
        return self.num_zero + self.num_below + sum(self.num_decade) + self.num_above + self.num_nonfinite

    @property
    def tiny_frac(self) -> float:
        """Share of entries below eps."""
        return self.num_tiny / max(self.num_entries, 1)

    def quantile(self, q: float) -> float:
        """Returns log10 of a quantile of the finite nonzero magnitudes, interpolated within its decade; nan if none.

        What lies beyond the decades counts as the first or last border.
        """
        counts = np.array([self.num_below, *self.num_decade, self.num_above], np.float64)
        if not counts.sum():
            return math.nan
        reached = np.cumsum(counts)
        place = int(np.searchsorted(reached, max(q * reached[-1], np.finfo(np.float64).tiny)))
        if place == 0:
            return float(DECADES[0])
        if place == len(counts) - 1:
            return float(DECADES[-1] + 1)
        inside = (q * reached[-1] - reached[place - 1]) / counts[place]
        return float(DECADES[place - 1] + inside)

    def metrics(self) -> dict[str, object]:
        """Returns what metrics.jsonl keeps of it; the same names at every step."""
        return {
            "grad_hist": [self.num_below, *self.num_decade, self.num_above],
            "grad_edges": list(DECADE_EDGES),
            "tiny_grad_frac": self.tiny_frac,
            "zero_grad_frac": self.num_zero / max(self.num_entries, 1),
            "nonfinite_grad_frac": self.num_nonfinite / max(self.num_entries, 1),
            "grad_log10_q01": self.quantile(0.01),
            "grad_log10_q50": self.quantile(0.5),
            "grad_log10_q99": self.quantile(0.99),
        }


@torch.no_grad()
def gradient_magnitudes(gradients: Iterable[Tensor], *, eps: float) -> Magnitudes:
    """Returns the histogram of |g| over all entries of the gradients, and how many are below `eps`.

    One pass that leaves one byte per entry; the device is waited for at the end, not for every tensor. Borders are
    rounded to the gradient's dtype, float32 for half precision.

    Cost: 30 bytes of memory traffic per float32 entry; memory of one byte per entry and of a block.

    Raises: ConfigError unless eps is positive and finite.
    """
    if not 0 < eps < math.inf:
        raise ConfigError(f"eps={eps}; allowed: positive and finite")
    # eps is a border of its own, so that its share is counted and not interpolated.
    edges = sorted({eps, *DECADE_EDGES})
    borders: dict[tuple[torch.dtype, torch.device], Tensor] = {}
    codes = []
    for block in _blocks(gradients):
        dtype = torch.promote_types(block.dtype, torch.float32)
        key = (dtype, block.device)
        if key not in borders:
            smallest = torch.nextafter(torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)).item()
            borders[key] = torch.tensor([smallest, *edges, math.inf], dtype=dtype).to(block.device)
        code = torch.bucketize(block.to(dtype).abs(), borders[key], right=True, out_int32=True)
        codes.append(code.to(torch.uint8))
    # Codes: 0 for zero, then one for each interval that begins at 0 or an edge, then infinities and nan.
    num_codes = len(edges) + 3
    counts = np.array(torch.bincount(torch.cat(codes), minlength=num_codes).tolist() if codes else [0] * num_codes)
    lower = np.array([0.0, *edges])
    place = np.searchsorted(DECADE_EDGES, lower, side="right")
    below, *decades, above = np.bincount(place, counts[1:-1], minlength=len(DECADE_EDGES) + 1).astype(int).tolist()
    return Magnitudes(
        num_zero=int(counts[0]),
        num_below=below,
        num_decade=tuple(decades),
        num_above=above,
        num_nonfinite=int(counts[-1]),
        num_tiny=int(counts[0] + counts[1:-1][lower < eps].sum()),
    )


def _blocks(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yields all entries in rows of at most BLOCK of one dtype and device: many small tensors are looked at at once."""
    held: list[Tensor] = []
    for piece in (piece for tensor in tensors for piece in tensor.detach().flatten().split(BLOCK)):
        is_other = bool(held) and (held[0].dtype, held[0].device) != (piece.dtype, piece.device)
        if is_other or sum(map(len, held)) + len(piece) > BLOCK:
            yield torch.cat(held)
            held = []
        held.append(piece)
    if held:
        yield torch.cat(held)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Of the gradients of two successive steps; nan at the first and where one is not finite."""

    correlation: float
    """Pearson's, which the largest entries decide; nan where a step's gradient is constant."""
    same_sign_frac: float
    """Share of the entries, nonzero in both, whose sign is the same: 0.5 without any agreement."""


class GradientCorrelation:
    """Compares successive gradients on a fixed random subset of their entries.

    A parameter without a gradient counts as zeros.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, num_entries: int = 8192, seed: int = 0) -> None:
        if num_entries < 2:
            raise ConfigError(f"num_entries={num_entries}; allowed: at least 2")
        self._parameters = list(parameters)
        borders = np.cumsum([0, *(p.numel() for p in self._parameters)])
        # Drawn with repetition and thinned: choosing without needs a permutation of all entries.
        chosen = np.unique(np.random.default_rng(seed).integers(0, borders[-1], num_entries))
        self._places = [
            torch.from_numpy(chosen[(chosen >= first) & (chosen < last)] - first).to(p.device)
            for p, first, last in zip(self._parameters, borders[:-1], borders[1:], strict=True)
        ]
        self._previous: np.ndarray | None = None

    @torch.no_grad()
    def observe(self) -> Agreement:
        """Returns the agreement of the parameters' present gradients with those of the last call."""
        entries = [
            torch.zeros(len(places), device=p.device) if p.grad is None else p.grad.reshape(-1)[places].float()
            for p, places in zip(self._parameters, self._places, strict=True)
        ]
        now = torch.cat(entries).cpu().numpy().astype(np.float64)
        before, self._previous = self._previous, now
        if before is None or not (np.isfinite(before).all() and np.isfinite(now).all()):
            return Agreement(correlation=math.nan, same_sign_frac=math.nan)
        is_told = (before != 0) & (now != 0)
        is_constant = before.min() == before.max() or now.min() == now.max()
        return Agreement(
            correlation=math.nan if is_constant else float(np.corrcoef(before, now)[0, 1]),
            same_sign_frac=float(((before > 0) == (now > 0))[is_told].mean()) if is_told.any() else math.nan,
        )

    def state(self) -> list[float] | None:
        """Returns the entries of the last step as JSON values, None before the first; they survive exactly."""
        return None if self._previous is None else self._previous.tolist()

    def load(self, state: list[float] | None) -> None:
        """Goes on from a state.

        Raises: CheckpointError when it is of another subset.
        """
        if state is not None and len(state) != sum(map(len, self._places)):
            raise CheckpointError(
                f"gradient correlation: {len(state)} entries; allowed: {sum(map(len, self._places))}, of the same model"
            )
        self._previous = None if state is None else np.array(state, np.float64)
