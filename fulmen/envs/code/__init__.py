"""Programs for problems of competitions: written by the model, run on tests in the sandbox, judged outside it."""

from fulmen.envs.code.environment import Code
from fulmen.envs.code.record import CodeProblem, read_problems

__all__ = ["Code", "CodeProblem", "read_problems"]
