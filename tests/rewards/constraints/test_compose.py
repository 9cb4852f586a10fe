"""Constraints together: every drawn set has an example; conflicts; what the user is told; arbitrary replies."""

import random
import re
import time
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulmen.errors import ConfigError
from fulmen.rewards.constraints import (
    KINDS,
    LANGUAGES,
    Constraint,
    check_all,
    compose_example,
    describe,
    draw_constraints,
    draw_with_example,
    find_any_conflict,
    find_conflict,
    from_json,
)
from fulmen.rewards.constraints.format import BulletsExactly, CodeBlock, HeadingsExactly, NoMarkdown
from fulmen.rewards.constraints.length import (
    ParagraphsExactly,
    SentencesExactly,
    SentenceWordsAtLeast,
    WordsAtMost,
    WordsExactly,
)
from fulmen.rewards.constraints.letters import LettersForbidden
from fulmen.rewards.constraints.punctuation import MarkForbidden, NoPunctuation, SentencesEndWith
from fulmen.rewards.constraints.reading import RULES
from fulmen.rewards.constraints.words import NoDigits, NumbersAtLeast, WordsForbidden, WordsIncluded
from tests.rewards.constraints.cases import CASES


def check_drawn(seed: int) -> tuple[Constraint, ...]:
    """Draws 2 to 6 constraints, checks that their example is one by each of their checkers, alone and after JSON."""
    language, num, level = LANGUAGES[seed % 2], 2 + seed % 5, seed // 10 % 5
    constraints, example = draw_with_example(random.Random(seed), num=num, level=level, language=language)
    assert len({constraint.KIND for constraint in constraints}) == num
    assert [constraint.find_fault(example) for constraint in constraints] == [""] * num
    assert [from_json(constraint.to_json()).find_fault(example) for constraint in constraints] == [""] * num
    assert find_any_conflict(constraints) == ""
    return constraints


def test_drawn_sets_can_be_kept() -> None:
    for seed in range(20):
        check_drawn(seed)


@pytest.mark.slow
def test_two_thousand_drawn_sets_can_be_kept_and_no_kind_is_left_out() -> None:
    seen = {constraint.KIND for seed in range(2000) for constraint in check_drawn(seed)}
    assert seen == {kind.KIND for kind in KINDS}


def test_draws_depend_on_the_seed_alone() -> None:
    first = draw_constraints(random.Random(5), num=4, level=2, language="zh")
    assert draw_constraints(random.Random(5), num=4, level=2, language="zh") == first
    assert len({draw_constraints(random.Random(seed), num=2, level=2) for seed in range(20)}) == 20


@pytest.mark.parametrize(("num", "level"), [(0, 1), (9, 1), (2, -1), (2, 5)])
def test_settings_out_of_bounds(num: int, level: int) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        draw_constraints(random.Random(0), num=num, level=level)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (WordsExactly(num=9), WordsAtMost(num=8), "words: at least 9 and at most 8"),
        (WordsExactly(num=9), WordsExactly(num=9), "both are words_exactly"),
        (NoDigits(), NumbersAtLeast(num=2), "needs '0'"),
        (WordsForbidden(words=("very",)), WordsIncluded(words=("very",)), "needs 'very'"),
        (LettersForbidden(letters=("q",)), WordsIncluded(words=("quilt",)), "needs 'quilt'"),
        (MarkForbidden(mark="dash"), BulletsExactly(num=2), "needs '- '"),
        (NoMarkdown(), HeadingsExactly(num=2, marker="#"), "needs '# '"),
        (NoPunctuation(), CodeBlock(label="text"), "decide"),
        (MarkForbidden(mark="question"), SentencesEndWith(mark="question", num=2), "needs '?'"),
        (SentencesExactly(num=2), ParagraphsExactly(num=3), "the paragraphs need more sentences"),
    ],
)
def test_conflicts(first: Constraint, second: Constraint, said: str) -> None:
    assert said in find_conflict(first, second)
    assert find_conflict(second, first)
    assert compose_example([first, second], language="en", rng=random.Random(0)) is None


def test_conflicts_of_three() -> None:
    three = [SentencesExactly(num=4), SentenceWordsAtLeast(num=9), WordsAtMost(num=30)]
    assert "more words than allowed" in find_any_conflict(three)
    assert not any(find_conflict(a, b) for a in three for b in three if a.KIND < b.KIND)


def test_verdict() -> None:
    constraints = [WordsExactly(num=7), NoDigits(), MarkForbidden(mark="comma"), WordsIncluded(words=("owl",))]
    verdict = check_all(constraints, "The quick brown fox, too, sees dogs.")
    assert verdict.faults == (
        "mark_forbidden: has a comma (, ， 、)",
        "words_included: lacks owl",
    )
    assert verdict.kept_frac == 0.5
    assert check_all(constraints, "The quick brown fox sees an owl.").kept_frac == 1.0
    assert check_all(constraints, "").kept_frac == 0.0
    with pytest.raises(ConfigError, match="constraints: none"):
        check_all([], "The quick brown fox sees an owl.")


def test_description_has_every_phrase_and_only_rules_in_use() -> None:
    constraints = [WordsExactly(num=7), ParagraphsExactly(num=2)]
    for language in LANGUAGES:
        told = describe(constraints, language=language, rng=random.Random(0))
        for constraint in constraints:
            phrases = {phrase.format(**constraint.values(language)) for phrase in constraint.PHRASES[language]}
            assert sum(f"- {phrase}\n" in told for phrase in phrases) == 1
        assert [unit for unit, rule in RULES[language].items() if rule in told] == ["word", "paragraph"]
    assert "\n\n" not in describe([NoDigits()], language="en", rng=random.Random(0))


@settings(deadline=None, max_examples=25)
@given(st.text(max_size=300))
def test_no_text_makes_a_checker_raise(text: str) -> None:
    for case in CASES:
        assert isinstance(case.constraint.find_fault(text), str)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.text(max_size=40))
def test_no_mixture_of_forms_makes_a_checker_raise(seed: int, noise: str) -> None:
    rng = random.Random(seed)
    pieces = [text for case in CASES for text in (*case.kept, *case.broken)]
    text = noise.join(rng.choice(pieces)[rng.randrange(9) :] for _ in range(3)) + rng.choice('\n|`"]}>.*')
    for case in CASES:
        assert isinstance(case.constraint.find_fault(text), str)


@pytest.mark.parametrize(
    "piece", ["a b ", "**", '["a", ', "(a) ", "[a] ", "|a", "<<a>> ", "1. a\n", '"a" ', "Part 1\n", "a. B? "]
)
def test_checkers_take_bounded_time(piece: str) -> None:
    words = " ".join(f"{a}{b}" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst")
    text = words + "\n" + piece * ((19_000 - len(words)) // len(piece))
    for size in (text, text * 50):
        start = time.process_time()
        for case in CASES:
            case.constraint.find_fault(size)
        assert time.process_time() - start < 6


def test_the_table_of_all_kinds_is_complete() -> None:
    text = (Path(__file__).parents[3] / "docs" / "constraints.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `") and row.count(" | ") == 3}
    assert list(rows) == [kind.KIND for kind in KINDS]
    for kind in KINDS:
        names = re.findall(r"`(\w+)`", rows[kind.KIND].rsplit(" | ", 2)[1])
        assert names == [field.name for field in fields(kind)]
        assert ("English prompts only" in rows[kind.KIND]) == (kind.LANGUAGES == ("en",))
        assert ("Chinese prompts only" in rows[kind.KIND]) == (kind.LANGUAGES == ("zh",))
