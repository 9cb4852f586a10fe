"""Fulmen's weights and config to those of transformers' native `minimax` model and back, in memory.

transformers rotates all of each head, in pairs (j, j + D/2). A model that rotates R < D channels, in pairs
(i, i + R/2), is the same model once the rows of each query and key head are reordered and the frequencies are given
as "proportional" RoPE of base theta^(D/R): theta^(-2i/R) for the first R/2 pairs, zero for the others.
Names are those of transformers >= 5 in memory (experts fused). Left out: files, MiniMaxAI's own names, the tokenizer.
Axes: `D` head width, `R` rotated width.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model.checkpoint.family import Piece, attention_pieces, end_pieces, expert_pieces, norm_pieces
from fulmen.model.checkpoint.llama import shortest_pattern
from fulmen.model.config import ModelConfig

BLOCK_SIZE = 256
"""Chunk of transformers' lightning attention; changes rounding only."""
MAX_POSITIONS = 10_240_000
"""A bound, as in the released config."""
LAYER_TYPES = {"L": "linear_attention", "S": "full_attention"}
SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "num_experts": "num_local_experts",
    "num_experts_per_token": "num_experts_per_tok",
    "rms_norm_eps": "rms_norm_eps",
}
"""Fields that only change their name."""
FIXED = {"model_type": "minimax", "hidden_act": "silu", "tie_word_embeddings": False, "sliding_window": None}
"""Keys with one value that fulmen's model can have."""
BRANCHES = ("linear_attn", "full_attn", "mlp")
NAMES = (
    ("block_sparse_moe.experts.w13", "mlp.experts.gate_up_proj"),
    ("block_sparse_moe.experts.w2", "mlp.experts.down_proj"),
    ("block_sparse_moe.gate.weight", "mlp.gate.weight"),
)
"""Ends of parameter names that differ; all but the head also gain the prefix `model.`."""
BUFFERS = ("slope_rate", "query_decay", "key_decay", "diagonal_decay", "inv_freq")
"""Constants that transformers keeps beside its weights: recomputed here, never trusted."""


class TransformersModel(NamedTuple):
    """A model as transformers has it."""

    config: dict[str, Any]
    state: dict[str, Tensor]


class FulmenModel(NamedTuple):
    """A model as fulmen has it."""

    config: ModelConfig
    state: dict[str, Tensor]


class MiniMax:
    """transformers' native `minimax` on disk. Implements `Family`."""

    name = "minimax"
    architectures = ("MiniMaxForCausalLM",)
    model_types = ("minimax",)

    def read_config(self, record: Mapping[str, Any]) -> ModelConfig:
        """Returns our config; where keys of the original are there too, they must agree."""
        return _read(merge_keys(record)).config

    def write_config(self, config: ModelConfig) -> dict[str, Any]:
        """Returns arguments for `MiniMaxConfig`."""
        return _write(config)

    def pieces(self, config: ModelConfig, record: Mapping[str, Any]) -> list[Piece]:
        """Returns every stored tensor; rows of q and k are in transformers' order if the config says so."""
        is_reordered = _read(merge_keys(record)).is_reordered
        return minimax_pieces(config, _rotary_rows(config.rotary_width, config.head_dim) if is_reordered else None)

    def adapt(self, config: ModelConfig, names: Collection[str]) -> ModelConfig:
        """Returns the config unchanged."""
        return config


def minimax_pieces(config: ModelConfig, rows_D: Tensor | None) -> list[Piece]:
    """Returns every stored tensor of either format; `rows_D` says which of our rows comes at each of theirs."""
    pieces = end_pieces(config)
    for layer in range(config.num_layers):
        stored, name = f"model.layers.{layer}", f"layers.{layer}"
        pieces += norm_pieces(stored, name)
        if config.mixer(layer) == "L":
            pieces += [
                Piece(stored=f"{stored}.self_attn.{part}.weight", name=f"{name}.self_attn.{part}.weight")
                for part in ("qkv_proj", "output_gate", "norm", "out_proj")
            ]
        else:
            order = None if rows_D is None else rows_D.argsort()
            pieces += attention_pieces(config, f"{stored}.self_attn", f"{name}.self_attn", rows=order)
        moe = "block_sparse_moe"
        pieces += expert_pieces(config, f"{stored}.{moe}", f"{name}.{moe}", names=("w1", "w3", "w2"))
    return pieces


def check_envelope(config: ModelConfig) -> None:
    """Returns if the model is one that MiniMax's own block describes.

    Raises: ConfigError naming the option that it lacks.
    """
    plain = ModelConfig(
        vocab_size=1, hidden_size=1, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=1, intermediate_size=1,
        num_experts=1, num_experts_per_token=1,
    )  # fmt: skip
    for name in ("residual", "mlps", "num_shared_experts", "router", "attention_bias", "qk_norm", "rope_scaling",
                 "mla", "tied_head", "mtp_depth"):  # fmt: skip
        value, allowed = getattr(config, name), getattr(plain, name)
        if name == "mlps" and set(value) == {"E"}:
            continue
        if value != allowed:
            raise ConfigError(f"{name}={value!r}; allowed in a MiniMax checkpoint: {allowed!r}")


def to_transformers(config: ModelConfig, state: Mapping[str, Tensor]) -> TransformersModel:
    """Returns arguments for `MiniMaxConfig` and a state dict for `MiniMaxForCausalLM`.

    bos and eos are null: transformers' defaults, 1 and 2, are ordinary tokens; whoever has the tokenizer sets them.

    Raises: ConfigError for a model that transformers' code cannot be.
    """
    exported = _write(config)
    rows = _rotary_rows(config.rotary_width, config.head_dim)
    renamed = {}
    for name, tensor in state.items():
        theirs = name if name.startswith("lm_head.") else f"model.{name}"
        for end, new_end in NAMES:
            if theirs.endswith(end):
                theirs = theirs.removesuffix(end) + new_end
        renamed[theirs] = _reorder(name, tensor, rows)
    return TransformersModel(exported, renamed)


def _write(config: ModelConfig) -> dict[str, Any]:
    check_envelope(config)
    width, head_dim = config.rotary_width, config.head_dim
    if config.num_heads & (config.num_heads - 1):
        raise ConfigError(f"num_heads={config.num_heads}; transformers has other slopes; allowed: powers of two")
    if config.lightning_norm_eps != 1e-6:
        raise ConfigError(f"lightning_norm_eps={config.lightning_norm_eps}; allowed in transformers: 1e-6")
    if width == 0 or head_dim % 2:
        raise ConfigError(f"rotary_dim={width}, head_dim={head_dim}; allowed: rotary_dim above 0, an even head_dim")
    exported: dict[str, Any] = {
        "architectures": ["MiniMaxForCausalLM"],
        **FIXED,
        **{theirs: getattr(config, ours) for ours, theirs in SIZES.items()},
        "layer_types": [LAYER_TYPES[config.mixer(layer)] for layer in range(config.num_layers)],
        "rope_parameters": _rope_parameters(config),
        "block_size": BLOCK_SIZE,
        "max_position_embeddings": MAX_POSITIONS,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    for branch in BRANCHES:
        exported |= {f"{branch}_alpha_factor": config.alpha, f"{branch}_beta_factor": config.residual_beta}
    return exported


def from_transformers(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> FulmenModel:
    """Returns the fulmen config and state dict of a transformers `minimax` model; the inverse of `to_transformers`.

    Raises: CheckpointError naming the key that is missing or that fulmen's model cannot follow.
    """
    imported, is_reordered = _read(config)
    head_dim = imported.head_dim
    rows = torch.arange(head_dim)
    if is_reordered:
        rows = _rotary_rows(imported.rotary_width, head_dim).argsort()
    renamed = {}
    for name, tensor in state.items():
        if name.rsplit(".", 1)[-1] in BUFFERS:
            continue
        if not name.startswith(("model.", "lm_head.")):
            raise CheckpointError(f"tensor {name}; allowed: names that begin with 'model.' or 'lm_head.'")
        ours = name.removeprefix("model.")
        for end, new_end in NAMES:
            if ours.endswith(new_end):
                ours = ours.removesuffix(new_end) + end
        renamed[ours] = _reorder(ours, tensor, rows)
    return FulmenModel(imported, renamed)


class _Read(NamedTuple):
    config: ModelConfig
    is_reordered: bool


def _read(config: Mapping[str, Any]) -> _Read:
    for key in (*SIZES.values(), *(f"{branch}_{kind}_factor" for branch in BRANCHES for kind in ("alpha", "beta"))):
        value, allowed = config.get(key), (int, float) if key.endswith(("_eps", "_factor")) else (int,)
        if value is not None and type(value) not in allowed:
            raise CheckpointError(f"{key}={value!r}; allowed: {'a number' if float in allowed else 'an integer'}")
    if config.get("head_dim") is None:
        config = {**config, "head_dim": _get(config, "hidden_size") // _get(config, "num_attention_heads")}
    for key, value in FIXED.items():
        if _get(config, key) != value:
            raise CheckpointError(f"{key}={config[key]!r}; allowed: {value!r}")
    alphas, betas = ({_get(config, f"{branch}_{kind}_factor") for branch in BRANCHES} for kind in ("alpha", "beta"))
    if len(alphas) > 1 or len(betas) > 1:
        raise CheckpointError(f"alpha factors {alphas}, beta factors {betas}; allowed: one alpha and one beta for all")
    width, theta, is_reordered = _rotary(config)
    try:
        imported = ModelConfig(
            **{ours: _get(config, theirs) for ours, theirs in SIZES.items()},
            mixers=_pattern(_get(config, "layer_types"), config["num_hidden_layers"]),
            rotary_dim=width,
            rope_theta=theta,
            residual_alpha=float(alphas.pop()),
            residual_beta=float(betas.pop()),
        )
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"the transformers config: {error}") from error
    return _Read(imported, is_reordered)


def _get(config: Mapping[str, Any], key: str) -> Any:
    if key not in config:
        raise CheckpointError(f"the transformers config lacks {key}")
    return config[key]


def _reorder(name: str, tensor: Tensor, rows_D: Tensor) -> Tensor:
    """Returns the tensor, the rows of every head reordered if it is a query or key projection."""
    if not name.endswith(("self_attn.q_proj.weight", "self_attn.k_proj.weight")):
        return tensor
    return tensor.unflatten(0, (-1, len(rows_D)))[:, rows_D.to(tensor.device)].flatten(0, 1)


def _rotary_rows(width: int, head_dim: int) -> Tensor:
    """Returns which of our rows comes at each of transformers' D rows: both halves of the rotated part move out."""
    half, rest = width // 2, (head_dim - width) // 2
    rotated, passed = torch.arange(width), torch.arange(width, head_dim)
    return torch.cat((rotated[:half], passed[:rest], rotated[half:], passed[rest:]))


def _rope_parameters(config: ModelConfig) -> dict[str, Any]:
    width, head_dim = config.rotary_width, config.head_dim
    if width == head_dim:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    factor = width / head_dim
    if _proportional_width(factor, head_dim) < width:
        factor = math.nextafter(factor, 1.0)
    theta = config.rope_theta ** (head_dim / width)
    return {"rope_type": "proportional", "rope_theta": theta, "partial_rotary_factor": factor}


def _proportional_width(factor: float, head_dim: int) -> int:
    """Returns the width that transformers rotates for a partial_rotary_factor; it rounds this product down."""
    return 2 * int(factor * head_dim // 2)


def _rotary(config: Mapping[str, Any]) -> tuple[int, float, bool]:
    """Returns the rotated width, its theta, and whether the rows of q and k are reordered."""
    head_dim = _get(config, "head_dim")
    if config.get("rope_parameters") is None and config.get("rope_theta") is not None:
        # Keys of the original: the first rotary_dim channels, in the order of the original.
        return config.get("rotary_dim") or head_dim, float(config["rope_theta"]), False
    rope = _get(config, "rope_parameters")
    kind, base = rope.get("rope_type", "default"), float(_get(rope, "rope_theta"))
    factor = rope.get("partial_rotary_factor", 1.0)
    width = _proportional_width(factor, head_dim)
    if kind not in ("default", "proportional") or width < 2:
        raise CheckpointError(f"rope_parameters={dict(rope)}; allowed: rope_type 'default' or 'proportional'")
    if config.get("rotary_dim", width) != width or (kind == "default" and width != head_dim):
        raise CheckpointError(
            f"rope_parameters={dict(rope)}, rotary_dim={config.get('rotary_dim')}: transformers rotates "
            f"{width if kind == 'proportional' else head_dim} channels of each head; allowed: keys that agree with it"
        )
    if width == head_dim:
        return width, base, False
    theta = base ** (width / head_dim)
    # The root is rounded; the number somebody once wrote is the short one whose power is the base.
    short = float(f"{theta:.12g}")
    return width, short if short ** (head_dim / width) == base else theta, True


def _pattern(layer_types: list[str], num_layers: int) -> str:
    """Returns the shortest pattern of L and S that spells the layers when repeated."""
    letters = {kind: letter for letter, kind in LAYER_TYPES.items()}
    if not layer_types or len(layer_types) != num_layers or set(layer_types) - letters.keys():
        raise CheckpointError(f"layer_types={layer_types}; allowed: {num_layers} of {sorted(letters)}")
    return shortest_pattern("".join(letters[kind] for kind in layer_types))


ORIGINAL_KEYS = {
    "layernorm_linear_attention_alpha": "linear_attn_alpha_factor",
    "layernorm_linear_attention_beta": "linear_attn_beta_factor",
    "layernorm_full_attention_alpha": "full_attn_alpha_factor",
    "layernorm_full_attention_beta": "full_attn_beta_factor",
    "layernorm_mlp_alpha": "mlp_alpha_factor",
    "layernorm_mlp_beta": "mlp_beta_factor",
}
"""Keys of MiniMaxAI's own config and transformers' names for them."""


def merge_keys(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a config in transformers' keys from one in MiniMaxAI's, in transformers', or in both.

    Raises: CheckpointError when the two disagree.
    """
    merged = dict(record)
    for original, native in ORIGINAL_KEYS.items():
        if original in record:
            _agree(record, original, native, record[original])
            merged[native] = record[original]
    if "attn_type_list" in record:
        kinds = record["attn_type_list"]
        if not isinstance(kinds, list) or set(kinds) - {0, 1}:
            raise CheckpointError(f"config.json: attn_type_list={kinds!r}; allowed: a list of 0 and 1")
        merged["layer_types"] = [LAYER_TYPES["LS"[kind]] for kind in kinds]
        _agree(record, "attn_type_list", "layer_types", merged["layer_types"])
    if record.get("postnorm", True) is not True:
        raise CheckpointError(f"config.json: postnorm={record['postnorm']!r}; allowed: true")
    if record.get("shared_intermediate_size"):
        raise CheckpointError(f"config.json: shared_intermediate_size={record['shared_intermediate_size']}; allowed: 0")
    if record.get("model_type") in ("minimax_m1", "minimax_text_01"):
        merged["model_type"] = "minimax"
        for key, default in (("hidden_act", "silu"), ("tie_word_embeddings", False), ("sliding_window", None)):
            merged.setdefault(key, default)
    return merged


def _agree(record: Mapping[str, Any], original: str, native: str, value: Any) -> None:
    if native in record and record[native] != value:
        raise CheckpointError(
            f"config.json: {original}={record[original]!r} and {native}={record[native]!r}; allowed: keys that agree"
        )


MINIMAX = MiniMax()
