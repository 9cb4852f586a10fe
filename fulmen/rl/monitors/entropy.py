"""Entropy of the policy at the trained tokens: all of it, along the completions, and by sign of the advantage."""

import numpy as np

from fulmen.rl.monitors.table import decile_means, deciles


def entropy_metrics(tokens: dict[str, np.ndarray]) -> dict[str, object]:
    """Returns mean entropies in nats a token, from a token table; nan for a tenth or a sign without tokens."""
    entropy = tokens["entropy"].astype(np.float64)
    positive, negative = tokens["advantage"] > 0, tokens["advantage"] < 0
    return {
        "entropy": float(entropy.mean()),
        "decile_entropy": decile_means(entropy, deciles(tokens)).tolist(),
        "entropy_pos": float(entropy[positive].mean()) if positive.any() else float("nan"),
        "entropy_neg": float(entropy[negative].mean()) if negative.any() else float("nan"),
    }
