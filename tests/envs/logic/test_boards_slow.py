"""Fifty tasks of each board puzzle at every level, in both languages and both splits."""

import pytest

from fulmen.envs.catalogue import env_class
from tests.envs.logic import grid_checks as checks

BOARDS = (
    "calcudoko",
    "futoshiki",
    "hitori",
    "kukurasu",
    "norinori",
    "number_wall",
    "numbrix",
    "skyscraper_puzzle",
    "sudoku",
    "survo",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_gold_and_work_at_every_level(name: str) -> None:
    # Numbrix gives up on aloud search where a board of level 5 takes too long.
    checks.check_gold(env_class(name), nums=(50, 50, 50, 50, 50), must_think=name != "numbrix")
