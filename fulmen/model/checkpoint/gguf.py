"""GGUF files (llama.cpp's) to folders that every tool reads: weights dequantised, tokenizer and chat template rebuilt.

The `gguf` package reads the file and knows the quantisations. transformers reads such files too, but refuses to save
what it read, and mistakes SmolLM2's end token and digit splitting; here both come from the file's own keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import dequantize
from torch import Tensor

from fulmen.errors import CheckpointError, ConfigError
from fulmen.model.checkpoint.family import Family
from fulmen.model.checkpoint.llama import LLAMA
from fulmen.model.checkpoint.native import CONFIG_FILE, write_folder
from fulmen.model.checkpoint.qwen import QWEN2, QWEN3
from fulmen.model.checkpoint.records import write_json
from fulmen.model.checkpoint.shards import write_shards
from fulmen.model.config import ModelConfig
from fulmen.text.bpe import Vocabulary, build_tokenizer
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import Tokenizer

FAMILIES: dict[str, Family] = {"llama": LLAMA, "qwen2": QWEN2, "qwen3": QWEN3}
"""By `general.architecture`."""
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
END_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
SAME_MATRIX = 0.2
"""Two quantisations of one matrix differ by less than this part of its norm; two random matrices by 1.4."""


@dataclass(frozen=True, kw_only=True)
class GgufModel:
    """What a GGUF file holds, weights still quantised."""

    path: Path
    fields: dict[str, Any]
    tensors: dict[str, Any]
    """The package's `ReaderTensor` by name."""

    @property
    def architecture(self) -> str:
        """Such as "llama"."""
        return str(self.field("general.architecture"))

    def field(self, key: str) -> Any:
        """Returns a value; `%` stands for the architecture.

        Raises: CheckpointError when the file lacks it.
        """
        full = key.replace("%", str(self.fields.get("general.architecture")))
        if full not in self.fields:
            raise CheckpointError(f"{self.path}: {full} is missing")
        return self.fields[full]

    def tensor(self, name: str) -> Tensor:
        """Returns a tensor, dequantised to float32.

        Raises: CheckpointError naming it, when it is missing or has values that are not finite.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.path}: {name} is missing")
        stored = self.tensors[name]
        values = torch.from_numpy(np.array(dequantize(stored.data, stored.tensor_type), dtype=np.float32))
        if not bool(torch.isfinite(values).all()):
            raise CheckpointError(f"{self.path}: {name} has values that are NaN or infinite; allowed: none")
        return values


def read_gguf(path: Path) -> GgufModel:
    """Returns a GGUF file's fields and tensors.

    Raises: CheckpointError when it is missing, truncated or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        reader = gguf.GGUFReader(path)
        fields = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole GGUF file ({error})") from error
    return GgufModel(path=path, fields=fields, tensors={tensor.name: tensor for tensor in reader.tensors})


def import_gguf(path: Path, folder: Path, *, dtype: torch.dtype = torch.float32) -> ModelConfig:
    """Writes a GGUF file as a Hugging Face folder, tokenizer and chat template included; returns the model's shape.

    Raises: CheckpointError, before anything is written, for files that cannot be followed.
    """
    model = read_gguf(path)
    family, config = _read_config(model)
    is_tied = "output.weight" not in model.tensors or _is_one_matrix(model)
    config, embedding = config.replace(tied_head=is_tied), _finer_embedding(model) if is_tied else "token_embd.weight"
    tokenizer = read_tokenizer(model)
    names = _names(model, family, config)

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for name, stored in names.items():
            yield name, _unpermute(model, embedding if stored == "token_embd.weight" else stored, config).to(dtype)

    record = family.write_config(config) | {
        "dtype": str(dtype).removeprefix("torch."),
        "max_position_embeddings": int(model.field("%.context_length")),
        **_token_ids(model),
    }

    def write(target: Path) -> None:
        write_json(target / CONFIG_FILE, record)
        write_json(target / "generation_config.json", _token_ids(model))
        write_shards(target, tensors())
        tokenizer.save(target)

    write_folder(folder, write)
    return config


def read_tokenizer(model: GgufModel) -> Tokenizer:
    """Returns the tokenizer in a GGUF file; the end token is the file's, not a guess.

    Raises: CheckpointError for other kinds than byte-level BPE, or without a chat template.
    """
    kind = model.field("tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(f"{model.path}: tokenizer.ggml.model={kind!r}; allowed: 'gpt2' (byte-level BPE)")
    tokens = model.field("tokenizer.ggml.tokens")
    vocabulary = Vocabulary(
        tokens=tokens,
        kinds=model.fields.get("tokenizer.ggml.token_type", []),
        merges=model.field("tokenizer.ggml.merges"),
        pre=model.field("tokenizer.ggml.pre"),
    )
    keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    named = {
        name: tokens[model.fields[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in keys.items()
        if f"tokenizer.ggml.{key}_token_id" in model.fields
    }
    if "eos_token" not in named:
        raise CheckpointError(f"{model.path}: tokenizer.ggml.eos_token_id is missing")
    template = ChatTemplate(source=str(model.field("tokenizer.chat_template")), tokens=named)
    return Tokenizer(build_tokenizer(vocabulary), template=template)


def _token_ids(model: GgufModel) -> dict[str, int | None]:
    keys = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    return {name: model.fields.get(f"tokenizer.ggml.{key}_token_id") for name, key in keys.items()}


def _read_config(model: GgufModel) -> tuple[Family, ModelConfig]:
    kind = model.architecture
    if kind not in FAMILIES:
        raise CheckpointError(f"{model.path}: general.architecture={kind!r}; allowed: {', '.join(FAMILIES)}")
    for key in (f"{kind}.rope.scaling.type", f"{kind}.expert_count"):
        if model.fields.get(key) not in (None, "none", 0):
            raise CheckpointError(f"{model.path}: {key}={model.fields[key]!r}; allowed: none")
    heads, width = int(model.field("%.attention.head_count")), int(model.field("%.embedding_length"))
    head_dim = int(model.fields.get(f"{kind}.attention.key_length", width // heads))
    if model.fields.get(f"{kind}.rope.dimension_count", head_dim) != head_dim:
        raise CheckpointError(
            f"{model.path}: {kind}.rope.dimension_count={model.fields[f'{kind}.rope.dimension_count']}; "
            f"allowed: the head width {head_dim}"
        )
    try:
        config = ModelConfig(
            vocab_size=len(model.field("tokenizer.ggml.tokens")),
            hidden_size=width,
            num_layers=int(model.field("%.block_count")),
            num_heads=heads,
            num_kv_heads=int(model.fields.get(f"{kind}.attention.head_count_kv", heads)),
            head_dim=head_dim,
            intermediate_size=int(model.field("%.feed_forward_length")),
            num_experts=0,
            mixers="S",
            mlps="D",
            rotary_dim=head_dim,
            residual="plain",
            # Stored as float32: 1e-5 comes back as 9.99999974e-06.
            rms_norm_eps=float(f"{model.field('%.attention.layer_norm_rms_epsilon'):.6g}"),
            rope_theta=float(model.fields.get(f"{kind}.rope.freq_base", 10_000.0)),
            attention_bias="qkv" if kind == "qwen2" else "none",
            qk_norm=kind == "qwen3",
        )
    except ConfigError as error:
        raise CheckpointError(f"{model.path}: {error}") from error
    return FAMILIES[kind], config


def _finer_embedding(model: GgufModel) -> str:
    """Returns where a tied matrix is best read from: files may hold two quantisations of it."""
    sizes = {name: int(model.tensors[name].n_bytes) for name in END_NAMES if name != "output_norm.weight"
             and name in model.tensors}  # fmt: skip
    return max(sizes, key=lambda name: sizes[name])


def _is_one_matrix(model: GgufModel) -> bool:
    embedding, head = model.tensor("token_embd.weight"), model.tensor("output.weight")
    return embedding.shape == head.shape and bool((embedding - head).norm() < SAME_MATRIX * embedding.norm())


def _names(model: GgufModel, family: Family, config: ModelConfig) -> dict[str, str]:
    """Returns the stored name of every tensor of the family's checkpoint.

    Raises: CheckpointError when the file has more or less than that.
    """
    ours = {END_NAMES[name]: name for name in END_NAMES}
    for layer in range(config.num_layers):
        for theirs, name in LAYER_NAMES.items():
            for kind in ("weight", "bias"):
                ours[f"model.layers.{layer}.{name}.{kind}"] = f"blk.{layer}.{theirs}.{kind}"
    wanted = {piece.stored: ours[piece.stored] for piece in family.pieces(config, {}) if not piece.is_copy}
    ignored = {"output.weight"} if config.tied_head else set()
    unknown = sorted(model.tensors.keys() - set(wanted.values()) - ignored - {"rope_freqs.weight"})
    lacking = sorted(set(wanted.values()) - model.tensors.keys())
    if unknown or lacking or "rope_freqs.weight" in model.tensors:
        raise CheckpointError(
            f"{model.path}: missing tensors {lacking[:3]}, unknown tensors "
            f"{(unknown + sorted({'rope_freqs.weight'} & model.tensors.keys()))[:3]}; allowed: those of {family.name}"
        )
    return wanted


def _unpermute(model: GgufModel, name: str, config: ModelConfig) -> Tensor:
    """Returns a tensor; llama.cpp stores q and k of this architecture with rotary pairs interleaved."""
    values = model.tensor(name)
    if model.architecture != "llama" or name.split(".")[-2] not in ("attn_q", "attn_k"):
        return values
    heads = config.num_heads if ".attn_q." in name else config.num_kv_heads
    return values.unflatten(0, (heads, config.head_dim // 2, 2)).transpose(1, 2).flatten(0, 2).contiguous()
