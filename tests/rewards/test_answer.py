"""Cleaning of answer texts."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen.errors import DataError
from fulmen.rewards.answer import MAX_ANSWER_CHARS, clean_answer


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("12", "12"),
        ("  12\n", "12"),
        ("12.", "12"),
        ("12。", "12"),
        ("$12$", "12"),
        ("$$12$$.", "12"),
        (r"\(12\)", "12"),
        (r"\[ 12 \]", "12"),
        (r"\boxed{12}", "12"),
        (r"\boxed{$12$}", "12"),
        (r"$\boxed{\text{12}}$.", "12"),
        (r"12\text{ items}", "12 items"),
        (r"\boxed{\text{A, C}}", "A, C"),
        ("１２＋（３）", "12+(3)"),
        ("\u300012\u3000", "12"),
        (r"\boxed{>}])}", ">}])"),
        (r"\boxed{\}\{}", "}{"),
        ("1.5", "1.5"),
        ("", ""),
        ("$", "$"),
        (r"\boxed{}", ""),
    ],
)
def test_cleans(text: str, cleaned: str) -> None:
    assert clean_answer(text) == cleaned


@pytest.mark.parametrize("text", ["3²", "½", "a $1$ b", r"\boxed{1} or \boxed{2}", "1 2"])
def test_does_not_turn_one_answer_into_another(text: str) -> None:
    assert clean_answer(text) not in {"32", "12", "1", "2", "1/2"}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text())
def test_cleaning_twice_is_cleaning_once_around_wrappers(text: str) -> None:
    cleaned = clean_answer(text)
    assert clean_answer(f" ${text}$ ") == cleaned
    assert len(cleaned) <= len(text)


def test_length_is_bounded_and_nesting_is_fast() -> None:
    start = time.process_time()
    assert clean_answer("$" * MAX_ANSWER_CHARS) == ""
    assert clean_answer("." * MAX_ANSWER_CHARS) == ""
    assert time.process_time() - start < 1.0
    with pytest.raises(DataError, match="4097 characters"):
        clean_answer("1" * (MAX_ANSWER_CHARS + 1))
