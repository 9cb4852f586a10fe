"""Groups of rollouts to one packed batch, token weights included. Axes: `T` tokens."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from fulmen.errors import ConfigError, DataError
from fulmen.train.packing import Document, pack
from fulmen.types import Batch, RolloutGroup

Aggregation = Literal["prompt_token", "batch_token", "sequence"]
"""Weight of a trained token of completion i (n_i tokens), with N_p trained tokens of its prompt, N of the step:
`prompt_token` 1/(P N_p), the report's eq. (4) as it stands; `batch_token` 1/N; `sequence` 1/(S n_i)."""


def rl_batch(
    groups: Sequence[RolloutGroup],
    advantages: Sequence[Sequence[float | None]],
    *,
    aggregation: Aggregation = "prompt_token",
) -> Batch:
    """Returns the batch of one optimizer step; the weights of its trained tokens sum to 1.

    Rollouts without a valid reward or without a token are left out, of the denominators too.

    Raises: ConfigError for an unknown aggregation; DataError when no rollout is left.
    """
    if aggregation not in get_args(Aggregation):
        raise ConfigError(f"aggregation={aggregation!r}; allowed: {', '.join(get_args(Aggregation))}")
    members = [
        [(r, a) for r, a in zip(group.rollouts, own, strict=True) if a is not None and len(r.completion.token_ids)]
        for group, own in zip(groups, advantages, strict=True)
    ]
    members = [group for group in members if group]
    if not members:
        raise DataError("rl_batch: no rollout has a reward and a token; allowed: at least one")
    num_completions = sum(len(group) for group in members)
    num_tokens = sum(len(r.completion.token_ids) for group in members for r, _ in group)
    documents = []
    for group in members:
        tokens_of_prompt = sum(len(r.completion.token_ids) for r, _ in group)
        for rollout, advantage in group:
            completion = rollout.completion
            start, length = len(completion.prompt_ids), len(completion.token_ids)
            weight = {
                "prompt_token": 1.0 / (len(members) * tokens_of_prompt),
                "batch_token": 1.0 / num_tokens,
                "sequence": 1.0 / (num_completions * length),
            }[aggregation]
            documents.append(
                Document(
                    token_ids=np.concatenate([completion.prompt_ids, completion.token_ids]),
                    mask=np.arange(start + length) >= start,
                    token_weight=weight,
                    old_logprobs=np.concatenate([np.zeros(start, np.float32), completion.logprobs]),
                    advantage=advantage,
                    expert_ids=completion.expert_ids,
                )
            )
    return pack(documents)
