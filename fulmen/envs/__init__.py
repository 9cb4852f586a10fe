"""Environments: streams of tasks with a verifier and worked solutions; text in, score out, no torch."""

from fulmen.envs.base import Env
from fulmen.envs.logic.brackets import Brackets
from fulmen.envs.logic.countdown import Countdown
from fulmen.envs.logic.sudoku import Sudoku
from fulmen.envs.mixture import Mixture

__all__ = ["Brackets", "Countdown", "Env", "Mixture", "Sudoku"]
