"""`fulmen rl` refuses what cannot work: exit code 2, one line that names the field, nothing loaded or written."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from fulmen import cli
from fulmen.model.checkpoint import save_model, write_folder
from fulmen.model.config import preset
from fulmen.recipes import rl
from fulmen.recipes.common import TASK_NAMES, fresh_model, make_mixture

MINE = '''
from dataclasses import dataclass

from fulmen.envs.base import Puzzle, SingleTurn, draw_task, judge


@dataclass(frozen=True, kw_only=True)
class Sums(SingleTurn):
    """Sums of two numbers."""

    name: str = "sums"
    largest: int = 99

    def task(self, split, *, seed, index):
        return draw_task(self.draw, kind="sums", name=self.name, split=split, seed=seed, index=index)

    def draw(self, rng):
        a, b = rng.randint(0, self.largest), rng.randint(0, self.largest)
        return Puzzle(key=(a, b), prompt=f"{a}+{b}=", gold=str(a + b))

    def check(self, task, answer, *, stop_reason="stop"):
        return judge(answer, stop_reason=stop_reason, find_fault=lambda text: "" if text == task.gold else "another")


class Broken(Sums):
    def draw(self, rng):
        return 1 // 0


class Fewer(Sums):
    def draw(self, rng):
        return Puzzle(key=(rng.randint(0, 40),), prompt="x", gold="0")


class Wordy(Sums):
    def draw(self, rng):
        number = rng.randint(0, 10**6)
        return Puzzle(key=(number,), prompt=f"{number} " * 100, gold="0")


class Floats(Sums):
    def check(self, task, answer, *, stop_reason="stop"):
        return 0.5


class NoEnv:
    name = "no_env"
'''


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = preset("tiny").replace(hidden_size=16, num_layers=1, mixers="S", num_heads=2, num_kv_heads=1, head_dim=8)
    made, tokenizer = fresh_model(config, make_mixture(TASK_NAMES), seed=0)
    save_model(made, folder, tokenizer=tokenizer)
    return folder


@pytest.fixture
def refused(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs `fulmen rl` on Sums and returns the one line it is refused with."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)

    def no_load(*args: object, **more: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(rl, "load_model", no_load)

    def run(*argv: str) -> str:
        given = list(argv)
        for name, value in (("--init", str(model)), ("--tasks", "mine.py:Sums"), ("--heldout-tasks", "4")):
            given += [] if name in argv else [name, value]
        before = sorted(tmp_path.iterdir())
        with pytest.raises(SystemExit) as stopped:
            cli.main(["rl", "--run", "run", *given])
        assert stopped.value.code == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert [path for path in sorted(tmp_path.iterdir()) if path.name != "__pycache__"] == before
        return said

    return run


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--tasks", "futo"), "environment: 'futo' (did you mean futoshiki?); allowed: "),
        (("--tasks", "mini_countdown=x"), "weight 'x'"),
        (("--tasks", "mini_countdown=0"), "sources: none has weight at step 0"),
        (("--tasks", "mini_countdown=1..2"), "weight '1..2' of mini_countdown=1..2; allowed: WEIGHT or WEIGHT..WEIGHT"),
        (("--tasks", "sums_elsewhere:Sums"), "no adapter 'sums_elsewhere'; allowed: reasoning_gym,"),
        (("--tasks", "other.py:Sums"), "no file other.py; allowed: FILE.py:NAME"),
        (("--tasks", "mine.py:Sum"), "no 'Sum' in mine.py; allowed: "),
        (("--tasks", "mine.py:NoEnv"), "a NoEnv, lacks task, rollout, score; allowed: a class with these"),
        (
            ("--tasks", "mine.py:Broken"),
            "tasks: sums: ZeroDivisionError: integer division or modulo by zero (mine.py, ",
        ),
        (("--tasks", "mine.py:Floats"), "sums.check returns a float; allowed: a Score"),
        (("--tasks", "mine.py:Fewer", "--heldout-tasks", "50"), "num_tasks=50; allowed: at most about "),
        (("--tasks", "mine.py:Wordy", "--max-length", "500", "--window", "100"), "tasks: sums-train-0-0: a prompt of "),
        (("--tasks", "mine.py:Sums@2"), "level: 'easy'; allowed: none, mine.py:Sums has no levels"),
        (("--group-size", "1"), "group_size=1; allowed: at least 2"),
        (("--num-updates", "17", "--num-groups", "16"), "num_updates=17; allowed: at most num_groups=16"),
        (("--num-groups", "0"), "num_groups=0; allowed: at least 1"),
        (("--window", "0"), "window=0; allowed: at least 1"),
        (("--lr", "-1"), "lr=-1.0; allowed: at least 0"),
        (("--soft-zone-frac", "1.5"), "soft_zone_frac=1.5; allowed: 0 to 1"),
        (("--mismatch-max", "2"), "mismatch_max=2.0; allowed: None with anchor='rollout'"),
        (("--anchor", "recomputed"), "mismatch_max=None; allowed: at least 1 with anchor='recomputed'"),
        (("--loss", "grpo", "--weight-max", "4"), "weight_max=4.0; allowed: None with the loss grpo"),
        (("--weight-min", "6"), "weight_min=6.0, weight_max=5.0; allowed: 0 <= weight_min < weight_max"),
        (("--windows", "200", "100"), "allowed: one or more, at least 1 token, each longer than the one before"),
        (("--windows", "4096", "--stage-clip-norm", "0.5", "0.2"), "stage_clip_norm=(0.5, 0.2); allowed: none, or 1"),
        (("--level-up", "0.1"), "level_down=0.15, level_up=0.1; allowed: 0 <= level_down < level_up <= 1"),
        (("--pearson-min", "2"), "pearson_min=2.0; allowed: None, or from -1 to 1"),
        (("--max-staleness", "-1"), "max_staleness=-1; allowed: at least 0"),
        (("--calibration", "mine.py"), "mine.py: JSONDecodeError"),
        (("--keep-last", "0"), "keep_last=0; allowed: at least 1"),
        (("--threads", "0"), "threads=0; allowed: at least 1"),
        (("--init", "mine.py"), "init: mine.py is a file; allowed: a model's folder (fulmen import mine.py"),
        (("--init", "nowhere"), "nowhere: no such checkpoint folder"),
        (("--init", "."), "config.json"),
        (("--run", "mine.py"), "mine.py: a file; allowed: a run's folder or a free name"),
    ],
)
def test_bad_settings(refused, argv: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    assert said in refused(*argv)


def test_a_tokenizer_without_an_end_token(refused, model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text = (model / "tokenizer.json").read_text()
    assert "<end_of_sentence>" in text

    def write(folder: Path) -> None:
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_bytes((model / name).read_bytes())
        (folder / "tokenizer.json").write_text(text.replace("<end_of_sentence>", "<gone>"))

    write_folder(tmp_path / "model", write)
    assert "lacks the structural tokens ['<end_of_sentence>']" in refused("--init", "model")


def test_a_run_of_other_settings_and_one_of_another_recipe(refused, model: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "run").mkdir()
    config = tmp_path / "run" / "config.json"
    config.write_text(json.dumps({"recipe": "sft", "args": {}}))
    assert "is a run of 'sft'" in refused()
    args = rl.Args(init=model, tasks=("mine.py:Sums",), heldout_tasks=4, max_rounds=5)
    config.write_text(json.dumps({"recipe": "rl", "args": rl.record(args)}))
    assert "was started with max_rounds=5, not 3" in refused()


def test_a_writer_that_is_not_installed(refused, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert "writers: wandb (" in refused("--writers", "wandb")


def test_there_are_fewer_than_eighty_settings_and_each_says_what_it_is(model: Path) -> None:
    flat: dict[str, str] = {}
    for field in dataclasses.fields(rl.Args):
        value = getattr(rl.Args(init=model), field.name)
        inner = dataclasses.fields(value) if dataclasses.is_dataclass(value) else [field]
        assert not flat.keys() & {each.name for each in inner}
        flat |= {each.name: "" for each in inner}
    assert len(flat) < 80
    assert {"weight_max", "pearson_min", "level_up", "num_rollouts", "windows", "anchor"} <= flat.keys()
