"""One row for every trained token of the updates from one generation batch: what the monitors look at.

A completion is a document of the batch here: a rollout whose turns became several sequences counts as several.
"""

from collections.abc import Sequence

import numpy as np

from fulmen.train import StepResult
from fulmen.types import Batch

NUM_DECILES = 10


def token_table(batches: Sequence[Batch], steps: Sequence[StepResult]) -> dict[str, np.ndarray]:
    """Returns the columns of `steps[i].tokens` joined in training order, and what their batches know of each token.

    Added to them: `step` (which of the optimizer steps), `document` (counted through all steps), `position` (trained
    tokens before it in its document), `length` (trained tokens of its document), `token_weight`, and `old_logprobs`
    and `advantage` where the batches have them.
    """
    parts = [_of_batch(batch, index) for index, batch in enumerate(batches)]
    first_documents = np.cumsum([0, *(len(batch.cu_seqlens) - 1 for batch in batches)])
    for part, step, first in zip(parts, steps, first_documents[:-1], strict=True):
        part["document"] += first
        assert all(len(values) == len(part["step"]) for values in step.tokens.values()), "tokens of another batch"
        part |= step.tokens
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _of_batch(batch: Batch, index: int) -> dict[str, np.ndarray]:
    num_documents = len(batch.cu_seqlens) - 1
    document = np.repeat(np.arange(num_documents), np.diff(batch.cu_seqlens))[batch.mask_T]
    lengths_N = np.bincount(document, minlength=num_documents)
    columns = {
        "step": np.full(len(document), index),
        "document": document,
        "position": np.arange(len(document)) - (np.cumsum(lengths_N) - lengths_N)[document],
        "length": lengths_N[document],
        "token_weight": batch.token_weights_T[batch.mask_T],
    }
    for name, values in (("old_logprobs", batch.old_logprobs_T), ("advantage", batch.advantages_T)):
        if values is not None:
            columns[name] = values[batch.mask_T]
    return columns


def deciles(tokens: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the tenth of its completion, 0 to 9, that each token lies in."""
    return NUM_DECILES * tokens["position"] // tokens["length"]


def decile_means(values: np.ndarray, decile: np.ndarray) -> np.ndarray:
    """Returns the mean of the values in each tenth; nan for one without a token."""
    counts = np.bincount(decile, minlength=NUM_DECILES)
    sums = np.bincount(decile, values, minlength=NUM_DECILES)
    return np.divide(sums, counts, out=np.full(NUM_DECILES, np.nan), where=counts > 0)
