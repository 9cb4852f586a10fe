import itertools
import random

import pytest

from fulmen.envs.solve.liars import (
    KINDS,
    Village,
    draw_statement,
    draw_village,
    is_in_role,
    is_true,
    people_of,
    reason,
    role_tables,
    solution_table,
    truth_table,
)
from fulmen.envs.solve.speech import say


def assignments(num_people: int, num_roles: int) -> list[tuple[int, ...]]:
    """All roles, in the order of truth tables: the first person's role changes fastest."""
    return [roles[::-1] for roles in itertools.product(range(num_roles), repeat=num_people)]


@pytest.mark.parametrize("num_roles", [2, 3])
def test_truth_tables_agree_with_single_assignments(num_roles: int) -> None:
    rng = random.Random(0)
    tables = role_tables(5, num_roles)
    seen = set()
    for variety in (1, 2, 3):
        for _ in range(60):
            statement = draw_statement(rng, range(5), variety=variety, num_roles=num_roles)
            seen.add(statement[0])
            table = truth_table(statement, tables)
            for number, roles in enumerate(assignments(5, num_roles)):
                assert (table >> number & 1) == is_true(statement, roles), statement
            assert table >> num_roles**5 == 0
    assert seen == set(itertools.chain(*KINDS))


def test_statements_by_hand() -> None:
    roles = [0, 1, 0, 2]
    for statement, expected in (
        (["is", 1, 1], True),
        (["is", 3, 1], False),
        (["same", 0, 2], True),
        (["differ", 1, 3], True),
        (["and", ["is", 0, 0], ["is", 1, 0]], False),
        (["or", ["is", 0, 0], ["is", 2, 0]], True),
        (["or", ["is", 0, 1], ["is", 1, 0]], False),
        (["if", ["is", 0, 1], ["is", 1, 0]], True),
        (["if", ["is", 0, 0], ["is", 1, 0]], False),
        (["count", [0, 1, 2, 3], 0, "exactly", 2], True),
        (["count", [0, 1, 3], 0, "at least", 2], False),
        (["count", [1, 3], 1, "at most", 1], True),
        (["count", [1, 2], 0, "exactly", 0], False),
    ):
        assert is_true(statement, roles) == expected, statement
    assert [is_in_role(role, [True, False]) for role in range(3)] == [False, False, True]
    assert [is_in_role(role, [True, True]) for role in range(3)] == [True, False, False]
    assert [is_in_role(role, [False, False]) for role in range(3)] == [False, True, False]


@pytest.mark.parametrize(("num_roles", "num_statements"), [(2, 1), (2, 2), (3, 2)])
def test_drawn_villages_have_one_solution_and_reasoning_finds_it(num_roles: int, num_statements: int) -> None:
    rng = random.Random(1)
    for num_people, variety in ((3, 1), (4, 2), (5, 3)):
        for _ in range(5):
            drawn = draw_village(
                rng, num_people=num_people, num_roles=num_roles, num_statements=num_statements, variety=variety
            )
            assert drawn is not None
            village, roles = drawn
            right = [
                guess
                for guess in assignments(num_people, num_roles)
                if all(
                    is_in_role(guess[person], [is_true(statement, guess) for statement in said])
                    for person, said in enumerate(village.said)
                )
            ]
            assert right == [tuple(roles)]
            assert all(len(said) == num_statements for said in village.said)
            assert all(person not in people_of(s) for person, said in enumerate(village.said) for s in said)
            assert reason(village).domains == [{role} for role in roles]


def test_reasoning_takes_wrong_suppositions_back() -> None:
    # If 0 told the truth, 1 would lie, hence 2 too, and 3 not: but 0 says that 2 and 3 are alike.
    said = [[["same", 2, 3]], [["is", 0, 1]], [["is", 1, 0]], [["is", 1, 1]]]
    village = Village(num_roles=2, said=said)
    table = solution_table(village)
    expected = [roles for number, roles in enumerate(assignments(4, 2)) if table >> number & 1]
    assert expected == [(1, 0, 0, 1)]
    reasoning = reason(village)
    assert [min(domain) for domain in reasoning.domains] == list(expected[0])
    assert "suppose" in [how for how, _, _ in reasoning.steps]
    assert "broken" in [how for how, _, _ in reasoning.steps]


def test_clauses() -> None:
    names, roles = ["Ann", "Bo", "Cy"], ["knight", "knave"]
    assert say(["if", ["is", 0, 1], ["same", 1, 2]], names, roles, "en") == (
        "if Ann is a knave, then Bo and Cy are of the same kind"
    )
    assert say(["count", [0, 1, 2], 1, "at most", 2], names, roles, "en") == (
        "the number of knaves among Ann, Bo and Cy is at most 2"
    )
    assert (
        say(["or", ["is", 0, 0], ["differ", 1, 2]], names, ["骑士", "无赖"], "zh")
        == "Ann是骑士，或者Bo和Cy不是同一类人"
    )
