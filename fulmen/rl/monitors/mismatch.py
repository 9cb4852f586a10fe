"""How far the sampler's probabilities are from the learner's, on the same tokens under the same weights.

Source: MiniMax-M1 report, section 3.2 and figure 3 (Pearson correlation 0.987 before, 0.997 after the fp32 head).
"""

from dataclasses import dataclass

import numpy as np

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
"""Of |difference of log-probabilities|."""
RATIO_MIN, RATIO_MAX = 0.5, 2.0
"""Probabilities that differ by more count as outside."""
LOG_RATIO_MAX = 50.0
"""Keeps exp finite."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """Agreement of two sets of log-probabilities of the same tokens; all nan where there is none."""

    pearson: float
    """Correlation of the probabilities; nan where either side is constant (one token, greedy sampling)."""
    abs_diff_max: float
    """Largest |difference of log-probabilities|."""
    abs_diff_mean: float
    abs_diff_q: tuple[float, ...]
    """`QUANTILES` of it."""
    kl_k3: float
    """KL(sampler || learner) in nats a token, estimated as the mean of r - 1 - log r with r = p_learner / p_sampler:
    never negative, and without bias on tokens that the sampler drew."""
    outside_frac: float
    """Share of tokens with r outside [0.5, 2]."""


def mismatch(sampler_logprobs: np.ndarray, learner_logprobs: np.ndarray) -> Mismatch:
    """Returns the agreement of the sampler's and the learner's log-probabilities `[tokens]`.

    Tokens whose sampler log-probability is nan are left out: drawn under weights that the learner no longer has.
    """
    is_known = ~np.isnan(sampler_logprobs)
    sampler, learner = (x[is_known].astype(np.float64) for x in (sampler_logprobs, learner_logprobs))
    if not len(sampler):
        nan = float("nan")
        return Mismatch(
            pearson=nan, abs_diff_max=nan, abs_diff_mean=nan, abs_diff_q=(nan,) * len(QUANTILES), kl_k3=nan,
            outside_frac=nan,
        )  # fmt: skip
    log_ratio = learner - sampler
    difference = np.abs(log_ratio)
    clipped = np.clip(log_ratio, -LOG_RATIO_MAX, LOG_RATIO_MAX)
    is_outside = (log_ratio < np.log(RATIO_MIN)) | (log_ratio > np.log(RATIO_MAX))
    return Mismatch(
        pearson=pearson(np.exp(sampler), np.exp(learner)),
        abs_diff_max=float(difference.max()),
        abs_diff_mean=float(difference.mean()),
        abs_diff_q=tuple(np.quantile(difference, QUANTILES).tolist()),
        kl_k3=float((np.expm1(clipped) - clipped).mean()),
        outside_frac=float(is_outside.mean()),
    )


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the correlation of two rows of numbers; nan where either is constant."""
    # Not by a deviation of 0: the mean of equal numbers is rounded, and the correlation of that rounding is 1.
    is_constant = x.min() == x.max() or y.min() == y.max()
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if not is_constant and scale > 0 else float("nan")


def mismatch_metrics(
    token_ids: np.ndarray, sampler_logprobs: np.ndarray, learner_logprobs: np.ndarray
) -> dict[str, object]:
    """Returns the agreement under the names of metrics.jsonl, the worst tokens among it."""
    found = mismatch(sampler_logprobs, learner_logprobs)
    return {
        "logprob_pearson": found.pearson,
        "logprob_abs_diff_max": found.abs_diff_max,
        "logprob_abs_diff_mean": found.abs_diff_mean,
        "logprob_abs_diff_q": list(found.abs_diff_q),
        "logprob_kl_k3": found.kl_k3,
        "logprob_outside_frac": found.outside_frac,
        "logprob_worst": worst_tokens(token_ids, sampler_logprobs, learner_logprobs),
    }


def worst_tokens(
    token_ids: np.ndarray, sampler_logprobs: np.ndarray, learner_logprobs: np.ndarray, *, count: int = 5
) -> list[dict[str, int | float]]:
    """Returns the tokens whose log-probabilities differ most, the worst first; of equals, the earlier."""
    # nan is no difference: behind 0.
    difference = np.nan_to_num(np.abs(learner_logprobs.astype(np.float64) - sampler_logprobs), nan=-1.0)
    count = min(count, len(difference))
    # Sorting the few that can be among the worst, not all.
    bound = max(np.partition(difference, -count)[-count], 0.0) if count else np.inf
    candidates = np.flatnonzero(difference >= bound)
    order = candidates[np.argsort(-difference[candidates], kind="stable")][:count]
    return [
        {
            "token_id": int(token_ids[i]),
            "sampler_logprob": float(sampler_logprobs[i]),
            "learner_logprob": float(learner_logprobs[i]),
        }
        for i in order
    ]
