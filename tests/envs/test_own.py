"""Environments of one's own: found in files and modules, at levels and with weights; errors name their place."""

import sys
from pathlib import Path

import pytest

from fulmen.envs import load, load_mixture
from fulmen.errors import ConfigError

FILE = '''
from dataclasses import dataclass

from beside import LARGEST
from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge
from fulmen.envs.logic.game_of_24 import GameOf24


@dataclass(frozen=True, kw_only=True)
class Sums(SingleTurn):
    """Sums of two numbers."""

    name: str = "sums"
    largest: int = LARGEST

    def task(self, split, *, seed, index):
        return draw_task(self.draw, kind="sums", name=self.name, split=split, seed=seed, index=index)

    def draw(self, rng):
        a, b = rng.randint(0, self.largest), rng.randint(0, self.largest)
        return Puzzle(key=(a, b), prompt=f"{a}+{b}=", gold=str(a + b))

    def check(self, task, answer, *, stop_reason="stop"):
        return judge(answer, stop_reason=stop_reason, find_fault=lambda text: "" if text == task.gold else "another")


small = Sums(name="small", largest=9)


class Levels(GameOf24):
    """A puzzle with levels."""


class Nothing:
    pass
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "own_module.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("LARGEST = 50\n")
    (tmp_path / "wrong.py").write_text("x = 1\ny = (\n")
    (tmp_path / "failing.py").write_text("x = 1\ny = 1 / 0\n")
    (tmp_path / "lacking.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    for name in ("own_module", "beside", "fulmen_own_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("target", ["mine.py:Sums", "own_module:Sums", "{folder}/mine.py:Sums"])
def test_a_class_in_a_file_or_a_module_is_an_environment(folder: Path, target: str) -> None:
    path = list(sys.path)
    env = load(target.format(folder=folder))
    assert sys.path == path
    task = env.task("train", seed=0, index=3)
    assert env.check(task, task.gold).value == 1.0  # type: ignore[attr-defined]
    assert load(target.format(folder=folder), largest=3).largest == 3  # type: ignore[attr-defined]


def test_values_weights_and_levels(folder: Path) -> None:
    mixture = load_mixture(["mine.py:small=3", "mine.py:Sums", "mine.py:Levels@2=0"])
    assert [env.name for env in mixture.envs] == ["small", "sums", "Levels@2"]
    assert mixture.weights == (0.75, 0.25, 0.0)


def test_a_path_may_hold_what_a_spec_is_cut_at(folder: Path) -> None:
    odd = folder / "a=b@c"
    odd.mkdir()
    (odd / "mine.py").write_text(FILE)
    (odd / "beside.py").write_text("LARGEST = 50\n")
    mixture = load_mixture([f"{odd}/mine.py:Sums=2", "mini_countdown"])
    assert [env.name for env in mixture.envs] == ["sums", "countdown"]
    assert mixture.weights == pytest.approx((2 / 3, 1 / 3))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no.py:Sums", "environment: no file no.py; allowed: FILE.py:NAME"),
        ("mine.py:Sum", "environment: no 'Sum' in mine.py; allowed: "),
        ("mine.py:Nothing", "environment: mine.py:Nothing, a Nothing, lacks name, task, rollout, score; allowed: "),
        ("wrong.py:Sums", r"environment: wrong.py:Sums: .*wrong.py, line 2: '\(' was never closed"),
        ("failing.py:Sums", r"ZeroDivisionError: division by zero \(failing.py, line 2\)"),
        ("lacking.py:Sums", r"ModuleNotFoundError: No module named 'no_such_package' \(lacking.py, line 1\)"),
        ("lacking:Sums", "ModuleNotFoundError: No module named 'no_such_package'"),
        (
            "nowhere:Sums",
            r"no adapter 'nowhere'; allowed: reasoning_gym, .* or your own as FILE.py:NAME or",
        ),
    ],
)
def test_errors_name_the_place(folder: Path, target: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(target)


def test_settings_that_there_are_not(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"unexpected keyword argument 'biggest'"):
        load("mine.py:Sums", biggest=3)
    with pytest.raises(ConfigError, match=r"mine\.py:small is a value; allowed: no settings"):
        load("mine.py:small", largest=3)
