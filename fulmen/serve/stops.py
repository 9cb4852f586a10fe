"""When a completion ends. Axes: `R` rows."""

from typing import get_args

import torch
from torch import Tensor

from fulmen.types import StopReason

REASONS: tuple[StopReason, ...] = get_args(StopReason)
"""Stop codes on the device are 1 + the index into this tuple; 0 goes on."""


def update_repetition(run_R: Tensor, model_p_R: Tensor, threshold_R: Tensor) -> Tensor:
    """Returns the number of consecutive tokens, the newest included, whose probability is above the threshold.

    Source: MiniMax-M1 report, section 4.2 (halt after 3,000 consecutive tokens of probability above 0.99).
    """
    return torch.where(model_p_R > threshold_R, run_R + 1, 0)


def stop_codes(
    token_ids_R: Tensor, num_tokens_R: Tensor, run_R: Tensor, *, end_id: int, max_tokens_R: Tensor, window_R: Tensor
) -> Tensor:
    """Returns 0 for rows that go on, else 1 + the index of the reason; an end token outranks the other two."""
    code = torch.where(num_tokens_R >= max_tokens_R, 1 + REASONS.index("length"), 0)
    code = torch.where(run_R >= window_R, 1 + REASONS.index("repetition"), code)
    return torch.where(token_ids_R == end_id, 1 + REASONS.index("stop"), code)
