"""Sudoku of 9 x 9, 6 x 6 or 4 x 4 cells, with one solution.

The techniques that a puzzle needs are a setting; where they are naked and hidden singles, these prove that the
solution is unique, else a search does. The checker works from the rules. Left out: techniques between singles and
search (pairs, wings, chains), which would rate puzzles more finely.
"""

import random
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind, require_one_of
from fulmen.envs.solve.latin import (
    Square,
    narrow_by,
    open_domains,
    random_square,
    read_digits,
    read_square,
    square,
    square_fault,
)
from fulmen.envs.solve.lattice import FILLED_EN, FILLED_ZH, bad_meta, cut, place, show
from fulmen.envs.solve.narrowing import TooLongError, no_type_check, search_aloud, solve
from fulmen.errors import ConfigError
from fulmen.types import Task

Technique = Literal["naked", "hidden", "search"]
"""The most a puzzle needs: cells with one digit left; digits with one place left, too; trying."""
BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
"""Rows and columns of a box, by the size of the board."""
MAX_NODES = 2000
"""States searched for a second solution before a digit stays."""


@dataclass(frozen=True, kw_only=True)
class Sudoku(PuzzleEnv):
    """A board with blanks to fill."""

    name: str = "sudoku"
    size: int = 9
    """Cells a side: 4, 6 or 9."""
    num_blanks: int = 40
    """Most empty cells; fewer where the technique cannot fill so many."""
    technique: Technique = "hidden"
    """The most that is needed: naked (singles), hidden (singles), search."""

    rule: ClassVar[str] = "fill the blanks so that each row, column and box holds every digit once"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 4, "num_blanks": 8, "technique": "naked"},
        {"size": 6, "num_blanks": 18, "technique": "hidden"},
        {"size": 9, "num_blanks": 40, "technique": "hidden"},
        {"size": 9, "num_blanks": 50, "technique": "hidden"},
        {"size": 9, "num_blanks": 64, "technique": "search"},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Solve this sudoku. Each row, each column and each box of {box_rows} x {box_columns} cells must hold the"
            " digits 1 to {size}, each once; `_` is an empty cell, the given digits stay.\n{board}\n" + FILLED_EN,
            "Fill every `_` with a digit from 1 to {size}. The board is divided, from the top left corner, into boxes"
            " {box_rows} rows high and {box_columns} columns wide. No digit may come twice in a row, in a column or "
            "in a"
            " box, and no given digit may be changed.\n{board}\n" + FILLED_EN,
            "Sudoku, {size} x {size}:\n{board}\nReplace the underscores so that all rows, all columns and all boxes"
            " (blocks of {box_rows} rows by {box_columns} columns that tile the board) contain every digit from 1 to"
            " {size} exactly once. Leave the other digits as they are.\n" + FILLED_EN,
        ),
        "zh": (
            "请解这道数独：每行、每列以及每个 {box_rows} 行 {box_columns} 列的宫内，1 到 {size} 各出现一次。`_` "
            "表示空格，已给的数字不能改动。\n"
            "{board}\n" + FILLED_ZH,
            "下面是 {size}×{size} 的数独盘面，从左上角起划分为若干个高 {box_rows} 行、宽 {box_columns} 列的宫：\n"
            "{board}\n"
            "请在每个 `_` 处填入 1 到 {size} 的数字，使任何一行、一列、一宫中都没有重复的数字，并保留已有的数字。\n"
            + FILLED_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in BOXES:
            raise ConfigError(f"size: {self.size}; allowed: {', '.join(map(str, BOXES))}")
        require_between("num_blanks", self.num_blanks, low=1, high=self.size * self.size)
        require_one_of("technique", self.technique, allowed=get_args(Technique))

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random filled board, emptied at random as far as the technique can fill it."""
        board = boxed_square(self.size)
        digits = random_square(board, rng)
        givens = digits.copy()
        heaps = [rng.sample(range(len(digits)), len(digits))]
        while heaps and (room := self.num_blanks - givens.count(0)):
            heap = heaps.pop()
            cells, rest = heap[:room], heap[room:]
            if rest:
                heaps.append(rest)
            tried = [0 if cell in cells else digit for cell, digit in enumerate(givens)]
            if _can_be_filled(board, tried, cells, digits, technique=self.technique):
                givens = tried
            elif len(cells) > 1:
                heaps += [cells[len(cells) // 2 :], cells[: len(cells) // 2]]
        rows = cut(givens, self.size)
        box_rows, box_columns = BOXES[self.size]
        prompt = self.phrase(
            rng,
            size=self.size,
            box_rows=box_rows,
            box_columns=box_columns,
            board=show([[digit or "_" for digit in row] for row in rows]),
        )
        return Puzzle(key=(rows,), prompt=prompt, gold=show(cut(digits, self.size)), meta={"givens": rows})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a given changed, or a digit twice in a row, column or box."""
        givens = _read(task)
        size = len(givens)
        return square_fault(read_digits(text, size), [given for row in givens for given in row], boxed_square(size))

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: what a cell sees, or where a digit has its only place; trials after them."""
        givens = _read(task)
        size = len(givens)
        domains = open_domains([given for row in givens for given in row], size)
        narrow = narrow_by(boxed_square(size), is_hidden_used=self.technique != "naked")
        return "\n".join(search_aloud(domains, narrow, say=lambda c, bit: f"{place(c, size)}={bit.bit_length()}"))


def boxed_square(size: int) -> Square:
    """Returns the board of a sudoku."""
    box_rows, box_columns = BOXES[size]
    return square(size, box_rows=box_rows, box_columns=box_columns)


@no_type_check
def _can_be_filled(
    board: Square, givens: list[int], blanks: list[int], digits: list[int], *, technique: Technique
) -> bool:
    """Returns whether a technique finds `digits` from `givens`, to which they were the only solution before "
    "`blanks`."""
    domains = open_domains(givens, board.size)
    narrow = narrow_by(board, is_hidden_used=technique != "naked")
    state = domains.copy()
    if narrow(state, range(len(state)), None) and not any(domain & (domain - 1) for domain in state):
        return True
    if technique != "search":
        return False
    if len(blanks) == 1:
        domains[blanks[0]] &= ~(1 << (digits[blanks[0]] - 1))
    try:
        return len(solve(domains, narrow, limit=2, max_nodes=MAX_NODES)) == (0 if len(blanks) == 1 else 1)
    except TooLongError:
        return False


def _read(task: Task) -> list[list[int]]:
    """Returns the givens of a task, checked."""
    givens = read_square(task, "givens")
    if len(givens) not in BOXES:
        raise bad_meta(task, "givens", "a board of 4, 6 or 9 cells a side")
    return givens
