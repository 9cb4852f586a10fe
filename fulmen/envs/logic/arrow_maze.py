"""Arrow maze: fill a grid with arrows so that each number sends out rays of that many arrows in all.

A ray starts beside its number and consists of arrows that point away from it, one after the other. Grids are grown
from rays; any filling that keeps the rules counts. Left out: proofs that
puzzles which need guesses have one solution.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.rays import BLANK, STEPS, STRAIGHT, Grid, deduce, line, numbers, ray
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_grid
from fulmen.types import Task

MAX_GRIDS = 200
"""Grids grown until one has no number without rays."""
DIRECTIONS: dict[Language, dict[bool, str]] = {
    "en": {
        False: "four directions (→ ↓ ← ↑)",
        True: "eight directions (→ ↓ ← ↑ ↘ ↙ ↖ ↗)",
    },
    "zh": {False: "四个方向（→ ↓ ← ↑）", True: "八个方向（→ ↓ ← ↑ ↘ ↙ ↖ ↗）"},
}
TOLD: dict[Language, dict[str, str]] = {
    "en": {"back": "back from {1} at {0}", "number": "{1} at {0}", "only": "one way for {0}"},
    "zh": {"back": "由 {0} 的 {1} 往回", "number": "{0} 的 {1}", "only": "{0} 只能"},
}


@dataclass(frozen=True, kw_only=True)
class ArrowMaze(PuzzleEnv):
    """Rays of arrows that start at numbers and cover the grid."""

    name: str = "arrow_maze"
    num_rows: int = 6
    """Rows, 3 to 12."""
    num_columns: int = 6
    """Columns, 3 to 12."""
    shown_frac: float = 0.1
    """Of the arrows, given at the start, 0 to 0.9; at least one is left to find."""
    has_diagonals: bool = True
    """Whether rays also run along diagonals."""
    is_deducible: bool = True
    """Whether more arrows are given until the rest follows without a guess, which also makes the filling unique."""

    rule: ClassVar[str] = "fill a grid with arrows so that each number sends out rays of that many arrows in all"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = tuple(
        {"num_rows": n, "num_columns": n, "shown_frac": shown, "has_diagonals": n > 4, "is_deducible": n < 7}
        for n, shown in ((4, 0.3), (5, 0.3), (6, 0.1), (7, 0.15), (9, 0.0))
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Fill every _ of this grid with an arrow.\n{grid}\nRays of arrows start at the numbers and run in "
            "{directions}. A ray begins in the cell next to its number and is an unbroken line of arrows that all "
            "point away from the number, along the line. The number is how many arrows its rays have in all. Every "
            "arrow must belong to a ray. Numbers and given arrows stay. Write the whole grid, one row per line, cells "
            "separated by spaces, for example (2 rows, 3 columns):\n2 → →\n1 → ↑",
            "Arrow maze, {height} rows, {width} columns; _ is a cell without an arrow yet.\n{grid}\nPut one arrow "
            "in each _ such that: (1) following the arrows backwards in a straight line, over arrows of that same "
            "direction only, one comes from each arrow to a number; (2) for each number, the arrows that lead back to "
            "it in this way, over all directions together, are as many as the number says. There are {directions}. "
            "Keep all else as it is. Give all rows, a line each, with spaces between cells, in the form\n2 → →\n1 → ↑",
            "Each number of this grid shoots lines of arrows in some of {directions}.\n{grid}\nA line leaves from the "
            "cell beside the number, goes straight on without gaps, and its arrows point in the direction in which it "
            "goes; the lengths of a number's lines add up to the number. Replace every _ by an arrow so that all "
            "arrows of the grid are in such lines (the arrows that are there already, too). Answer with the full grid, "
            "rows on lines of their own, cells with spaces between, as in\n2 → →\n1 → ↑",
        ),
        "zh": (
            "请给下面网格中的每个 _ 填一个箭头。\n{grid}\n箭头组成的射线从数字出发，可沿{directions}。"
            "射线从数字的相邻格开始，是一串不间断的、沿该直线指向远离数字方向的箭头。数字等于它所有射线的箭头总数；每个箭头都必须属于某条"
            "射线。数字和已有的箭头不变。请写出整个网格，每行占一行，格子之间用空格分开，"
            "格式例如（2 行 3 列）：\n2 → →\n1 → ↑",
            "箭头迷宫：{height} 行 {width} 列，_ 为待填的格子。\n{grid}\n每个数字沿{directions}中的若干方向射出箭头串："
            "从数字旁边的格子起笔直向外、中间不断，串中的箭头都指向延伸的方向；一个数字各串长度之和等于该数字。"
            "请把每个 _ 换成箭头，使网格里所有箭头（包括已有的）都在这样的串中，其余格子不变。\n"
            "答案写出全部各行，一行一行地写，用空格隔开，形式如\n2 → →\n1 → ↑",
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("num_rows", self.num_rows, low=3, high=12)
        require_between("num_columns", self.num_columns, low=3, high=12)
        if not 0.0 <= self.shown_frac <= 0.9:
            raise ConfigError(f"shown_frac: {self.shown_frac}; allowed: a number from 0 to 0.9")

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a grid that rays cover, most of whose arrows are hidden."""
        for _ in range(MAX_GRIDS):
            grid = self._grow(rng)
            if grid is not None:
                break
        else:
            raise ConfigError(f"num_rows: {self.num_rows}; allowed: a size that rays can cover")
        arrows = [(r, c) for r, row in enumerate(grid) for c, cell in enumerate(row) if cell in STEPS]
        num_hidden = max(1, len(arrows) - round(self.shown_frac * len(arrows)))
        shown = [list(row) for row in grid]
        for r, c in rng.sample(arrows, num_hidden):
            shown[r][c] = BLANK
        if self.is_deducible:
            self._reveal(rng, shown, grid)
        prompt = self.phrase(
            rng,
            grid=_show(shown),
            height=self.num_rows,
            width=self.num_columns,
            directions=DIRECTIONS[self.language][self.has_diagonals],
        )
        meta = {"grid": shown, "has_diagonals": self.has_diagonals}
        return Puzzle(key=(shown, self.has_diagonals), prompt=prompt, gold=_show(grid), meta=meta)

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first cell that is changed, not an arrow, or breaks a rule."""
        shown = read_meta(task, "grid", kind=list)
        arrows = STEPS if read_meta(task, "has_diagonals", kind=bool) else STRAIGHT
        given_numbers = sorted({cell for row in shown for cell in row if cell.isdigit()})
        # Some write arrows as pictures, with a selector behind.
        text = text.replace("\ufe0f", "")
        grid = read_grid(text, num_rows=len(shown), num_columns=len(shown[0]), cells=[*arrows, *given_numbers])
        for r, row in enumerate(shown):
            for c, given in enumerate(row):
                if given != BLANK and grid[r][c] != given:
                    return f"the {given} at r{r + 1}c{c + 1} is changed"
                if given == BLANK and grid[r][c] not in arrows:
                    return f"no arrow at r{r + 1}c{c + 1}"
        for (r, c), number in numbers(grid):
            if (count := sum(len(ray(grid, (r, c), arrow)) for arrow in arrows)) != number:
                return f"the {number} at r{r + 1}c{c + 1} has {count} arrows"
        covered = {cell for place, _ in numbers(grid) for arrow in arrows for cell in ray(grid, place, arrow)}
        for r, row in enumerate(grid):
            for c, cell in enumerate(row):
                if cell in arrows and (r, c) not in covered:
                    return f"the arrow at r{r + 1}c{c + 1} is in no ray"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns what follows without a guess, one arrow a line; empty where that does not fill the grid."""
        grid = [list(row) for row in read_meta(task, "grid", kind=list)]
        steps = deduce(grid, list(STEPS if read_meta(task, "has_diagonals", kind=bool) else STRAIGHT))
        if any(BLANK in row for row in grid):
            return ""
        lines = []
        for step in steps:
            r, c = step.place
            reason = TOLD[self.language][step.reason].format(f"r{r + 1}c{c + 1}", grid[r][c])
            lines.append(
                f"{reason}: {' '.join(f'r{row + 1}c{column + 1}' for row, column in step.cells)} = {step.arrow}"
            )
        return "\n".join(lines)

    def _reveal(self, rng: random.Random, shown: Grid, grid: Grid) -> None:
        """Gives more arrows, in place, until the others can be deduced."""
        known = [list(row) for row in shown]
        deduce(known, list(STEPS if self.has_diagonals else STRAIGHT))
        while stuck := [(r, c) for r, row in enumerate(known) for c, cell in enumerate(row) if cell == BLANK]:
            r, c = rng.choice(stuck)
            shown[r][c] = known[r][c] = grid[r][c]
            deduce(known, list(STEPS if self.has_diagonals else STRAIGHT))

    def _grow(self, rng: random.Random) -> Grid | None:
        """Returns a full grid; None if a number was left without a ray."""
        grid = [[BLANK] * self.num_columns for _ in range(self.num_rows)]
        arrows = list(STEPS if self.has_diagonals else STRAIGHT)
        places = [(r, c) for r in range(self.num_rows) for c in range(self.num_columns)]
        for r, c in rng.sample(places, len(places)):
            if grid[r][c] != BLANK:
                continue
            lines = [(arrow, line(grid, (r, c), arrow, BLANK)) for arrow in rng.sample(arrows, len(arrows))]
            rays = [(arrow, cells) for arrow, cells in lines if cells]
            if not rays:
                if not _join(rng, grid, r, c, arrows):
                    return None
                continue
            grid[r][c] = "0"
            for at, (arrow, cells) in enumerate(rays):
                if at == 0 or rng.random() < 0.6:
                    for row, column in cells[: rng.randint(max(1, len(cells) // 2), len(cells))]:
                        grid[row][column] = arrow
        for (r, c), _ in numbers(grid):
            grid[r][c] = str(sum(len(ray(grid, (r, c), arrow)) for arrow in arrows))
        return grid


def _join(rng: random.Random, grid: Grid, r: int, c: int, arrows: Sequence[str]) -> bool:
    """Makes a cell the next arrow of a ray that ends beside it; returns whether there is one."""
    for arrow in rng.sample(list(arrows), len(arrows)):
        down, right = STEPS[arrow]
        row, column = r - down, c - right
        if 0 <= row < len(grid) and 0 <= column < len(grid[0]) and (grid[row][column] in (arrow, "0")):
            grid[r][c] = arrow
            return True
    return False


def _show(grid: Grid) -> str:
    return "\n".join(map(" ".join, grid))
