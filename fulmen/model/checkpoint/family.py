"""What a family of checkpoints is: its config's keys, and where each stored tensor lies in our model.

One list of `Piece`s serves both directions, so an export is the inverse of the import by construction.
Axes: `E` experts, `F` expert width, `D` model width.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model.config import ModelConfig
from fulmen.model.rope import RopeScaling


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stored tensor and the part of our parameter that it is."""

    stored: str
    """Name in the file."""
    name: str
    """Our parameter (or buffer)."""
    expert: int | None = None
    """Its place along the first axis."""
    half: int | None = None
    """0 or 1: the first or second half of the rows that are left."""
    rows: Tensor | None = None
    """Our row r is stored row `rows[r]`."""
    is_copy: bool = False
    """A second copy of a tensor that another piece brings: not needed, never written, and refused if it differs."""

    def view(self, tensor: Tensor) -> Tensor:
        """Returns the part of our tensor that this piece fills, as a view."""
        if self.expert is not None:
            tensor = tensor[self.expert]
        if self.half is not None:
            rows = tensor.shape[0] // 2
            tensor = tensor[self.half * rows : (self.half + 1) * rows]
        return tensor

    def read(self, stored: Tensor) -> Tensor:
        """Returns a stored tensor with its rows in our order."""
        return stored if self.rows is None else stored[self.rows.to(stored.device)]

    def write(self, tensor: Tensor) -> Tensor:
        """Returns this piece of our tensor as it is stored: the inverse of `read`."""
        part = self.view(tensor)
        return part if self.rows is None else part[self.rows.argsort().to(part.device)]


@runtime_checkable
class Family(Protocol):
    """One way of writing a model; a module per family makes one."""

    @property
    def name(self) -> str:
        """Short name, for messages."""
        ...

    @property
    def architectures(self) -> tuple[str, ...]:
        """Values of `architectures[0]` in config.json; the first is written."""
        ...

    @property
    def model_types(self) -> tuple[str, ...]:
        """Values of `model_type`; used where `architectures` is absent."""
        ...

    def read_config(self, record: Mapping[str, Any]) -> ModelConfig:
        """Returns our config. Raises: CheckpointError naming the key that is missing or cannot be followed."""
        ...

    def write_config(self, config: ModelConfig) -> dict[str, Any]:
        """Returns their config. Raises: ConfigError for a model that this family cannot be."""
        ...

    def pieces(self, config: ModelConfig, record: Mapping[str, Any]) -> list[Piece]:
        """Returns every stored tensor of a model; `record` is their config."""
        ...

    def adapt(self, config: ModelConfig, names: Collection[str]) -> ModelConfig:
        """Returns the config of what is really stored, `names` being all stored tensors."""
        ...


def require(record: Mapping[str, Any], key: str) -> Any:
    """Returns a value of a config.

    Raises: CheckpointError when it is missing or null.
    """
    if record.get(key) is None:
        raise CheckpointError(f"config.json: {key} is missing")
    return record[key]


def require_int(record: Mapping[str, Any], key: str) -> int:
    """Returns an integer of a config.

    Raises: CheckpointError when it is missing or something else.
    """
    value = require(record, key)
    if type(value) is not int:
        raise CheckpointError(f"config.json: {key}={value!r}; allowed: an integer")
    return value


def optional_int(record: Mapping[str, Any], key: str, default: int) -> int:
    """Returns an integer of a config, or `default` where it is missing or null.

    Raises: CheckpointError when it is something else.
    """
    return default if record.get(key) is None else require_int(record, key)


def require_float(record: Mapping[str, Any], key: str) -> float:
    """Returns a number of a config.

    Raises: CheckpointError when it is missing or something else.
    """
    value = require(record, key)
    if type(value) not in (int, float):
        raise CheckpointError(f"config.json: {key}={value!r}; allowed: a number")
    return float(value)


def require_fixed(record: Mapping[str, Any], fixed: Mapping[str, tuple[Any, ...]]) -> None:
    """Returns if every key has one of its allowed values or is absent.

    Raises: CheckpointError otherwise.
    """
    for key, allowed in fixed.items():
        if key in record and record[key] not in allowed:
            raise CheckpointError(f"config.json: {key}={record[key]!r}; allowed: {' or '.join(map(repr, allowed))}")


def make_config(**fields: Any) -> ModelConfig:
    """Returns a config made of values from a file.

    Raises: CheckpointError for contradictory ones.
    """
    try:
        return ModelConfig(**fields)
    except ConfigError as error:
        raise CheckpointError(f"config.json: {error}") from error
    except TypeError as error:
        raise CheckpointError(f"config.json: a field has the wrong type ({error})") from error


SCALING_KEYS = {
    "factor": "factor",
    "original_max_position_embeddings": "original_length",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "beta_fast": "beta_fast",
    "beta_slow": "beta_slow",
    "truncate": "truncate",
    "attention_factor": "attention_factor",
    "mscale": "mscale",
    "mscale_all_dim": "mscale_all_dim",
}
"""Keys of `rope_parameters` and our names."""
SCALING_USED = {
    "linear": ("factor",),
    "llama3": ("factor", "original_length", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor", "original_length", "beta_fast", "beta_slow", "truncate", "attention_factor", "mscale",
             "mscale_all_dim"),
}  # fmt: skip


def read_rope(record: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """Returns theta and the scaling, in keys of transformers 5 (`rope_parameters`) or 4 (`rope_theta`, `rope_scaling`).

    Raises: CheckpointError for an unknown kind of scaling, or two values of theta.
    """
    rope = record.get("rope_parameters") or record.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise CheckpointError(f"config.json: rope_parameters={rope!r}; allowed: an object")
    thetas = {require_float(keys, "rope_theta") for keys in (rope, record) if keys.get("rope_theta") is not None}
    if len(thetas) > 1:
        raise CheckpointError(f"config.json: rope_theta has two values, {sorted(thetas)}; allowed: one")
    theta = thetas.pop() if thetas else 10_000.0
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind not in SCALING_USED:
        raise CheckpointError(f"config.json: rope_type={kind!r}; allowed: default, {', '.join(SCALING_USED)}")
    values: dict[str, Any] = {
        ours: bool(rope[key]) if key == "truncate" else require_float(rope, key)
        for key, ours in SCALING_KEYS.items()
        if rope.get(key) is not None
    }
    used = {name: values[name] for name in SCALING_USED[kind] if name in values}
    used["original_length"] = int(values.get("original_length", optional_int(record, "max_position_embeddings", 1)))
    if "factor" not in used:
        raise CheckpointError(f"config.json: rope_parameters={dict(rope)} lacks factor")
    try:
        return theta, RopeScaling(kind=kind, **used)
    except ConfigError as error:
        raise CheckpointError(f"config.json: rope_parameters={dict(rope)} ({error})") from error


def write_rope(config: ModelConfig) -> dict[str, Any]:
    """Returns `rope_parameters` as transformers 5 has it."""
    if config.rope_scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    scaling = config.rope_scaling
    written = {"rope_type": scaling.kind, "rope_theta": config.rope_theta}
    for key, ours in SCALING_KEYS.items():
        value = getattr(scaling, ours)
        if (ours in SCALING_USED[scaling.kind] or ours == "original_length") and value is not None:
            written[key] = value
    return written


def end_pieces(config: ModelConfig) -> list[Piece]:
    """Returns embedding, final norm and head, named alike in every family; a tied head may be stored or not."""
    pieces = [
        Piece(stored="model.embed_tokens.weight", name="embed_tokens.weight"),
        Piece(stored="model.norm.weight", name="norm.weight"),
    ]
    if config.tied_head:
        pieces.append(Piece(stored="lm_head.weight", name="embed_tokens.weight", is_copy=True))
    else:
        pieces.append(Piece(stored="lm_head.weight", name="lm_head.weight"))
    return pieces


def mlp_pieces(stored: str, name: str) -> list[Piece]:
    """Returns a dense layer stored as gate_proj, up_proj, down_proj."""
    return [
        Piece(stored=f"{stored}.gate_proj.weight", name=f"{name}.w13.weight", half=0),
        Piece(stored=f"{stored}.up_proj.weight", name=f"{name}.w13.weight", half=1),
        Piece(stored=f"{stored}.down_proj.weight", name=f"{name}.w2.weight"),
    ]


def expert_pieces(
    config: ModelConfig, stored: str, name: str, *, names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
) -> list[Piece]:
    """Returns the router and the experts of one layer; `names` are those of w1, w3 and w2."""
    pieces = [Piece(stored=f"{stored}.gate.weight", name=f"{name}.gate.weight")]
    for expert in range(config.num_experts):
        prefix = f"{stored}.experts.{expert}"
        pieces += [
            Piece(stored=f"{prefix}.{names[0]}.weight", name=f"{name}.experts.w13", expert=expert, half=0),
            Piece(stored=f"{prefix}.{names[1]}.weight", name=f"{name}.experts.w13", expert=expert, half=1),
            Piece(stored=f"{prefix}.{names[2]}.weight", name=f"{name}.experts.w2", expert=expert),
        ]
    return pieces


def attention_pieces(config: ModelConfig, stored: str, name: str, *, rows: Tensor | None = None) -> list[Piece]:
    """Returns the softmax mixer of one layer; `rows` reorders each query and key head."""
    pieces = []
    for projection in "qkvo":
        count = config.num_heads if projection == "q" else config.num_kv_heads
        order = None if rows is None or projection not in "qk" else spread_rows(rows, count)
        pieces.append(
            Piece(stored=f"{stored}.{projection}_proj.weight", name=f"{name}.{projection}_proj.weight", rows=order)
        )
        if config.attention_bias == "qkvo" or (config.attention_bias == "qkv" and projection != "o"):
            pieces.append(Piece(stored=f"{stored}.{projection}_proj.bias", name=f"{name}.{projection}_proj.bias"))
    if config.qk_norm:
        pieces += [Piece(stored=f"{stored}.{x}_norm.weight", name=f"{name}.{x}_norm.weight") for x in "qk"]
    return pieces


def spread_rows(rows: Tensor, num_heads: int) -> Tensor:
    """Returns the row order of one head repeated for all heads."""
    return (torch.arange(num_heads)[:, None] * len(rows) + rows).flatten()


def norm_pieces(stored: str, name: str) -> list[Piece]:
    """Returns the two norms of a block."""
    return [
        Piece(stored=f"{stored}.{norm}.weight", name=f"{name}.{norm}.weight")
        for norm in ("input_layernorm", "post_attention_layernorm")
    ]
