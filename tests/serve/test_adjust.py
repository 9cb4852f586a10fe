"""Penalties and biases, against one token after another in Python. Axes: `R` rows, `V` vocabulary."""

import pytest
import torch
from torch import Tensor

from fulmen.serve.adjust import adjust_logits, bias_rows, count_drawn, mark_prompt

VOCAB = 11
PROMPTS = ([1, 2, 2, 3], [4], [])
COMPLETIONS = ([2, 5, 5, 5, 7], [4, 4], [0])
BIASES = (((5, 1.5), (9, -2.0), (5, 0.25)), (), ((0, -100.0),))
REPETITION, FREQUENCY, PRESENCE = (1.3, 0.8, 1.0), (0.4, -0.5, 2.0), (-1.0, 0.6, 0.0)


def naive(z: list[float], row: int) -> list[float]:
    """The definitions in `fulmen.types.Sampling`, in their order."""
    result = []
    for token, value in enumerate(z):
        count = COMPLETIONS[row].count(token)
        if token in PROMPTS[row] or count:
            value = value / REPETITION[row] if value > 0 else value * REPETITION[row]
        value -= FREQUENCY[row] * count
        value -= PRESENCE[row] if count else 0.0
        result.append(value + sum(bias for biased, bias in BIASES[row] if biased == token))
    return result


def make_table(device: str) -> Tensor:
    """Returns the table after all completions; each slot is 1 + its row, and began with other tokens."""
    table = torch.full((4, VOCAB), 6, dtype=torch.int32, device=device)
    for row, prompt in enumerate(PROMPTS):
        mark_prompt(table, row + 1, torch.tensor(prompt, dtype=torch.int64, device=device))
    for place in range(max(map(len, COMPLETIONS))):
        rows = [row for row, completion in enumerate(COMPLETIONS) if place < len(completion)]
        tokens = [COMPLETIONS[row][place] for row in rows]
        slots = torch.tensor([row + 1 for row in rows] + [0, 0], device=device)
        count_drawn(table, slots, torch.tensor([*tokens, 3, 4], device=device))
    return table


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_adjusted_logits_are_the_naive_ones(device: str) -> None:
    logits = 2 * torch.randn(3, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits[0, 4], logits[1, 4] = -torch.inf, -torch.inf
    tokens, values = bias_rows(BIASES)
    settings = [torch.tensor(x, dtype=torch.float64, device=device) for x in (REPETITION, FREQUENCY, PRESENCE)]
    given = logits.to(device)
    before = given.clone()
    found = adjust_logits(
        given, make_table(device)[1:], repetition_R=settings[0], frequency_R=settings[1], presence_R=settings[2],
        bias_ids_R_J=torch.tensor(tokens, device=device),
        bias_R_J=torch.tensor(values, dtype=torch.float64, device=device),
    )  # fmt: skip
    expected = torch.tensor([naive(row.tolist(), i) for i, row in enumerate(logits)], dtype=torch.float64)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-14, atol=1e-14)
    assert torch.equal(given, before)


def test_rows_without_settings_are_left_as_they_are_bit_by_bit() -> None:
    logits = torch.randn(3, VOCAB, generator=torch.Generator().manual_seed(1))
    ones, zeros = torch.ones(3), torch.zeros(3)
    tokens, values = bias_rows(((), (), ()))
    found = adjust_logits(
        logits, make_table("cpu")[1:], repetition_R=ones, frequency_R=zeros, presence_R=zeros,
        bias_ids_R_J=torch.tensor(tokens), bias_R_J=torch.tensor(values),
    )  # fmt: skip
    assert torch.equal(found, logits)


def test_biases_are_padded_with_their_first() -> None:
    assert bias_rows(BIASES) == ([[5, 9], [0, 0], [0, 0]], [[1.75, -2.0], [0.0, 0.0], [-100.0, -100.0]])
    assert bias_rows(()) == ([], [])
