"""Wordscapes: write given words into the empty cells of a crossword.

Crosswords are grown word by word; any placement that spells each given word once, and nothing else, counts. The gold
one is what a search finds that always takes the slot with the fewest words left. Left out: clues, and letters given.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.words import WORDS
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_grid
from fulmen.types import Task

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WALL, BLANK = "#", "_"
MAX_GROWN = 200
"""Crosswords begun until one has room for all words."""
MAX_STEPS = 200
"""Steps of the search beyond which it is not told, and the crossword as it grew is the gold one."""
Place = tuple[int, int]
Slot = tuple[Place, ...]
"""Cells of a word, in order."""
TOLD: dict[Language, dict[str, str]] = {
    "en": {
        "across": "across",
        "down": "down",
        "take": "{0} {1}: {2} fits {3}",
        "dead": "{0} {1}: {2} fits nothing, go back",
    },
    "zh": {"across": "横", "down": "竖", "take": "{0} {1}：{2} 可填 {3}", "dead": "{0} {1}：{2} 无词可填，退回"},
}


@dataclass(frozen=True, kw_only=True)
class Wordscapes(PuzzleEnv):
    """Words that cross."""

    name: str = "wordscapes"
    num_words: int = 7
    """Words, 2 to 20."""
    size: int = 8
    """Rows and columns at most, 4 to 14."""
    min_letters: int = 3
    """Letters of the shortest word that may come, 3 to 6."""
    max_letters: int = 6
    """Letters of the longest, up to 7."""

    rule: ClassVar[str] = "write given words into the empty cells of a crossword"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"num_words": words, "size": size, "min_letters": low, "max_letters": high}
        for words, size, low, high in ((3, 5, 3, 4), (5, 6, 3, 5), (7, 8, 3, 6), (11, 10, 4, 6), (16, 12, 4, 6))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Write these words into the crossword, each exactly once: {words}\n{grid}\nEach _ takes one letter, # "
            "stays. Words run from left to right or from top to bottom, and every stretch of two or more letters in a "
            "row or a column, as long as it goes on, must be one of the words. Give the whole grid, one row per line, "
            "cells separated by spaces, for example\nh i #\n# n o",
            "Words: {words}.\n{grid}\nPut one letter in each _ of this grid so that the words appear across (left "
            "to right) and down (top to bottom), each of them once and no other: what reads across or down between "
            "walls (#) or edges and has more than one letter is a word of the list. Answer with all rows of the filled "
            "grid, a line each, with spaces between cells and # where it was, in the form\nh i #\n# n o",
            "A crossword without clues.\n{grid}\nIts entries, in some order, are {words}. Each entry is used once, "
            "across or down; all runs of at least two open cells (_) are entries. Fill in the letters, one per open "
            "cell, and write the complete grid with its #, line by line, spaces between cells, as in\nh i #\n# n o",
        ),
        "zh": (
            "请把下列词（拼音或字母）填进纵横格，每个词恰好用一次：{words}\n{grid}\n每个 _ 填一个字母，# 保持不变。"
            "词从左到右或从上到下书写；每行、每列中凡是连续两个及以上的字母（取到最长）都必须是其中一个词。"
            "请写出整个网格，每行占一行，格子之间用空格分开，格式例如：\nh i #\n# n o",
            "词表：{words}。\n{grid}\n请在每个 _ 里填一个字母，使词表中的词横向（自左向右）"
            "或纵向（自上向下）各出现一次，墙（#）或边界之间凡多于一个字母的横、竖字串都是词表中的词。\n"
            "答案写出填好的全部各行（# 照写），一行一行地写，用空格隔开，形式如\nh i #\n# n o",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_words", self.num_words, low=2, high=20)
        require_between("size", self.size, low=4, high=14)
        require_between("min_letters", self.min_letters, low=3, high=6)
        require_between("max_letters", self.max_letters, low=self.min_letters, high=min(7, self.size))

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns the bare cells of a random crossword, and its words."""
        pool = [w for w in WORDS[self.language] if self.min_letters <= len(w) <= self.max_letters]
        for _ in range(MAX_GROWN):
            letters = grow(rng, pool, num_words=self.num_words, size=self.size)
            if letters is not None:
                break
        else:
            raise ConfigError(f"num_words: {self.num_words}; allowed: fewer in a crossword of size {self.size}")
        height, width = max(r for r, _ in letters) + 1, max(c for _, c in letters) + 1
        grid = [[letters.get((r, c), WALL) for c in range(width)] for r in range(height)]
        bare = ["".join(WALL if cell == WALL else BLANK for cell in row) for row in grid]
        words = sorted(read_words_of(grid))
        search = Search(bare, words)
        if search.run():
            grid = [[search.letters.get((r, c), WALL) for c in range(width)] for r in range(height)]
        prompt = self.phrase(rng, words=", ".join(words), grid="\n".join(" ".join(row) for row in bare))
        gold = "\n".join(" ".join(row) for row in grid)
        return Puzzle(key=(bare, words), prompt=prompt, gold=gold, meta={"grid": bare, "words": words})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first wall that is changed, or word that is missing, twice or not in the list."""
        bare, words = read_meta(task, "grid", kind=list), read_meta(task, "words", kind=list)
        grid = read_grid(text.lower(), num_rows=len(bare), num_columns=len(bare[0]), cells=LETTERS + WALL)
        for r, row in enumerate(bare):
            for c, cell in enumerate(row):
                if (cell == WALL) != (grid[r][c] == WALL):
                    return f"another cell than {cell} at r{r + 1}c{c + 1}"
        found = read_words_of(grid)
        for at, word in enumerate(found):
            if word not in words:
                return f"{word} is no word of the list"
            if word in found[:at]:
                return f"{word} comes twice"
        return "" if len(found) == len(words) else f"{len(words) - len(found)} words are missing"

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns the search: a slot, its letters so far, the words that fit; the first of them is tried."""
        bare, words = read_meta(task, "grid", kind=list), read_meta(task, "words", kind=list)
        search = Search(bare, words)
        if not search.run():
            return ""
        told = TOLD[self.language]
        lines = []
        for slot, pattern, fitting in search.steps:
            (r, c), (r2, _) = slot[:2]
            direction = told["across" if r == r2 else "down"]
            lines.append(told["take" if fitting else "dead"].format(f"r{r + 1}c{c + 1}", direction, pattern, fitting))
        return "\n".join(lines)


class Search:
    """A search for a placement of words.

    `letters`: of the cells that have one. `steps`: (slot, its letters so far, the words that fit, joined by spaces and
    the one that is tried first), without words where it goes back.
    """

    def __init__(self, bare: Sequence[str], words: Sequence[str]) -> None:
        self.slots = slots_of(bare)
        self.words = words
        self.letters: dict[Place, str] = {}
        self.steps: list[tuple[Slot, str, str]] = []

    def run(self) -> bool:
        """Fills all slots; returns whether it could, within `MAX_STEPS`."""
        return self._fill(list(self.slots), list(self.words))

    def _fill(self, slots: list[Slot], words: list[str]) -> bool:
        if not slots:
            return not words
        fitting = {slot: [word for word in words if self._fits(slot, word)] for slot in slots}
        slot = min(slots, key=lambda slot: (len(fitting[slot]), -len(slot), slot))
        pattern = "".join(self.letters.get(place, BLANK) for place in slot)
        if not fitting[slot]:
            self.steps.append((slot, pattern, ""))
            return False
        for at, word in enumerate(fitting[slot]):
            if len(self.steps) >= MAX_STEPS:
                return False
            self.steps.append((slot, pattern, ", ".join(fitting[slot][at:])))
            new = {place: letter for place, letter in zip(slot, word, strict=True) if place not in self.letters}
            self.letters.update(new)
            if self._fill([s for s in slots if s != slot], [w for w in words if w != word]):
                return True
            for place in new:
                del self.letters[place]
        return False

    def _fits(self, slot: Slot, word: str) -> bool:
        return len(slot) == len(word) and all(
            self.letters.get(place, letter) == letter for place, letter in zip(slot, word, strict=True)
        )


def slots_of(grid: Sequence[Sequence[str]]) -> list[Slot]:
    """Returns the longest stretches of two or more open cells, rows first."""
    height, width = len(grid), len(grid[0])
    lines = [[(r, c) for c in range(width)] for r in range(height)] + [
        [(r, c) for r in range(height)] for c in range(width)
    ]
    slots = []
    for line in lines:
        stretch: list[Place] = []
        for place in [*line, None]:
            if place is not None and grid[place[0]][place[1]] != WALL:
                stretch.append(place)
                continue
            if len(stretch) > 1:
                slots.append(tuple(stretch))
            stretch = []
    return slots


def read_words_of(grid: Sequence[Sequence[str]]) -> list[str]:
    """Returns what can be read in a grid, rows first."""
    return ["".join(grid[r][c] for r, c in slot) for slot in slots_of(grid)]


def grow(rng: random.Random, pool: Sequence[str], *, num_words: int, size: int) -> dict[Place, str] | None:
    """Returns the letters of a crossword in the upper left corner; None if the words found no room."""
    words = rng.sample(list(pool), min(len(pool), 12 * num_words))
    letters = {(0, at): letter for at, letter in enumerate(words[0])}
    num_placed = 1
    for word in words[1:]:
        if num_placed == num_words:
            break
        places = [cells for cells in _crossings(letters, word) if _has_room(letters, cells, word, size)]
        if places:
            letters.update(zip(rng.choice(places), word, strict=True))
            num_placed += 1
    if num_placed < num_words:
        return None
    top, left = min(r for r, _ in letters), min(c for _, c in letters)
    return {(r - top, c - left): letter for (r, c), letter in letters.items()}


def _crossings(letters: Mapping[Place, str], word: str) -> list[Slot]:
    """Returns the slots in which a word shares a letter with those that are placed, in a fixed order."""
    found = set()
    for (r, c), letter in letters.items():
        for at in range(len(word)):
            if word[at] == letter:
                found.add(tuple((r, c - at + step) for step in range(len(word))))
                found.add(tuple((r - at + step, c) for step in range(len(word))))
    return sorted(found)


def _has_room(letters: Mapping[Place, str], cells: Slot, word: str, size: int) -> bool:
    """Returns whether a word fits in cells without making other words or growing beyond a size."""
    (r, c), (r2, c2) = cells[:2]
    down, right = r2 - r, c2 - c
    last_r, last_c = cells[-1]
    if (r - down, c - right) in letters or (last_r + down, last_c + right) in letters:
        return False
    if any(one in letters and other in letters for one, other in itertools.pairwise(cells)):
        return False
    for (row, column), letter in zip(cells, word, strict=True):
        if (row, column) in letters:
            if letters[row, column] != letter:
                return False
        elif (row + right, column + down) in letters or (row - right, column - down) in letters:
            return False
    rows, columns = [row for row, _ in (*letters, *cells)], [column for _, column in (*letters, *cells)]
    return max(rows) - min(rows) < size and max(columns) - min(columns) < size
