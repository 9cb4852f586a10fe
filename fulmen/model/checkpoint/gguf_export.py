"""MiniMax models to llama.cpp's GGUF (architecture `minimax-01`, release b10437 and later), tokenizer included.

Names of keys and tensors are those that llama.cpp reads; `attn_norm_2` is the norm over all lightning heads, to which
it applies `rms_norm_eps`. Left out: quantisation (llama-quantize does that). Not run under llama.cpp here.
"""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from fulmen.errors import ConfigError
from fulmen.model.checkpoint.minimax import MAX_POSITIONS, check_envelope
from fulmen.model.config import ModelConfig
from fulmen.model.transformer import Model
from fulmen.text.bpe import CONTROL, NORMAL, PRE_TOKENIZERS, UNUSED, Vocabulary, build_tokenizer
from fulmen.text.dialect import template_of
from fulmen.text.template import special_tokens
from fulmen.text.tokenizer import Tokenizer

ARCHITECTURE = "minimax-01"
BLOCK_NAMES = {
    "input_layernorm.weight": "attn_norm",
    "post_attention_layernorm.weight": "ffn_norm",
    "self_attn.qkv_proj.weight": "attn_qkv",
    "self_attn.output_gate.weight": "attn_gate",
    "self_attn.norm.weight": "attn_norm_2",
    "self_attn.out_proj.weight": "attn_output",
    "self_attn.q_proj.weight": "attn_q",
    "self_attn.k_proj.weight": "attn_k",
    "self_attn.v_proj.weight": "attn_v",
    "self_attn.o_proj.weight": "attn_output",
    "block_sparse_moe.gate.weight": "ffn_gate_inp",
    "block_sparse_moe.experts.w2": "ffn_down_exps",
}
"""Ends of our names and theirs; `w13` becomes `ffn_gate_exps` and `ffn_up_exps`."""
END_NAMES = {
    "embed_tokens.weight": "token_embd.weight",
    "norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PROBES = (
    "def f(x):\n    return x[1:-1]**2 + 34567 # it's  fine...\n\n\tNaïve 你好 — don't? (“yes”) 3.14e-10\r\n",
    "{'a': [1, 2], \"b\": None}; <think>\n2+2=4</think> >>> !!! $100 #12  ab12cd",
)


def check_gguf(config: ModelConfig) -> int:
    """Returns after how many layers a softmax layer comes.

    Raises: ConfigError for a model that llama.cpp's architecture cannot be.
    """
    check_envelope(config)
    stack = "".join(config.mixer(layer) for layer in range(config.num_layers))
    interval = stack.find("S") + 1
    expected = "".join("S" if interval and (i + 1) % interval == 0 else "L" for i in range(len(stack)))
    if not interval or stack != expected or interval == 1:
        raise ConfigError(f"mixers={config.mixers!r}; allowed in a GGUF file: L, with S as every n-th layer")
    if config.residual_beta != 1.0 or config.num_heads & (config.num_heads - 1):
        raise ConfigError(
            f"residual_beta={config.residual_beta}, num_heads={config.num_heads}; allowed in a GGUF file: 1.0, and a "
            "power of two"
        )
    return interval


def write_gguf(model: Model, path: Path, *, tokenizer: Tokenizer) -> None:
    """Writes one GGUF file; matrices keep float32 or bfloat16, norms and routers are float32.

    Raises: ConfigError, before anything is written, for a model or tokenizer that llama.cpp cannot follow.
    """
    interval = check_gguf(model.config)
    vocabulary = read_vocabulary(tokenizer, model.config.vocab_size)
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    _add_fields(writer, model.config, interval)
    _add_tokenizer(writer, tokenizer, vocabulary)
    for name, tensor in _tensors(model):
        is_small = tensor.ndim == 1 or "ffn_gate_inp" in name
        values = np.ascontiguousarray(tensor.detach().float().cpu().numpy())
        if tensor.dtype == torch.bfloat16 and not is_small:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(model: Model) -> list[tuple[str, Tensor]]:
    tensors = []
    for name, tensor in model.state_dict().items():
        if name in END_NAMES:
            tensors.append((END_NAMES[name], tensor))
            continue
        _, layer, end = name.split(".", 2)
        if end == "block_sparse_moe.experts.w13":
            gate, up = tensor.chunk(2, dim=1)
            tensors += [(f"blk.{layer}.ffn_gate_exps.weight", gate), (f"blk.{layer}.ffn_up_exps.weight", up)]
        else:
            tensors.append((f"blk.{layer}.{BLOCK_NAMES[end]}.weight", tensor))
    return tensors


def _add_fields(writer: gguf.GGUFWriter, config: ModelConfig, interval: int) -> None:
    writer.add_type("model")
    writer.add_context_length(MAX_POSITIONS)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_dimension_count(config.rotary_width)
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(config.num_experts_per_token)
    writer.add_residual_scale(config.alpha)
    writer.add_full_attention_interval(interval)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.kinds))
    writer.add_token_merges(list(vocabulary.merges))
    template = template_of(tokenizer)
    writer.add_eos_token_id(tokenizer.end_id)
    if "bos_token" in template.tokens:
        writer.add_bos_token_id(tokenizer.ids[template.tokens["bos_token"]])
    writer.add_add_bos_token(False)
    writer.add_chat_template(template.source)
    padding = [index for index, kind in enumerate(vocabulary.kinds) if kind == UNUSED]
    if padding:
        writer.add_array("tokenizer.ggml.suppress_tokens", padding)


def read_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> Vocabulary:
    """Returns tokens, kinds and merges, and the name of the first known cutting rule that gives the same tokens.

    Rows beyond the tokenizer's are named [PADn] and marked unused.

    Raises: ConfigError when no rule of llama.cpp's does.
    """
    model = _bpe_model(tokenizer)
    special = special_tokens(tokenizer.backend)
    by_id = {index: token for token, index in {**model["vocab"], **special}.items()}
    tokens = [by_id.get(index, f"[PAD{index}]") for index in range(vocab_size)]
    kinds = [
        UNUSED if index not in by_id else CONTROL if by_id[index] in special else NORMAL for index in range(vocab_size)
    ]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    probes = [*PROBES, *(tokenizer.decode([index, index]) for index in by_id if index not in special.values())]
    for pre in PRE_TOKENIZERS:
        vocabulary = Vocabulary(tokens=tokens, kinds=kinds, merges=merges, pre=pre)
        backend = build_tokenizer(vocabulary)
        backend.encode_special_tokens = True
        if all(backend.encode(probe, add_special_tokens=False).ids == tokenizer.encode(probe) for probe in probes):
            return vocabulary
    raise ConfigError(f"the tokenizer cuts text by another rule than {', '.join(PRE_TOKENIZERS)}; allowed: these")


def _bpe_model(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the `model` part of tokenizer.json.

    Raises: ConfigError when it is no byte-level BPE.
    """
    model = json.loads(tokenizer.backend.to_str())["model"]
    if model.get("type") != "BPE":
        raise ConfigError(f"tokenizer model={model.get('type')!r}; allowed in a GGUF file: 'BPE'")
    return dict(model)
