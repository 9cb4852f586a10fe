"""Cold start and RL from somebody else's weights: dense, tied, pre-norm, with a chat template of its own."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from fulmen.model.checkpoint import load_model
from fulmen.model.checkpoint.gguf import import_gguf
from fulmen.recipes.common import load_checkpoint
from fulmen.recipes.rl import RlSettings, train_rl
from fulmen.recipes.sft import SftSettings, train_sft
from fulmen.run import Run
from tests.model.test_gguf_import import write_gguf
from tests.recipes.toy import even_length_mixture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "model.gguf")
    import_gguf(tmp_path / "model.gguf", tmp_path / "model")
    return tmp_path / "model"


def test_sft_and_rl_train_an_imported_llama_and_go_on_where_they_stopped(folder: Path, tmp_path: Path) -> None:
    env, console = even_length_mixture(), Console(quiet=True)
    model, tokenizer = load_checkpoint(folder)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with Run.open(tmp_path / "run", recipe="test", args={}, seed=0) as run:
        sft = SftSettings(num_steps=3, batch_size=2, warmup_steps=1, lr=1e-3)
        train_sft(run, model, tokenizer, env, sft, seed=0, console=console)
        rl = RlSettings(num_steps=1, num_groups=3, group_size=4, num_updates=2, window=12, heldout_tasks=2, num_slots=5)
        train_rl(run, model, tokenizer, env, rl, seed=0, console=console)
        lines = run.read_lines("metrics.jsonl")
        saved = run.checkpoints("sft")[-1]
    assert all("max_violation" not in line and line["flops"] > 0 for line in lines if line["phase"] == "sft")
    assert any((tensor != before[name]).any() for name, tensor in model.state_dict().items())
    assert json.loads((saved / "config.json").read_text())["tied_head"]
    again, its_tokenizer = load_checkpoint(saved)
    assert again.lm_head.weight is again.embed_tokens.weight
    assert its_tokenizer.end_id == tokenizer.end_id == 2
    assert its_tokenizer.template == tokenizer.template
    assert load_model(saved).config == model.config
