"""Systems of linear equations with one solution."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import point, terms, write
from fulmen.envs.puzzle import Levels


@dataclass(frozen=True, kw_only=True)
class LinearSystems(MathFamily):
    """As many linear equations as unknowns, 2 to 4, with one solution."""

    name: str = "math_linear_systems"
    kinds: tuple[str, ...] = ("solve",)
    num_unknowns: int = 2
    """Unknowns and equations, 2 to 4."""
    max_coefficient: int = 9
    """Largest size of a coefficient, 2 to 20."""
    max_denominator: int = 1
    """Largest denominator in the solution, 1 to 9."""

    rule: ClassVar[str] = "solve a system of linear equations"
    bounds: ClassVar = {"num_unknowns": (2, 4), "max_coefficient": (2, 20), "max_denominator": (1, 9)}
    levels: ClassVar[Levels] = (
        {"kinds": ("sum_difference",)},
        {"max_coefficient": 4},
        {},
        {"num_unknowns": 3, "max_coefficient": 6},
        {"num_unknowns": 4, "max_coefficient": 9, "max_denominator": 3},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {"sum_difference": self._sum_difference, "solve": self._solve}

    def _problem(self, rng: random.Random, rows: list[list[int]], values: list[Fraction], steps: list[str]) -> Problem:
        """Returns the problem of rows [a, b, ..., right side]."""
        names = "xyzw"[: len(values)]
        equations = [f"{terms(zip(row, names, strict=False))} = {row[-1]}" for row in rows]
        unknowns = f"({', '.join(names)})"
        question = self.ask(
            rng,
            en=("Solve for {u}:\n{eqs}", "Find {u} such that\n{eqs}", "What is {u}, if\n{eqs}"),
            zh=("解方程组，求 {u}：\n{eqs}", "求满足下列方程的 {u}：\n{eqs}"),
            u=unknowns,
            eqs="\n".join(equations),
        )
        answer = point(*values)
        return Problem(
            question=question, gold=answer, form="pair", data=(rows,), steps=(*steps, f"{unknowns} = {answer}")
        )

    def _sum_difference(self, rng: random.Random) -> Problem:
        x, y = rng.randint(-60, 60), rng.randint(-60, 60)
        rows = [[1, 1, x + y], [1, -1, x - y]]
        steps = [f"2x = {x + y} + {x - y} = {2 * x}", f"x = {x}", f"y = {x + y} - {x} = {y}"]
        if x - y < 0:
            steps[0] = f"2x = {x + y} - {y - x} = {2 * x}"
        if x < 0:
            steps[2] = f"y = {x + y} + {-x} = {y}"
        return self._problem(rng, rows, [Fraction(x), Fraction(y)], steps)

    def _solve(self, rng: random.Random) -> Problem | None:
        size, high = self.num_unknowns, self.max_coefficient
        values = [Fraction(rng.randint(-12, 12), rng.randint(1, self.max_denominator)) for _ in range(size)]
        rows = []
        for _ in range(size):
            row = [rng.randint(1, high) * rng.choice((1, -1)) for _ in range(size)]
            right = sum((a * v for a, v in zip(row, values, strict=True)), Fraction(0))
            if right.denominator > 1:
                row, right = [a * right.denominator for a in row], right * right.denominator
            if max(map(abs, row)) > 12 * high:
                return None
            rows.append([*row, int(right)])
        steps = _eliminate(rows)
        return self._problem(rng, rows, values, steps) if steps is not None else None


def _eliminate(rows: list[list[int]]) -> list[str] | None:
    """Returns the lines of Gauss's elimination and of the way back, or None where there is more than one solution."""
    size, names = len(rows), "xyzw"
    table = [[Fraction(value) for value in row] for row in rows]
    steps: list[str] = []
    for i in range(size):
        pivot = next((k for k in range(i, size) if table[k][i]), None)
        if pivot is None:
            return None
        if pivot != i:
            table[i], table[pivot] = table[pivot], table[i]
            steps.append(f"R{i + 1} <-> R{pivot + 1}")
        for k in range(i + 1, size):
            factor = table[k][i] / table[i][i]
            if factor == 0:
                continue
            table[k] = [b - factor * a for a, b in zip(table[i], table[k], strict=True)]
            line = f"{terms(zip(table[k], names[:size], strict=False))} = {write(table[k][-1])}"
            steps.append(f"R{k + 1} - ({write(factor)})*R{i + 1}: {line}")
    found: list[Fraction] = [Fraction(0)] * size
    for i in reversed(range(size)):
        rest = table[i][-1] - sum((table[i][k] * found[k] for k in range(i + 1, size)), Fraction(0))
        found[i] = rest / table[i][i]
        steps.append(f"{terms([(table[i][i], names[i])])} = {write(rest)}, {names[i]} = {write(found[i])}")
    return steps
