"""Safetensors folders of other tools: headers checked before anything is loaded, then one shard after another.

Shards are memory-mapped and tensors copied one by one, so reading needs the model's memory and one shard's at most.
Nothing is ever unpickled.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fulmen.errors import CheckpointError
from fulmen.model.checkpoint.records import read_json, write_json

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
SCALE_SUFFIX = "_scale_inv"
"""Of the scales beside float8 weights, one per block of 128 x 128."""
SCALE_BLOCK = 128
SHARD_BYTES = 5_000_000_000
"""Largest shard that is written."""


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """What a shard's header says of a tensor."""

    file: Path
    shape: tuple[int, ...]


class Shards:
    """The tensors of a folder, by name; their headers are read on construction, their content on `read`.

    Raises: CheckpointError naming the file (and tensor) that is missing, truncated or no safetensors file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors: dict[str, StoredTensor] = {}
        listed = self._listed_files()
        for file in sorted(set(listed.values())):
            for name, shape in _read_header(file).items():
                self.tensors[name] = StoredTensor(file=file, shape=shape)
        for name, file in listed.items():
            if name and (name not in self.tensors or self.tensors[name].file != file):
                raise CheckpointError(f"{file}: {name} is missing; {INDEX_FILE} lists it there")

    def _listed_files(self) -> dict[str, Path]:
        """Returns the shard of every tensor of the index, or the single file under an empty name."""
        folder = self.folder
        if (folder / INDEX_FILE).is_file():
            weight_map = read_json(folder / INDEX_FILE).get("weight_map")
            if not isinstance(weight_map, dict) or not weight_map:
                raise CheckpointError(f"{folder / INDEX_FILE}: weight_map is missing or empty")
            for name, file in weight_map.items():
                if not isinstance(file, str) or Path(file).name != file:
                    raise CheckpointError(f"{folder / INDEX_FILE}: {name} lies in {file!r}; allowed: a file's name")
                if not (folder / file).is_file():
                    raise CheckpointError(f"{folder / file}: missing; {INDEX_FILE} lists it (for {name})")
            return {name: folder / file for name, file in weight_map.items()}
        if (folder / SINGLE_FILE).is_file():
            return {"": folder / SINGLE_FILE}
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        hint = f"; {pickles[0]} is a pickle, which is never read: convert it to safetensors" if pickles else ""
        raise CheckpointError(f"{folder}: neither {SINGLE_FILE} nor {INDEX_FILE}{hint}")

    def read(self, names: set[str]) -> Iterator[tuple[str, Tensor]]:
        """Yields the named tensors, shard by shard, floats checked to be finite and float8 ones dequantised.

        Raises: CheckpointError naming file and tensor of the first NaN or infinity.
        """
        for file in sorted({self.tensors[name].file for name in names}):
            with safe_open(file, framework="pt") as handle:
                for name in sorted(name for name in names if self.tensors[name].file == file):
                    tensor = self._dequantise(name, handle.get_tensor(name))
                    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                        count = int((~torch.isfinite(tensor)).sum())
                        raise CheckpointError(f"{file}: {name} has {count} values that are NaN or infinite; allowed: 0")
                    yield name, tensor

    def read_one(self, name: str) -> Tensor:
        """Returns one tensor as it is stored."""
        with safe_open(self.tensors[name].file, framework="pt") as handle:
            tensor: Tensor = handle.get_tensor(name)
        return tensor

    def _dequantise(self, name: str, tensor: Tensor) -> Tensor:
        if tensor.dtype != torch.float8_e4m3fn:
            return tensor
        scale_name = name + SCALE_SUFFIX
        expected = tuple(-(-size // SCALE_BLOCK) for size in tensor.shape)
        found = self.tensors[scale_name].shape if scale_name in self.tensors else None
        if found != expected:
            raise CheckpointError(
                f"{self.tensors[name].file}: {name} is float8 and {scale_name} has shape {found}; allowed: {expected}"
            )
        scale = self.read_one(scale_name).float()
        for axis, size in enumerate(tensor.shape):
            scale = scale.repeat_interleave(SCALE_BLOCK, dim=axis).narrow(axis, 0, size)
        return tensor.float() * scale


def _read_header(file: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(file, framework="pt") as handle:
            return {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        with file.open("rb") as raw:
            is_pickle = raw.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
        what = "a pickle, which is never read" if is_pickle else f"not a whole safetensors file ({error})"
        raise CheckpointError(f"{file}: {what}; allowed: safetensors") from error


def write_shards(
    folder: Path, tensors: Iterator[tuple[str, Tensor]], *, shard_bytes: int = SHARD_BYTES, with_index: bool = False
) -> None:
    """Writes tensors into a folder: one file, or numbered shards of at most `shard_bytes` and their index.

    Cost: the memory of one shard.
    """
    weight_map: dict[str, int] = {}
    shard: dict[str, Tensor] = {}
    num_shards, size, total = 0, 0, 0

    def close() -> None:
        nonlocal shard, size, num_shards
        if shard:
            num_shards += 1
            save_file(shard, folder / f"part-{num_shards}.safetensors", metadata={"format": "pt"})
            weight_map.update(dict.fromkeys(shard, num_shards))
            shard, size = {}, 0

    for name, tensor in tensors:
        if size + tensor.nbytes > shard_bytes:
            close()
        shard[name] = tensor.detach().cpu().contiguous().clone()
        size, total = size + tensor.nbytes, total + tensor.nbytes
    close()
    names: Mapping[int, str] = {
        number: SINGLE_FILE if num_shards == 1 else f"model-{number:05}-of-{num_shards:05}.safetensors"
        for number in range(1, num_shards + 1)
    }
    for number, name in names.items():
        (folder / f"part-{number}.safetensors").rename(folder / name)
    if with_index or num_shards > 1:
        files = {name: names[number] for name, number in weight_map.items()}
        write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": files})
