import itertools
import random

from fulmen.envs.solve.sums import Board, Sum, Sums, blocks, members, tell


def random_problem(rng: random.Random, *, num_cells: int = 9, num_sums: int = 5) -> Sums:
    sums = []
    for index in range(num_sums):
        cells = sum(1 << cell for cell in rng.sample(range(num_cells), rng.randint(1, 5)))
        low = rng.randint(0, cells.bit_count())
        sums.append(Sum(cells=cells, low=low, high=rng.randint(low, cells.bit_count()), label=f"s{index}"))
    return Sums(sums, num_cells=num_cells)


def solutions(problem: Sums) -> list[int]:
    return [
        ones
        for ones in range(problem.all_cells + 1)
        if all(s.low <= bin(ones & s.cells).count("1") <= s.high for s in problem.sums)
    ]


def test_deductions_hold_in_every_solution_and_solve_finds_one() -> None:
    rng = random.Random(0)
    num_solvable = 0
    for _ in range(150):
        problem = random_problem(rng)
        found = solutions(problem)
        board = Board()
        broken = problem.deduce(board)
        assert not (broken and found)
        for ones in found:
            assert board.ones & ~ones == 0 == board.zeros & ones
        solved = problem.solve(Board())
        assert (solved is not None) == bool(found)
        if solved:
            num_solvable += 1
            assert solved.ones in found
            assert solved.ones | solved.zeros == problem.all_cells
    assert 30 < num_solvable < 150


def test_solve_respects_the_last_word() -> None:
    problem = Sums([Sum(cells=0b111, low=1, high=1, label="")], num_cells=3)
    solved = problem.solve(Board(), lambda ones: ones == 0b100)
    assert solved is not None
    assert solved.ones == 0b100
    assert problem.solve(Board(), lambda ones: False) is None


def test_other_finds_another_solution_exactly_where_there_is_one() -> None:
    rng = random.Random(1)
    seen = set()
    for _ in range(60):
        problem = random_problem(rng)
        found = solutions(problem)
        if not found:
            continue
        truth = rng.choice(found)
        for cell in range(9):
            exists = any((ones ^ truth) >> cell & 1 for ones in found)
            other = problem.other(cell, truth=truth)
            assert (other is not None) == exists
            assert other is None or (other in found and (other ^ truth) >> cell & 1)
            seen.add(exists)
    assert seen == {True, False}


def test_blocks_forbid_exactly_what_touches() -> None:
    problem = Sums(blocks(3, 3, "touch"), num_cells=9)
    for ones in range(512):
        places = [divmod(cell, 3) for cell in members(ones)]
        touches = any(max(abs(a - c), abs(b - d)) == 1 for (a, b), (c, d) in itertools.combinations(places, 2))
        assert (problem.propagate(Board(ones=ones, zeros=511 & ~ones), problem.all_sums) is None) != touches


def test_told_in_words() -> None:
    problem = Sums(
        [
            *blocks(2, 2, "touching"),
            Sum(cells=0b0111, low=1, high=1, label="row"),
            Sum(cells=4, low=1, high=1, label="x"),
        ],
        num_cells=4,
    )
    board = Board()
    assert problem.deduce(board) is None
    assert tell(board.steps, num_columns=2, language="en") == "x: r2c1 = 1\ntouching: r1c1 r1c2 r2c2 = 0"
    assert "r2c1 = C" in tell(board.steps, num_columns=2, language="zh", symbols="_C")
