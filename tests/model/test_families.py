"""Every family against transformers' own model: logits, decoding with a cache, and the way back into a folder."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from fulmen.errors import CheckpointError
from fulmen.model import Cache, Model
from fulmen.model.checkpoint import export_model, load_model
from fulmen.model.checkpoint.deepseek import DEEPSEEK_V3
from fulmen.model.checkpoint.load import find_family
from tests.model.families import CASES, draw_tokens, save_transformers

TOLERANCE = 5e-5
"""On logits of a scale of 10; the largest found of each family is in docs/checkpoints.md."""
EXPORTED = [case for case in CASES if case != "deepseek_v3-halves"]
"""Exports of DeepSeek-V3 are interleaved, as the released weights are."""


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_logits_and_cached_decoding_equal_transformers(case: str, tmp_path: Path) -> None:
    theirs = save_transformers(case, tmp_path / "model")
    ours = load_model(tmp_path / "model")
    token_ids = draw_tokens(2, 90)  # passes the 32 positions that scaled frequencies were made for
    expected = theirs(token_ids, use_cache=False).logits
    logits = ours(token_ids).logits
    print(f"{case}: largest difference {float((logits - expected).abs().max()):.1e}")
    assert expected.abs().max() > 5
    assert (logits - expected).abs().max() < TOLERANCE
    cache = Cache.allocate(ours.config, num_rows=2, max_length=90)
    pieces = [ours(part, cache=cache).logits for part in token_ids.split([40, 3, 1, 1, 45], dim=1)]
    assert (torch.cat(pieces, dim=1) - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("case", ["llama", "llama-yarn", "qwen2", "qwen3", "qwen3_moe", "mixtral", "deepseek_v3"])
@torch.no_grad()
def test_greedy_tokens_equal_transformers(case: str, tmp_path: Path) -> None:
    """Twenty tokens, ours one at a time from a cache; MiniMax's own cache is wrong in transformers and left out."""
    theirs = save_transformers(case, tmp_path / "model")
    ours = load_model(tmp_path / "model")
    prompt = draw_tokens(1, 12, seed=3)
    expected = theirs.generate(prompt, max_new_tokens=20, do_sample=False)[0, 12:].tolist()
    cache = Cache.allocate(ours.config, num_rows=1, max_length=40)
    found, step = [], prompt
    for _ in range(20):
        step = ours(step, cache=cache).logits[:, -1:].argmax(-1)
        found.append(int(step))
    assert found == expected
    assert len(set(found)) > 3


@pytest.mark.parametrize("case", EXPORTED)
@torch.no_grad()
def test_an_export_of_what_was_loaded_has_the_same_tensors_and_logits(case: str, tmp_path: Path) -> None:
    theirs = save_transformers(case, tmp_path / "model")
    ours = load_model(tmp_path / "model")
    family = find_family(tmp_path, json.loads((tmp_path / "model" / "config.json").read_text()))
    export_model(ours, tmp_path / "export", family)
    before, after = (load_file(tmp_path / folder / "model.safetensors") for folder in ("model", "export"))
    assert {name for name in before.keys() ^ after.keys() if "attn.slope" not in name and "_decay" not in name} == set()
    assert all(torch.equal(after[name], before[name]) for name in after)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "export", dtype=torch.float32).eval()
    token_ids = draw_tokens(1, 90)
    expected = theirs(token_ids, use_cache=False).logits
    assert torch.equal(again(token_ids, use_cache=False).logits, expected)
    reread = load_model(tmp_path / "export").state_dict()
    assert all(torch.equal(reread[name], tensor) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("case", ["llama", "deepseek_v3"])
def test_a_load_in_bfloat16_rounds_each_weight_once(case: str, tmp_path: Path) -> None:
    save_transformers(case, tmp_path / "model")
    exact, rounded = load_model(tmp_path / "model"), load_model(tmp_path / "model", dtype=torch.bfloat16)
    for name, tensor in rounded.state_dict().items():
        if name.endswith("gate.bias"):
            assert torch.equal(tensor, exact.state_dict()[name])
        else:
            assert torch.equal(tensor, exact.state_dict()[name].bfloat16())


def test_a_tied_head_is_one_parameter_and_stays_so_when_the_model_moves(tmp_path: Path) -> None:
    save_transformers("llama", tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert "lm_head.weight" not in model.state_dict()
    for moved in (model, model.double(), model.to("meta"), model.to_empty(device="cpu")):
        assert moved.lm_head.weight is moved.embed_tokens.weight
    count = sum(p.numel() for p in model.parameters())
    assert count == model.config.num_parameters()


@pytest.mark.parametrize("case", CASES)
def test_parameter_counts(case: str, tmp_path: Path) -> None:
    theirs = save_transformers(case, tmp_path / "model")
    config = load_model(tmp_path / "model", device="meta").config
    with torch.device("meta"):
        model = Model(config)
    count = sum(p.numel() for p in model.parameters())
    assert config.num_parameters() == count == sum(p.numel() for p in theirs.parameters())


def test_on_meta_no_weight_is_read(tmp_path: Path) -> None:
    save_transformers("qwen2", tmp_path / "model")
    model = load_model(tmp_path / "model", device="meta", dtype=torch.bfloat16)
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in model.parameters())


@pytest.mark.parametrize("case", ["llama-llama3-bias", "llama-yarn", "llama-linear", "deepseek_v3-yarn"])
@torch.no_grad()
def test_scaled_frequencies_matter(case: str, tmp_path: Path) -> None:
    save_transformers(case, tmp_path / "model")
    model = load_model(tmp_path / "model")
    plain = Model(model.config.replace(rope_scaling=None))
    plain.load_state_dict(model.state_dict())
    token_ids = draw_tokens(1, 90)
    assert (plain(token_ids).logits - model(token_ids).logits).abs().max() > 0.05


@torch.no_grad()
def test_the_correction_bias_and_the_groups_matter(tmp_path: Path) -> None:
    save_transformers("deepseek_v3", tmp_path / "model")
    model = load_model(tmp_path / "model")
    token_ids = draw_tokens(1, 60)
    expected = model(token_ids).logits
    router = model.config.router
    for changed in (dataclasses.replace(router, has_bias=False), dataclasses.replace(router, num_kept_groups=4)):
        other = Model(model.config.replace(router=changed))
        state = {n: t for n, t in model.state_dict().items() if changed.has_bias or not n.endswith("gate.bias")}
        other.load_state_dict(state)
        assert (other(token_ids).logits - expected).abs().max() > 0.05


def test_an_old_config_of_transformers_4_reads_alike(tmp_path: Path) -> None:
    """rope_theta and rope_scaling at the top level, as in folders written before transformers 5."""
    save_transformers("llama-yarn", tmp_path / "model")
    expected = load_model(tmp_path / "model", device="meta").config
    path = tmp_path / "model" / "config.json"
    record = json.loads(path.read_text())
    rope = record.pop("rope_parameters")
    record |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": {"type": rope.pop("rope_type"), **rope}}
    path.write_text(json.dumps(record))
    assert load_model(tmp_path / "model", device="meta").config == expected


def test_a_multi_token_module_is_loaded_when_it_is_stored(tmp_path: Path) -> None:
    """Layer 4 of a stack of 4: shared copies of embedding and head must agree; without it the config's 1 means 0."""
    save_transformers("deepseek_v3", tmp_path / "model")
    base = load_model(tmp_path / "model")
    model = Model(base.config.replace(mtp_depth=1), seed=3)
    model.load_state_dict({**model.state_dict(), **base.state_dict()})
    export_model(model, tmp_path / "mtp", DEEPSEEK_V3)
    path = tmp_path / "mtp" / "model.safetensors"
    tensors = load_file(path)
    assert tensors["model.layers.4.eh_proj.weight"].shape == (64, 128)
    assert torch.equal(tensors["model.layers.4.shared_head.norm.weight"], model.mtp[0].norm.weight)
    tensors["model.layers.4.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.4.shared_head.head.weight"] = tensors["lm_head.weight"].clone()
    save_file(tensors, path)
    (tmp_path / "mtp" / "manifest.json").unlink()
    again = load_model(tmp_path / "mtp")
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    token_ids = draw_tokens(1, 20)
    with torch.no_grad():
        ahead = again.encode(token_ids, with_mtp=True).mtp[0]
        assert torch.equal(ahead, model.encode(token_ids, with_mtp=True).mtp[0])
    tensors["model.layers.4.shared_head.head.weight"][0, 0] += 1
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"shared_head\.head\.weight differs from lm_head\.weight"):
        load_model(tmp_path / "mtp")
    save_file({name: tensor for name, tensor in tensors.items() if ".layers.4." not in name}, path)
    assert load_model(tmp_path / "mtp").config.mtp_depth == 0
