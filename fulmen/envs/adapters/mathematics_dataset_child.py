"""What runs in a worker beside DeepMind's mathematics-dataset: problems by seed.

The package is of 2019. The names that today's sympy and numpy moved are put back before it is imported; modules that
write into arrays by a method numpy no longer has cannot be used, and are left out.
"""

import functools
import importlib
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_solvers = importlib.import_module("sympy.solvers.diophantine.diophantine")
sympy_random = importlib.import_module("sympy.core.random")
vars(sys.modules["sympy.solvers.diophantine"])["base_solution_linear"] = vars(_solvers)["base_solution_linear"]
for _name, _kind in (("int", int), ("float", float), ("bool", bool), ("object", object)):
    if not hasattr(np, _name):
        setattr(np, _name, _kind)

from mathematics_dataset.modules import modules  # noqa: E402

NEEDS_OLD_NUMPY = frozenset(
    (
        "algebra__polynomial_roots_composed", "calculus__differentiate", "calculus__differentiate_composed",
        "polynomials__add", "polynomials__coefficient_named", "polynomials__collect", "polynomials__compose",
        "polynomials__evaluate_composed", "polynomials__expand",
    )
)  # fmt: skip
NUM_LEVELS = 3


def names() -> list[str]:
    """Returns the names of the modules that run."""
    return sorted(set(_modules(0)) - NEEDS_OLD_NUMPY)


def make(module: str, level: int, seed: int) -> dict[str, str]:
    """Returns question and answer of a seed."""
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    vars(sympy_random)["seed"](seed)
    problem = _modules(level)[module]()
    return {"question": str(problem.question), "answer": str(problem.answer)}


@functools.cache
def _modules(level: int) -> dict[str, Callable[[], Any]]:
    """Returns the samplers at a level from 0; a level is a part of the range of entropies, in bits of digits."""

    def entropy(bounds: tuple[float, float]) -> tuple[float, float]:
        low, width = bounds[0], (bounds[1] - bounds[0]) / NUM_LEVELS
        return low + width * level, low + width * (level + 1)

    found: dict[str, Callable[[], Any]] = {}

    def walk(tree: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key, value in tree.items():
            if callable(value):
                found["__".join((*path, key))] = value
            else:
                walk(value, (*path, key))

    walk(modules.train(entropy), ())
    return found
