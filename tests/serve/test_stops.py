"""When a completion ends."""

import torch
from torch import Tensor

from fulmen.serve.stops import REASONS, stop_codes, update_repetition
from fulmen.types import StopReason

END, ORDINARY = 2, 5


def run_lengths(probabilities: list[float], threshold: float = 0.99) -> list[int]:
    """Returns the counter after each token of one row."""
    run, lengths = torch.zeros(1, dtype=torch.int64), []
    for p in probabilities:
        run = update_repetition(run, torch.tensor([p]), torch.tensor([threshold]))
        lengths.append(int(run))
    return lengths


def reasons(tokens: list[int], num_tokens: list[int], run: list[int]) -> list[StopReason | None]:
    """Returns why each row halts when ten tokens are allowed and the window is four."""

    def full(value: int) -> Tensor:
        return torch.full((len(tokens),), value)

    codes = stop_codes(
        torch.tensor(tokens), torch.tensor(num_tokens), torch.tensor(run),
        end_id=END, max_tokens_R=full(10), window_R=full(4),
    )  # fmt: skip
    return [None if code == 0 else REASONS[code - 1] for code in codes.tolist()]


def test_reasons_are_those_of_the_record() -> None:
    """The device's three come first: its codes are places in this list."""
    expected: tuple[StopReason, ...] = ("stop", "length", "repetition")
    assert expected == REASONS[:3]


def test_a_run_counts_consecutive_tokens_above_the_threshold() -> None:
    assert run_lengths([0.995] * 5) == [1, 2, 3, 4, 5]


def test_one_token_at_or_below_the_threshold_starts_over() -> None:
    assert run_lengths([0.995, 0.995, 0.5, 0.995]) == [1, 2, 0, 1]
    assert run_lengths([0.75, 0.5, 0.75], threshold=0.5) == [1, 0, 1]


def test_rows_count_apart_with_their_own_thresholds() -> None:
    run = update_repetition(torch.tensor([7, 7, 0]), torch.tensor([0.9, 0.9, 0.9]), torch.tensor([0.8, 0.95, 0.8]))
    assert run.tolist() == [8, 0, 1]


def test_repetition_halts_at_the_window_and_not_one_before() -> None:
    assert reasons([ORDINARY] * 3, [5, 5, 5], [3, 4, 5]) == [None, "repetition", "repetition"]


def test_length_halts_at_max_tokens_and_not_one_before() -> None:
    assert reasons([ORDINARY] * 3, [9, 10, 11], [0, 0, 0]) == [None, "length", "length"]


def test_the_end_token_halts_and_outranks_the_other_two() -> None:
    assert reasons([END, END, END, END], [1, 10, 5, 10], [0, 0, 4, 4]) == ["stop"] * 4


def test_repetition_outranks_length() -> None:
    assert reasons([ORDINARY], [10], [4]) == ["repetition"]


def test_rows_have_their_own_bounds() -> None:
    codes = stop_codes(
        torch.tensor([ORDINARY] * 3), torch.tensor([5, 5, 5]), torch.tensor([3, 3, 3]),
        end_id=END, max_tokens_R=torch.tensor([5, 6, 6]), window_R=torch.tensor([9, 3, 9]),
    )  # fmt: skip
    assert codes.tolist() == [1 + REASONS.index("length"), 1 + REASONS.index("repetition"), 0]
