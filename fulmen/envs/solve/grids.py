"""A family of transforms of small colour grids, and the search for those that explain given examples.

Colours are digits, 0 is the ground. An object is a set of cells of one colour joined by edges. A transform is a kind
with numbers (colours, or rows and columns to move by); where it means nothing for a grid, it gives None.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Grid = tuple[tuple[int, ...], ...]
Transform = tuple[Any, ...]
"""Kind, then its numbers."""
Cell = tuple[int, int]
COLOURS = tuple(range(1, 10))
SIDES: tuple[Cell, ...] = ((0, 1), (0, -1), (1, 0), (-1, 0))
MOVES: tuple[Cell, ...] = tuple((a * n, b * n) for a, b in SIDES for n in (1, 2, 3))


def mirror(grid: Grid) -> Grid:
    return tuple(row[::-1] for row in grid)


def upside_down(grid: Grid) -> Grid:
    return grid[::-1]


def half_turn(grid: Grid) -> Grid:
    return mirror(grid)[::-1]


def transpose(grid: Grid) -> Grid:
    return tuple(zip(*grid, strict=True))


def quarter_right(grid: Grid) -> Grid:
    return transpose(grid[::-1])


def quarter_left(grid: Grid) -> Grid:
    return transpose(grid)[::-1]


def antitranspose(grid: Grid) -> Grid:
    return half_turn(transpose(grid))


RIGID: dict[str, Callable[[Grid], Grid]] = {
    "mirror": mirror,
    "upside_down": upside_down,
    "half_turn": half_turn,
    "transpose": transpose,
    "quarter_right": quarter_right,
    "quarter_left": quarter_left,
    "antitranspose": antitranspose,
}
INVERSE = {"quarter_right": "quarter_left", "quarter_left": "quarter_right"}
"""Of those that do not undo themselves."""


@functools.lru_cache(maxsize=64)
def objects(grid: Grid) -> tuple[tuple[Cell, ...], ...]:
    """Returns the objects, each as its cells, in the order of their first cells."""
    seen: set[Cell] = set()
    found = []
    for row, cells in enumerate(grid):
        for column, colour in enumerate(cells):
            if colour and (row, column) not in seen:
                part = _flood(grid, (row, column))
                seen.update(part)
                found.append(tuple(sorted(part)))
    return tuple(found)


def _flood(grid: Grid, start: Cell) -> set[Cell]:
    """Returns the cells of the start's colour that are joined to it by edges."""
    colour = grid[start[0]][start[1]]
    part, stack = {start}, [start]
    while stack:
        row, column = stack.pop()
        for down, right in SIDES:
            near = (row + down, column + right)
            is_inside = 0 <= near[0] < len(grid) and 0 <= near[1] < len(grid[0])
            if is_inside and near not in part and grid[near[0]][near[1]] == colour:
                part.add(near)
                stack.append(near)
    return part


def _set(grid: Grid, cells: Sequence[Cell] | set[Cell], colour: int) -> Grid:
    """Returns the grid with some cells in one colour."""
    rows = [list(row) for row in grid]
    for row, column in cells:
        rows[row][column] = colour
    return tuple(map(tuple, rows))


def _map(grid: Grid, colours: dict[int, int]) -> Grid:
    """Returns the grid with colours replaced; those not named stay."""
    return tuple(tuple(colours.get(cell, cell) for cell in row) for row in grid)


def _roll(grid: Grid, down: int, right: int) -> Grid:
    height, width = len(grid), len(grid[0])
    return tuple(tuple(grid[(r - down) % height][(c - right) % width] for c in range(width)) for r in range(height))


def _push(grid: Grid, down: int, right: int) -> Grid:
    height, width = len(grid), len(grid[0])
    return tuple(
        tuple(
            grid[r - down][c - right] if 0 <= r - down < height and 0 <= c - right < width else 0 for c in range(width)
        )
        for r in range(height)
    )


def _turned(grid: Grid, side: Cell, change: Callable[[Grid], Grid]) -> Grid:
    """Returns the grid changed by something that works to the right, made to work to another side."""
    if side == (0, 1):
        return change(grid)
    if side == (0, -1):
        return mirror(change(mirror(grid)))
    if side == (1, 0):
        return transpose(change(transpose(grid)))
    return antitranspose(change(antitranspose(grid)))


def _fall(grid: Grid, down: int, right: int) -> Grid:
    return _turned(grid, (down, right), lambda g: tuple(tuple(sorted(row, key=bool)) for row in g))


def _ray(grid: Grid, down: int, right: int) -> Grid:
    def shoot(turned: Grid) -> Grid:
        rows = []
        for row in turned:
            last, cells = 0, []
            for cell in row:
                last = cell or last
                cells.append(last)
            rows.append(tuple(cells))
        return tuple(rows)

    return _turned(grid, (down, right), shoot)


def _join(grid: Grid) -> Grid:
    """Returns the grid with the ground between two neighbours of one colour in a row filled with it."""
    rows = []
    for row in grid:
        cells, last = list(row), -1
        for at, cell in enumerate(row):
            if cell:
                if last >= 0 and row[last] == cell:
                    cells[last:at] = [cell] * (at - last)
                last = at
        rows.append(tuple(cells))
    return tuple(rows)


def _ranked(grid: Grid, place: int) -> int | None:
    """Returns the most (0) or least (-1) common colour, or None if two are equally so or there is one only."""
    counts = Counter(cell for row in grid for cell in row if cell).most_common()
    if len(counts) < 2 or counts[place][1] == counts[1 if place == 0 else -2][1]:
        return None
    return counts[place][0]


def _paint_ranked(grid: Grid, place: int, colour: int) -> Grid | None:
    ranked = _ranked(grid, place)
    return _map(grid, {ranked: colour}) if ranked else None


def _largest(grid: Grid, action: str, colour: int = 0) -> Grid | None:
    """Returns the grid with only its largest object, without it, or with it painted; None if two are largest."""
    parts = sorted(objects(grid), key=len)
    if len(parts) < 2 or len(parts[-1]) == len(parts[-2]):
        return None
    return _set(grid, [cell for part in parts[:-1] for cell in part] if action == "keep" else parts[-1], colour)


def _enclose(grid: Grid, colour: int) -> Grid:
    """Returns the grid with the ground that is cut off from the border painted."""
    height, width = len(grid), len(grid[0])
    outside: set[Cell] = set()
    for row in range(height):
        for column in range(width):
            is_border = row in (0, height - 1) or column in (0, width - 1)
            if is_border and not grid[row][column] and (row, column) not in outside:
                outside |= _flood(grid, (row, column))
    ground = {(r, c) for r in range(height) for c in range(width) if not grid[r][c]}
    return _set(grid, ground - outside, colour)


def _cells_where(grid: Grid, is_hit: Callable[[int, Sequence[int]], bool]) -> list[Cell]:
    """Returns the cells whose own colour and neighbours fulfil a condition; beyond the border is ground."""
    border = (0,) * (len(grid[0]) + 2)
    padded = (border, *((0, *row, 0) for row in grid), border)
    return [
        (r, c)
        for r, row in enumerate(grid)
        for c, own in enumerate(row)
        if is_hit(own, (padded[r][c + 1], padded[r + 2][c + 1], padded[r + 1][c], padded[r + 1][c + 2]))
    ]


def _outline(grid: Grid, colour: int) -> Grid:
    return _set(grid, _cells_where(grid, lambda own, near: not own and any(near)), colour)


def _hollow(grid: Grid) -> Grid:
    return _set(grid, _cells_where(grid, lambda own, near: bool(own) and all(near)), 0)


def _lonely(grid: Grid) -> Grid:
    return _set(grid, _cells_where(grid, lambda own, near: bool(own) and own not in near), 0)


def _ordered(grid: Grid) -> Grid:
    return tuple(sorted(grid, key=lambda row: sum(map(bool, row))))


def _crop(grid: Grid) -> Grid | None:
    rows = [r for r, row in enumerate(grid) if any(row)]
    columns = [c for c in range(len(grid[0])) if any(row[c] for row in grid)]
    return tuple(row[columns[0] : columns[-1] + 1] for row in grid[rows[0] : rows[-1] + 1]) if rows else None


def _double(grid: Grid) -> Grid:
    return tuple(tuple(cell for cell in row for _ in (0, 1)) for row in grid for _ in (0, 1))


def _beside(left: Grid, right: Grid) -> Grid:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _negative(grid: Grid, colour: int) -> Grid | None:
    used = {cell for row in grid for cell in row if cell}
    return _map(grid, {0: colour, next(iter(used)): 0}) if len(used) == 1 else None


def _symmetric(grid: Grid) -> Grid:
    return tuple(tuple(a or b for a, b in zip(row, row[::-1], strict=True)) for row in grid)


APPLY: dict[str, Callable[..., Grid | None]] = {
    **RIGID,
    "roll": _roll,
    "push": _push,
    "fall": _fall,
    "ray": _ray,
    "recolour": lambda grid, a, b: _map(grid, {a: b}),
    "exchange": lambda grid, a, b: _map(grid, {a: b, b: a}),
    "paint": lambda grid, c: tuple(tuple(c if cell else 0 for cell in row) for row in grid),
    "keep": lambda grid, c: tuple(tuple(cell if cell == c else 0 for cell in row) for row in grid),
    "erase": lambda grid, c: _map(grid, {c: 0}),
    "common": lambda grid, c: _paint_ranked(grid, 0, c),
    "rare": lambda grid, c: _paint_ranked(grid, -1, c),
    "keep_largest": lambda grid: _largest(grid, "keep"),
    "erase_largest": lambda grid: _largest(grid, "paint"),
    "paint_largest": lambda grid, c: _largest(grid, "paint", c),
    "lonely": _lonely,
    "join_rows": _join,
    "join_columns": lambda grid: transpose(_join(transpose(grid))),
    "enclose": _enclose,
    "outline": _outline,
    "hollow": _hollow,
    "sort_up": lambda grid: tuple(tuple(sorted(row)) for row in grid),
    "sort_down": lambda grid: tuple(tuple(sorted(row, reverse=True)) for row in grid),
    "order_rows": _ordered,
    "order_columns": lambda grid: transpose(_ordered(transpose(grid))),
    "crop": _crop,
    "double": _double,
    "repeat_right": lambda grid: _beside(grid, grid),
    "repeat_down": lambda grid: grid + grid,
    "mirror_right": lambda grid: _beside(grid, mirror(grid)),
    "mirror_down": lambda grid: grid + grid[::-1],
    "left_half": lambda grid: tuple(row[: len(row) // 2] for row in grid) if len(grid[0]) % 2 == 0 else None,
    "top_half": lambda grid: grid[: len(grid) // 2] if len(grid) % 2 == 0 else None,
    "symmetric": _symmetric,
    "negative": _negative,
}
"""What each kind does."""
NUMBERS: dict[str, str] = {
    **dict.fromkeys(("roll", "push"), "move"),
    **dict.fromkeys(("fall", "ray"), "side"),
    **dict.fromkeys(("paint", "common", "rare", "paint_largest", "enclose", "outline", "negative"), "new"),
    **dict.fromkeys(("keep", "erase"), "old"),
    "recolour": "old new",
    "exchange": "old old",
}
"""What numbers a kind takes: a move, a side, a colour that is in the grid or any colour; nothing if not named."""


def apply(transform: Transform, grid: Grid) -> Grid | None:
    """Returns what a transform makes of a grid; `("then", rigid kind, kind, ...)` is followed by a rigid one."""
    if transform[0] == "then":
        made = apply(transform[2:], grid)
        return made and RIGID[transform[1]](made)
    kind, *numbers = transform
    return APPLY[kind](grid, *numbers)


def numbers_of(kind: str, old: Sequence[int]) -> list[tuple[int, ...]]:
    """Returns all numbers that a kind can take, where the colours `old` are in the grid."""
    wanted = NUMBERS.get(kind, "")
    if wanted == "move":
        return list(MOVES)
    if wanted == "side":
        return list(SIDES)
    if wanted == "new":
        return [(colour,) for colour in COLOURS]
    if wanted == "old":
        return [(colour,) for colour in old]
    if wanted == "old new":
        return [(a, b) for a in old for b in COLOURS if a != b]
    return [(a, b) for a in old for b in old if a < b] if wanted else [()]


def explanations(pairs: Sequence[tuple[Grid, Grid]], *, is_composed: bool) -> Iterator[Transform]:
    """Yields the transforms of the family that turn every input into its output.

    `is_composed`: the family has each transform followed by a rigid one too.
    """
    first, wanted = pairs[0]
    aims: dict[Grid, list[str]] = {wanted: [""]}
    for name in RIGID if is_composed else ():
        aims.setdefault(RIGID[INVERSE.get(name, name)](wanted), []).append(name)
    old = sorted({cell for grid, _ in pairs for row in grid for cell in row if cell})
    used = {cell for _, made in pairs for row in made for cell in row} | set(old)
    fresh = [colour for colour in COLOURS if colour not in used]
    for kind, change in APPLY.items():
        takes_new = NUMBERS.get(kind, "").endswith("new")
        for numbers in numbers_of(kind, old):
            # A colour that no grid has explains them exactly if another such colour does, so one of them is tried.
            is_one_of_many = takes_new and numbers[-1] in fresh
            if is_one_of_many and numbers[-1] != fresh[0]:
                continue
            made = change(first, *numbers)
            for name in aims.get(made, ()) if made else ():
                found: Transform = ("then", name, kind, *numbers) if name else (kind, *numbers)
                if all(apply(found, grid) == output for grid, output in pairs[1:]):
                    yield from [(*found[:-1], colour) for colour in fresh] if is_one_of_many else [found]
