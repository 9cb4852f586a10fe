"""Readers of structured answers: what they accept, and that they say no to everything else."""

import contextlib
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen.errors import DataError
from fulmen.rewards.fields import (
    read_grid,
    read_integer,
    read_items,
    read_json,
    read_number,
    read_pairs,
    read_words,
)


@pytest.mark.parametrize(("text", "value"), [("12", 12), (" -3 ", -3), ("+7", 7), ("007", 7)])
def test_integers(text: str, value: int) -> None:
    assert read_integer(text) == value


@pytest.mark.parametrize("text", ["", "1.0", "1,000", "٣", "３", "²", "1 2", "0x10", "1e3", "9" * 19, "--1", "1\n2"])
def test_no_integers(text: str) -> None:
    with pytest.raises(DataError, match="allowed: an integer"):
        read_integer(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1,234.5", Fraction(2469, 2)), ("-7/8", Fraction(-7, 8)), ("-0.05", Fraction(-1, 20)), ("12", Fraction(12))],
)
def test_numbers(text: str, value: Fraction) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize("text", ["1,23", "1/0", ".5", "5.", "1e5", "1/2/3", "12,3456", "nan", "1.2.3", "1/-2"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(DataError, match="allowed: a number"):
        read_number(text)


def test_words_and_items() -> None:
    assert read_words("[Ann, 'bob'; CY]") == ["ann", "bob", "cy"]
    assert read_words("A b", is_cased=True) == ["A", "b"]
    assert read_items("Red  car,\nblue bike") == ["red car", "blue bike"]
    for broken in ("", "[]", " , "):
        with pytest.raises(DataError, match="no word"):
            read_words(broken)
    with pytest.raises(DataError, match="'dan'; allowed: ann bob"):
        read_words("ann dan", allowed=["ann", "bob"])
    with pytest.raises(DataError, match="empty item"):
        read_items("red car,, blue bike")


@pytest.mark.parametrize("text", ["12/34", "1 2\n3 4", "1,2;3,4", "[[1,2],[3,4]]", "[[1, 2], [3, 4]]", "1 2 | 3 4"])
def test_grids(text: str) -> None:
    assert read_grid(text, num_rows=2, num_columns=2, cells="1234") == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("text", ["12", "12/34/12", "12/3", "15/34", "1٢/34", "", "[[1,2],[3,4]] or [[2,1],[4,3]]"])
def test_no_grids(text: str) -> None:
    with pytest.raises(DataError, match="allowed"):
        read_grid(text, num_rows=2, num_columns=2, cells="1234")


def test_cells_of_several_characters_need_separators() -> None:
    assert read_grid("10 2/3 4", num_rows=2, num_columns=2, cells=["10", "2", "3", "4"]) == [["10", "2"], ["3", "4"]]
    with pytest.raises(DataError, match="row 1 has 1 cells"):
        read_grid("102/34", num_rows=2, num_columns=2, cells=["10", "2", "3", "4"])


@pytest.mark.parametrize(
    "text", ["Ann: red ball, Bob = cup", '{"ann": "Red ball", "BOB": "cup"}', "ann -> red  ball\nbob → cup"]
)
def test_pairs(text: str) -> None:
    assert read_pairs(text, keys=["ann", "bob"]) == {"ann": "red ball", "bob": "cup"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ann: cup", "nothing for 'bob'"),
        ("ann: cup, ann: ball, bob: x", "'ann' twice"),
        ("ann: cup, bob: ball, cy: hat", "'cy'; allowed: ann bob"),
        ("ann cup", "allowed: key: value"),
        ('{"ann": ["cup"], "bob": "x"}', "JSON of another kind"),
        ('{"ann": "cup", "ann": "x"}', "a key twice"),
    ],
)
def test_no_pairs(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_pairs(text, keys=["ann", "bob"])


@pytest.mark.parametrize("text", ["NaN", "[1, Infinity]", '{"a": 1, "a": 2}', "[" * 100_000, "{'a': 1}", "1 2", ""])
def test_no_json(text: str) -> None:
    with pytest.raises(DataError, match="not JSON"):
        read_json(text)


READERS: list[Callable[[str], object]] = [
    read_integer, read_number, read_words, read_items, read_json,
    lambda text: read_grid(text, num_rows=2, num_columns=2, cells="1234"),
    lambda text: read_pairs(text, keys=["a", "b"]),
]  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.text(alphabet='12ab:=,;[]{}()"/ \n-.')))
def test_a_reader_returns_or_raises_data_error(text: str) -> None:
    for read in READERS:
        with contextlib.suppress(DataError):
            read(text)
