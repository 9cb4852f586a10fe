"""What kernel tests measure with."""

import torch
from torch import Tensor


def relative_error(actual: Tensor, exact: Tensor) -> float:
    """Returns |actual - exact| / |exact| in the Frobenius norm, in float64; inf if `actual` has a NaN."""
    difference = (actual.detach().double() - exact.detach().double()).norm().item()
    norm = exact.detach().double().norm().item()
    if difference == 0.0:
        return 0.0
    return difference / norm if norm > 0 and difference == difference else float("inf")


def draw(*shape: int, seed: int) -> Tensor:
    """Returns normal float64 numbers that depend on the seed alone."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
