"""Groups of rollouts to one packed batch, token weights included. Axes: `T` tokens."""

from collections.abc import Sequence
from typing import Literal, get_args

from fulmen.errors import ConfigError, DataError
from fulmen.rl.turns import TurnSequence, sequences_of
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

    Rollouts without a valid reward or without a token are left out, of the denominators too; a rollout of several
    turns counts as one completion, whose tokens are those that the policy drew.

    Raises: ConfigError for an unknown aggregation; DataError when no rollout is left.
    """
    if aggregation not in get_args(Aggregation):
        raise ConfigError(f"aggregation={aggregation!r}; allowed: {', '.join(get_args(Aggregation))}")
    members = [
        [(sequences_of(r), a) for r, a in zip(group.rollouts, own, strict=True) if a is not None]
        for group, own in zip(groups, advantages, strict=True)
    ]
    members = [[(turns, a) for turns, a in group if turns] for group in members]
    members = [group for group in members if group]
    if not members:
        raise DataError("rl_batch: no rollout has a reward and a token; allowed: at least one")
    num_completions = sum(len(group) for group in members)
    num_tokens = sum(_num_trained(turns) for group in members for turns, _ in group)
    documents = []
    for group in members:
        tokens_of_prompt = sum(_num_trained(turns) for turns, _ in group)
        for turns, advantage in group:
            weight = {
                "prompt_token": 1.0 / (len(members) * tokens_of_prompt),
                "batch_token": 1.0 / num_tokens,
                "sequence": 1.0 / (num_completions * _num_trained(turns)),
            }[aggregation]
            documents += [
                Document(
                    token_ids=turn.token_ids, mask=turn.mask, token_weight=weight, old_logprobs=turn.logprobs,
                    advantage=advantage, expert_ids=turn.expert_ids,
                )
                for turn in turns
            ]  # fmt: skip
    return pack(documents)


def _num_trained(turns: Sequence[TurnSequence]) -> int:
    return sum(int(turn.mask.sum()) for turn in turns)
