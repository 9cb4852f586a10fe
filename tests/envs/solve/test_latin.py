"""Squares: a filled board is checked by each kind of unit on its own."""

import pytest

from fulmen.envs.solve.latin import square, square_fault


@pytest.mark.parametrize(
    ("digits", "fault"),
    [
        ([1, 2, 3, 2, 3, 1, 3, 1, 2], ""),
        # Columns are fine, each row repeats; then the other way round.
        ([1, 1, 1, 2, 2, 2, 3, 3, 3], "row 1 repeats a digit"),
        ([1, 2, 3, 1, 2, 3, 1, 2, 3], "column 1 repeats a digit"),
        ([1, 2, 3, 2, 3, 1, 3, 2, 2], "row 3 repeats a digit"),
    ],
)
def test_rows_and_columns(digits: list[int], fault: str) -> None:
    assert square_fault(digits, [0] * 9, square(3)) == fault


def test_givens_stay() -> None:
    digits = [1, 2, 3, 2, 3, 1, 3, 1, 2]
    assert square_fault(digits, [1, 0, 0, 0, 3, 0, 0, 0, 2], square(3)) == ""
    assert "but 2 is given" in square_fault(digits, [2, 0, 0, 0, 0, 0, 0, 0, 0], square(3))
