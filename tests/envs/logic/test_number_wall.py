"""Number wall against all boards of 16 cells."""

import functools
import itertools
import random

import pytest

from fulmen.envs.logic.number_wall import NumberWall, random_islands
from fulmen.errors import TaskError
from fulmen.types import Task
from tests.envs.logic import grid_checks as checks

Cell = tuple[int, int]
CELLS = list(itertools.product(range(4), repeat=2))


def islands(land: frozenset[Cell]) -> list[set[Cell]]:
    found: list[set[Cell]] = []
    for r, c in sorted(land):
        touching = [island for island in found if island & {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)}]
        found = [island for island in found if island not in touching] + [set().union({(r, c)}, *touching)]
    return found


@functools.cache
def lands() -> list[tuple[frozenset[Cell], list[set[Cell]]]]:
    """Returns the sets of land that leave no block of wall and keep islands apart."""
    found = []
    for mask in range(1 << 16):
        land = frozenset(cell for at, cell in enumerate(CELLS) if mask >> at & 1)
        if any(not land & {(r, c), (r + 1, c), (r, c + 1), (r + 1, c + 1)} for r in range(3) for c in range(3)):
            continue
        parts = islands(land)
        if all(
            max(abs(a - c), abs(b - d)) > 1 for p, q in itertools.combinations(parts, 2) for a, b in p for c, d in q
        ):
            found.append((land, parts))
    return found


def allowed(task: Task, parts: list[set[Cell]]) -> bool:
    numbers = {(r, c): n for r, row in enumerate(task.meta["numbers"]) for c, n in enumerate(row) if n}
    held = [[numbers[cell] for cell in part if cell in numbers] for part in parts]
    return held == [[len(part)] for part in parts] and sum(map(len, held)) == len(numbers)


def board(task: Task, land: frozenset[Cell]) -> str:
    numbers = task.meta["numbers"]
    return checks.show([[numbers[r][c] or ("L" if (r, c) in land else "W") for c in range(4)] for r in range(4)])


def test_one_solution_and_the_verdict_of_brute_force() -> None:
    env = NumberWall(size=4)
    assert len(lands()) > 500
    for task in checks.make(env, 12):
        right = [board(task, land) for land, parts in lands() if allowed(task, parts)]
        assert right == [task.gold]
        for land, _ in lands()[::150]:
            assert checks.is_right(env, task, board(task, land)) == (board(task, land) in right)


def test_any_board_that_keeps_the_rules_is_right() -> None:
    env = NumberWall(size=4)
    numbers = [[0, 0, 0, 0], [0, 7, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    task = checks.by_hand(env, numbers=numbers)
    right = [land for land, parts in lands() if allowed(task, parts)]
    assert len(right) > 1
    for land in right[::5]:
        assert checks.is_right(env, task, board(task, land))
    others = {land | {(1, 1)} for land, _ in lands()[::20]}
    found = {land for land in others if checks.is_right(env, task, board(task, land))}
    assert found == others & set(right) != set()


def test_each_rule_by_hand() -> None:
    env = NumberWall(size=3)
    task = checks.by_hand(env, numbers=[[1, 0, 0], [0, 0, 0], [0, 2, 0]])
    info = {
        "1 W W\nW W L\nW 2 L": "the island of r2c3 has 3 cells and the numbers [2]",
        "1 W W\nW L W\nW 2 W": "the islands of r1c1 and r2c2 touch at a corner",
        "1 L W\nW W W\nL 2 W": "the island of r1c1 has 2 cells and the numbers [1]",
        "1 W W\nW W W\nL 2 W": "the block at r1c2 is all wall",
        "1 W L\nW W W\nL 2 W": "the island of r1c3 has 1 cells and the numbers []",
        "W W L\nW L W\nW 2 W": "r1c1 is W, but 1 is given",
        "1 W 1\nW W W\nL 2 W": "r1c3 is 1, but no number is given",
        "2 W W\nW W W\nL 2 W": "r1c1 is 2, but 1 is given",
    }
    for text, fault in info.items():
        assert (env.check(task, text).value, env.check(task, text).info) == (0.0, fault)
    task = checks.by_hand(env, numbers=[[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    assert env.check(task, "1 W 1\nW W W\n1 W 1").value == 1.0
    assert env.check(task, "L W L\nW W W\nL W L").value == env.check(task, "lwl/www/lwl").value == 1.0
    beside = checks.by_hand(env, numbers=[[2, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert env.check(beside, "2 1 W\nW W W\nW W W").info == "the island of r1c1 has 2 cells and the numbers [2, 1]"
    two = checks.by_hand(env, numbers=[[2, 0, 2], [0, 0, 0], [0, 0, 0]])
    assert env.check(two, "2 L 2\nL W W\nW W W").info == "the island of r1c1 has 4 cells and the numbers [2, 2]"


def test_every_changed_cell_is_wrong() -> None:
    for level, num in ((1, 4), (2, 3)):
        env = NumberWall.at_level(level)
        for task in checks.make(env, num):
            rows = checks.rows_of(task.gold)
            for changed in checks.changes(rows, ["W", "L", "1", "2", "_"]):
                at = next((r, c) for r in range(env.size) for c in range(env.size) if changed[r][c] != rows[r][c])
                is_number = task.meta["numbers"][at[0]][at[1]] > 0
                # A number's own cell may be called land.
                assert checks.is_right(env, task, changed) == (is_number and changed[at[0]][at[1]] == "L")
            for wrong in ("W", "L"):
                assert not checks.is_right(env, task, [[wrong] * env.size] * env.size)
                filled = [[number or wrong for number in row] for row in task.meta["numbers"]]
                assert not checks.is_right(env, task, filled)


def test_islands_keep_to_the_settings() -> None:
    rng = random.Random(0)
    found = [random_islands(5, 3, rng) for _ in range(200)]
    sizes = {len(part) for parts in found for part in parts}
    assert sizes == {1, 2, 3}
    assert sum(map(bool, found)) > 20


def test_prompt_shows_the_board() -> None:
    for language in ("en", "zh"):
        for task in checks.make(NumberWall(language=language), 8):
            assert (
                "\n" + checks.show([[n or "_" for n in row] for row in task.meta["numbers"]]) + "\n"
                in task.prompt[0].content
            )


def test_gold_and_work() -> None:
    checks.check_gold(NumberWall, nums=(8, 4, 1, 0, 0))


def test_draws_forms_and_attacks() -> None:
    checks.check_prompts(NumberWall)
    checks.check_many(NumberWall, num=300)
    checks.check_forms(NumberWall())
    checks.check_hostile(NumberWall.at_level(1))


def test_settings_and_broken_tasks() -> None:
    checks.check_knobs(NumberWall, [{"size": 2}, {"size": 10}, {"max_island": 0}, {"max_island": 7}])
    for numbers in ([[1, 2]], [[10, 0], [0, 0]], [[0] * 10] * 10, None):
        with pytest.raises(TaskError, match="numbers"):
            NumberWall().check(checks.by_hand(NumberWall(), numbers=numbers), "1 W\nW W")
