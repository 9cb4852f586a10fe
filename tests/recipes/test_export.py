"""fulmen export: other tools find the same model, tokenizer and end token; refusals come before anything is written."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers

from fulmen import cli
from fulmen.model import Model, ModelConfig
from fulmen.model.checkpoint import load_model, save_model
from fulmen.model.checkpoint.gguf import read_gguf, read_tokenizer
from fulmen.model.config import RouterShape
from fulmen.text import Tokenizer
from fulmen.text.chat import encode_conversation, encode_prompt
from fulmen.types import Message
from tests.recipes.toy import even_length_mixture

TALK = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="2 + 2 (quickly)?"),
    Message(role="assistant", content="four", thinking="two and two"),
    Message(role="user", content="and 3?"),
]


def make_checkpoint(folder: Path, **changes: object) -> Model:
    """Writes a tiny hybrid with a tokenizer of its own; five rows of the head are padding."""
    env = even_length_mixture()
    texts = [message.content for index in range(50) for message in env.task("train", seed=0, index=index).prompt]
    tokenizer = Tokenizer.train([*texts, "and (so on), it's 12 or 345..."], vocab_size=300)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size + 5, hidden_size=32, num_layers=8, num_heads=2, num_kv_heads=1, head_dim=16,
        intermediate_size=16, num_experts=4, rope_theta=1e4,
    ).replace(**changes)  # fmt: skip
    model = Model(config, seed=1)
    save_model(model, folder, tokenizer=tokenizer)
    return model


def failure(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(argv))
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("format", ["hf", "m1"])
def test_exports_come_back_bit_equal_and_load_again(format: str, tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "mine")
    cli.main(["export", str(tmp_path / "mine"), str(tmp_path / "out"), "--format", format])
    again = load_model(tmp_path / "out")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    tokenizer = Tokenizer.load(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "config.json").read_text())
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert record["eos_token_id"] == generation["eos_token_id"] == tokenizer.end_id
    assert encode_prompt(tokenizer, TALK) == encode_prompt(Tokenizer.load(tmp_path / "mine"), TALK)
    assert (tmp_path / "out" / "model.safetensors.index.json").exists() == (format == "m1")
    assert ("rotary_dim" in record) == (format == "m1")


@torch.no_grad()
def test_transformers_reads_weights_tokenizer_and_template(tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "mine")
    cli.main(["export", str(tmp_path / "mine"), str(tmp_path / "out")])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    tokenizer = Tokenizer.load(tmp_path / "mine")
    chat = [{"role": m.role, "content": m.content, "reasoning_content": m.thinking} for m in TALK]
    ids = their_tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
    assert ids == encode_conversation(tokenizer, TALK).token_ids
    ids = their_tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids == encode_prompt(tokenizer, TALK)
    assert their_tokenizer.eos_token_id == theirs.generation_config.eos_token_id == tokenizer.end_id
    token_ids = torch.tensor([ids])
    assert (theirs(token_ids, use_cache=False).logits - model(token_ids).logits).abs().max() < 1e-5
    greedy = theirs.generate(token_ids, attention_mask=torch.ones_like(token_ids), max_new_tokens=8, do_sample=False)
    mine = token_ids
    for _ in range(greedy.shape[1] - token_ids.shape[1]):
        mine = torch.cat((mine, model(mine).logits[:, -1:].argmax(-1)), dim=1)
    assert greedy.tolist() == mine.tolist()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_independent_reader_finds_the_tensors_in_the_gguf(dtype: str, tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "mine")
    cli.main(["export", str(tmp_path / "mine"), str(tmp_path / "out"), "--format", "gguf", "--dtype", dtype])
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    stored = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    state = model.to(getattr(torch, dtype)).state_dict()
    assert len(stored) == 3 + 8 * (2 + 4 + 4)
    for theirs, mine in {
        "token_embd.weight": state["embed_tokens.weight"],
        "output.weight": state["lm_head.weight"],
        "blk.0.attn_qkv.weight": state["layers.0.self_attn.qkv_proj.weight"],
        "blk.0.attn_norm_2.weight": state["layers.0.self_attn.norm.weight"],
        "blk.0.attn_gate.weight": state["layers.0.self_attn.output_gate.weight"],
        "blk.7.attn_q.weight": state["layers.7.self_attn.q_proj.weight"],
        "blk.3.ffn_gate_exps.weight": state["layers.3.block_sparse_moe.experts.w13"][:, :16],
        "blk.3.ffn_up_exps.weight": state["layers.3.block_sparse_moe.experts.w13"][:, 16:],
        "blk.3.ffn_down_exps.weight": state["layers.3.block_sparse_moe.experts.w2"],
        "blk.3.ffn_gate_inp.weight": state["layers.3.block_sparse_moe.gate.weight"],
    }.items():
        assert np.array_equal(stored[theirs], mine.float().numpy()), theirs
    fields = {name: field.contents() for name, field in reader.fields.items()}
    expected = {
        "general.architecture": "minimax-01", "minimax-01.block_count": 8, "minimax-01.rope.dimension_count": 8,
        "minimax-01.full_attention_interval": 8, "minimax-01.expert_used_count": 2,
        "minimax-01.attention.key_length": 16,
    }  # fmt: skip
    assert {name: fields[name] for name in expected} == expected
    assert fields["minimax-01.residual_scale"] == pytest.approx(model.config.alpha)
    assert fields["tokenizer.ggml.suppress_tokens"] == list(range(len(fields["tokenizer.ggml.tokens"]) - 5,
                                                                  len(fields["tokenizer.ggml.tokens"])))  # fmt: skip


def test_the_gguf_holds_the_same_tokenizer(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "mine")
    cli.main(["export", str(tmp_path / "mine"), str(tmp_path / "out"), "--format", "gguf"])
    found = read_tokenizer(read_gguf(tmp_path / "out" / "model.gguf"))
    tokenizer = Tokenizer.load(tmp_path / "mine")
    assert found.end_id == tokenizer.end_id
    for text in ("Use 3 7 9 once each to make 30.", "(a)...  b, don't!\n\n{1: 22}", "ünï 你好\t<think>"):
        assert found.encode(text) == tokenizer.encode(text)
    assert encode_prompt(found, TALK) == encode_prompt(tokenizer, TALK)


@pytest.mark.parametrize(
    ("changes", "format", "message"),
    [
        ({"residual": "plain"}, "hf", "no class of transformers is this model"),
        ({"residual": "plain"}, "m1", "residual='plain'; allowed in a MiniMax checkpoint: 'normed'"),
        ({"num_shared_experts": 1}, "gguf", "num_shared_experts=1; allowed in a MiniMax checkpoint: 0"),
        ({"mixers": "LSSL"}, "gguf", "mixers='LSSL'; allowed in a GGUF file: L, with S as every n-th layer"),
        ({"residual_beta": 0.5}, "gguf", "residual_beta=0.5, num_heads=2; allowed in a GGUF file: 1.0"),
        ({"router": RouterShape(score="sigmoid")}, "m1", "router=RouterShape(score='sigmoid'"),
        ({"lightning_norm_eps": 1e-5}, "m1", "lightning_norm_eps=1e-05; minimax_m1 would read 1e-06"),
    ],
)
def test_a_model_that_a_format_cannot_be_is_refused(
    changes: dict[str, object], format: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_checkpoint(tmp_path / "mine", **changes)
    before = sorted(tmp_path.iterdir())
    error = failure(capsys, "export", str(tmp_path / "mine"), str(tmp_path / "out"), "--format", format)
    assert message in error
    assert sorted(tmp_path.iterdir()) == before


def test_an_export_never_replaces_a_folder_that_is_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_checkpoint(tmp_path / "mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep.txt").write_text("mine")
    assert "not replaced" in failure(capsys, "export", str(tmp_path / "mine"), str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["keep.txt"]
