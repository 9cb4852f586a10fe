"""Word sorting: put words in the order of an alphabet in which some letters were moved."""

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.words import words_between
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_words
from fulmen.types import Task

MOVES = {
    "en": {
        "first": "{letter} becomes the first letter",
        "last": "{letter} becomes the last letter",
        "before": "{letter} moves to right before {other}",
        "after": "{letter} moves to right after {other}",
    },
    "zh": {
        "first": "{letter} 移到最前面",
        "last": "{letter} 移到最后面",
        "before": "{letter} 移到 {other} 的紧前面",
        "after": "{letter} 移到 {other} 的紧后面",
    },
}


@dataclass(frozen=True, kw_only=True)
class WordSorting(PuzzleEnv):
    """Words to sort by an alphabet of another order."""

    name: str = "word_sorting"
    num_words: int = 8
    """Words, 2 to 60."""
    num_moves: int = 2
    """Letters moved, 0 to 12."""
    num_initials: int = 5
    """Letters that the words begin with, at most, 1 to 20; fewer make later letters count."""
    has_descending: bool = True
    """Whether some tasks want the order reversed."""

    rule: ClassVar[str] = "sort words by an alphabet in which letters were moved"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"num_words": 3, "num_moves": 1, "num_initials": 3, "has_descending": False},
        {"num_words": 5, "num_moves": 1, "num_initials": 4, "has_descending": False},
        {},
        {"num_words": 18, "num_moves": 5, "num_initials": 8},
        {"num_words": 35, "num_moves": 9, "num_initials": 9},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "The usual alphabet is changed, one step after another: {moves}. All other letters keep their order. Sort "
            "these words {direction} by the new alphabet, a word before every longer one that begins with it{reverse}: "
            "{words}\nAnswer with the words only, separated by commas, like pear, plum.",
            "Words: {words}\nSort them {direction} as a dictionary would, but in an alphabet made from a to z by these "
            "changes, made in turn: {moves}. (If a word is the beginning of another one, the shorter comes "
            "first{reverse}.) Write the sorted list in the form pear, plum.",
            "Take the letters a to z and make these changes in the given order: {moves}. With this order of letters, "
            "arrange the following words {direction}; compare letter by letter, and let a word that ends come before "
            "one that goes on{reverse}.\n{words}\nGive only the arranged words with commas between them, as in "
            "pear, plum.",
        ),
        "zh": (
            "把字母表 a 到 z 依次作如下改动：{moves}。其余字母顺序不变。按新的字母表把下列单词{direction}排列，"
            "若一个单词是另一个的开头，则短的在前{reverse}：{words}\n只回答排好的单词，用逗号分隔，如 pear, plum。",
            "单词：{words}\n请按字典顺序{direction}排列，但字母表要先依次改动：{moves}；其他字母相对顺序不变。"
            "逐个字母比较，先结束的单词排在前面{reverse}。只写排好的单词，以逗号分隔，例如 pear, plum。",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_words", self.num_words, low=2, high=60)
        require_between("num_moves", self.num_moves, low=0, high=12)
        require_between("num_initials", self.num_initials, low=1, high=20)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns words of few initials, and moves of letters that they use."""
        words = self._words(rng)
        used = sorted({letter for word in words for letter in word[:2]})
        movable = rng.sample(used, min(self.num_moves, len(used)))
        alphabet, moves = string.ascii_lowercase, []
        for letter in movable:
            kind = rng.choice(("first", "last", "before", "after"))
            other = rng.choice(
                [a for a in used if a != letter] if len(used) > 1 else list(alphabet.replace(letter, ""))
            )
            alphabet = moved(alphabet, letter, kind=kind, other=other)
            moves.append(MOVES[self.language][kind].format(letter=letter, other=other))
        is_descending = self.has_descending and rng.random() < 0.3
        right = in_order(words, alphabet, is_descending=is_descending)
        nothing = {"en": "nothing changes", "zh": "没有改动"}[self.language]
        return Puzzle(
            key=(sorted(words), alphabet, is_descending),
            prompt=self.phrase(
                rng,
                words=", ".join(words),
                moves={"en": "; ", "zh": "；"}[self.language].join(moves) or nothing,
                **self._direction(is_descending),
            ),
            gold=", ".join(right),
            meta={"words": words, "alphabet": alphabet, "is_descending": is_descending},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first place where the list is not the sorted one."""
        words = read_meta(task, "words", kind=list)
        right = in_order(
            words, read_meta(task, "alphabet", kind=str), is_descending=read_meta(task, "is_descending", kind=bool)
        )
        found = read_words(text, allowed=words)
        if len(found) != len(right):
            return f"{len(found)} words, not {len(right)}"
        for place, (word, wanted) in enumerate(zip(found, right, strict=True), 1):
            if word != wanted:
                return f"word {place} is {word}, not {wanted}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the alphabet, then the words of each initial, sorted among themselves, in the order of initials."""
        words = read_meta(task, "words", kind=list)
        alphabet = read_meta(task, "alphabet", kind=str)
        lines = [f"alphabet: {alphabet}"]
        for initial in alphabet:
            group = [word for word in words if word[0] == initial]
            if group:
                lines.append(f"{initial}: {' '.join(group)} -> {' '.join(in_order(group, alphabet))}")
        ascending = ", ".join(in_order(words, alphabet))
        return "\n".join([*lines, ascending, *([task.gold] if read_meta(task, "is_descending", kind=bool) else [])])

    def _words(self, rng: random.Random) -> list[str]:
        """Returns different words in a random order."""
        known = words_between(min_length=3, max_length=9)
        initials = rng.sample(sorted({word[0] for word in known}), self.num_initials)
        pool = [word for word in known if word[0] in initials]
        if len(pool) < self.num_words:
            pool = list(known)
        return rng.sample(pool, self.num_words)

    def _direction(self, is_descending: bool) -> dict[str, str]:
        """Returns the words that say which way to sort."""
        if self.language == "en":
            return {
                "direction": "in descending order (last first)" if is_descending else "in ascending order",
                "reverse": " (the other way round in descending order)" if is_descending else "",
            }
        return {
            "direction": "从后到前（降序）" if is_descending else "从前到后（升序）",
            "reverse": "（升序如此，降序则完全反过来）" if is_descending else "",
        }


def moved(alphabet: str, letter: str, *, kind: str, other: str) -> str:
    """Returns the alphabet with a letter taken out and put back first, last, before or after another one.

    >>> moved("abcd", "c", kind="before", other="b")
    'acbd'
    """
    rest = alphabet.replace(letter, "")
    if kind in ("first", "last"):
        return letter + rest if kind == "first" else rest + letter
    if other not in rest:
        raise ConfigError(f"other: {other!r}; allowed: another letter than {letter!r}")
    place = rest.index(other) + (kind == "after")
    return rest[:place] + letter + rest[place:]


def in_order(words: Sequence[str], alphabet: str, *, is_descending: bool = False) -> list[str]:
    """Returns the words sorted by an alphabet, a word before those that it begins; or all that reversed."""
    rank = {letter: place for place, letter in enumerate(alphabet)}
    return sorted(words, key=lambda word: [rank[letter] for letter in word], reverse=is_descending)
