"""What changes a request's logits before they are drawn from: tables by slot, made when the first request needs them.

Axes: `S` slots, `R` rows, `V` vocabulary, `W` words of 32 tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fulmen.types import Sampling


def needs_adjustment(sampling: Sampling) -> bool:
    """Returns whether a request draws from other logits than the model's."""
    return bool(
        sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1
        or sampling.logit_bias or sampling.grammar is not None
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Adjustments:
    """Tables of all slots; a slot whose request needs none has neutral rows."""

    counts_S_V: Tensor
    """int32, how often the completion has each token."""
    in_prompt_S_V: Tensor
    """bool."""
    bias_S_V: Tensor
    allowed_S_W: Tensor
    """int32, one bit per token that the grammar allows now."""

    @classmethod
    def allocate(cls, *, num_slots: int, vocab_size: int, dtype: torch.dtype, device: torch.device) -> "Adjustments":
        """Returns neutral tables. Memory: 9.1 bytes per slot and word of the vocabulary for float32 logits."""
        shape = (num_slots, vocab_size)
        return cls(
            counts_S_V=torch.zeros(shape, dtype=torch.int32, device=device),
            in_prompt_S_V=torch.zeros(shape, dtype=torch.bool, device=device),
            bias_S_V=torch.zeros(shape, dtype=dtype, device=device),
            allowed_S_W=torch.full((num_slots, -(-vocab_size // 32)), -1, dtype=torch.int32, device=device),
        )

    def start(self, slot: int, sampling: Sampling, prompt: Sequence[int], completion: Sequence[int]) -> None:
        """Fills the rows of a slot that was given away."""
        vocab_size, device = self.counts_S_V.shape[1], self.counts_S_V.device
        seen = torch.bincount(torch.tensor(completion, dtype=torch.int64), minlength=vocab_size)
        self.counts_S_V[slot] = seen.to(device, torch.int32)
        self.in_prompt_S_V[slot] = torch.bincount(torch.tensor(prompt), minlength=vocab_size).to(device) > 0
        bias = torch.zeros(vocab_size, dtype=self.bias_S_V.dtype)
        for token, value in sampling.logit_bias:
            bias[token] += value
        self.bias_S_V[slot] = bias.to(device)
        self.allowed_S_W[slot] = -1

    def clear(self, slot: int) -> None:
        """Makes the rows of a slot neutral; its penalties are, so what was counted does not matter."""
        self.bias_S_V[slot] = 0
        self.allowed_S_W[slot] = -1

    def count(self, slots_R: Tensor, token_ids_R: Tensor) -> None:
        """Counts drawn tokens."""
        self.counts_S_V.index_put_((slots_R, token_ids_R), torch.ones_like(token_ids_R, dtype=torch.int32), True)


def pack_words(allowed: np.ndarray, width: int) -> np.ndarray:
    """Returns a row of words `[width]`: those given, and none of the tokens beyond."""
    words = np.zeros(width, dtype=np.int32)
    words[: len(allowed)] = allowed[:width]
    return words
