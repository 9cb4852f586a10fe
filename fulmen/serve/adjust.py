"""What is done to logits before a token is drawn: penalties of tokens that were there already, and biases.

Tokens are counted in a table on the device, one row per slot. Left out: grammars and `min_tokens`, which come first and
rule tokens out altogether (-inf stays -inf here).
Axes: `R` rows, `V` vocabulary, `S` slots, `J` biased tokens of a row.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

PROMPT, DRAWN = 1, 2
"""What a table cell holds: 1 if the prompt has the token, plus 2 for each time that the completion has it."""


def mark_prompt(table_S_V: Int[Tensor, "S V"], slot: int, prompt_ids: Int[Tensor, "T"]) -> None:
    """Makes a slot's row that of a prompt with no completion yet."""
    table_S_V[slot] = 0
    table_S_V[slot, prompt_ids] = PROMPT


def count_drawn(table_S_V: Int[Tensor, "S V"], slots_R: Int[Tensor, "R"], token_ids_R: Int[Tensor, "R"]) -> None:
    """Counts one more token of each slot. A slot that occurs twice (slot 0, nobody's) gains an arbitrary one of its."""
    table_S_V[slots_R, token_ids_R] = table_S_V[slots_R, token_ids_R] + DRAWN


def bias_rows(biases: Sequence[Sequence[tuple[int, float]]]) -> tuple[list[list[int]], list[list[float]]]:
    """Returns the tokens and values of `Sampling.logit_bias`, row by row, made equally long by repeating a row's first.

    A token that occurs twice has the sum; a row without biases adds 0 to token 0.
    """
    sums: list[dict[int, float]] = []
    for row in biases:
        values: dict[int, float] = {}
        for token, value in row:
            values[token] = values.get(token, 0.0) + value
        sums.append(values or {0: 0.0})
    longest = max(map(len, sums), default=0)
    padded = [[*row.items(), *[next(iter(row.items()))] * (longest - len(row))] for row in sums]
    return [[token for token, _ in row] for row in padded], [[value for _, value in row] for row in padded]


def adjust_logits(
    logits: Float[Tensor, "R V"],
    seen_R_V: Int[Tensor, "R V"],
    *,
    repetition_R: Float[Tensor, "R"],
    frequency_R: Float[Tensor, "R"],
    presence_R: Float[Tensor, "R"],
    bias_ids_R_J: Int[Tensor, "R J"] | None = None,
    bias_R_J: Float[Tensor, "R J"] | None = None,
) -> Float[Tensor, "R V"]:
    """Returns new logits; `seen_R_V` are the slots' rows of the table.

    In this order: logits of tokens in prompt or completion are divided by `repetition` where positive and multiplied
    where negative; `frequency` is taken off for each time the completion has the token; `presence` if it has it at all;
    the bias is added. Biases come as `bias_rows` pads them.
    """
    times = (seen_R_V // DRAWN).to(logits.dtype)
    repetition = torch.where(seen_R_V > 0, repetition_R[:, None].to(logits.dtype), 1.0)
    logits = torch.where(logits > 0, logits / repetition, logits * repetition)
    logits = logits - times * frequency_R[:, None] - (times > 0) * presence_R[:, None]
    if bias_ids_R_J is not None and bias_R_J is not None:
        biased = logits.gather(-1, bias_ids_R_J) + bias_R_J.to(logits.dtype)
        # Padding repeats an entry and its value, so it does not matter which of them is written last.
        logits = logits.scatter(-1, bias_ids_R_J, biased)
    return logits
