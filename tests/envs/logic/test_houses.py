import itertools
import random

import pytest

from fulmen.envs.solve.houses import Clue, Zebra, holds


def all_clues(num_houses: int, num_attributes: int) -> list[Clue]:
    things = range(num_houses * num_attributes)
    pairs = list(itertools.permutations(things, 2))
    return [
        *([kind, x, y] for kind in ("same", "not_same", "before", "left", "beside") for x, y in pairs),
        *([kind, x, house] for kind in ("at", "not_at") for x in things for house in range(num_houses)),
    ]


def streets(num_houses: int, num_attributes: int) -> list[list[int]]:
    orders = list(itertools.permutations(range(num_houses)))
    return [[*itertools.chain(*rows)] for rows in itertools.product(orders, repeat=num_attributes)]


@pytest.mark.parametrize(("num_houses", "num_attributes"), [(3, 2), (3, 3)])
def test_counts_and_deductions_agree_with_brute_force(num_houses: int, num_attributes: int) -> None:
    rng = random.Random(num_houses)
    pool, everything = all_clues(num_houses, num_attributes), streets(num_houses, num_attributes)
    counts = set()
    for _ in range(40):
        clues = rng.sample(pool, rng.randint(1, 7))
        right = [house_of for house_of in everything if all(holds(clue, house_of) for clue in clues)]
        problem = Zebra(clues, num_houses=num_houses, num_attributes=num_attributes)
        assert problem.count_solutions(most=10**6) == len(right)
        assert problem.count_solutions() == min(len(right), 2)
        counts.add(min(len(right), 2))
        street = problem.start()
        broken = problem.deduce(street)
        assert not (right and broken is not None)
        for house_of in right:
            assert all(houses >> house & 1 for houses, house in zip(street.houses, house_of, strict=True))
    assert counts == {0, 1, 2}


def test_clues_by_hand() -> None:
    # Things 0-2: Ann in 2, Bo in 0, Cy in 1; things 3-5: cat in 2, dog in 1, fish in 0.
    house_of = [2, 0, 1, 2, 1, 0]
    for clue, expected in (
        (["at", 0, 2], True),
        (["at", 0, 1], False),
        (["not_at", 1, 2], True),
        (["not_at", 1, 0], False),
        (["same", 0, 3], True),
        (["same", 0, 4], False),
        (["not_same", 0, 4], True),
        (["not_same", 2, 4], False),
        (["before", 1, 4], True),
        (["before", 4, 1], False),
        (["before", 1, 3], False),
        (["left", 1, 3], True),
        (["left", 3, 1], False),
        (["left", 0, 3], False),
        (["beside", 4, 0], True),
        (["beside", 1, 0], False),
        (["beside", 0, 3], False),
    ):
        assert holds(clue, house_of) == expected, clue


def test_steps_say_why() -> None:
    problem = Zebra([["before", 0, 1]], num_houses=2, num_attributes=2)
    street = problem.start(is_told=True)
    assert problem.propagate(street) is None
    assert [(step.thing, step.removed, step.left, step.clue) for step in street.steps] == [(0, 2, 1, 0), (1, 1, 2, 0)]
