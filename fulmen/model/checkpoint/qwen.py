"""Qwen2 (and 2.5), Qwen3 and Qwen3-MoE: settings of the shared pre-norm decoder."""

from fulmen.model.checkpoint.llama import Decoder

QWEN2 = Decoder(name="qwen2", architectures=("Qwen2ForCausalLM",), model_types=("qwen2",), bias="qkv")
QWEN3 = Decoder(name="qwen3", architectures=("Qwen3ForCausalLM",), model_types=("qwen3",), bias="config", qk_norm=True)
QWEN3_MOE = Decoder(
    name="qwen3_moe", architectures=("Qwen3MoeForCausalLM",), model_types=("qwen3_moe",), bias="config", qk_norm=True,
    experts="qwen",
)  # fmt: skip
