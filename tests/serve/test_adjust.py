"""Penalties, biases and grammars' bits, against one token after another in Python. Axes: `R` rows, `V` vocabulary."""

import numpy as np
import pytest
import torch

from fulmen.serve.adjust import LogitTables, adjust_logits, needs_adjustment, pack_words
from fulmen.types import Grammar, Sampling

VOCAB = 43
PROMPTS = ([1, 2, 2, 3], [4], [])
COMPLETIONS = ([2, 5, 5, 5, 7], [4, 4], [0])
BIASES = (((5, 1.5), (9, -2.0), (5, 0.25)), (), ((0, -100.0),))
REPETITION, FREQUENCY, PRESENCE = (1.3, 0.8, 1.0), (0.4, -0.5, 2.0), (-1.0, 0.6, 0.0)
FORBIDDEN = ({6, 33, 42}, set(), {31, 32})


def naive(z: list[float], row: int) -> list[float]:
    """The definitions in `fulmen.types.Sampling`, in their order."""
    result = []
    for token, value in enumerate(z):
        count = COMPLETIONS[row].count(token)
        if token in PROMPTS[row] or count:
            value = value / REPETITION[row] if value > 0 else value * REPETITION[row]
        value -= FREQUENCY[row] * count
        value -= PRESENCE[row] if count else 0.0
        value += sum(bias for biased, bias in BIASES[row] if biased == token)
        result.append(-np.inf if token in FORBIDDEN[row] else value)
    return result


def make_tables(device: str, *, num_known: int) -> LogitTables:
    """Returns the tables after all completions, of which each slot (1 + its row) began with the first `num_known`."""
    tables = LogitTables.allocate(num_slots=4, vocab_size=VOCAB, dtype=torch.float64, device=torch.device(device))
    tables.seen_S_V.fill_(6)
    for row, prompt in enumerate(PROMPTS):
        sampling = Sampling(logit_bias=BIASES[row])
        tables.start(row + 1, sampling, prompt, COMPLETIONS[row][:num_known])
        bits = np.array([token not in FORBIDDEN[row] for token in range(VOCAB)])
        words = np.frombuffer(np.packbits(np.pad(bits, (0, 21)), bitorder="little").tobytes(), dtype=np.int32)
        tables.allowed_S_W[row + 1] = torch.from_numpy(pack_words(words, 2)).to(device)
    for place in range(num_known, max(map(len, COMPLETIONS))):
        rows = [row for row, completion in enumerate(COMPLETIONS) if place < len(completion)]
        tokens = [COMPLETIONS[row][place] for row in rows]
        slots = torch.tensor([row + 1 for row in rows] + [0, 0], device=device)
        tables.count(slots, torch.tensor([*tokens, 3, 4], device=device))
    return tables


@pytest.mark.parametrize("num_known", [0, 2])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_adjusted_logits_are_the_naive_ones(device: str, num_known: int) -> None:
    logits = 2 * torch.randn(3, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits[0, 4], logits[1, 4] = -torch.inf, -torch.inf
    settings = [torch.tensor(x, dtype=torch.float64, device=device) for x in (REPETITION, FREQUENCY, PRESENCE)]
    tables = make_tables(device, num_known=num_known)
    given = logits.to(device)
    before = given.clone()
    found = adjust_logits(
        given, tables.seen_S_V[1:], repetition_R=settings[0], frequency_R=settings[1], presence_R=settings[2],
        bias_R_V=tables.bias_S_V[1:], allowed_R_W=tables.allowed_S_W[1:],
    )  # fmt: skip
    expected = torch.tensor([naive(row.tolist(), i) for i, row in enumerate(logits)], dtype=torch.float64)
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-14, atol=1e-14)
    assert torch.equal(given, before)


def test_a_slot_without_settings_is_left_as_it_is_bit_by_bit() -> None:
    logits = torch.randn(3, VOCAB, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ones, zeros = torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    tables = make_tables("cpu", num_known=0)
    for slot in (1, 2, 3):
        tables.clear(slot)
    found = adjust_logits(
        logits, tables.seen_S_V[1:], repetition_R=ones, frequency_R=zeros, presence_R=zeros,
        bias_R_V=tables.bias_S_V[1:], allowed_R_W=tables.allowed_S_W[1:],
    )  # fmt: skip
    assert torch.equal(found, logits)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), False),
        (Sampling(temperature=0.5, top_p=0.5, top_k=3, min_tokens=4, stop=("a",), thinking_budget=3), False),
        (Sampling(presence_penalty=0.1), True),
        (Sampling(frequency_penalty=-0.1), True),
        (Sampling(repetition_penalty=1.1), True),
        (Sampling(logit_bias=((1, 1.0),)), True),
        (Sampling(grammar=Grammar(kind="regex", source="a")), True),
    ],
)
def test_tables_are_made_only_for_those_who_need_them(sampling: Sampling, expected: bool) -> None:
    assert needs_adjustment(sampling) is expected
