"""What the importance ratios of one generation batch looked like, before any cap."""

import numpy as np
import torch

from fulmen.rl.losses.ratio import trust_region_mask

EDGES = np.geomspace(1 / 32, 32, 42)
"""Borders of the ratio histogram; ratios beyond them count into the first and last bin.

The number of bins is odd: r = 1 lies in the middle of one, not on a border where rounding would share it out."""


def ratio_metrics(tokens: dict[str, np.ndarray], *, clip_min: float, clip_max: float) -> dict[str, object]:
    """Returns the histogram and quantiles of r, the capped share by sign of the advantage, and PPO's dropped share."""
    ratio = np.exp(np.clip(tokens["log_ratio"].astype(np.float64), -50, 50))
    positive, negative = tokens["advantage"] > 0, tokens["advantage"] < 0
    dropped = ppo_dropped(tokens, clip_min=clip_min, clip_max=clip_max)
    counts, _ = np.histogram(np.clip(ratio, EDGES[0], EDGES[-1]), EDGES)
    return {
        "ratio_q": np.quantile(ratio, [0, 0.01, 0.5, 0.99, 1]).tolist(),
        "weight_hist": counts.tolist(),
        "weight_edges": EDGES.tolist(),
        "weight_mean": float(tokens["weight"].mean()),
        "capped_frac_pos": float(tokens["is_capped"][positive].mean()) if positive.any() else 0.0,
        "capped_frac_neg": float(tokens["is_capped"][negative].mean()) if negative.any() else 0.0,
        "ppo_dropped_frac": float(dropped.mean()),
    }


def ppo_dropped(tokens: dict[str, np.ndarray], *, clip_min: float, clip_max: float) -> np.ndarray:
    """Returns which tokens PPO's clip would have left without a gradient."""
    log_ratio, advantage = torch.from_numpy(tokens["log_ratio"]), torch.from_numpy(tokens["advantage"])
    return ~trust_region_mask(log_ratio, advantage, ratio_min=clip_min, ratio_max=clip_max).numpy()
