"""Folders that must not load: each is refused in one line naming file, tensor, what was found and what is allowed."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fulmen.errors import CheckpointError
from fulmen.model.checkpoint import export_model, load_model
from fulmen.model.checkpoint.llama import LLAMA
from fulmen.model.checkpoint.shards import Shards, write_shards
from tests.model.families import save_transformers

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a tiny Llama in three shards."""
    save_transformers("llama-yarn", tmp_path / "model", max_shard_size="40KB")
    return tmp_path / "model"


def shard_of(folder: Path, name: str) -> Path:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    return folder / str(index["weight_map"][name])


def edit_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_shards_give_the_same_model_as_one_file(folder: Path, tmp_path: Path) -> None:
    assert len(list(folder.glob("*.safetensors"))) >= 3
    save_transformers("llama-yarn", tmp_path / "single")
    shards, single = load_model(folder).state_dict(), load_model(tmp_path / "single").state_dict()
    assert all(torch.equal(shards[name], tensor) for name, tensor in single.items())


def test_a_missing_shard(folder: Path) -> None:
    path = shard_of(folder, Q_PROJ)
    path.unlink()
    assert f"{path}: missing; model.safetensors.index.json lists it" in refusal(folder)


def test_a_truncated_shard(folder: Path) -> None:
    path = shard_of(folder, Q_PROJ)
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path}: not a whole safetensors file" in refusal(folder)


def test_a_tensor_that_its_shard_lacks(folder: Path) -> None:
    path = shard_of(folder, Q_PROJ)
    edit_tensors(path, lambda tensors: tensors.pop(Q_PROJ))
    assert refusal(folder) == f"{path}: {Q_PROJ} is missing; model.safetensors.index.json lists it there"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_value_that_is_no_number(folder: Path, value: float) -> None:
    path = shard_of(folder, Q_PROJ)
    edit_tensors(path, lambda tensors: tensors[Q_PROJ].view(-1)[5:7].fill_(value))
    assert refusal(folder) == f"{path}: {Q_PROJ} has 2 values that are NaN or infinite; allowed: 0"


def test_a_wrong_shape(folder: Path) -> None:
    path = shard_of(folder, Q_PROJ)
    edit_tensors(path, lambda tensors: tensors.update({Q_PROJ: torch.zeros(32, 31)}))
    assert refusal(folder) == f"{path}: {Q_PROJ} has shape [32, 31]; the config asks for [32, 32]"


def test_an_unknown_architecture(folder: Path) -> None:
    edit_config(folder, architectures=["BertModel"], model_type="bert")
    message = refusal(folder)
    assert "config.json: architectures=['BertModel'], model_type='bert'; allowed: MiniMaxM1ForCausalLM" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 3}, "num_kv_heads=3; allowed: divisors of num_heads=4"),
        ({"num_hidden_layers": "3"}, "num_hidden_layers='3'; allowed: an integer"),
        ({"num_hidden_layers": 4}, "9 tensors of the model are missing ['model.layers.3.input_layernorm.weight'"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'; allowed: 'silu'"),
        ({"rope_theta": 7.0}, "rope_theta has two values, [7.0, 100.0]; allowed: one"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1.0}}, "rope_type='longrope'; allowed: default"),
        ({"vocab_size": None}, "vocab_size is missing"),
        ({"head_dim": 7}, "rotary_dim=7; allowed: even"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps='small'; allowed: a number"),
        ({"num_key_value_heads": "two"}, "num_key_value_heads='two'; allowed: an integer"),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": "x", "rope_theta": 100.0}},
            "factor='x'; allowed: a number",
        ),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 100.0}}, "lacks factor"),
        ({"architectures": 7, "model_type": None}, "architectures=7, model_type=None; allowed: MiniMaxM1ForCausalLM"),
        ({"architectures": [7]}, "architectures=[7]"),
    ],
)
def test_a_config_that_contradicts_itself_or_the_weights(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    edit_config(folder, **changes)
    assert message in refusal(folder)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pickle_is_never_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_transformers("qwen2", folder)
    (folder / "model.safetensors").unlink()
    trace = tmp_path / "trace"
    (folder / name).write_bytes(pickle.dumps(Bomb(trace)))
    message = refusal(folder)
    assert "a pickle, which is never read" in message
    assert name in message
    assert not trace.exists()


def test_an_index_that_points_out_of_the_folder(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"][Q_PROJ] = "../elsewhere.safetensors"
    path.write_text(json.dumps(index))
    assert "lies in '../elsewhere.safetensors'; allowed: a file's name" in refusal(folder)


def test_two_different_heads_for_a_tied_model(tmp_path: Path) -> None:
    save_transformers("qwen2", tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    edit_tensors(path, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    load_model(tmp_path / "model")
    edit_tensors(path, lambda t: t["lm_head.weight"].view(-1)[3:4].add_(1.0))
    assert "lm_head.weight differs from embed_tokens.weight" in refusal(tmp_path / "model")


def test_float8_weights_are_multiplied_by_the_scale_of_their_block(tmp_path: Path) -> None:
    """Blocks of 128 x 128, ragged at the edge; by hand, block by block."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(200, 130, generator=generator).to(torch.float8_e4m3fn)
    scale = torch.rand(2, 2, generator=generator) + 0.5
    save_file({"w": weight, "w_scale_inv": scale}, tmp_path / "model.safetensors")
    ((_, found),) = Shards(tmp_path).read({"w"})
    for i in range(2):
        for j in range(2):
            block = (slice(128 * i, 128 * (i + 1)), slice(128 * j, 128 * (j + 1)))
            assert torch.equal(found[block], weight.float()[block] * scale[i, j])
    save_file({"w": weight, "w_scale_inv": scale[:1].clone()}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"w is float8 and w_scale_inv has shape \(1, 2\); allowed: \(2, 2\)"):
        list(Shards(tmp_path).read({"w"}))


def test_loading_holds_one_tensor_beside_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted: when a tensor is handed over, the one before it is no longer referenced by the reader."""
    import weakref

    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0
    original = Shards.read

    def counted(self: Shards, names: set[str]) -> Any:
        nonlocal most
        for name, tensor in original(self, names):
            alive.append(weakref.ref(tensor))
            most = max(most, sum(reference() is not None for reference in alive))
            yield name, tensor

    monkeypatch.setattr(Shards, "read", counted)
    load_model(folder)
    assert len(alive) > 20
    assert most <= 2


def test_an_export_that_fails_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    with torch.no_grad():
        model.norm.weight[0] = torch.nan
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"norm\.weight has values that are NaN or infinite"):
        export_model(model, tmp_path / "export", LLAMA)

    def fail(path: Path) -> None:
        raise OSError("no space left")

    with torch.no_grad():
        model.norm.weight[0] = 1.0
    with pytest.raises(CheckpointError, match="no space left"):
        export_model(model, tmp_path / "export", LLAMA, write_more=fail)
    assert sorted(tmp_path.iterdir()) == before


def test_shards_are_written_up_to_their_size_with_an_index(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    export_model(model, tmp_path / "export", LLAMA, shard_bytes=40_000)
    files = sorted(path.name for path in (tmp_path / "export").glob("*.safetensors"))
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert len(files) >= 3
    again = load_model(tmp_path / "export").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())
    write_shards(tmp_path, iter([("a", torch.ones(2))]), with_index=True)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index == {"metadata": {"total_size": 8}, "weight_map": {"a": "model.safetensors"}}
