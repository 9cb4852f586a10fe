"""Every kind of constraint: by hand, in its own examples, told, carried through JSON."""

import dataclasses
import json
import random
import re
from dataclasses import fields

import pytest

from fulmen.errors import ConfigError, DataError
from fulmen.rewards.constraints import KINDS, LANGUAGES, MAX_LEVEL, Constraint, Language, compose_example, from_json
from fulmen.rewards.constraints.constraint import scaled
from fulmen.rewards.constraints.punctuation import FORMS
from fulmen.rewards.constraints.reading import Reply, fold, split_words
from tests.rewards.constraints.cases import CASES, Case

DRAWN = [
    (kind, language, level)
    for kind in KINDS
    for language in LANGUAGES
    if language in kind.LANGUAGES
    for level in (0, 4)
]


def drawn(kind: type[Constraint], language: Language, level: int) -> list[Constraint]:
    return [kind.draw(random.Random(seed), level=level, language=language) for seed in range(4)]


def name_of(case: Case) -> str:
    return case.constraint.KIND


def test_every_kind_is_judged_by_hand_and_named_once() -> None:
    assert {type(case.constraint) for case in CASES} == set(KINDS)
    assert len({kind.KIND for kind in KINDS}) == len(KINDS) >= 50


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_by_hand(case: Case) -> None:
    for text in case.kept:
        assert case.constraint.find_fault(text) == "", text
    for text in case.broken:
        fault = case.constraint.find_fault(text)
        assert fault, text
        assert "a reply has at least" not in fault, text  # it is the kind that objects, not the rule of least content
        assert len(fault) < 200


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_how_a_text_is_stored_changes_nothing(case: Case) -> None:
    for text in case.kept:
        for same in (text.replace("\n", "\r\n"), text.replace("\n", "  \n") + " \n\n", "\ufeff" + text + "\u200b"):
            assert case.constraint.find_fault(same) == "", same


@pytest.mark.parametrize(("kind", "language", "level"), DRAWN)
def test_drawn_constraints_have_examples(kind: type[Constraint], language: Language, level: int) -> None:
    for seed, constraint in enumerate(drawn(kind, language, level)[:2]):
        example = compose_example([constraint], language=language, rng=random.Random(seed))
        assert example is not None, constraint
        assert constraint.find_fault(example) == ""


def changed(constraint: Constraint, example: str) -> list[Constraint]:
    """The constraint with one parameter changed, so that its example breaks it."""
    kind, values = constraint.KIND, {field.name: getattr(constraint, field.name) for field in fields(constraint)}
    changes: list[dict[str, object]] = []
    for name, value in values.items():
        if "exactly" in kind and isinstance(value, int):
            changes += [{name: value + 1}, {name: value - 1}]
        elif kind in ("words_forbidden", "letters_forbidden"):
            changes.append(
                {
                    name: (
                        split_words(fold(example))[1]
                        if "words" in kind
                        else next(filter(str.isalpha, example.lower())),
                    )
                }
            )
        elif name in ("num", "low", "place"):
            changes.append({name: 0 if "at_most" in kind else 10_000})
        elif name == "high":
            changes.append({name: values["low"] - 1})
        elif name in ("first", "second"):
            changes.append({name: "greek" if value != "greek" else "arabic"})
        elif name == "script":
            changes.append(
                {name: home_script(example) if kind == "script_forbidden" else "greek" if value != "greek" else "kana"}
            )
        elif name == "opening":
            changes.append({name: "附言：" if value == "P.S." else "P.S."})
        elif name == "mark" and kind == "mark_forbidden":
            changes += [{name: mark} for mark, forms in FORMS.items() if set(forms) & set(example)][:1]
        elif name == "letters":
            changes.append({name: 30})
        elif isinstance(value, tuple):
            changes.append({name: (*value[:-1], "xylograph")})
        elif name == "letter":
            changes += [{name: letter} for letter in "qxj" if letter not in fold(example) and "at_most" not in kind][:1]
        elif name in ("mark", "marker", "label", "tag") and kind != "sections_exactly":
            changes += [{name: other} for other in ("question", "colon", "#", "###", "markdown", "text", "result")]
        else:
            changes.append({name: "xylograph"})
    return [dataclasses.replace(constraint, **change) for change in changes if change_is_new(values, change)]


def change_is_new(values: dict[str, object], change: dict[str, object]) -> bool:
    ((name, value),) = change.items()
    allowed = {
        "mark": tuple(FORMS),
        "marker": ("#", "##", "###"),
        "tag": ("text", "result"),
        "label": ("text", "markdown", "xylograph"),
    }
    return values[name] != value and value in allowed.get(name, (value,))


def home_script(example: str) -> str:
    return "han" if Reply(example).num_of_script("han") else "latin"


@pytest.mark.parametrize(("kind", "language", "level"), DRAWN)
def test_examples_break_the_constraint_with_other_parameters(
    kind: type[Constraint], language: Language, level: int
) -> None:
    constraint = kind.draw(random.Random(3), level=level, language=language)
    example = compose_example([constraint], language=language, rng=random.Random(3))
    assert example is not None
    for other in changed(constraint, example):
        assert other.find_fault(example), other


@pytest.mark.parametrize(("kind", "language", "level"), DRAWN)
def test_drawn_constraints_survive_json(kind: type[Constraint], language: Language, level: int) -> None:
    for constraint in drawn(kind, language, level):
        assert from_json(json.loads(json.dumps(constraint.to_json()))) == constraint


@pytest.mark.parametrize(("kind", "language", "level"), DRAWN)
def test_phrases_name_every_parameter(kind: type[Constraint], language: Language, level: int) -> None:
    for constraint in drawn(kind, language, level):
        shown = constraint.values(language)
        assert set(shown) == {field.name for field in fields(constraint)}
        for phrase in kind.PHRASES[language]:
            told = phrase.format(**shown)
            assert not re.search(r"\{|\}", told)
            for field in fields(constraint):
                assert f"{{{field.name}}}" in phrase
                assert shown[field.name] in told
        assert constraint.phrase(language, random.Random(0)) in {
            phrase.format(**shown) for phrase in kind.PHRASES[language]
        }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_nothing_says_nothing(kind: type[Constraint]) -> None:
    constraint = kind.draw(random.Random(0), level=0, language=kind.LANGUAGES[0])
    for text in (
        "",
        " ",
        "\n\n",
        "\u200b" * 90,
        ".",
        "<!-- a long and winding comment here -->",
        "- - - - - -",
        "a b c d",
        "1 2 3 4 5 6 7 8",
        "a b c d 5 6 7",
    ):
        assert constraint.find_fault(text), text


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_padding_and_smuggling_are_refused(case: Case) -> None:
    for text in case.kept:
        assert "different words" in case.constraint.find_fault(text + "\n" + "word " * 400)
        assert "over 20000" in case.constraint.find_fault(text + "x" * 20_000)
        assert "alike" in case.constraint.find_fault(text + " d\u043eg")
        assert "letters; at most" in case.constraint.find_fault(text + " " + "abcd" * 11)


def test_levels_move_the_bounds() -> None:
    rng = random.Random(0)
    assert {scaled(rng, 0, easy=(1, 2), hard=(9, 10)) for _ in range(50)} == {1, 2}
    assert {scaled(rng, 2, easy=(1, 2), hard=(9, 10)) for _ in range(50)} == {5, 6}
    assert {scaled(rng, MAX_LEVEL, easy=(1, 2), hard=(9, 10)) for _ in range(50)} == {9, 10}
    with pytest.raises(ConfigError, match=r"level: 5; allowed"):
        scaled(rng, 5, easy=(1, 2), hard=(9, 10))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, "kind: None"),
        ({"kind": ["no_digits"]}, "kind: "),
        ({"kind": "words"}, "kind: 'words'"),
        ({"kind": "words_exactly"}, "fields"),
        ({"kind": "words_exactly", "num": 3, "more": 1}, "fields"),
        ({"kind": "words_exactly", "num": "3"}, "num: '3'"),
        ({"kind": "words_exactly", "num": True}, "num: True"),
        ({"kind": "words_exactly", "num": -1}, "num: -1"),
        ({"kind": "words_included", "words": []}, "words: "),
        ({"kind": "words_included", "words": ["a", 3]}, "words: "),
        ({"kind": "only_script", "script": "elvish"}, "script: 'elvish'"),
    ],
)
def test_records_that_are_none(record: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        from_json(record)
