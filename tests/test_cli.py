"""The command line: help from the Args, one clear line and exit code 2 for bad input, nothing touched."""

import shutil
from pathlib import Path

import pytest

from fulmen import cli
from fulmen.model import Model
from fulmen.model.checkpoint import save_model
from fulmen.model.config import preset
from fulmen.recipes.common import TASK_NAMES, fresh_model, make_mixture


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model, tokenizer = fresh_model(preset("tiny"), make_mixture(TASK_NAMES), seed=0)
    save_model(model, folder, tokenizer=tokenizer)
    return folder


def failure(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(argv))
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "sft",
        "rl",
        "eval",
        "generate",
        "chat",
        "serve",
        "import",
        "export",
        "convert",
        "hybridise",
        "flops",
        "envs",
        "data",
        "check",
        "calibrate",
        "compare-losses",
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert f"fulmen {command}" in capsys.readouterr().out


def test_unknown_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = failure(capsys, "demo", "--run", str(tmp_path / "r"), "--preset", "huge")
    assert "preset='huge'" in error
    assert "tiny, small, m1_456b" in error
    assert list(tmp_path.iterdir()) == []


def test_zero_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "num_groups=0; allowed: at least 1" in failure(
        capsys, "demo", "--run", str(tmp_path / "r"), "--num-groups", "0"
    )
    assert list(tmp_path.iterdir()) == []


def test_missing_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = failure(capsys, "rl", "--init", str(tmp_path / "none"), "--run", str(tmp_path / "r"))
    assert "none: no such checkpoint folder" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_checkpoint(damage: str, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(checkpoint, folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    if damage == "truncated":
        del content[-100:]
    else:
        content[-1] ^= 1
    weights.write_bytes(content)
    error = failure(capsys, "generate", "2+2?", "--checkpoint", str(folder))
    assert "model.safetensors" in error
    assert ("truncated" if damage == "truncated" else "corrupted") in error


def test_folder_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    assert "not a run's folder" in failure(capsys, "demo", "--run", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_generate_and_eval_run_on_a_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["generate", "2+2?", "--checkpoint", str(checkpoint), "--max-tokens", "4", "--num-samples", "2"])
    assert capsys.readouterr().out.count("tokens, ") == 2
    out = tmp_path / "out.json"
    cli.main(["eval", "--checkpoint", str(checkpoint), "--num-tasks", "2", "--num-samples", "2", "--window", "4",
              "--out", str(out)])  # fmt: skip
    assert "countdown" in capsys.readouterr().out
    assert out.exists()


def test_public_names_are_at_most_fifteen_beside_modules_and_all_resolve() -> None:
    import fulmen

    modules = {"envs", "rewards", "rollout", "rl", "evals", "kernels"}
    names = set(fulmen.__all__) - modules
    assert len(names) <= 15
    assert all(getattr(fulmen, name) is not None for name in fulmen.__all__)
    assert fulmen.Model is Model
