"""Checkpoint folders: what comes back, what is refused and in which words, and that they are whole or not there."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fulmen.errors import CheckpointError
from fulmen.model import PRESETS, Model, ModelConfig
from fulmen.model.checkpoint import load_model, save_model, verify_folder, write_folder
from fulmen.text import Tokenizer

CONFIG = ModelConfig(
    vocab_size=64, hidden_size=16, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=8,
    intermediate_size=8, num_experts=3, mixers="LLS", rope_theta=123.4, residual_alpha=1.1, rms_norm_eps=3e-6,
)  # fmt: skip
FILES = ["config.json", "manifest.json", "model.safetensors"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns the folder of a saved model, alone in its parent."""
    save_model(Model(CONFIG, seed=3), tmp_path / "model")
    return tmp_path / "model"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def edit_manifest(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def seal(folder: Path) -> None:
    """Makes the manifest agree with the files again: what is wrong must then be found in the files themselves."""
    files = [path for path in folder.iterdir() if path.name != "manifest.json"]
    entries = {
        path.name: {
            "size_bytes": path.stat().st_size,
            "blake2b": hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest(),
        }
        for path in files
    }
    (folder / "manifest.json").write_text(json.dumps(entries))


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    seal(folder)


def refusal(folder: Path) -> str:
    """Returns the one line with which loading is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_model_comes_back_bit_equal(tmp_path: Path, dtype: torch.dtype) -> None:
    model = Model(CONFIG, seed=3).to(dtype)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model", dtype=dtype)
    assert loaded.config == CONFIG
    saved_state, state = model.state_dict(), loaded.state_dict()
    assert list(state) == list(saved_state)
    assert all(torch.equal(state[name], saved_state[name]) for name in state)
    assert all(parameter.dtype == dtype and parameter.requires_grad for parameter in loaded.parameters())
    token_ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(loaded(token_ids).logits, model(token_ids).logits)
    assert sorted(contents(tmp_path / "model")) == FILES


def test_parameters_are_cast_to_the_dtype_asked_for(folder: Path) -> None:
    exact, rounded = load_model(folder), load_model(folder, dtype=torch.bfloat16)
    for mine, its in zip(rounded.parameters(), exact.parameters(), strict=True):
        assert torch.equal(mine, its.bfloat16())


def test_a_tokenizer_comes_back_from_the_same_folder(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(["some words", "some more words"], vocab_size=280)
    save_model(Model(CONFIG), tmp_path / "model", tokenizer=tokenizer)
    assert sorted(contents(tmp_path / "model")) == [*FILES, "tokenizer.json"]
    assert Tokenizer.load(tmp_path / "model").encode("some words?") == tokenizer.encode("some words?")
    load_model(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text("{}")
    assert "tokenizer.json: 2 bytes; manifest.json says" in refusal(tmp_path / "model")


def test_files_are_what_the_module_says(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == "fulmen"
    assert config["format"] == 1
    assert config["mixers"] == "LLS"
    assert config["rotary_dim"] is None
    assert load_file(folder / "model.safetensors").keys() == Model(CONFIG).state_dict().keys()
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("config.json", "model.safetensors"):
        data = (folder / name).read_bytes()
        assert manifest[name] == {
            "size_bytes": len(data),
            "blake2b": hashlib.blake2b(data, digest_size=32).hexdigest(),
        }


def test_every_preset_survives_the_config_file(tmp_path: Path) -> None:
    """Floats and None among the fields come back as they were; the weights of a small stand-in are refused last."""
    for name, config in PRESETS.items():
        save_model(Model(CONFIG), tmp_path / name)
        edit_config(tmp_path / name, **dataclasses.asdict(config))
        assert "the config asks for" in refusal(tmp_path / name) or "are missing" in refusal(tmp_path / name)


def test_loading_draws_no_random_numbers(folder: Path) -> None:
    before = torch.get_rng_state()
    load_model(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such folder"


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")
    assert refusal(tmp_path / "model") == f"{tmp_path / 'model'}: no such folder"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"{folder / name}: missing; manifest.json lists it"


def test_a_missing_manifest_is_named(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert refusal(folder) == f"{folder / 'manifest.json'}: missing or unreadable (No such file or directory)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"config.json": {"size_bytes": 3}}', "an entry lacks size_bytes or blake2b"),
        ('{"config.json": 3}', "an entry lacks size_bytes or blake2b"),
    ],
)
def test_a_broken_manifest_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    assert refusal(folder).startswith(f"{folder / 'manifest.json'}: {message}")


def test_a_file_that_the_manifest_does_not_list_does_not_count(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.pop("model.safetensors"))
    assert refusal(folder) == f"{folder / 'model.safetensors'}: not listed in manifest.json; the checkpoint needs it"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_truncated_file_is_named_with_both_sizes(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1])
    assert refusal(folder) == (f"{folder / name}: {len(data) - 1} bytes; manifest.json says {len(data)} (truncated?)")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("place", [0, -1])
def test_one_flipped_bit_is_found(folder: Path, name: str, place: int) -> None:
    data = bytearray((folder / name).read_bytes())
    data[place] ^= 1
    (folder / name).write_bytes(data)
    assert refusal(folder) == f"{folder / name}: content differs from its hash in manifest.json (corrupted)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "model_type='fulmen', format=2; allowed: 'fulmen', 1"),
        ({"dropout": 0.1, "bias": 1}, "unknown fields ['bias', 'dropout'], missing fields []"),
        ({"num_layers": "3"}, "num_layers='3'; allowed: <class 'int'>"),
        ({"num_layers": True}, "num_layers=True; allowed: <class 'int'>"),
        ({"rotary_dim": 2.5}, "rotary_dim=2.5; allowed: int | None"),
        ({"num_layers": 0}, "num_layers=0; allowed: at least 1"),
        ({"mixers": "LQ"}, "mixers='LQ'; allowed: a non-empty pattern of L (lightning), S (softmax), M (latent)"),
        ({"qk_norm": 1}, "qk_norm=1; allowed: <class 'bool'>"),
        ({"residual": "odd"}, "residual='odd'; allowed: typing.Literal['normed', 'plain']"),
        ({"router": {"score": "softmax", "depth": 2}}, "router: unknown fields ['depth'], missing fields []"),
        ({"mla": {"kv_rank": 2}}, "mla: unknown fields [], missing fields ['rope_dim', 'value_dim']"),
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    edit_config(folder, **changes)
    assert refusal(folder) == f"{folder / 'config.json'}: {message}"


def test_a_checkpoint_of_an_unknown_family_is_refused(folder: Path) -> None:
    edit_config(folder, model_type="gpt2")
    message = refusal(folder)
    assert message.startswith(f"{folder / 'config.json'}: architectures=[], model_type='gpt2'; allowed: MiniMaxM1")
    assert "LlamaForCausalLM" in message


def test_a_config_that_lacks_fields_is_refused(folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text())
    del record["num_heads"], record["vocab_size"]
    (folder / "config.json").write_text(json.dumps(record))
    seal(folder)
    assert refusal(folder) == f"{folder / 'config.json'}: unknown fields [], missing fields ['num_heads', 'vocab_size']"


def test_a_field_that_came_later_has_its_default(folder: Path) -> None:
    record = json.loads((folder / "config.json").read_text())
    del record["lightning_norm_eps"]
    (folder / "config.json").write_text(json.dumps(record))
    seal(folder)
    assert load_model(folder).config == CONFIG


def test_whole_numbers_may_stand_for_floats(folder: Path) -> None:
    """ModelConfig(rope_theta=10000) is right in Python and is written as it is."""
    edit_config(folder, rope_theta=10000, residual_alpha=2)
    config = load_model(folder).config
    assert (config.rope_theta, config.residual_alpha) == (10000.0, 2.0)
    assert type(config.rope_theta) is type(config.residual_alpha) is float


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    seal(folder)


def test_weights_that_lack_tensors_are_refused_with_the_names(folder: Path) -> None:
    edit_weights(folder, lambda state: state.pop("norm.weight"))
    assert refusal(folder) == (
        f"{folder / 'model.safetensors'}: 1 tensors of the model are missing ['norm.weight'], 0 are not the model's []"
    )


def test_weights_with_more_tensors_are_refused_with_the_names(folder: Path) -> None:
    """A layer that the config does not know, say: the model would silently be a shallower one."""
    edit_weights(folder, lambda state: state.update({"layers.3": torch.zeros(1)}))
    assert refusal(folder) == (
        f"{folder / 'model.safetensors'}: 0 tensors of the model are missing [], 1 are not the model's ['layers.3']"
    )


def test_weights_with_other_names_are_refused_with_both(folder: Path) -> None:
    def rename(state: dict[str, torch.Tensor]) -> None:
        state["model.norm.weight"] = state.pop("norm.weight")

    edit_weights(folder, rename)
    message = refusal(folder)
    assert "1 tensors of the model are missing ['norm.weight']" in message
    assert "1 are not the model's ['model.norm.weight']" in message


def test_weights_of_another_shape_are_refused_with_both(folder: Path) -> None:
    edit_config(folder, vocab_size=65)
    name = "(embed_tokens|lm_head)"
    with pytest.raises(CheckpointError, match=rf"{name}.weight has shape \[64, 16\]; the config asks for \[65, 16\]"):
        load_model(folder)


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"PK\x03\x04 not what it says")
    seal(folder)
    assert refusal(folder).startswith(f"{folder / 'model.safetensors'}: not a safetensors file (")


def test_a_writer_that_raises_leaves_the_old_folder_and_nothing_else(folder: Path) -> None:
    before = contents(folder)

    def fail(path: Path) -> None:
        (path / "model.safetensors").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, fail)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_writer_that_raises_leaves_no_new_folder(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        write_folder(tmp_path / "new", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_checkpoint_error(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match=r"new: cannot be written .*No space left on device"):
        write_folder(tmp_path / "new", fail)
    assert list(tmp_path.iterdir()) == []


def test_the_old_folder_is_whole_until_the_new_one_is(folder: Path) -> None:
    before = contents(folder)

    def write(path: Path) -> None:
        assert path.parent.parent == folder.parent, "another file system could not rename it"
        (path / "a.txt").write_text("a")
        assert contents(folder) == before
        verify_folder(folder)

    write_folder(folder, write)
    assert sorted(contents(folder)) == ["a.txt", "manifest.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("failing", ["first", "second"])
def test_a_rename_that_fails_brings_the_old_folder_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before, rename, calls = contents(folder), Path.rename, 0

    def refuse(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == (1 if failing == "first" else 2):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CheckpointError, match=r"model: cannot be written .*Input/output error"):
        save_model(Model(CONFIG, seed=4), folder)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_when_no_rename_works_both_checkpoints_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename, calls = contents(folder), Path.rename, 0

    def refuse(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_model(Model(CONFIG, seed=4), folder)
    (holder,) = folder.parent.iterdir()
    assert contents(holder / "old") == before
    verify_folder(holder / "new")


def test_saving_again_replaces_the_weights(folder: Path) -> None:
    save_model(Model(CONFIG, seed=4), folder)
    assert torch.equal(load_model(folder).lm_head.weight, Model(CONFIG, seed=4).lm_head.weight)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_checkpoint_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="home: exists and is no checkpoint"):
        save_model(Model(CONFIG), tmp_path / "home")
    assert contents(tmp_path / "home") == {"thesis.txt": b"years of work"}


def test_a_link_keeps_pointing_at_the_checkpoint_it_names(folder: Path) -> None:
    link = folder.parent / "latest"
    link.symlink_to(folder, target_is_directory=True)
    save_model(Model(CONFIG, seed=5), link)
    assert link.is_symlink()
    assert torch.equal(load_model(folder).lm_head.weight, Model(CONFIG, seed=5).lm_head.weight)


def test_parents_are_made_and_subfolders_are_covered(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        (path / "optimizer").mkdir()
        (path / "optimizer" / "moments.bin").write_bytes(b"123")
        (path / "empty.txt").touch()

    folder = tmp_path / "runs" / "mine"
    write_folder(folder, write)
    verify_folder(folder, required=("optimizer/moments.bin", "empty.txt"))
    (folder / "optimizer" / "moments.bin").write_bytes(b"124")
    with pytest.raises(CheckpointError, match=r"optimizer/moments\.bin: content differs"):
        verify_folder(folder)


def test_everything_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(descriptor: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        events.append(f"rename {self.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    write_folder(tmp_path / "model", lambda path: (path / "a.txt").touch())
    assert events == ["a.txt", "manifest.json", "new", "rename new", tmp_path.name]
