"""Fulmen's own checkpoint: one folder that is either whole or not there.

    config.json        the fields of ModelConfig, "model_type": "fulmen", "format": 1
    model.safetensors  the parameters, under the names of the modules
    tokenizer.json     when the model was saved with its tokenizer
    manifest.json      {file: {"size_bytes": ..., "blake2b": ...}} of every other file

`write_folder` and `verify_folder` know nothing of models: training checkpoints are written and read through them too.
Left out: shards (one file holds whatever fits on one machine) and other tools' formats (the sibling files).
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fulmen.errors import CheckpointError
from fulmen.model.checkpoint.records import build_record, read_json, write_json
from fulmen.model.config import ModelConfig
from fulmen.model.transformer import Model
from fulmen.text.tokenizer import Tokenizer

MODEL_TYPE = "fulmen"
FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MANIFEST_FILE = "manifest.json"


def save_model(model: Model, folder: Path | str, *, tokenizer: Tokenizer | None = None) -> None:
    """Writes a model, and its tokenizer if given, as one checkpoint folder; see `write_folder`.

        save_model(model, "runs/mine/model", tokenizer=tokenizer)
        model, tokenizer = load_model("runs/mine/model"), Tokenizer.load("runs/mine/model")

    Raises: CheckpointError when the folder cannot be written.
    """

    write_folder(folder, lambda path: write_model(model, path, tokenizer=tokenizer))


def write_model(model: Model, folder: Path, *, tokenizer: Tokenizer | None = None) -> None:
    """Writes a model's files into an existing folder; for writers that add files of their own."""
    config = {"model_type": MODEL_TYPE, "format": FORMAT, **dataclasses.asdict(model.config)}
    write_json(folder / CONFIG_FILE, config)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    if tokenizer is not None:
        tokenizer.save(folder)


def load_native(folder: Path, *, dtype: torch.dtype, device: torch.device | str) -> Model:
    """Returns the model that `save_model` wrote, its parameters cast to `dtype`.

    Raises: CheckpointError naming the file and what is wrong with it.
    """
    verify_folder(folder, required=(CONFIG_FILE, WEIGHTS_FILE))
    with torch.device("meta"):
        model = Model(_read_config(folder / CONFIG_FILE))
    path = folder / WEIGHTS_FILE
    is_meta = torch.device(device).type == "meta"
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _check_tensors(path, stored, {name: tuple(t.shape) for name, t in model.state_dict().items()})
            if is_meta:
                return model.to(dtype)
            model = model.to(dtype).to_empty(device=device)
            with torch.no_grad():
                for name, tensor in model.state_dict().items():
                    tensor.copy_(file.get_tensor(name))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    return model


def write_folder(folder: Path | str, writer: Callable[[Path], None]) -> None:
    """Makes `folder` hold exactly what `writer` writes into the path it is given, and a manifest of it.

    The files go to a hidden sibling folder, are flushed to the disk, and take the name only when they are complete;
    an older checkpoint of that name is then removed. Whatever fails before leaves it as it was. A process killed
    between the two renames leaves both, complete, in the hidden sibling.

    Raises: CheckpointError when the disk refuses, or `folder` is something other than a checkpoint.
    """
    folder = Path(folder).resolve()
    if folder.exists() and not (folder / MANIFEST_FILE).is_file():
        raise CheckpointError(f"{folder}: exists and is no checkpoint (it has no {MANIFEST_FILE}); not replaced")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        new, old = holder / "new", holder / "old"
        try:
            new.mkdir()
            writer(new)
            _write_manifest(new)
            _put_in_place(new, folder, old)
        finally:
            # Should the older checkpoint not get its name back, the only copies are in the holder.
            if folder.exists() or not old.exists():
                shutil.rmtree(holder)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error})") from error


def verify_folder(folder: Path | str, *, required: Sequence[str] = ()) -> None:
    """Returns if every file of the manifest is there with its size and hash, and every required file is among them.

    Raises: CheckpointError naming the first file that is missing, truncated or changed.
    Cost: reads every file once.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    manifest = _read_manifest(folder / MANIFEST_FILE)
    for name in required:
        if name not in manifest:
            raise CheckpointError(f"{folder / name}: not listed in {MANIFEST_FILE}; the checkpoint needs it")
    for name, (size_bytes, digest) in manifest.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path}: missing; {MANIFEST_FILE} lists it")
        if path.stat().st_size != size_bytes:
            raise CheckpointError(
                f"{path}: {path.stat().st_size} bytes; {MANIFEST_FILE} says {size_bytes} (truncated?)"
            )
        if _digest(path) != digest:
            raise CheckpointError(f"{path}: content differs from its hash in {MANIFEST_FILE} (corrupted)")


def _read_config(path: Path) -> ModelConfig:
    record = read_json(path)
    kind, version = record.pop("model_type", None), record.pop("format", None)
    if kind != MODEL_TYPE or version != FORMAT:
        raise CheckpointError(f"{path}: model_type={kind!r}, format={version!r}; allowed: {MODEL_TYPE!r}, {FORMAT}")
    return build_record(ModelConfig, record, where=str(path))


def _check_tensors(path: Path, stored: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    lacking, unknown = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    if lacking or unknown:
        raise CheckpointError(
            f"{path}: {len(lacking)} tensors of the model are missing {lacking[:3]}, "
            f"{len(unknown)} are not the model's {unknown[:3]}"
        )
    for name, shape in stored.items():
        if shape != expected[name]:
            raise CheckpointError(f"{path}: {name} has shape {list(shape)}; the config asks for {list(expected[name])}")


def _write_manifest(folder: Path) -> None:
    """Lists and flushes every file of the folder; the manifest comes last."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        path.relative_to(folder).as_posix(): {"size_bytes": path.stat().st_size, "blake2b": _digest(path)}
        for path in files
    }
    write_json(folder / MANIFEST_FILE, manifest)
    for path in (*files, folder / MANIFEST_FILE, *(path for path in folder.rglob("*") if path.is_dir()), folder):
        _flush(path)


def _put_in_place(new: Path, folder: Path, old: Path) -> None:
    """Gives `new` the name of `folder`; what had it goes to `old`, and comes back if that fails."""
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        raise
    _flush(folder.parent)


def _read_manifest(path: Path) -> dict[str, tuple[int, str]]:
    record = read_json(path)
    try:
        return {name: (entry["size_bytes"], entry["blake2b"]) for name, entry in record.items()}
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: an entry lacks size_bytes or blake2b") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
