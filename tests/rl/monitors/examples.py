"""Token tables made by hand, for the tests of this folder."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def make_table(
    lengths: Sequence[int],
    *,
    advantages: Sequence[float] | None = None,
    logprobs: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    token_weight: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Returns the table of completions of these lengths: log-probability -1, weight 1, token weights summing to 1."""
    num_tokens = sum(lengths)
    length = np.repeat(np.array(lengths), lengths)
    drawn = np.full(num_tokens, -1.0, np.float32) if logprobs is None else logprobs.astype(np.float32)
    return {
        "target_ids": np.arange(num_tokens),
        "logprobs": drawn,
        "old_logprobs": drawn,
        "entropy": np.full(num_tokens, 0.5, np.float32),
        "weight": np.ones(num_tokens, np.float32) if weight is None else weight.astype(np.float32),
        "advantage": np.repeat(np.array(advantages or [1.0] * len(lengths), np.float32), lengths),
        "token_weight": np.full(num_tokens, 1 / num_tokens, np.float32)
        if token_weight is None
        else token_weight.astype(np.float32),
        "step": np.zeros(num_tokens, np.int64),
        "document": np.repeat(np.arange(len(lengths)), lengths),
        "position": np.concatenate([np.arange(n) for n in lengths]),
        "length": length,
    }


@dataclass(frozen=True, kw_only=True)
class FakeUpdate:
    """What monitors see of an update."""

    tokens: dict[str, np.ndarray]
    sampler_logprobs: np.ndarray
    learner_logprobs: np.ndarray


def make_update(tokens: dict[str, np.ndarray], *, noise: float = 0.0, seed: int = 0) -> FakeUpdate:
    """Returns an update whose learner's log-probabilities are off by so much, where probabilities vary."""
    rng = np.random.default_rng(seed)
    sampler = -rng.exponential(size=len(tokens["position"]))
    learner = sampler + noise * rng.normal(size=len(sampler))
    return FakeUpdate(tokens=tokens, sampler_logprobs=sampler, learner_logprobs=learner)
