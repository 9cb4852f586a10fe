"""The LM head: logits in float32 and what is read off them. Engine and learner call the same functions.

The report found the head to be where training and sampling probabilities part (MiniMax-M1, section 3.2), so its
result is float32 whatever the dtype of the model. Axes: `T` tokens, `D` model width, `V` vocabulary.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class TokenLogprobs(NamedTuple):
    """log p(target) and the entropy of p in nats, both float32 `[T]`."""

    logprob: Tensor
    entropy: Tensor


def head_logits(hidden: Float[Tensor, "*batch D"], weight: Float[Tensor, "V D"]) -> Float[Tensor, "*batch V"]:
    """Returns hidden W^T in float32 (float64 for float64 inputs)."""
    dtype = torch.promote_types(hidden.dtype, torch.float32)
    return hidden.to(dtype) @ weight.to(dtype).T


def token_logprobs(
    hidden: Float[Tensor, "T D"],
    weight: Float[Tensor, "V D"],
    target_ids: Int[Tensor, "T"],
    *,
    temperature: float = 1.0,
) -> TokenLogprobs:
    """Returns log-probabilities of the targets and entropies (detached) under softmax(logits / temperature)."""
    logp = torch.log_softmax(head_logits(hidden, weight) / temperature, dim=-1)
    entropy = -(logp.detach().exp() * logp.detach()).sum(-1)
    return TokenLogprobs(logp.gather(-1, target_ids[:, None]).squeeze(-1), entropy)
