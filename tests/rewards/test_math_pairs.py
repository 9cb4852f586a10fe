"""Verdicts on written pairs: the audit of the specification, everyday answers by family, answers made to deceive."""

import contextlib

import pytest

from fulmen.errors import DataError
from fulmen.rewards.math import parse
from tests.rewards.math_tables import Pair, checker, families, read_table


def wrong(pairs: list[Pair]) -> list[str]:
    """Pairs whose verdict is not the written one, in either direction."""
    found = []
    for pair in pairs:
        for answer, gold in ((pair.answer, pair.gold), (pair.gold, pair.answer)):
            verdict = checker().check(answer, gold)
            if verdict.is_equal != pair.is_equal:
                found.append(f"{answer!r} for {gold!r}: {verdict}")
    return found


def test_tables_are_as_large_as_promised() -> None:
    assert len(read_table("audit")) == 48
    assert len(read_table("pairs")) >= 500
    assert len(read_table("hostile")) >= 300
    pairs = read_table("pairs")
    assert len({(pair.gold, pair.answer) for pair in pairs}) == len(pairs)
    for family in families("pairs"):
        assert {pair.is_equal for pair in pairs if pair.family == family} == {True, False}


@pytest.mark.parametrize("pair", read_table("audit"), ids=lambda pair: f"{pair.gold} ? {pair.answer}")
def test_audit(pair: Pair) -> None:
    assert wrong([pair]) == []


@pytest.mark.parametrize("family", families("pairs"))
def test_pairs(family: str) -> None:
    assert wrong([pair for pair in read_table("pairs") if pair.family == family]) == []


@pytest.mark.parametrize("family", families("hostile"))
def test_hostile_answers(family: str) -> None:
    assert wrong([pair for pair in read_table("hostile") if pair.family == family]) == []


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_every_readable_text_equals_itself(stride: int) -> None:
    tables = [pair for name in ("audit", "pairs", "hostile") for pair in read_table(name)]
    texts = {text for pair in tables for text in (pair.gold, pair.answer)}
    num_readable = 0
    for text in sorted(texts)[::stride]:
        with contextlib.suppress(DataError):
            parse(text)
            num_readable += 1
            # A space at either end makes another text of it, and no other answer.
            assert checker().check(f" {text} ", text).is_equal, text
    assert num_readable > 900 / stride


def test_every_reference_of_the_equal_pairs_is_readable() -> None:
    for pair in read_table("pairs")[::4] + read_table("audit"):
        if pair.is_equal:
            parse(pair.gold)
            parse(pair.answer)


@pytest.mark.parametrize(
    ("answer", "gold", "layer"),
    [
        ("5", " 5. ", "text"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}", "text"),
        ("0.5", r"\frac{1}{2}", "exact"),
        (r"\{2, 1\}", "1,2", "exact"),
        (r"\sqrt{8}", r"2\sqrt{2}", "symbolic"),
        ("(x+1)^2", "x^2+2x+1", "symbolic"),
    ],
)
def test_the_cheapest_layer_decides(answer: str, gold: str, layer: str) -> None:
    verdict = checker().check(answer, gold)
    assert (verdict.is_equal, verdict.layer) == (True, layer)


@pytest.mark.parametrize(
    ("answer", "gold", "says"),
    [
        ("", "5", "the answer cannot be read: answer: empty"),
        ("5", "", "the reference cannot be read: answer: empty"),
        ("1" * 5000, "5", "5000 characters; allowed: up to 4096"),
        ("(" * 100 + "1" + ")" * 100, "5", "nested deeper than"),
        ("3 4", "3", "'4' out of place"),
        (r"1\frac{7}{2}", "3", "mixed fraction with 7/2"),
        ("1e99999", "3", "exponent 99999; allowed: up to 1000"),
        (",".join("1" * 100), "3", "100 items; allowed: up to 64"),
        ("7}", "7", "braces that do not match"),
    ],
)
def test_what_cannot_be_read_is_said(answer: str, gold: str, says: str) -> None:
    verdict = checker().check(answer, gold)
    assert not verdict.is_equal
    assert verdict.layer == "parse"
    assert says in verdict.reason
