"""Cipher: apply or undo one or more hand ciphers that are described in the task.

Every cipher can be undone for every text, so a text has one encryption and one decryption.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.ciphers import (
    CODES,
    KINDS,
    LETTERS,
    TRANSPOSITIONS,
    decrypt,
    describe,
    draw_cipher,
    encrypt,
    rows_of,
)
from fulmen.envs.words import words_between
from fulmen.errors import ConfigError, DataError
from fulmen.types import Task

FIXED_WIDTH = ("polybius", "bits")
"""Codes whose groups all have one length, so that spaces between them carry nothing."""
FORMS = {
    "en": {
        "letters": "letters only, without spaces, like XYZ",
        "digits": "the groups of digits only, separated by spaces, like 7 77 707",
    },
    "zh": {"letters": "只写字母，不加空格，如 XYZ", "digits": "只写各组数字，用空格隔开，如 7 77 707"},
}
TASKS = {
    "en": {
        False: ("Encrypt {text}", "encrypt the text {text}"),
        True: ("{text} is the encrypted text. Find the original", "decrypt {text}, the result of this encryption"),
    },
    "zh": {
        False: ("请加密 {text}", "加密文本 {text}"),
        True: ("{text} 是加密后的文本，请求出原文", "解密 {text}（它是按上述方法加密的结果）"),
    },
}
_SEPARATORS = re.compile(r"[\s,;/|]+")


@dataclass(frozen=True, kw_only=True)
class Ciphers(PuzzleEnv):
    """A text to encrypt or decrypt by described ciphers."""

    name: str = "cipher"
    num_kinds: int = 10
    """How many kinds of ciphers may occur, from the plainest on, 3 to 14."""
    num_stages: int = 1
    """Ciphers applied one after another, 1 to 4, and no more than there are kinds that make letters."""
    min_letters: int = 6
    """Letters of the shortest plain text, 3 or more."""
    max_letters: int = 12
    """Letters of the longest plain text, up to 60."""
    decrypt_percent: int = 50
    """Tasks that ask for the original, in percent, 0 to 100."""

    rule: ClassVar[str] = "encrypt or decrypt a text by the ciphers that are described"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_kinds": 3, "min_letters": 3, "max_letters": 5, "decrypt_percent": 30},
        {"num_kinds": 6, "min_letters": 4, "max_letters": 8, "decrypt_percent": 40},
        {},
        {"num_kinds": 14, "num_stages": 2, "min_letters": 10, "max_letters": 18},
        {"num_kinds": 14, "num_stages": 3, "min_letters": 16, "max_letters": 30, "decrypt_percent": 70},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "To encrypt, {ciphers}.\n{task}. Answer with {form}.",
            "A cipher works like this: {ciphers}.\n{task}. Write {form}.",
            "This is how a text of capital letters is encrypted: {ciphers}. Now {task2}. Your answer is the resulting "
            "text: {form}.",
        ),
        "zh": (
            "加密方法：{ciphers}。\n{task}。{form}。",
            "大写字母文本按如下方法加密：{ciphers}。请{task2}。答案{form}。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_kinds", self.num_kinds, low=3, high=len(KINDS))
        num_plain = sum(kind not in CODES for kind in KINDS[: self.num_kinds])
        require_between("num_stages", self.num_stages, low=1, high=min(4, num_plain))
        require_between("min_letters", self.min_letters, low=3, high=60)
        require_between("max_letters", self.max_letters, low=3, high=60)
        require_between("decrypt_percent", self.decrypt_percent, low=0, high=100)
        if self.min_letters > self.max_letters:
            raise ConfigError(f"min_letters: {self.min_letters}; allowed: up to max_letters = {self.max_letters}")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns words, perhaps encrypted, with a chain of ciphers."""
        ciphers = self._chain(rng)
        plain = self._plain(rng)
        encrypted = apply_all(ciphers, plain)
        is_decrypting = rng.randrange(100) < self.decrypt_percent
        given, gold = (encrypted, plain) if is_decrypting else (plain, encrypted)
        form = "digits" if gold[0].isdigit() else "letters"
        tasks = TASKS[self.language][is_decrypting]
        return Puzzle(
            key=(ciphers, is_decrypting, given),
            prompt=self.phrase(
                rng,
                ciphers=self._tell(ciphers),
                task=tasks[0].format(text=given),
                task2=tasks[1].format(text=given),
                form=FORMS[self.language][form],
            ),
            gold=gold,
            meta={"ciphers": ciphers, "is_decrypting": is_decrypting, "text": given},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first place where a text differs from the one that is asked for."""
        ciphers = read_meta(task, "ciphers", kind=list)
        given = read_meta(task, "text", kind=str)
        is_decrypting = read_meta(task, "is_decrypting", kind=bool)
        right = undo_all(ciphers, given) if is_decrypting else apply_all(ciphers, given)
        groups = [group for group in _SEPARATORS.split(text.upper().strip("'\"` ")) if group]
        is_code = right[0].isdigit()
        allowed = "0123456789" if is_code else LETTERS
        # The capital of the German sharp s would be two letters.
        if not text.isascii() or not set("".join(groups)) <= set(allowed):
            raise DataError(f"answer: {text[:40]!r}; allowed: {'groups of digits' if is_code else 'letters'}")
        has_groups = is_code and ciphers[-1]["kind"] not in FIXED_WIDTH
        found, wanted = (groups, right.split()) if has_groups else (list("".join(groups)), list(right.replace(" ", "")))
        if len(found) != len(wanted):
            return f"{len(found)} {'groups' if has_groups else 'characters'}, not {len(wanted)}"
        for place, (one, other) in enumerate(zip(found, wanted, strict=True), 1):
            if one != other:
                return f"place {place} is {one[:20]}, not {other}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns each cipher's work, letter by letter or row by row, and the text it leaves."""
        text = read_meta(task, "text", kind=str)
        ciphers = read_meta(task, "ciphers", kind=list)
        is_decrypting = read_meta(task, "is_decrypting", kind=bool)
        lines = []
        for cipher in reversed(ciphers) if is_decrypting else ciphers:
            result = decrypt(cipher, text) if is_decrypting else encrypt(cipher, text)
            if cipher["kind"] in TRANSPOSITIONS:
                lines.append(f"{' / '.join(rows_of(cipher, result if is_decrypting else text))}: {result}")
            else:
                one, other = (part.split() if " " in part else list(part) for part in (text, result))
                pairs = " ".join(f"{a}>{b}" for a, b in zip(one, other, strict=True))
                lines.append(f"{pairs}: {result}")
            text = result
        return "\n".join([*lines, text])

    def _chain(self, rng: random.Random) -> list[dict[str, Any]]:
        """Returns ciphers of different kinds; a code comes last."""
        allowed = KINDS[: self.num_kinds]
        last = rng.choice(allowed)
        others = [kind for kind in allowed if kind not in CODES and kind != last]
        kinds = [*rng.sample(others, self.num_stages - 1), last]
        return [draw_cipher(rng, kind) for kind in kinds]

    def _plain(self, rng: random.Random) -> str:
        """Returns words joined and, if they are too long, cut."""
        known = words_between(min_length=3, max_length=min(9, self.max_letters))
        text = ""
        while len(text) < self.min_letters:
            text += rng.choice(known).upper()
        return text[: self.max_letters]

    def _tell(self, ciphers: Sequence[dict[str, Any]]) -> str:
        """Returns the clauses of all ciphers, numbered if there are several."""
        clauses = [describe(cipher, self.language) for cipher in ciphers]
        if len(clauses) == 1:
            return clauses[0]
        opening = {"en": "do the following steps one after another. ", "zh": "依次进行以下各步。"}[self.language]
        between = {"en": "; ", "zh": "；"}[self.language]
        return opening + between.join(f"({number}) {clause}" for number, clause in enumerate(clauses, 1))


def apply_all(ciphers: Sequence[dict[str, Any]], text: str) -> str:
    """Returns the text encrypted by each cipher in turn."""
    for cipher in ciphers:
        text = encrypt(cipher, text)
    return text


def undo_all(ciphers: Sequence[dict[str, Any]], text: str) -> str:
    """Returns the text from which the ciphers in turn made this one."""
    for cipher in reversed(ciphers):
        text = decrypt(cipher, text)
    return text
