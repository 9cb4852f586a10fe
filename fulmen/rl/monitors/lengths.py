"""Who grows longer: right or wrong completions, and whether length itself earns reward.

Signs and rewards are those of the verifier, before any length penalty, which would call long completions negative for
being long. Source: MiniMax-M1 report, sections 5 (negative completions reach the limit first) and 4.2.2 (a judge that
likes length); the formulas are ours.
"""

from collections.abc import Sequence

import numpy as np

from fulmen.rl.monitors.mismatch import pearson
from fulmen.types import RolloutGroup


def length_metrics(groups: Sequence[RolloutGroup]) -> dict[str, object]:
    """Returns lengths and limit hits by sign of (reward - mean of its group), and how reward goes with length.

    `length_reward_corr` is the correlation of a completion's length with its reward, both less the mean of its group:
    difficulty, which makes prompts long and rewards low, is taken out. `length_reward_slope` is the least-squares
    change of reward when a completion is e times as long as its group's. nan where nothing can be said.
    """
    members = [[r for r in group.rollouts if r.score.value is not None and r.num_tokens] for group in groups]
    members = [own for own in members if own]
    lengths = [np.array([r.num_tokens for r in own], np.float64) for own in members]
    rewards = [np.array([r.score.value for r in own], np.float64) for own in members]
    is_limited = np.array([r.completion.stop_reason == "length" for own in members for r in own], np.bool_)
    all_lengths = _joined(lengths)
    reward, log_length = _centred(rewards), _centred([np.log(x) for x in lengths])
    squares = float((log_length**2).sum())
    metrics: dict[str, object] = {}
    for name, chosen in (("pos", reward > 0), ("neg", reward < 0)):
        has_any = bool(chosen.any())
        metrics |= {
            f"length_mean_{name}": float(all_lengths[chosen].mean()) if has_any else float("nan"),
            f"length_p99_{name}": float(np.quantile(all_lengths[chosen], 0.99)) if has_any else float("nan"),
            f"limit_frac_{name}": float(is_limited[chosen].mean()) if has_any else float("nan"),
        }
    return metrics | {
        "length_reward_corr": pearson(_centred(lengths), reward) if len(reward) else float("nan"),
        "length_reward_slope": float((log_length * reward).sum()) / squares if squares > 0 else float("nan"),
    }


def _centred(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the values less the mean of their group."""
    # The mean of equal numbers is rounded and would give them a sign.
    return _joined([np.zeros(len(x)) if x.min() == x.max() else x - x.mean() for x in groups])


def _joined(groups: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *groups])
