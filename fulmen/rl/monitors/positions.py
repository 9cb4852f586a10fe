"""Where in the completions the gradient lies, and whether their ends still read like their beginnings.

The report's pattern collapse: late in a window, negative completions have grown longer than positive ones and reach
the limit first, their gradient piles up at late positions, and the tails of generations turn to garble, which shows
as perplexity. Source: MiniMax-M1 report, section 5; its formulas are open, these are ours.

The gradient mass of a token is |token_weight * w * A|: the size of its factor before the gradient of log pi.
"""

import numpy as np

from fulmen.rl.monitors.table import NUM_DECILES, decile_means, deciles

LATE_FROM = 0.75
"""Late positions begin at this share of the longest completion."""


def position_metrics(tokens: dict[str, np.ndarray], *, min_length: int) -> dict[str, object]:
    """Returns perplexity and gradient mass along the completions, from a token table.

    `decile_...` lists go by tenths of each completion, nan where no completion is long enough. The late quarter is
    one of absolute positions, up to the longest completion: that is where long completions are alone. Of its mass,
    `late_net_negative` is (negative - positive) as a share of the mass of all positions: 0 in a balanced batch, above
    0 when negative gradient piles up late. `tail_perplexity_ratio` is the perplexity of the last tenth over that of
    the first, in completions of at least `min_length` tokens; nan without one.
    """
    decile, surprise = deciles(tokens), -_drawn_logprobs(tokens)
    signed = _signed_mass(tokens)
    positive, negative = np.maximum(signed, 0.0), np.maximum(-signed, 0.0)
    is_long = tokens["length"] >= min_length
    is_late = tokens["position"] >= LATE_FROM * tokens["length"].max()
    late_positive, late_negative = float(positive[is_late].sum()), float(negative[is_late].sum())
    mass = float(positive.sum() + negative.sum())
    return {
        "perplexity": float(np.exp(surprise.mean())),
        "decile_perplexity": np.exp(decile_means(surprise, decile)).tolist(),
        "decile_mass_pos": np.bincount(decile, positive, minlength=NUM_DECILES).tolist(),
        "decile_mass_neg": np.bincount(decile, negative, minlength=NUM_DECILES).tolist(),
        "mass_net": float(signed.sum()),
        "late_mass_pos": late_positive,
        "late_mass_neg": late_negative,
        "late_net_negative": (late_negative - late_positive) / mass if mass else 0.0,
        "tail_perplexity_ratio": _tail_ratio(surprise[is_long], decile[is_long]),
    }


def _tail_ratio(surprise: np.ndarray, decile: np.ndarray) -> float:
    means = decile_means(surprise, decile)
    return float(np.exp(means[-1] - means[0]))


def _signed_mass(tokens: dict[str, np.ndarray]) -> np.ndarray:
    weight, advantage = tokens["weight"].astype(np.float64), tokens["advantage"].astype(np.float64)
    return tokens["token_weight"] * weight * advantage


def _drawn_logprobs(tokens: dict[str, np.ndarray]) -> np.ndarray:
    """Returns log-probabilities under the policy that drew the tokens: what perplexity of generations means."""
    return tokens["old_logprobs"].astype(np.float64)
