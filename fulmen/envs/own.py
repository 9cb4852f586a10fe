"""Environments of one's own: a class or a value in a file (`my_env.py:Sums`) or a module (`my_package.sums:Sums`)."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from fulmen.envs.base import Env, SingleTurnEnv
from fulmen.errors import ConfigError, FulmenError

NEEDED = ("name", "task", "rollout", "score")
"""What an environment has; `SingleTurn` and `PuzzleEnv` bring the last two."""


def find_own(target: str, *, adapters: Iterable[str] = ()) -> Any:
    """Returns the class or value that `FILE.py:NAME` or `MODULE:NAME` names.

    Modules are looked for in the working folder too, and a file finds its neighbours. `adapters` are names that an
    error offers beside.

    Raises: ConfigError for a file, module or name that is not there, or code that does not run.
    """
    place, _, name = target.rpartition(":")
    module = _run(target, lambda: _from_file(Path(place)) if place.endswith(".py") else _from_path(place, adapters))
    if name not in vars(module):
        own = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        raise ConfigError(f"environment: no {name!r} in {place}; allowed: {', '.join(own) or 'a class that is there'}")
    return vars(module)[name]


def require_env(target: str, found: object) -> Env:
    """Returns what was found, if it is an environment. Raises: ConfigError naming what it lacks."""
    if isinstance(found, Env) and found.name:
        return found
    lacking = [name for name in NEEDED if not hasattr(found, name)]
    what = f"lacks {', '.join(lacking)}" if lacking else "has an empty name"
    raise ConfigError(
        f"environment: {target}, a {type(found).__name__}, {what}; allowed: a class with these, such as one that "
        "inherits from SingleTurn or PuzzleEnv"
    )


def make_own(target: str, found: Any, **knobs: Any) -> Env:
    """Returns the environment of a class with settings, or the value itself.

    Raises: ConfigError for what is no environment, settings it refuses, or settings of a value that is made already.
    """
    if not isinstance(found, type):
        if knobs:
            raise ConfigError(f"environment: {target} is a value; allowed: no settings ({', '.join(knobs)})")
        return require_env(target, found)
    return require_env(target, _run(target, lambda: found(**knobs)))


def require_single_turn(target: str, found: object) -> SingleTurnEnv:
    """Returns what was found, if it is an environment of one reply. Raises: ConfigError."""
    if isinstance(found, SingleTurnEnv):
        return found
    needed = "name, task, check, worked_solution, rollout and score (inherit from SingleTurn or PuzzleEnv)"
    raise ConfigError(f"{target}: a {type(found).__name__}; allowed: an environment of one reply, with {needed}")


def _run(target: str, action: Callable[[], Any]) -> Any:
    """Returns what somebody else's code returns; whatever it raises becomes one line that names its place."""
    try:
        return action()
    except FulmenError:
        raise
    except SyntaxError as error:
        raise ConfigError(f"environment: {target}: {error.filename}, line {error.lineno}: {error.msg}") from error
    except Exception as error:  # somebody else's code
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"environment: {target}: {type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
        ) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"environment: no file {path}; allowed: FILE.py:NAME, or a name that `fulmen envs` lists")
    name = f"fulmen_own_{path.stem}"  # never in the way of a module of the same name
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    with _Importable(path.parent):
        spec.loader.exec_module(module)
    return module


def _from_path(place: str, adapters: Iterable[str]) -> ModuleType:
    with _Importable(Path()):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                raise
            raise ConfigError(
                f"environment: no adapter {place!r}; allowed: {', '.join(adapters)}, or your own as FILE.py:NAME or "
                "MODULE:NAME"
            ) from error


class _Importable:
    """A folder that imports look into first, for a while."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())

    def __enter__(self) -> None:
        sys.path.insert(0, self._folder)

    def __exit__(self, *_: object) -> None:
        sys.path.remove(self._folder)
