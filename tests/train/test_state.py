"""A checkpoint of half-precision weights keeps what their rounding lost: masters and moments, by parameter."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from fulmen.rl.losses import cispo
from fulmen.text import Tokenizer
from fulmen.train import AdamW, Trainer
from fulmen.train.packing import pack
from fulmen.train.state import OPTIMIZER, load_training, save_training
from tests.train.examples import random_documents, tiny_model

LENGTHS = (7, 3, 12, 5)


def make_trainer() -> Trainer:
    model = tiny_model(torch.bfloat16)
    return Trainer(model, AdamW(model.parameters(), lr=1e-4), micro_batch_tokens=12)


def masters_of(trainer: Trainer) -> torch.Tensor:
    assert isinstance(trainer.optimizer, AdamW)
    assert trainer.optimizer.masters is not None
    return trainer.optimizer.masters.flat.detach()


def test_a_resumed_step_is_the_undisturbed_one_bit_by_bit(tmp_path: Path) -> None:
    first, second = (pack(random_documents(LENGTHS, seed=seed)) for seed in (1, 2))
    trainer = make_trainer()
    trainer.step(first, cispo)
    save_training(tmp_path / "at", trainer, tokenizer=Tokenizer.train([], vocab_size=290), cursor={"step": 1})
    names = {key.rsplit("/", 1)[1] for key in load_file(tmp_path / "at" / OPTIMIZER)}
    assert names == {"master", "exp_avg", "exp_avg_sq", "step"}
    trainer.step(second, cispo)
    resumed = make_trainer()
    assert load_training(tmp_path / "at", resumed)["step"] == 1
    assert not torch.equal(masters_of(resumed), masters_of(trainer))
    resumed.step(second, cispo)
    assert torch.equal(masters_of(resumed), masters_of(trainer))
    for mine, its in zip(resumed.model.parameters(), trainer.model.parameters(), strict=True):
        assert torch.equal(mine, its)
