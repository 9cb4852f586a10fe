"""Whether a mathematical answer equals the reference: extraction, normalisation, exact and symbolic comparison.

The layers and the policy behind their verdicts: docs/math_checker.md.
"""

from fulmen.rewards.math.checker import MathChecker, Verdict, check, parse
from fulmen.rewards.math.extraction import extract

__all__ = ["MathChecker", "Verdict", "check", "extract", "parse"]
