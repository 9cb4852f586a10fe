"""Numbrix: a path through all cells of a square board, of which some steps are given.

Numbers are given away until a search finds one path only; the checker still works from the rules.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.base import Puzzle, require_between
from fulmen.envs.puzzle import Levels, Phrases, PuzzleEnv, VerifierKind
from fulmen.envs.solve.lattice import bad_meta, cut, neighbours, place, read_answer, read_board, show
from fulmen.envs.solve.narrowing import Narrow, TooLongError, no_type_check, search_aloud, solve
from fulmen.types import Task

MAX_NODES = 400
"""States searched for a second path before a number is given away."""
FORM_EN = (
    "Answer with the full board: {size} lines of {size} numbers separated by spaces. A board of 2 x 2 would be "
    "written\n"
    "1 2\n4 3"
)
FORM_ZH = "请回答填满的盘面：共 {size} 行，每行 {size} 个数，用空格分开。例如 2×2 的盘面写成\n1 2\n4 3"


@dataclass(frozen=True, kw_only=True)
class Numbrix(PuzzleEnv):
    """A board to fill with a path of numbers."""

    name: str = "numbrix"
    size: int = 6
    """Cells a side, 3 to 12."""
    given_percent: int = 35
    """Fewest numbers given, in percent of the cells, 10 to 95; more are, as far as one solution needs them."""

    rule: ClassVar[str] = "fill in 1 to n*n so that consecutive numbers share a side"
    verifier: ClassVar[VerifierKind] = "constraints"
    levels: ClassVar[Levels] = (
        {"size": 4, "given_percent": 60},
        {"size": 5, "given_percent": 45},
        {"size": 6, "given_percent": 35},
        {"size": 8, "given_percent": 30},
        {"size": 10, "given_percent": 25},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "Fill the board so that it holds every number from 1 to {last} once and each number stands directly left "
            "of,"
            " right of, above or below the next one. `_` is an empty cell; the numbers already there stay.\n{board}\n"
            + FORM_EN,
            "Numbrix. A path starts at 1, steps from cell to neighbouring cell (sharing a side, never diagonally), "
            "visits"
            " all {last} cells of the {size} x {size} board once and numbers them 1, 2, 3, ... in order. Some numbers"
            " are left, `_` marks the others:\n{board}\nRestore the board without changing the numbers that are left.\n"
            + FORM_EN,
            "Replace each `_` by a number so that 1 to {last} all appear, each once, and any two consecutive numbers "
            "are in"
            " cells with a common side. Given numbers keep their places.\n{board}\n" + FORM_EN,
        ),
        "zh": (
            "请填满盘面，使 1 到 {last} 的每个数恰好出现一次，并且任意两个相邻的整数（如 5 和 6）"
            "所在的格子上下或左右相邻。"
            "`_` 表示空格，已有的数不能改动。\n{board}\n" + FORM_ZH,
            "数字路径谜题（Numbrix）：一条路径从 1 出发，每步走到有公共边的相邻格（不能斜走），恰好经过 "
            "{size}×{size} 盘面的每一格一次，"
            "依次标上 1、2、3……直到 {last}。现在只留下部分数字，其余为 `_`：\n{board}\n请还原整个盘面，"
            "不得改动留下的数字。\n" + FORM_ZH,
        ),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("size", self.size, low=3, high=12)
        require_between("given_percent", self.given_percent, low=10, high=95)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a random path, of which random steps are given and as many more as make it the only one."""
        path = random_path(self.size, rng)
        steps = list(range(len(path)))
        given = set(rng.sample(steps, max(1, len(path) * self.given_percent // 100)))
        while others := _other_steps(path, given, self.size):
            given.add(rng.choice(others))
        board, full = [0] * len(path), [0] * len(path)
        for step, cell in enumerate(path):
            full[cell] = step + 1
            board[cell] = step + 1 if step in given else 0
        rows = cut(board, self.size)
        prompt = self.phrase(
            rng, size=self.size, last=len(path), board=show([[number or "_" for number in row] for row in rows])
        )
        return Puzzle(key=(rows,), prompt=prompt, gold=show(cut(full, self.size)), meta={"givens": rows})

    def find_fault(self, task: Task, text: str) -> str:
        """Returns the first rule broken: a given changed, a number missing, a step between cells that do not touch."""
        givens = _read(task)
        size = len(givens)
        cells = [str(number) for number in range(1, size * size + 1)]
        rows = read_answer(text, num_rows=size, num_columns=size, cells=cells)
        path = [-1] * (size * size)
        for cell, number in enumerate(int(number) for row in rows for number in row):
            given = givens[cell // size][cell % size]
            if given not in (0, number):
                return f"{place(cell, size)} is {number}, but {given} is given"
            if path[number - 1] >= 0:
                return f"{number} comes twice"
            path[number - 1] = cell
        beside = neighbours(size, size)
        for step in range(1, len(path)):
            if path[step] not in beside[path[step - 1]]:
                return f"{step} and {step + 1} do not touch"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns deductions, a line each: `7: 6 at r1c1, 10 at r2c3 -> r2c1` places 7; then trials."""
        givens = _read(task)
        size = len(givens)
        positions = {number - 1: cell for cell, number in enumerate(n for row in givens for n in row) if number}
        narrow = narrow_steps(size)

        def say(step: int, bit: int) -> str:
            return f"{step + 1} at {place(bit.bit_length() - 1, size)}"

        return "\n".join(search_aloud(step_domains(positions, size), narrow, say=say, max_lines=600))


def random_path(size: int, rng: random.Random) -> list[int]:
    """Returns the cells of a random path through the whole board: a snake after many random changes of its ends.

    An end is joined to a neighbour on the path and the path is cut there, which leaves a path with another end.
    """
    path = [
        row * size + (column if row % 2 == 0 else size - 1 - column) for row in range(size) for column in range(size)
    ]
    beside = neighbours(size, size)
    for _ in range(4 * size * size):
        if rng.randrange(2):
            path.reverse()
        at = path.index(rng.choice(beside[path[-1]]))
        path[at + 1 :] = path[:at:-1]
    return path


def step_domains(positions: dict[int, int], size: int) -> list[int]:
    """Returns the cells, as bits, where each step can be: one for a given step, the free ones for others."""
    taken = sum(1 << cell for cell in positions.values())
    free = ((1 << size * size) - 1) & ~taken
    return [1 << positions[step] if step in positions else free for step in range(size * size)]


@no_type_check
def narrow_steps(size: int) -> Narrow:
    """Returns the narrowing of the places of steps: next to where its neighbours can be, in a cell of its own.

    A cell in which one step only can be takes it.
    """
    num_cells = size * size
    full = (1 << num_cells) - 1
    not_left = sum(1 << cell for cell in range(num_cells) if cell % size)
    not_right = sum(1 << cell for cell in range(num_cells) if cell % size != size - 1)

    def around(cells: int) -> int:
        return (cells << size | cells >> size | (cells & not_right) << 1 | (cells & not_left) >> 1) & full

    def follow(state: list[int], steps: Iterable[int], ahead: int, notes: list[str] | None) -> bool:
        for step in steps:
            state[step] &= around(state[step + ahead])
            if not state[step]:
                return _clash(f"{step + 1} cannot touch {step + ahead + 1}", notes)
        return True

    def narrow(state: list[int], changed: Sequence[int], notes: list[str] | None) -> bool:
        before: list[int] = []
        while before != state:
            before = state.copy()
            is_fine = follow(state, range(1, num_cells), -1, notes)
            is_fine = is_fine and follow(state, range(num_cells - 2, -1, -1), 1, notes)
            if not (is_fine and _keep_apart(state, full, notes)):
                return False
            if notes is not None:
                notes += _news(before, state, size)
        return True

    return narrow


def _news(before: Sequence[int], state: Sequence[int], size: int) -> list[str]:
    """Returns the steps that were settled, each with the nearest steps that were before."""
    known = [step for step, domain in enumerate(before) if not domain & (domain - 1)]
    lines = []
    for step, (old, new) in enumerate(zip(before, state, strict=True)):
        if old & (old - 1) and not new & (new - 1):
            near = [s for s in known if s < step][-1:] + [s for s in known if s > step][:1]
            seen = ", ".join(f"{s + 1} at {place(before[s].bit_length() - 1, size)}" for s in near)
            lines.append(f"{step + 1}: {seen} -> {place(new.bit_length() - 1, size)}")
    return lines


@no_type_check
def _keep_apart(state: list[int], full: int, notes: list[str] | None) -> bool:
    """Takes the cells of settled steps from the others, and gives a cell to the only step that can be there."""
    taken = once = twice = 0
    for step, domain in enumerate(state):
        twice |= once & domain
        once |= domain
        if not domain & (domain - 1):
            if taken & domain:
                return _clash(f"{step + 1} needs a cell that is taken", notes)
            taken |= domain
    if once != full:
        return _clash("a cell can hold no number", notes)
    lonely = once & ~twice & ~taken
    for step, domain in enumerate(state):
        if not domain & (domain - 1):
            continue
        single = domain & lonely
        if single & (single - 1):
            return _clash(f"{step + 1} would have to be in two cells", notes)
        state[step] = single or domain & ~taken
        if not state[step]:
            return _clash(f"no cell is left for {step + 1}", notes)
    return True


@no_type_check
def _clash(why: str, notes: list[str] | None) -> bool:
    """Notes a clash. Returns False."""
    if notes is not None:
        notes.append(f"clash: {why}")
    return False


def _other_steps(path: list[int], given: set[int], size: int) -> list[int]:
    """Returns the steps that another path puts elsewhere, none where `path` is the only one."""
    domains = step_domains({step: path[step] for step in sorted(given)}, size)
    try:
        found = solve(domains, narrow_steps(size), max_nodes=MAX_NODES)
    except TooLongError:
        return [step for step in range(len(path)) if step not in given]
    for state in found:
        if differing := [step for step, domain in enumerate(state) if domain != 1 << path[step]]:
            return differing
    return []


def _read(task: Task) -> list[list[int]]:
    """Returns the givens of a task, checked."""
    givens = read_board(task, "givens", low=0, high=144)
    size = len(givens)
    numbers = [number for row in givens for number in row if number]
    if (
        size > 12
        or len(givens[0]) != size
        or len(set(numbers)) != len(numbers)
        or max(numbers, default=0) > size * size
    ):
        raise bad_meta(task, "givens", "a square board of different numbers up to the number of its cells")
    return givens
