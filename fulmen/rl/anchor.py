"""Which policy the importance ratio is taken against: the one that sampled, or the learner's own before its updates.

Ours sample and learn with the same kernels, so `rollout` costs no forward pass and is exact; it is also what makes
the cap act with one update per batch. `recomputed` is for other engines: there the ratio is between two numbers of the
learner, and what the engine computed otherwise comes in as a bounded factor. Axes: `T` tokens.
"""

import dataclasses
from typing import Literal

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.types import Batch

Anchor = Literal["rollout", "recomputed"]

INERT = 1e-6
"""|log r| up to which a ratio is 1 but for rounding."""


def check_anchor(anchor: Anchor, mismatch_max: float | None) -> None:
    """Raises: ConfigError for `rollout` with a cap, which would correct twice, and `recomputed` without one."""
    if anchor == "rollout" and mismatch_max is not None:
        raise ConfigError(
            f"mismatch_max={mismatch_max}; allowed: None with anchor='rollout', whose ratio corrects mismatch already"
        )
    if anchor == "recomputed" and (mismatch_max is None or not mismatch_max >= 1):
        raise ConfigError(f"mismatch_max={mismatch_max}; allowed: at least 1 with anchor='recomputed'")


def anchored(
    batch: Batch,
    *,
    anchor: Anchor = "rollout",
    recomputed_logprobs_T: np.ndarray | None = None,
    mismatch_max: float | None = None,
) -> Batch:
    """Returns the batch to train on.

    With `recomputed`, `old_logprobs_T` are those given (`Trainer.logprobs` before the first update) and the factor
    min(pi_recomputed / pi_rollout, mismatch_max) of each token is multiplied into its `token_weights_T`, a constant
    to every loss. The weights then need not sum to 1. With `rollout` it is the batch itself.

    Raises: ConfigError as `check_anchor`, or for recomputed numbers that `rollout` would not use; DataError for a
    batch without rollout log-probabilities, or recomputed ones that are missing or not aligned.
    """
    check_anchor(anchor, mismatch_max)
    if anchor == "rollout":
        if recomputed_logprobs_T is not None:
            raise ConfigError("anchor='rollout' with recomputed_logprobs_T; allowed: None, one anchor at a time")
        return batch
    if recomputed_logprobs_T is None or recomputed_logprobs_T.shape != batch.token_ids_T.shape:
        found = None if recomputed_logprobs_T is None else recomputed_logprobs_T.shape
        raise DataError(f"recomputed_logprobs_T of shape {found}; allowed: {batch.token_ids_T.shape}, one per target")
    assert mismatch_max is not None, "checked above"
    factors_T = mismatch_factors(batch, recomputed_logprobs_T, mismatch_max=mismatch_max)
    return dataclasses.replace(
        batch,
        old_logprobs_T=recomputed_logprobs_T.astype(np.float32),
        token_weights_T=(batch.token_weights_T * factors_T).astype(np.float32),
    )


def mismatch_factors(batch: Batch, recomputed_logprobs_T: np.ndarray, *, mismatch_max: float) -> np.ndarray:
    """Returns min(pi_recomputed / pi_rollout, mismatch_max) of every trained target, float64 `[T]`; 1 elsewhere.

    Raises: DataError for a batch without rollout log-probabilities.
    """
    if batch.old_logprobs_T is None:
        raise DataError("old_logprobs_T=None; allowed: the log-probabilities that the engine sampled with")
    difference_T = recomputed_logprobs_T.astype(np.float64) - batch.old_logprobs_T
    return np.exp(np.minimum(np.where(batch.mask_T, difference_T, 0.0), np.log(mismatch_max)))


def inert_cap(log_ratio: np.ndarray) -> str:
    """Returns what to warn of when r is 1 for every token of a generation batch's updates; else nothing.

    `log_ratio` is that of all its trained tokens, as `Trainer.step` returns it.
    """
    if len(log_ratio) and np.abs(log_ratio).max() > INERT:
        return ""
    return (
        "r = 1 for every token: the cap (or clip) is inert and the loss is plain REINFORCE; "
        "take more updates per batch (num_updates) or anchor='rollout'"
    )
