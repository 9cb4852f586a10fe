"""Folders of any family to models, and models to folders of their family.

model = load_model("models/smollm2", dtype=torch.bfloat16, device="cuda")
export_model(model, "exported", MINIMAX)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model.checkpoint.deepseek import DEEPSEEK_V3
from fulmen.model.checkpoint.family import Family, Piece
from fulmen.model.checkpoint.llama import LLAMA, MIXTRAL
from fulmen.model.checkpoint.minimax import BUFFERS, MINIMAX
from fulmen.model.checkpoint.minimax_original import MINIMAX_ORIGINAL
from fulmen.model.checkpoint.native import (
    CONFIG_FILE,
    MANIFEST_FILE,
    MODEL_TYPE,
    load_native,
    verify_folder,
    write_folder,
)
from fulmen.model.checkpoint.qwen import QWEN2, QWEN3, QWEN3_MOE
from fulmen.model.checkpoint.records import read_json, write_json
from fulmen.model.checkpoint.shards import SCALE_SUFFIX, SHARD_BYTES, Shards, write_shards
from fulmen.model.config import ModelConfig
from fulmen.model.transformer import Model
from fulmen.run import progress_bar

FAMILIES: tuple[Family, ...] = (
    MINIMAX_ORIGINAL, MINIMAX, LLAMA, QWEN2, QWEN3, QWEN3_MOE, MIXTRAL, DEEPSEEK_V3,
)  # fmt: skip


def load_model(folder: Path | str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Model:
    """Returns the model in a folder: fulmen's own (`save_model`), or that of any family of `FAMILIES`.

    Everything that headers and config say is checked before weights are read. On the device "meta" no weight is.

    Raises: CheckpointError naming file, tensor, what was found and what is allowed.
    Cost: the model's memory and one tensor's (at most one shard mapped beside it).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    has_manifest = (folder / MANIFEST_FILE).is_file()
    try:
        record = read_json(folder / CONFIG_FILE)
    except CheckpointError:
        if has_manifest:
            verify_folder(folder)  # says better what happened to the file
        raise
    if record.get("model_type") == MODEL_TYPE:
        return load_native(folder, dtype=dtype, device=device)
    if has_manifest:
        verify_folder(folder)
    family = find_family(folder / CONFIG_FILE, record)
    try:
        config = family.read_config(record)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: a value has the wrong type ({error})") from error
    shards = Shards(folder)
    config = family.adapt(config, shards.tensors.keys())
    with torch.device("meta"):
        model = Model(config).to(dtype)
    pieces = _match(shards, family.pieces(config, record), model)
    if torch.device(device).type != "meta":
        model = model.to_empty(device=device)
        _fill(model, shards, pieces)
    return model


def find_family(path: Path, record: dict[str, Any]) -> Family:
    """Returns the family that a config names.

    Raises: CheckpointError for one that fulmen does not know.
    """
    architectures, kind = record.get("architectures") or [], record.get("model_type")
    is_named = isinstance(architectures, list) and len(architectures) > 0
    for family in FAMILIES:
        if architectures[0] in family.architectures if is_named else kind in family.model_types:
            return family
    names = ", ".join(name for family in FAMILIES for name in family.architectures)
    raise CheckpointError(f"{path}: architectures={architectures}, model_type={kind!r}; allowed: {names}")


def _match(shards: Shards, pieces: list[Piece], model: Model) -> list[Piece]:
    """Returns the pieces that are stored, once all that are needed are there, with their shapes, and nothing else."""
    ours = dict(model.state_dict())
    stored = shards.tensors
    present = [piece for piece in pieces if piece.stored in stored]
    lacking = [piece.stored for piece in pieces if piece.stored not in stored and not piece.is_copy]
    known = {piece.stored for piece in present} | {piece.stored + SCALE_SUFFIX for piece in present}
    unknown = sorted(name for name in stored.keys() - known if name.rsplit(".", 1)[-1] not in BUFFERS)
    if lacking or unknown:
        raise CheckpointError(
            f"{shards.folder}: {len(lacking)} tensors of the model are missing {lacking[:3]}, "
            f"{len(unknown)} are not the model's {unknown[:3]}"
        )
    for piece in present:
        found, expected = stored[piece.stored].shape, tuple(piece.view(ours[piece.name]).shape)
        if found != expected:
            raise CheckpointError(
                f"{stored[piece.stored].file}: {piece.stored} has shape {list(found)}; the config asks for "
                f"{list(expected)}"
            )
    return present


@torch.no_grad()
def _fill(model: Model, shards: Shards, pieces: list[Piece]) -> None:
    ours = model.state_dict()
    needed = {piece.stored: piece for piece in pieces if not piece.is_copy}
    with progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task(f"load {shards.folder.name}", total=len(needed), note="")
        for name, tensor in shards.read(set(needed)):
            piece = needed[name]
            piece.view(ours[piece.name]).copy_(piece.read(tensor))
            bar.update(task, advance=1, note=shards.tensors[name].file.name)
    for copy in (piece for piece in pieces if piece.is_copy):
        mine, its = ours[copy.name], shards.read_one(copy.stored)
        if not torch.equal(mine, its.to(mine)):
            raise CheckpointError(
                f"{shards.tensors[copy.stored].file}: {copy.stored} differs from {copy.name}; allowed: the same numbers"
            )


def export_model(
    model: Model,
    folder: Path | str,
    family: Family,
    *,
    with_index: bool = False,
    shard_bytes: int = SHARD_BYTES,
    changes: dict[str, Any] | None = None,
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Writes a model as a folder of `family`; the inverse of loading it, bit for bit. See `write_folder`.

    `changes` are added to the config (ids of the tokenizer), `write_more` writes further files into the folder.

    Raises: ConfigError, before anything is written, for a model that the family cannot be; CheckpointError for a
    weight that is not finite, or a disk that refuses.
    """
    record = family.write_config(model.config) | {"dtype": str(model.norm.weight.dtype).removeprefix("torch.")}
    record |= changes or {}
    _check_reread(family, model.config, record)
    state = model.state_dict()
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{name} has values that are NaN or infinite; allowed in an export: none")

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for piece in family.pieces(model.config, record):
            if not piece.is_copy:
                yield piece.stored, piece.write(state[piece.name])

    def write(path: Path) -> None:
        write_json(path / CONFIG_FILE, record)
        write_shards(path, tensors(), with_index=with_index, shard_bytes=shard_bytes)
        if write_more is not None:
            write_more(path)

    write_folder(folder, write)


def _check_reread(family: Family, config: ModelConfig, record: dict[str, Any]) -> None:
    """Returns if what will be written reads back as the model of the same numbers."""
    again = family.read_config(record)
    mine, its = (_resolved(c) for c in (config, again))
    for name in mine:
        if mine[name] != its[name]:
            raise ConfigError(f"{name}={mine[name]!r}; {family.name} would read {its[name]!r}: it has no such model")


def _resolved(config: ModelConfig) -> dict[str, object]:
    """Returns the fields of a config with what None stands for, and patterns spelled out."""
    fields = dict(vars(config))
    layers = range(config.num_layers)
    router = {key: value for key, value in vars(config.router).items() if key != "balance"}
    mixers = "".join(config.mixer(layer) for layer in layers)
    fields |= {
        "mixers": mixers,
        "mlps": "".join(config.mlp(layer) for layer in layers),
        "rotary_dim": config.rotary_width if "S" in mixers else None,
        "residual_alpha": config.alpha,
        "dense_size": config.dense_width if "D" in config.mlps else None,
        "router": router if config.num_experts else None,
        "num_experts_per_token": config.num_experts_per_token if config.num_experts else None,
        "num_kv_heads": config.num_kv_heads if "S" in mixers else None,
        "intermediate_size": config.intermediate_size if config.num_experts else None,
        "lightning_norm_eps": config.lightning_norm_eps if "L" in mixers else None,
        "rope_theta": config.rope_theta if set(mixers) & set("SM") else None,
    }
    return fields
