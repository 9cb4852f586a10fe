"""Cipher: published and hand-made examples, round trips, and a second reading of every printed description."""

import itertools
import random
import re
import string

import pytest

from fulmen.envs.logic.cipher import Ciphers
from fulmen.envs.solve.ciphers import CODES, KINDS, MORSE, SENTENCES, Cipher, decrypt, describe, draw_cipher, encrypt
from fulmen.errors import ConfigError
from fulmen.types import Task
from tests.envs.logic import trials

A = string.ascii_uppercase
EXAMPLES = (
    ({"kind": "caesar", "shift": 3}, "XYZ", "ABC"),
    ({"kind": "atbash"}, "AMZ", "ZNA"),
    ({"kind": "affine", "factor": 5, "add": 8}, "AFFINECIPHER", "IHHWVCSWFRCP"),
    ({"kind": "vigenere", "key": "LEMON"}, "ATTACKATDAWN", "LXFOPVEFRNHR"),
    ({"kind": "rail_fence", "rails": 3}, "WEAREDISCOVEREDFLEEATONCE", "WECRLTEERDSOEEFEAOCAIVDEN"),
    ({"kind": "rail_fence", "rails": 4}, "AB", "AB"),
    ({"kind": "autokey", "start": 16}, "ATTACK", "QTMTCM"),
    ({"kind": "keyword", "key": "KRYPTOSS"}, "HELLO", "ATEEH"),
    ({"kind": "columnar", "columns": 3, "order": [2, 3, 1]}, "ABCDEFGH", "BEHCFADG"),
    ({"kind": "columnar", "columns": 5, "order": [5, 1, 2, 3, 4]}, "ABC", "ABC"),
    ({"kind": "blocks", "size": 3}, "ABCDEFGH", "CBAFEDHG"),
    ({"kind": "progressive", "start": 1, "step": 2}, "AAZ", "BDE"),
    ({"kind": "polybius", "columns": 5}, "AEFZ", "11 15 21 61"),
    ({"kind": "numbers", "factor": 3, "add": 2}, "AZ", "5 80"),
    ({"kind": "bits", "mask": "10000"}, "ABZ", "10000 10001 01001"),
    ({"kind": "morse"}, "SOS", "000 111 000"),
)


@pytest.mark.parametrize(("cipher", "plain", "encrypted"), EXAMPLES, ids=lambda value: str(value)[:40])
def test_examples(cipher: Cipher, plain: str, encrypted: str) -> None:
    assert encrypt(cipher, plain) == encrypted
    assert decrypt(cipher, encrypted) == plain


def test_every_kind_has_an_example_and_descriptions() -> None:
    assert {cipher["kind"] for cipher, _, _ in EXAMPLES} == set(KINDS) == set(SENTENCES["en"]) == set(SENTENCES["zh"])


@pytest.mark.parametrize("kind", KINDS)
def test_round_trips_of_all_lengths(kind: str) -> None:
    rng = random.Random(kind)
    with trials.unchecked_types():
        for length in range(1, 40):
            cipher = draw_cipher(rng, kind)
            text = "".join(rng.choice(A) for _ in range(length))
            encrypted = encrypt(cipher, text)
            assert decrypt(cipher, encrypted) == text
            assert (" " in encrypted) == (kind in CODES and length > 1)
            assert encrypted != text or length < 8


def test_morse_is_a_code_of_letters() -> None:
    assert len(set(MORSE.values())) == 26
    assert MORSE["A"] + MORSE["N"] + MORSE["E"] + MORSE["T"] + MORSE["Q"] == "01" + "10" + "0" + "1" + "1101"


def by_description(clause: str, text: str) -> str:
    """Encrypts by the English clause, letter by letter and with other means than the module's."""
    numbers = [int(number) for number in re.findall(r"\b\d+\b", clause)]
    at = {letter: place for place, letter in enumerate(A)}
    if "mirror image" in clause:
        return text.translate(str.maketrans(A, A[::-1]))
    if "places later" in clause:
        return text.translate(str.maketrans(A, A[numbers[0] :] + A[: numbers[0]]))
    if "blocks of" in clause:
        return "".join(text[i : i + numbers[0]][::-1] for i in range(0, len(text), numbers[0]))
    if "different letters of" in clause:
        alphabet = ""
        for letter in re.search(r"letters of ([A-Z]+)", clause)[1] + A:
            alphabet += letter if letter not in alphabet else ""
        return text.translate(str.maketrans(A, alphabet))
    if "grid" in clause:
        rows = [A[i : i + numbers[0]] for i in range(0, 26, numbers[0])]
        places = {letter: f"{r}{c}" for r, row in enumerate(rows, 1) for c, letter in enumerate(row, 1)}
        return " ".join(places[letter] for letter in text)
    if "zigzag" in clause:
        rows, row, step = [""] * numbers[0], 0, 1
        for letter in text:
            rows[row] += letter
            step = 1 if row == 0 else -1 if row == numbers[0] - 1 else step
            row += step
        return "".join(rows)
    if "each further letter" in clause and "places more" in clause:
        result, shift = "", numbers[0]
        for letter in text:
            result += A[(at[letter] + shift) % 26]
            shift += numbers[1]
        return result
    if "mod 26" in clause:
        factor, add = map(int, re.search(r"\((\d+) \* x \+ (\d+)\)", clause).groups())
        return "".join(A[(factor * at[letter] + add) % 26] for letter in text)
    if "flip the digits" in clause:
        mask = re.search(r"which ([01]{5}) has", clause)[1]
        flip = {"00": "0", "01": "1", "10": "1", "11": "0"}
        digits = [format(at[letter], "05b") for letter in text]
        return " ".join("".join(flip[a + b] for a, b in zip(word, mask, strict=True)) for word in digits)
    if "write the key" in clause:
        key = re.search(r"key ([A-Z]+) again", clause)[1] * len(text)
        return "".join(A[(at[a] + at[b]) % 26] for a, b in zip(text, key, strict=False))
    if "read the columns" in clause:
        order = [int(number) for number in re.search(r"order ([\d ]+) \(", clause)[1].split()]
        rows = [text[i : i + numbers[0]] for i in range(0, len(text), numbers[0])]
        return "".join(row[column - 1] for column in order for row in rows if column <= len(row))
    if "Morse" in clause:
        table = dict(pair.split(" ") for pair in re.search(r"\((A .*?)\)", clause)[1].split(", "))
        return " ".join(table[letter] for letter in text)
    if "the number" in clause and "* n" in clause:
        factor, add = map(int, re.search(r"(\d+) \* n \+ (\d+)", clause).groups())
        return " ".join(str(factor * (at[letter] + 1) + add) for letter in text)
    first = A[(at[text[0]] + numbers[0]) % 26]
    return first + "".join(A[(at[a] + at[b]) % 26] for a, b in itertools.pairwise(text))


@pytest.mark.parametrize("kind", KINDS)
def test_descriptions_say_what_is_done(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(12):
        cipher = draw_cipher(rng, kind)
        text = "".join(rng.choice(A) for _ in range(rng.randint(1, 25)))
        assert by_description(describe(cipher, "en"), text) == encrypt(cipher, text)
        # The Chinese clause has the same parameters.
        clause = describe(cipher, "zh")
        for value in (value for name, value in cipher.items() if name != "kind"):
            assert (" ".join(map(str, value)) if isinstance(value, list) else str(value)) in clause


def test_puzzles_by_their_printed_descriptions() -> None:
    for level in range(1, 6):
        env = Ciphers.at_level(level)
        kinds = set()
        for task in trials.draw(env, 40):
            prompt = task.prompt[0].content
            clauses = [describe(cipher, "en") for cipher in task.meta["ciphers"]]
            assert len(clauses) == env.num_stages
            assert all(clause in prompt for clause in clauses)
            places = [prompt.index(clause) for clause in clauses]
            assert places == sorted(places)
            assert task.meta["text"] in prompt
            plain, encrypted = task.meta["text"], task.gold
            if task.meta["is_decrypting"]:
                plain, encrypted = encrypted, plain
            assert env.min_letters <= len(plain) <= env.max_letters
            for clause in clauses:
                plain = by_description(clause, plain)
            assert plain == encrypted
            assert ("the groups of digits only" in prompt) == task.gold[0].isdigit()
            kinds.update(cipher["kind"] for cipher in task.meta["ciphers"])
            for place in range(0, len(task.gold), 3):
                if task.gold[place] != " ":
                    changed = "Q" if task.gold[place] not in "Q0123456789" else "0" if task.gold[place] != "0" else "1"
                    assert env.check(task, task.gold[:place] + changed + task.gold[place + 1 :]).value == 0.0
        assert kinds <= set(KINDS[: env.num_kinds])
        assert len(kinds) >= min(env.num_kinds, 8)


def task_of(cipher: Cipher, text: str, *, is_decrypting: bool = False) -> Task:
    meta = {"ciphers": [cipher], "text": text, "is_decrypting": is_decrypting}
    return Task(task_id="x", env="cipher", prompt=(), gold="", meta=meta)


def test_forms() -> None:
    env = Ciphers()
    task = task_of({"kind": "caesar", "shift": 3}, "XYZ")
    assert (
        trials.values(env, task, "ABC", "abc", "A B C", "`ABC`", '"ABC"', r"\text{ABC}", "ＡＢＣ", "A, B, C.")
        == [1] * 8
    )
    assert trials.values(env, task, "ABCD", "AB", "CBA", "ABC is it", "XYZ", "Ä", "123", "A-B-C", "ABC ABC") == [0] * 9
    assert trials.values(env, task_of({"kind": "atbash"}, "TOZHH"), "glass", "glaß") == [1, 0]
    task = task_of({"kind": "polybius", "columns": 5}, "AF")
    assert (
        trials.values(env, task, "11 21", "1121", "11, 21", "11/21", "21 11", "11 2", "AF", "11 21 11")
        == [1] * 4 + [0] * 4
    )
    task = task_of({"kind": "morse"}, "EAT")
    assert (
        trials.values(env, task, "0 01 1", "0, 01, 1", "0 / 01 / 1", "0011", "0 0 1 1", "00 1 1", ". .- -")
        == [1] * 3 + [0] * 4
    )
    task = task_of({"kind": "numbers", "factor": 2, "add": 0}, "AJ")
    assert trials.values(env, task, "2 20", "220", "2 2 0", "22 0") == [1, 0, 0, 0]
    task = task_of({"kind": "morse"}, "0 01 1", is_decrypting=True)
    assert trials.values(env, task, "EAT", "eat", "E A T", "ETA", "0 01 1") == [1, 1, 1, 0, 0]


def test_worked_stages_end_in_the_answer() -> None:
    env = Ciphers.at_level(5)
    for task in trials.draw(env, 30):
        *lines, last = env.solve_aloud(task, random.Random(0)).split("\n")
        assert last == task.gold
        assert len(lines) == 3
        assert lines[-1].endswith(f": {last}")


def test_common() -> None:
    trials.gold_scores_one_everywhere(Ciphers)
    trials.forms_hold(Ciphers)
    trials.wrappers_change_nothing(Ciphers)
    trials.streams_are_rich(Ciphers)
    trials.phrases_are_complete(Ciphers)


def test_attacks() -> None:
    trials.attacks_score_zero(Ciphers, "A" * 4096, "0 1 " * 1000, A)


def test_settings() -> None:
    bad = {"num_kinds": (2, 15), "num_stages": (0, 5), "min_letters": (2, 13), "max_letters": (2, 61)}
    trials.settings_are_bounded(Ciphers, **bad, decrypt_percent=(-1, 101))
    with pytest.raises(ConfigError, match="num_stages: 4; allowed: an integer from 1 to 3"):
        Ciphers(num_kinds=3, num_stages=4)
    assert len(Ciphers(num_kinds=3, num_stages=3).task("train", seed=0, index=0).meta["ciphers"]) == 3
