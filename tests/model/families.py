"""Tiny random checkpoints of every family, made and saved by transformers, for tests of loading and exporting."""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

VOCAB_SIZE = 96
BASE: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "initializer_range": 0.2,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 4.0,
    "beta_slow": 1.0,
}  # fmt: skip
DEEPSEEK: dict[str, Any] = {
    **BASE, "hidden_size": 64, "num_hidden_layers": 4, "num_key_value_heads": 4, "first_k_dense_replace": 1,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "q_lora_rank": 24, "kv_lora_rank": 16,
    "intermediate_size": 128, "moe_intermediate_size": 32, "n_routed_experts": 16, "n_shared_experts": 1,
    "num_experts_per_tok": 4, "n_group": 4, "topk_group": 2, "routed_scaling_factor": 2.5, "num_mtp_layers": 0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}, "initializer_range": 0.1,
}  # fmt: skip

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**BASE, "intermediate_size": 48, "tie_word_embeddings": True}),
    "llama-llama3-bias": (
        "Llama",
        {**BASE, "intermediate_size": 48, "rope_parameters": LLAMA3, "head_dim": 16, "attention_bias": True},
    ),
    "llama-yarn": ("Llama", {**BASE, "intermediate_size": 48, "rope_parameters": YARN}),
    "llama-linear": (
        "Llama",
        {**BASE, "intermediate_size": 48, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}},
    ),
    "qwen2": ("Qwen2", {**BASE, "intermediate_size": 48, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**BASE, "intermediate_size": 48, "head_dim": 16}),
    "qwen3_moe": (
        "Qwen3Moe",
        {
            **BASE, "head_dim": 16, "intermediate_size": 48, "moe_intermediate_size": 24, "num_experts": 6,
            "num_experts_per_tok": 2, "norm_topk_prob": True, "mlp_only_layers": [1],
        },
    ),
    "qwen3_moe-raw": (
        "Qwen3Moe",
        {
            **BASE, "head_dim": 16, "intermediate_size": 48, "moe_intermediate_size": 24, "num_experts": 6,
            "num_experts_per_tok": 3, "norm_topk_prob": False,
        },
    ),
    "mixtral": ("Mixtral", {**BASE, "intermediate_size": 48, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "deepseek_v3": ("DeepseekV3", DEEPSEEK),
    "deepseek_v3-yarn": (
        "DeepseekV3",
        {**DEEPSEEK, "rope_parameters": {**YARN, "rope_theta": 1e4, "mscale": 1.0, "mscale_all_dim": 1.0}},
    ),
    "deepseek_v3-halves": ("DeepseekV3", {**DEEPSEEK, "rope_interleave": False, "q_lora_rank": None}),
    "minimax": (
        "MiniMax",
        {
            **BASE, "num_hidden_layers": 4, "intermediate_size": 48, "head_dim": 16, "num_local_experts": 4,
            "num_experts_per_tok": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
            "layer_types": ["linear_attention", "full_attention"] * 2,
            **{f"{branch}_{kind}_factor": value for branch in ("linear_attn", "full_attn", "mlp")
               for kind, value in (("alpha", 1.5), ("beta", 1.0))},
        },
    ),
}  # fmt: skip
"""Name and settings of each case; the part before the dash is the family."""


def make_transformers(case: str) -> Any:
    """Returns a random float32 model whose every parameter and buffer matters, with logits of a scale of about 10."""
    prefix, settings = CASES[case]
    torch.manual_seed(0)
    config = getattr(transformers, f"{prefix}Config")(**settings)
    model = getattr(transformers, f"{prefix}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if "norm" in name:
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(".bias") or "correction_bias" in name:
                tensor.uniform_(-0.3, 0.3)
            elif name.endswith("gate.weight"):
                tensor.normal_(0.0, 0.3)
        scale = 10.0 / model(draw_tokens(1, 64), use_cache=False).logits.abs().max()
        (model.model.norm if config.tie_word_embeddings else model.lm_head).weight.mul_(scale)
    return model


def save_transformers(case: str, folder: Path, **options: Any) -> Any:
    """Writes a random model as a folder and returns it."""
    model = make_transformers(case)
    model.save_pretrained(folder, **options)
    return model


def draw_tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(VOCAB_SIZE, shape, generator=torch.Generator().manual_seed(seed))
