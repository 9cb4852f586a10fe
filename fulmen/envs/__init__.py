"""Environments: streams of tasks with a verifier and worked solutions; text in, score out, no torch."""

from fulmen.envs.base import Env, SingleTurn, SingleTurnEnv
from fulmen.envs.catalogue import load, names
from fulmen.envs.mini.brackets import Brackets
from fulmen.envs.mini.countdown import Countdown
from fulmen.envs.mini.sudoku import Sudoku
from fulmen.envs.mixture import Mixture
from fulmen.envs.puzzle import PuzzleEnv

__all__ = [
    "Brackets",
    "Countdown",
    "Env",
    "Mixture",
    "PuzzleEnv",
    "SingleTurn",
    "SingleTurnEnv",
    "Sudoku",
    "load",
    "names",
]
