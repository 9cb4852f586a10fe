"""Matrices of integers: determinants, entries of products, inverses and powers, rank."""

import random
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fulmen.envs.math.family import Maker, MathFamily, Problem
from fulmen.envs.math.writing import guard, write
from fulmen.envs.puzzle import Levels

Rows = list[list[int]]


@dataclass(frozen=True, kw_only=True)
class Matrices(MathFamily):
    """Square matrices, 2 by 2 to 4 by 4; entries are asked for by row and column."""

    name: str = "math_matrices"
    kinds: tuple[str, ...] = ("determinant", "product_entry", "inverse_entry")
    size: int = 3
    """Rows and columns, 2 to 4."""
    max_entry: int = 9
    """Largest size of an entry, 3 to 30."""
    max_power: int = 4
    """Largest power of a 2 by 2 matrix, 2 to 12."""

    rule: ClassVar[str] = "find a determinant or an entry of a matrix"
    bounds: ClassVar = {"size": (2, 4), "max_entry": (3, 30), "max_power": (2, 12)}
    levels: ClassVar[Levels] = (
        {"kinds": ("determinant",), "size": 2},
        {"kinds": ("determinant", "product_entry"), "size": 2, "max_entry": 15},
        {},
        {"kinds": ("determinant", "inverse_entry", "power_trace"), "max_entry": 15, "max_power": 6},
        {"kinds": ("determinant", "inverse_entry", "power_trace", "unknown"), "size": 4, "max_power": 9},
    )

    def makers(self) -> dict[str, Maker]:
        """Returns the makers."""
        return {
            "determinant": self._determinant,
            "product_entry": self._product_entry,
            "inverse_entry": self._inverse_entry,
            "power_trace": self._power_trace,
            "unknown": self._unknown,
        }

    def _rows(self, rng: random.Random, size: int) -> Rows:
        high = self.max_entry
        return [[rng.randint(-high, high) for _ in range(size)] for _ in range(size)]

    def _determinant(self, rng: random.Random) -> Problem:
        rows = self._rows(rng, self.size)
        value, steps = expand(rows)
        question = self.ask(
            rng,
            en=(
                "What is the determinant of the matrix with the rows {m}?",
                "Find det {m} (the matrix is given row by row).",
            ),
            zh=("各行为 {m} 的矩阵的行列式是多少？", "求行列式 det {m}（矩阵按行给出）。"),
            m=shown(rows),
        )
        return Problem(question=question, gold=str(value), form="integer", data=(rows,), steps=tuple(steps))

    def _product_entry(self, rng: random.Random) -> Problem:
        left, right = self._rows(rng, self.size), self._rows(rng, self.size)
        i, j = rng.randrange(self.size), rng.randrange(self.size)
        parts = [(left[i][k], right[k][j]) for k in range(self.size)]
        value = sum(a * b for a, b in parts)
        question = self.ask(
            rng,
            en=(
                "Let A = {a} and B = {b}, given row by row. What is the entry of AB in row {i}, column {j}?",
                "Matrices are given by their rows: A = {a}, B = {b}. Find the entry in row {i} and column "
                "{j} of the product AB.",
            ),
            zh=(
                "设矩阵（按行给出）A = {a}，B = {b}，AB 的第 {i} 行第 {j} 列元素是多少？",
                "A = {a}，B = {b}（按行给出），求乘积 AB 第 {i} 行第 {j} 列的元素。",
            ),
            a=shown(left),
            b=shown(right),
            i=i + 1,
            j=j + 1,
        )
        steps = (" + ".join(f"{guard(a)}*{guard(b)}" for a, b in parts) + f" = {value}",)
        return Problem(question=question, gold=str(value), form="integer", data=(left, right, i, j), steps=steps)

    def _inverse_entry(self, rng: random.Random) -> Problem | None:
        size = min(self.size, 3)
        rows = self._rows(rng, size)
        det, lines = expand(rows)
        if det == 0:
            return None
        i, j = rng.randrange(size), rng.randrange(size)
        # The entry (i, j) of the inverse is the cofactor (j, i) over the determinant.
        minor, more = expand(_without(rows, j, i))
        value = Fraction((-1) ** (i + j) * minor, det)
        question = self.ask(
            rng,
            en=(
                "What is the entry in row {i}, column {j} of the inverse of the matrix {m} (given row by row)?",
                "Let A = {m}, given by its rows. Find the entry of the inverse of A in row {i} and column {j}.",
            ),
            zh=(
                "矩阵 {m}（按行给出）的逆矩阵第 {i} 行第 {j} 列的元素是多少？",
                "设 A = {m}（按行给出），求 A 的逆矩阵第 {i} 行第 {j} 列的元素。",
            ),
            m=shown(rows),
            i=i + 1,
            j=j + 1,
        )
        steps = (
            *lines,
            f"det = {det}",
            *more,
            f"(-1)^{i + j + 2}*{guard(minor)}/{guard(det)} = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(rows, i, j), steps=steps)

    def _power_trace(self, rng: random.Random) -> Problem:
        """Returns the trace of A^n of a 2 by 2 matrix: t_n = tr t_(n-1) - det t_(n-2)."""
        high = min(self.max_entry, 5)
        (a, b), (c, d) = rows = [[rng.randint(-high, high) for _ in range(2)] for _ in range(2)]
        trace, det, n = a + d, a * d - b * c, rng.randint(3, max(3, self.max_power))
        values = [2, trace]
        steps = [f"tr A = {trace}, det A = {det}"]
        for k in range(2, n + 1):
            values.append(trace * values[-1] - det * values[-2])
            steps.append(
                f"tr A^{k} = {guard(trace)}*{guard(values[-2])} - {guard(det)}*{guard(values[-3])} = {values[-1]}"
            )
        question = self.ask(
            rng,
            en=(
                "Let A = {m}, given row by row. What is the trace (the sum of the diagonal entries) of A^{n}?",
                "The matrix A has the rows {m}. Find the sum of the diagonal entries of A^{n}.",
            ),
            zh=(
                "设 A = {m}（按行给出），A^{n} 的迹（主对角线元素之和）是多少？",
                "矩阵 A 的各行为 {m}，求 A^{n} 主对角线元素之和。",
            ),
            m=shown(rows),
            n=n,
        )
        return Problem(question=question, gold=str(values[-1]), form="integer", data=(rows, n), steps=tuple(steps))

    def _unknown(self, rng: random.Random) -> Problem | None:
        """Returns the entry k that makes a 3 by 3 matrix singular."""
        rows, i, j = self._rows(rng, 3), rng.randrange(3), rng.randrange(3)
        rows[i][j] = 0
        rest, lines = expand(rows)
        minor, more = expand(_without(rows, i, j))
        if minor == 0:
            return None
        factor = (-1) ** (i + j) * minor
        value = Fraction(-rest, factor)
        question = self.ask(
            rng,
            en=(
                "For which value of k is the determinant of the matrix {m}, given row by row, equal to 0?",
                "The matrix with the rows {m} has no inverse. Find k.",
            ),
            zh=("k 取何值时，矩阵 {m}（按行给出）的行列式等于 0？", "各行为 {m} 的矩阵不可逆，求 k。"),
            m=shown(rows, unknown=(i, j)),
        )
        steps = (
            "k = 0:",
            *lines,
            *more,
            f"{rest} + {guard(factor)}k = 0, k = {write(value)}",
        )
        return Problem(question=question, gold=write(value), form="fraction", data=(rows, i, j), steps=steps)


def shown(rows: Rows, unknown: tuple[int, int] | None = None) -> str:
    """Returns `[[1, 2], [3, 4]]`, with k at one place."""
    texts = [["k" if (i, j) == unknown else str(v) for j, v in enumerate(row)] for i, row in enumerate(rows)]
    return "[" + ", ".join(f"[{', '.join(row)}]" for row in texts) + "]"


def expand(rows: Rows) -> tuple[int, list[str]]:
    """Returns a determinant by expansion along the first row, and its lines."""
    if len(rows) == 1:
        return rows[0][0], []
    if len(rows) == 2:
        (a, b), (c, d) = rows
        value = a * d - b * c
        return value, [f"|{shown(rows)}| = {guard(a)}*{guard(d)} - {guard(b)}*{guard(c)} = {value}"]
    parts, steps = [], []
    for j, entry in enumerate(rows[0]):
        minor, lines = expand(_without(rows, 0, j)) if entry else (0, [])
        steps += lines
        parts.append((entry, minor, (-1) ** j))
    value = sum(entry * minor * sign for entry, minor, sign in parts)
    line = " ".join(f"{'+' if sign > 0 else '-'} {guard(entry)}*{guard(minor)}" for entry, minor, sign in parts)
    return value, [*steps, f"|{shown(rows)}| = {line.removeprefix('+ ')} = {value}"]


def _without(rows: Rows, i: int, j: int) -> Rows:
    return [[v for k, v in enumerate(row) if k != j] for r, row in enumerate(rows) if r != i]
