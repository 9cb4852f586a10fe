"""Supervised fine-tuning: the likelihood loss and its batches."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from fulmen.text.chat import encode_conversation
from fulmen.text.tokenizer import Tokenizer
from fulmen.train.packing import Document, pack
from fulmen.train.trainer import LossOutput
from fulmen.types import Batch, Message


def cross_entropy(
    logprobs_B_T: Tensor,
    old_logprobs_B_T: Tensor,
    advantages_B_T: Tensor,
    mask_B_T: Tensor,
    *,
    token_weights_B_T: Tensor,
    document_ids_B_T: Tensor | None = None,
    ref_logprobs_B_T: Tensor | None = None,
) -> LossOutput:
    """Returns -sum weight * log p over trained tokens; ignores the arguments that RL losses need."""
    return LossOutput(loss=-(token_weights_B_T * logprobs_B_T * mask_B_T).sum())


def sft_batch(tokenizer: Tokenizer, conversations: Sequence[Sequence[Message]]) -> Batch:
    """Returns a packed batch of conversations; assistant tokens are trained, each with weight 1 / their number."""
    encoded = [encode_conversation(tokenizer, conversation) for conversation in conversations]
    num_trained = max(sum(sum(e.mask) for e in encoded), 1)
    return pack(
        [
            Document(token_ids=np.array(e.token_ids), mask=np.array(e.mask), token_weight=1.0 / num_trained)
            for e in encoded
        ]
    )
