"""What sampling a batch cost: completions halted for repetition, groups and tokens thrown away."""

from collections.abc import Sequence

from fulmen.rl.filters import is_informative
from fulmen.types import RolloutGroup


def sampling_metrics(sampled: Sequence[RolloutGroup], *, num_trained_tokens: int) -> dict[str, object]:
    """Returns shares of completions halted, groups accepted, and tokens that no step was taken on.

    `sampled` is every group that dynamic sampling drew, the rejected and the surplus too. Discarded tokens are those
    of groups without a difference in reward, surplus groups, rollouts without a score, and forced ones.
    """
    rollouts = [rollout for group in sampled for rollout in group.rollouts]
    halted = [any(c.stop_reason == "repetition" for c in rollout.completions) for rollout in rollouts]
    num_tokens = sum(rollout.num_tokens for rollout in rollouts)
    num_discarded = max(num_tokens - num_trained_tokens, 0)
    return {
        "halted_frac": _share(sum(halted), len(rollouts)),
        "accept_frac": _share(sum(map(is_informative, sampled)), len(sampled)),
        "num_discarded_tokens": num_discarded,
        "discarded_frac": _share(num_discarded, num_tokens),
    }


def _share(count: int, total: int) -> float:
    return count / total if total else float("nan")
