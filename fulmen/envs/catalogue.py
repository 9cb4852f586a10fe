"""Every environment that comes with fulmen, by name.

A module of `fulmen.envs.logic`, or `math_...` of `fulmen.envs.math`, is one environment and gives it its name; nothing
else has to be written down for it.
The others are listed here. A name with a colon belongs to an adapter, which needs its extra, or is one's own
environment: `FILE.py:NAME` or `MODULE:NAME`.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

from fulmen.envs.base import Env
from fulmen.envs.mixture import Mixture
from fulmen.envs.own import find_own, make_own
from fulmen.envs.puzzle import PuzzleEnv, require_fields
from fulmen.errors import ConfigError

LOGIC = "fulmen.envs.logic"
MATH = "fulmen.envs.math"
MATH_PREFIX = "math_"
OTHERS: dict[str, tuple[str, str]] = {
    "constraints": ("fulmen.envs.constraints", "Constraints"),
    "mini_countdown": ("fulmen.envs.mini.countdown", "Countdown"),
    "mini_sudoku": ("fulmen.envs.mini.sudoku", "Sudoku"),
    "mini_brackets": ("fulmen.envs.mini.brackets", "Brackets"),
    "code": ("fulmen.envs.code", "Code"),
}
"""Name to module and class."""
ADAPTERS: dict[str, tuple[str, str]] = {
    "reasoning_gym": ("fulmen.envs.adapters.reasoning_gym", "ReasoningGym"),
    "mathematics_dataset": ("fulmen.envs.adapters.mathematics_dataset", "MathematicsDataset"),
    "verifiers": ("fulmen.envs.adapters.verifiers", "VerifiersTaskset"),
}
"""What stands before the colon, to module and class."""


def logic_names() -> tuple[str, ...]:
    """Returns the names of the logic tasks."""
    return _module_names(LOGIC)


def math_names() -> tuple[str, ...]:
    """Returns the names of the families of mathematics problems."""
    return tuple(name for name in _module_names(MATH) if name.startswith(MATH_PREFIX))


def _module_names(package: str) -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)))


def names() -> tuple[str, ...]:
    """Returns the names that `load` takes, adapters' (`reasoning_gym:...`) left out."""
    return (*logic_names(), *math_names(), *OTHERS)


def env_class(name: str) -> type[Any]:
    """Returns the class of an environment.

    Raises:
        ConfigError: there is none of this name.
    """
    if name in OTHERS:
        module, class_name = OTHERS[name]
        found = importlib.import_module(module)
        return found.__dict__[class_name]
    if name not in names():
        close = [known for known in names() if name and (name in known or known in name)]
        hint = f" (did you mean {', '.join(close)}?)" if close else ""
        raise ConfigError(f"environment: {name!r}{hint}; allowed: {', '.join(names())}")
    path = f"{MATH if name in math_names() else LOGIC}.{name}"
    members = vars(importlib.import_module(path)).values()
    own = [m for m in members if isinstance(m, type) and issubclass(m, PuzzleEnv) and m.__module__ == path]
    assert len(own) == 1, f"{path} defines {len(own)} environments, not 1"
    return own[0]


def load(name: str, /, *, level: int | str | None = None, **knobs: Any) -> Env:
    """Returns an environment by name, at a level (1 to 5, or its name) where it has levels, with settings changed.

    >>> load("mini_countdown", num_numbers=4).num_numbers
    4

    Raises:
        ConfigError: an unknown name, level or setting, a value that is not allowed, or an extra that is missing.
    """
    adapter, colon, dataset = name.partition(":")
    is_own = bool(colon) and adapter not in ADAPTERS
    if is_own:
        found = find_own(name, adapters=ADAPTERS)
    elif colon:
        found = _adapter_class(adapter)
        knobs = {"name": name, "dataset": dataset, **knobs}
    else:
        found = env_class(name)
    if level is not None:
        if not isinstance(found, type) or not issubclass(found, PuzzleEnv):
            raise ConfigError(f"level: {level!r}; allowed: none, {name} has no levels")
        return found.at_level(level, **knobs)
    if is_own:
        return make_own(name, found, **knobs)
    require_fields(found, knobs)
    env: Env = found(**knobs)
    return env


def load_mixture(specs: Sequence[str], **knobs: Any) -> Mixture:
    """Returns a mixture of environments written as `NAME[@LEVEL][=WEIGHT]`; settings in `knobs` go to each.

    >>> load_mixture(["mini_countdown=2", "mini_brackets"]).weights
    (0.6666666666666666, 0.3333333333333333)

    Raises:
        ConfigError: as `load` does, and for a weight that is no number of 0 or more.
    """
    envs, weights = [], []
    for spec in specs:
        # A path may hold any character; what follows its colon may not.
        path, colon, end = spec.rpartition(":")
        end, has_weight, weight = end.partition("=")
        spec = f"{path}{colon}{end}"
        try:
            weights.append(float(weight) if has_weight else 1.0)
        except ValueError:
            raise ConfigError(f"tasks: weight {weight!r} of {spec}; allowed: a number of 0 or more") from None
        end, has_level, level = end.partition("@")
        name = f"{path}{colon}{end}"
        if not has_level:
            envs.append(load(name, **knobs))
            continue
        # Two levels of one environment have two names; a path does not belong into a task's.
        own = f"{end}@{level}" if path.endswith(".py") else spec
        envs.append(load(name, level=int(level) if level.isdecimal() else level, **{"name": own, **knobs}))
    return Mixture(envs, weights)


def _adapter_class(name: str) -> type[Any]:
    module, class_name = ADAPTERS[name]
    found: type[Any] = importlib.import_module(module).__dict__[class_name]
    return found
