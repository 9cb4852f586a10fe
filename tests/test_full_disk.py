"""A disk that takes no more: one clear error, nothing half written, and the same command goes on once there is room."""

import contextlib
import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fulmen import cli
from fulmen.errors import CheckpointError
from fulmen.run import DiskFullError, Run, write_json
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer
from fulmen.train.state import load_training, save_training
from tests.train.examples import tiny_model


def open_run(folder: Path) -> Run:
    return Run.open(folder, recipe="demo", args={}, seed=0)


def make_trainer() -> Trainer:
    model = tiny_model(torch.float32)
    trainer = Trainer(model, AdamW(model.parameters(), lr=1e-3))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    trainer.optimizer.step()
    return trainer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["1 2"], vocab_size=270)


@contextlib.contextmanager
def file_limit(num_bytes: int) -> Iterator[None]:
    """Lets no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where one can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "fulmen-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_lines_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        run.append("metrics.jsonl", {"step": 0})
        before = run.line_sizes()
        with file_limit(4096), pytest.raises(DiskFullError, match=r"metrics\.jsonl: no room .*5,0\d\d bytes needed, "):
            run.append("metrics.jsonl", {"step": 1, "text": "x" * 4990}, {"step": 2})
        assert run.line_sizes() == before
        run.append("metrics.jsonl", {"step": 1})
        assert [record["step"] for record in run.read_lines("metrics.jsonl")] == [0, 1]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_json_is_as_it_was_when_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    write = os.write

    def refuse(descriptor: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(code, os.strerror(code))
        return write(descriptor, content[: len(content) // 2])

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(DiskFullError, match=rf"x\.json: no room .*{os.strerror(code)}.*allowed: make room and give"):
        write_json(tmp_path / "x.json", {"a": 2, "b": "y" * 100})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_text() == '{\n "a": 1\n}'


def test_other_errors_of_writing_keep_their_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, content: bytes) -> int:
        raise OSError(errno.EIO, "the disk is ill")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(OSError, match="ill"):
        write_json(tmp_path / "x.json", {})


@pytest.mark.parametrize("num_bytes", [60_000, 200_000])
def test_a_checkpoint_that_does_not_fit_leaves_the_last_one_alone(
    tmp_path: Path, tokenizer: Tokenizer, num_bytes: int
) -> None:
    """The limit meets the weights, or the larger file of the optimizer."""
    trainer = make_trainer()
    with open_run(tmp_path / "r") as run:
        save_training(run.checkpoint("rl", 1), trainer, tokenizer=tokenizer, cursor={"step": 1})
        sizes = {p.name: p.stat().st_size for p in run.checkpoint("rl", 1).glob("*.safetensors")}
        assert (num_bytes < sizes["model.safetensors"], num_bytes < sizes["optimizer.safetensors"]) == (
            num_bytes == 60_000,
            True,
        )
        with file_limit(num_bytes), pytest.raises(DiskFullError, match=r"rl-000002: no room .*[\d,]+ bytes needed"):
            save_training(run.checkpoint("rl", 2), trainer, tokenizer=tokenizer, cursor={"step": 2})
        assert [path.name for path in (tmp_path / "r" / "checkpoints").iterdir()] == ["rl-000001"]
        assert load_training(run.checkpoint("rl", 1), make_trainer()) == {"step": 1}
        save_training(run.checkpoint("rl", 2), trainer, tokenizer=tokenizer, cursor={"step": 2})
        assert load_training(run.checkpoint("rl", 2), make_trainer()) == {"step": 2}


def test_a_checkpoint_is_not_begun_without_room_for_it(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    monkeypatch.setattr("fulmen.run._free_bytes", lambda path: 1_000_000)
    with pytest.raises(
        DiskFullError, match=r"rl-000001: no room \(not begun\): 1,\d{3},\d{3} bytes needed, 1,000,000 free"
    ):
        save_training(tmp_path / "rl-000001", trainer, tokenizer=tokenizer, cursor={})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_path_that_is_something_else_is_not_called_full(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "rl-000001").mkdir()
    with pytest.raises(CheckpointError, match="exists and is no checkpoint"):
        save_training(tmp_path / "rl-000001", make_trainer(), tokenizer=tokenizer, cursor={})


def test_a_real_full_disk_and_the_room_that_is_made(small_disk: Path, tokenizer: Tokenizer) -> None:
    trainer = make_trainer()
    ballast = small_disk / "ballast"
    with open_run(small_disk / "r") as run:
        run.append("metrics.jsonl", {"step": 0})
        save_training(run.checkpoint("rl", 1), trainer, tokenizer=tokenizer, cursor={"step": 1})
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        with pytest.raises(DiskFullError, match=r"rl-000002: no room \(not begun\)"):
            save_training(run.checkpoint("rl", 2), trainer, tokenizer=tokenizer, cursor={"step": 2})
        with pytest.raises(DiskFullError, match=r"metrics\.jsonl: no room .*No space left"):
            run.append("metrics.jsonl", *({"step": 1, "text": "x" * 1000} for _ in range(100)))
        with pytest.raises(DiskFullError, match=r"clock\.json: no room"):
            run.write_json("clock.json", {"text": "x" * 100_000})
    ballast.unlink()
    with open_run(small_disk / "r") as run:
        assert run.read_lines("metrics.jsonl") == [{"step": 0}]
        assert [path.name for path in run.checkpoints("rl")] == ["rl-000001"]
        assert load_training(run.checkpoint("rl", 1), make_trainer()) == {"step": 1}
        run.append("metrics.jsonl", {"step": 1})
        save_training(run.checkpoint("rl", 2), trainer, tokenizer=tokenizer, cursor={"step": 2})


def test_the_command_line_says_it_in_one_line_and_exits_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on file sizes that not even the run's config fits into."""
    monkeypatch.setitem(cli.MAINS, cli.flops.Args, lambda args, console: open_run(tmp_path / "r"))
    with file_limit(64), pytest.raises(SystemExit) as leaving:
        cli.main(["flops"])
    assert leaving.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"fulmen: {tmp_path / 'r' / 'config.json'}: no room (")
    with open_run(tmp_path / "r") as run:
        assert run.config["recipe"] == "demo"
