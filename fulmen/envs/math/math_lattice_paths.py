"""Paths on the integer grid that go right and up."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import listed
from fulmen.envs.puzzle import Levels

Cell = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class LatticePaths(MathFamily):
    """Numbers of paths from (0, 0), with points to visit or to avoid, diagonal steps, or a line not to cross."""

    name: str = "math_lattice_paths"
    kinds: tuple[str, ...] = ("through", "avoid", "diagonal")
    max_side: int = 7
    """Largest coordinate of the goal, 4 to 20."""
    num_points: int = 2
    """Points to visit or avoid, 1 to 5."""

    rule: ClassVar[str] = "count paths on a grid"
    bounds: ClassVar = {"max_side": (4, 20), "num_points": (1, 5)}
    levels: ClassVar[Levels] = (
        {"kinds": ("through", "avoid"), "max_side": 5, "num_points": 2},
        {"kinds": ("through", "avoid"), "max_side": 6, "num_points": 2},
        {},
        {"kinds": ("avoid", "diagonal", "below"), "max_side": 9, "num_points": 3},
        {"kinds": ("avoid", "diagonal", "below"), "max_side": 14, "num_points": 5},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "through": lambda rng: self._make(rng, "through"),
            "avoid": lambda rng: self._make(rng, "avoid"),
            "diagonal": lambda rng: self._make(rng, "diagonal"),
            "below": lambda rng: self._make(rng, "below"),
        }

    def _make(self, rng: random.Random, kind: str) -> Problem | None:
        width, height = rng.randint(3, self.max_side), rng.randint(3, self.max_side)
        inner = [(x, y) for x in range(width + 1) for y in range(height + 1) if 0 < x + y < width + height]
        points = sorted(rng.sample(inner, self.num_points))
        shift = rng.randint(1, 4)
        if kind == "through" and any(b[1] < a[1] for a, b in itertools.pairwise(points)):
            return None
        if kind == "below" and (height > width + shift or any(y > x + shift for x, y in points)):
            return None
        if kind == "through":
            rows = [_through(width, height, points, y) for y in range(height + 1)]
        else:
            rows = _table(width, height, lambda cell: _is_free(cell, kind, points, shift), kind == "diagonal")
        value = rows[-1][-1]
        if value == 0:
            return None
        moves = self.say(
            "each step goes 1 to the right, 1 up, or diagonally 1 to the right and 1 up"
            if kind == "diagonal"
            else "each step goes 1 to the right or 1 up",
            "每步向右 1、向上 1，或沿对角线同时向右 1 且向上 1" if kind == "diagonal" else "每步向右 1 或向上 1",
        )
        told = ", ".join(f"({x}, {y})" for x, y in points)
        rule = self.say(f"must not visit {told}", f"不能经过点 {told}")
        if kind == "through":
            rule = self.say(f"must visit {told}", f"必须经过点 {told}")
        elif kind == "below":
            line = f"y = x + {shift}"
            rule = self.say(
                f"must not visit {told} and must not go above the line {line} (touching it is allowed)",
                f"不能经过点 {told}，也不能到直线 {line} 的上方（可以触及该直线）",
            )
        question = self.ask(
            rng,
            en=(
                "How many paths lead from (0, 0) to ({w}, {h}), if {moves}, and the path {rule}?",
                "A path on grid points starts at (0, 0) and ends at ({w}, {h}); {moves}. It {rule}. How "
                "many such paths exist?",
            ),
            zh=(
                "从 (0, 0) 走到 ({w}, {h})，{moves}，路径{rule}，有多少条路径？",
                "格点路径从 (0, 0) 到 ({w}, {h})，{moves}，{rule}。这样的路径有多少条？",
            ),
            w=width,
            h=height,
            moves=moves,
            rule=rule,
        )
        steps = tuple(f"y = {y}: {listed(row)}" for y, row in enumerate(rows))
        data = (width, height, [list(p) for p in points], shift if kind == "below" else 0)
        return Problem(question=question, gold=str(value), form="integer", data=data, steps=steps)


def _is_free(cell: Cell, kind: str, points: list[Cell], shift: int) -> bool:
    return cell not in points and (kind != "below" or cell[1] <= cell[0] + shift)


def _table(width: int, height: int, is_free: Callable[[Cell], bool], has_diagonal: bool) -> list[list[int]]:
    """Returns how many paths lead to each point, a row per y."""
    rows: list[list[int]] = []
    for y in range(height + 1):
        row: list[int] = []
        for x in range(width + 1):
            left, below = row[x - 1] if x else 0, rows[y - 1][x] if y else 0
            corner = rows[y - 1][x - 1] if has_diagonal and x and y else 0
            row.append(0 if not is_free((x, y)) else 1 if x == y == 0 else left + below + corner)
        rows.append(row)
    return rows


def _through(width: int, height: int, points: list[Cell], y: int) -> list[int]:
    """Returns how many paths lead to each point of a row, those that have missed a point to visit left out."""

    def is_free(cell: Cell) -> bool:
        return all((cell[0] <= px and cell[1] <= py) or (cell[0] >= px and cell[1] >= py) for px, py in points)

    return _table(width, height, is_free, has_diagonal=False)[y]
