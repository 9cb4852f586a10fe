import itertools

import pytest

from fulmen.envs.logic.campsite import Camp, Campsite, are_paired, solve_camp
from fulmen.types import Task
from tests.envs.logic import every_puzzle as every


@pytest.mark.parametrize("level", range(1, 6))
def test_gold(level: int) -> None:
    every.check_some_gold("campsite", level=level, num=8 if level < 4 else 2, is_taught=level < 5)


@pytest.mark.slow
@pytest.mark.parametrize("level", range(1, 6))
def test_much_gold(level: int) -> None:
    every.check_gold("campsite", level=level, num=50, is_taught=level < 5)


def test_common() -> None:
    every.check_attacks("campsite")
    every.check_prompts("campsite")
    every.check_variety("campsite")
    every.check_bounds("campsite", {"num_rows": 2}, {"num_columns": 13}, {"tree_density": 0.5}, {"tree_density": 0.0})


def is_right(task: Task, tents: set[tuple[int, int]]) -> bool:
    """The rules once more, by all pairings."""
    trees = [(r, c) for r, row in enumerate(task.meta["grid"]) for c, mark in enumerate(row) if mark == "T"]
    if len(tents) != len(trees) or tents & set(trees):
        return False
    if any(max(abs(a - c), abs(b - d)) == 1 for (a, b), (c, d) in itertools.combinations(tents, 2)):
        return False
    if [sum(r == row for r, _ in tents) for row in range(len(task.meta["rows"]))] != task.meta["rows"]:
        return False
    if [sum(c == column for _, c in tents) for column in range(len(task.meta["columns"]))] != task.meta["columns"]:
        return False
    return any(
        all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in zip(order, trees, strict=True))
        for order in itertools.permutations(tents)
    )


def test_all_sets_of_tents_on_small_grounds() -> None:
    env = Campsite(num_rows=3, num_columns=4, tree_density=0.2)
    num_right = 0
    for index in range(3):
        task = env.task("train", seed=0, index=index)
        free = [(r, c) for r in range(3) for c in range(4) if task.meta["grid"][r][c] == "_"]
        for bits in itertools.product((0, 1), repeat=len(free)):
            tents = {cell for cell, bit in zip(free, bits, strict=True) if bit}
            rows = [
                ["C" if (r, c) in tents else mark for c, mark in enumerate(row)]
                for r, row in enumerate(task.meta["grid"])
            ]
            value = env.check(task, "\n".join(map(" ".join, rows))).value
            assert value == is_right(task, tents), (task.prompt, rows)
            num_right += value == 1.0
    assert num_right >= 3


def camp(grid: list[str], rows: list[int], columns: list[int]) -> Task:
    return Task(task_id="t", env="campsite", prompt=(), gold="", meta={"grid": grid, "rows": rows, "columns": columns})


@pytest.mark.parametrize(
    ("task", "text", "fault"),
    [
        # Two trees share the one tent beside both; the other tent stands alone.
        (camp(["T_T__"], [2], [0, 1, 0, 0, 1]), "TCT_C", "paired"),
        (camp(["T_T__"], [2], [0, 1, 0, 1, 0]), "TCTC_", ""),
        (camp(["T_T__"], [1], [0, 1, 0, 0, 0]), "TCT__", "paired"),
        (camp(["_T_", "_T_"], [1, 1], [1, 0, 1]), "CT_/_TC", ""),
        (camp(["_T_", "_T_"], [1, 1], [2, 0, 0]), "CT_/CT_", "touch"),
        (camp(["T__", "__T"], [1, 1], [1, 1, 0]), "TC_/C_T", "touch"),
        (camp(["_T_"], [1], [1, 0, 0]), "CC_", "trees"),
        (camp(["_T_"], [1], [1, 0, 0]), "T_C", "trees"),
        (camp(["_T_"], [1], [1, 0, 0]), "_TC", "column 1"),
        (camp(["_T_"], [1], [1, 0, 0]), "_T_", "row 1"),
        (camp(["_T_"], [1], [1, 0, 0]), "CTC", "row 1"),
    ],
)
def test_rules_by_hand(task: Task, text: str, fault: str) -> None:
    score = Campsite().check(task, text)
    assert score.value == float(not fault)
    assert fault in score.info


def test_the_unsolved_ground_and_changed_cells_score_zero() -> None:
    for env, task in every.make("campsite", 3, 10):
        assert env.check(task, "\n".join(map(" ".join, task.meta["grid"]))).value == 0.0
        for at, mark in enumerate(task.gold):
            for other in "TC_":
                if mark in "TC_" and other != mark:
                    assert env.check(task, task.gold[:at] + other + task.gold[at + 1 :]).value == 0.0


def test_forms_that_a_person_would_accept() -> None:
    for env, task in every.make("campsite", 2, 5):
        rows = [row.split() for row in task.gold.split("\n")]
        for text in (
            "\n".join(map("".join, rows)),
            "/".join(map("".join, rows)),
            "\n".join(map(", ".join, rows)),
            str(rows),
            task.gold.lower(),
            f"$\\boxed{{{task.gold}}}$",
        ):
            assert env.check(task, text).value == 1.0, text


def test_pairing_needs_an_augmenting_path() -> None:
    # On one row of 5, tent 1 may take tree 0 or 2, tent 3 only 2.
    assert are_paired([1, 3], [2, 0], 5)
    assert not are_paired([1, 3], [2, 4 + 5], 5)
    # The last cell of a row and the first of the next are no neighbours.
    assert not are_paired([4], [5], 5)


def test_a_solution_that_only_pairing_refuses_is_taken_back() -> None:
    solved = solve_camp(Camp(rows=["T_T__"], row_counts=[2], column_counts=[0, 1, 0, 1, 0]), "en")
    assert solved.ones == 0b01010
