"""Groups of rollouts to one packed batch, token weights included. Axes: `T` tokens."""

from collections.abc import Sequence
from typing import Literal, get_args

from fulmen.errors import ConfigError, DataError
from fulmen.rl.turns import TurnSequence, sequences_of
from fulmen.train.packing import Document, pack
from fulmen.types import Batch, RolloutGroup

Aggregation = Literal["prompt_token", "batch_token", "sequence", "constant", "combined"]
"""Weight of a trained token of completion i (n_i tokens), with N_p trained tokens of its prompt, N of the step, P
prompts and S completions of the step: `prompt_token` 1/(P N_p), the report's eq. (4) as it stands; `batch_token` 1/N;
`sequence` 1/(S n_i), eq. (1); `constant` 1/(S window) (Dr. GRPO), the only one whose weights do not sum to 1;
`combined` (1 - share)/N + share/(S n_i). Differs: the report names the last one and gives no formula; this is ours."""


def rl_batch(
    groups: Sequence[RolloutGroup],
    advantages: Sequence[Sequence[float | None]],
    *,
    aggregation: Aggregation = "prompt_token",
    window: int | None = None,
    combined_share: float = 0.5,
) -> Batch:
    """Returns the batch of one optimizer step, whose denominators are of these groups alone.

    Rollouts without a valid reward or without a token are left out, of the denominators too; a rollout of several
    turns counts as one completion, whose tokens are those that the policy drew. `window`, the longest completion, is
    read by `constant` alone, and `combined_share` by `combined`.

    Raises: ConfigError for an unknown aggregation, or one without its number; DataError when no rollout is left.
    """
    if aggregation not in get_args(Aggregation):
        raise ConfigError(f"aggregation={aggregation!r}; allowed: {', '.join(get_args(Aggregation))}")
    if aggregation == "constant" and (window is None or window < 1):
        raise ConfigError(f"window={window}; allowed: at least 1 with aggregation='constant', which divides by it")
    if not 0 <= combined_share <= 1:
        raise ConfigError(f"combined_share={combined_share}; allowed: from 0 to 1")
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
            by_token, by_sequence = 1.0 / num_tokens, 1.0 / (num_completions * _num_trained(turns))
            weight = {
                "prompt_token": 1.0 / (len(members) * tokens_of_prompt),
                "batch_token": by_token,
                "sequence": by_sequence,
                "constant": 1.0 / (num_completions * (window or 1)),
                "combined": (1.0 - combined_share) * by_token + combined_share * by_sequence,
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
