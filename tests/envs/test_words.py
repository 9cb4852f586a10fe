"""The list of words."""

import re

from fulmen.envs.words import WORDS, words_between


def test_words_are_plain_sorted_and_many() -> None:
    assert len(WORDS) >= 400
    assert list(WORDS) == sorted(set(WORDS), key=lambda word: (len(word), word))
    assert all(re.fullmatch("[a-z]{2,11}", word) for word in WORDS)


def test_words_between() -> None:
    chosen = words_between(min_length=4, max_length=5)
    assert {len(word) for word in chosen} == {4, 5}
    assert "cake" in chosen
    assert len(words_between(min_length=2, max_length=11)) == len(WORDS)
