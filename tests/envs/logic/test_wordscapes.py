import itertools
import random

import pytest

from fulmen.envs.logic.wordscapes import Search, Wordscapes, grow, slots_of
from fulmen.envs.solve.words import WORDS
from fulmen.types import Task
from tests.envs.logic import every_puzzle as every

NAME = "wordscapes"


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold(NAME, level=level, num=6 if level < 4 else 2, is_taught=level < 4)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold(NAME, level=level, num=50, is_taught=level < 4)


def test_common() -> None:
    every.check_attacks(NAME)
    every.check_prompts(NAME)
    every.check_variety(NAME)
    every.check_bounds(
        NAME,
        {"num_words": 1},
        {"size": 15},
        {"min_letters": 2},
        {"max_letters": 8},
        {"max_letters": 4, "min_letters": 5},
    )


def entries(rows: list[str]) -> list[str]:
    """What reads across and down, by splitting at walls."""
    columns = ["".join(column) for column in zip(*rows, strict=True)]
    return sorted(part for line in (*rows, *columns) for part in line.split("#") if len(part) > 1)


def test_grown_crosswords_spell_different_words_of_the_list() -> None:
    for language in ("en", "zh"):
        for level in (1, 3, 5):
            for _, task in every.make(NAME, level, 3, language=language):
                rows = ["".join(row.split()) for row in task.gold.split("\n")]
                found = entries(rows)
                assert found == task.meta["words"]
                assert len(set(found)) == len(found) == Wordscapes.levels[level - 1]["num_words"]
                assert set(found) <= set(WORDS[language])
                assert [len(row) for row in rows] == [len(rows[0])] * len(rows)


def test_every_assignment_of_words_to_slots() -> None:
    for env, task in every.make(NAME, 2, 5):
        bare, words = task.meta["grid"], task.meta["words"]
        slots = slots_of(bare)
        assert len(slots) == len(words)
        num_right = 0
        for order in itertools.permutations(words):
            letters: dict[tuple[int, int], set[str]] = {}
            fits = all(len(slot) == len(word) for slot, word in zip(slots, order, strict=True))
            for slot, word in zip(slots, order, strict=True):
                for place, letter in zip(slot, word, strict=False):
                    letters.setdefault(place, set()).add(letter)
            fits = fits and all(len(each) == 1 for each in letters.values())
            rows = [
                " ".join(min(letters.get((r, c), {"z"})) if cell == "_" else "#" for c, cell in enumerate(row))
                for r, row in enumerate(bare)
            ]
            value = env.check(task, "\n".join(rows)).value
            assert value == float(entries([row.replace(" ", "") for row in rows]) == words)
            assert value == 1.0 or not fits
            num_right += fits
        assert num_right >= 1


def test_changed_cells_score_zero() -> None:
    for env, task in every.make(NAME, 3, 3):
        for at, cell in enumerate(task.gold):
            for other in "aqz#_":
                if cell not in " \n" and other != cell:
                    changed = task.gold[:at] + other + task.gold[at + 1 :]
                    rows = [row.replace(" ", "") for row in changed.split("\n")]
                    walls = ["".join("#" if c == "#" else "_" for c in row) for row in rows]
                    expected = walls == task.meta["grid"] and entries(rows) == task.meta["words"]
                    assert env.check(task, changed).value == float(expected)
        assert env.check(task, "\n".join(map(" ".join, task.meta["grid"]))).value == 0.0
        assert env.check(task, ", ".join(task.meta["words"])).value == 0.0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("t o p\no # e\ne e n", "is no word"),
        ("t e n\no # o\np e t", ""),
        ("T O P\nE # E\nN O T", ""),
        ("t o p\no # e\np e t", "twice"),
        ("t e n\no x o\np e t", "another cell"),
        ("t e n\no o o\np e t", "another cell"),
        ("ten/o#o/pet", ""),
        ("ten/o#o", "rows"),
        ("ten\no_o\npet", "allowed"),
        ("[['t','e','n'],['o','#','o'],['p','e','t']]", ""),
        ("t, e, n\no, #, o\np, e, t", ""),
    ],
)
def test_rules_by_hand(text: str, fault: str) -> None:
    meta = {"grid": ["___", "_#_", "___"], "words": ["not", "pet", "ten", "top"]}
    task = Task(task_id="t", env=NAME, prompt=(), gold="", meta=meta)
    score = Wordscapes().check(task, text)
    assert score.value == float(not fault), score
    assert fault in score.info


def test_search_goes_back() -> None:
    search = Search(["___", "_#_", "___"], ["not", "pet", "ten", "top"])
    assert search.run()
    assert len(search.letters) == 8
    assert not Search(["___", "_#_", "___"], ["not", "pet", "ten", "tax"]).run()
    # "eat" across comes first and leaves no word that starts with its a.
    tried = Search(["___", "#_#", "#_#"], ["eat", "ten"])
    assert tried.run()
    assert [fitting for _, _, fitting in tried.steps] == ["eat, ten", "", "ten", "eat"]


def test_grow_keeps_to_its_size_and_makes_no_other_words() -> None:
    rng = random.Random(0)
    pool = [word for word in WORDS["en"] if len(word) < 6]
    num_grown = 0
    for _ in range(30):
        letters = grow(rng, pool, num_words=6, size=7)
        if letters is None:
            continue
        num_grown += 1
        rows = ["".join(letters.get((r, c), "#") for c in range(7)) for r in range(7)]
        assert len(entries(rows)) == 6
        assert set(entries(rows)) <= set(pool)
        assert min(letters) >= (0, 0)
        assert max(max(place) for place in letters) < 7
    assert num_grown > 5
    assert all(word.isascii() and word.islower() and 3 <= len(word) <= 7 for words in WORDS.values() for word in words)
    assert min(map(len, WORDS.values())) > 100
