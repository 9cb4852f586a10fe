"""What is done to logits before a token is drawn: penalties of tokens that were there already, biases, grammars.

Each slot has a row in tables on the device, which are made when the first request needs them.
Axes: `R` rows, `V` vocabulary, `S` slots, `W` words of 32 tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fulmen.types import Sampling

PROMPT, DRAWN = 1, 2
"""What a cell of `seen` holds: 1 if the prompt has the token, plus 2 for each time that the completion has it."""


def adjust_logits(
    logits: Float[Tensor, "R V"],
    seen_R_V: Int[Tensor, "R V"],
    *,
    repetition_R: Float[Tensor, "R"],
    frequency_R: Float[Tensor, "R"],
    presence_R: Float[Tensor, "R"],
    bias_R_V: Float[Tensor, "R V"],
    allowed_R_W: Int[Tensor, "R W"],
) -> Float[Tensor, "R V"]:
    """Returns new logits; the other arguments are the slots' rows of the tables and their settings.

    In this order: logits of tokens in prompt or completion are divided by `repetition` where positive and multiplied
    where negative; `frequency` is taken off for each time the completion has the token; `presence` if it has it at all;
    the bias is added; tokens whose bit in `allowed` is not set are ruled out.
    """
    times = (seen_R_V // DRAWN).to(logits.dtype)
    repetition = torch.where(seen_R_V > 0, repetition_R[:, None].to(logits.dtype), 1.0)
    logits = torch.where(logits > 0, logits / repetition, logits * repetition)
    logits = logits - times * frequency_R[:, None] - (times > 0) * presence_R[:, None] + bias_R_V
    bits = torch.arange(32, dtype=torch.int32, device=logits.device)
    is_allowed = ((allowed_R_W[..., None] >> bits) & 1).flatten(1)[:, : logits.shape[1]] > 0
    return torch.where(is_allowed, logits, -torch.inf)


def needs_adjustment(sampling: Sampling) -> bool:
    """Returns whether a request draws from other logits than the model's."""
    return bool(
        sampling.presence_penalty or sampling.frequency_penalty or sampling.repetition_penalty != 1
        or sampling.logit_bias or sampling.grammar is not None
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LogitTables:
    """One row per slot; that of a request which needs none is neutral."""

    seen_S_V: Tensor
    """int32."""
    bias_S_V: Tensor
    allowed_S_W: Tensor
    """int32, one bit per token that the grammar allows now."""

    @classmethod
    def allocate(cls, *, num_slots: int, vocab_size: int, dtype: torch.dtype, device: torch.device) -> "LogitTables":
        """Returns neutral tables; `dtype` is that of the logits. Memory: 8.1 bytes per slot and token in float32."""
        shape = (num_slots, vocab_size)
        return cls(
            seen_S_V=torch.zeros(shape, dtype=torch.int32, device=device),
            bias_S_V=torch.zeros(shape, dtype=dtype, device=device),
            allowed_S_W=torch.full((num_slots, -(-vocab_size // 32)), -1, dtype=torch.int32, device=device),
        )

    def start(self, slot: int, sampling: Sampling, prompt: Sequence[int], completion: Sequence[int]) -> None:
        """Fills the row of a slot that was given to a request."""
        vocab_size, device = self.seen_S_V.shape[1], self.seen_S_V.device
        seen = DRAWN * torch.bincount(torch.tensor(completion, dtype=torch.int64), minlength=vocab_size)
        seen += PROMPT * (torch.bincount(torch.tensor(prompt, dtype=torch.int64), minlength=vocab_size) > 0)
        self.seen_S_V[slot] = seen.to(device, torch.int32)
        bias = torch.zeros(vocab_size, dtype=self.bias_S_V.dtype)
        for token, value in sampling.logit_bias:
            bias[token] += value
        self.bias_S_V[slot] = bias.to(device)
        self.allowed_S_W[slot] = -1

    def clear(self, slot: int) -> None:
        """Makes the row of a slot neutral; what was counted does not matter where no penalty looks at it."""
        self.bias_S_V[slot] = 0
        self.allowed_S_W[slot] = -1

    def count(self, slots_R: Int[Tensor, "R"], token_ids_R: Int[Tensor, "R"]) -> None:
        """Counts one more token of each slot. A slot that occurs twice (slot 0, nobody's) gains an arbitrary one."""
        self.seen_S_V[slots_R, token_ids_R] = self.seen_S_V[slots_R, token_ids_R] + DRAWN


def pack_words(allowed: np.ndarray, width: int) -> np.ndarray:
    """Returns a row of words `[width]`: those given, and none of the tokens beyond."""
    words = np.zeros(width, dtype=np.int32)
    words[: len(allowed)] = allowed[:width]
    return words
