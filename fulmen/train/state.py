"""Everything a training phase needs to go on exactly: weights, optimizer, cursor. No pickles.

All randomness of fulmen is counter-based (seeds made of step and task numbers), so the cursor is the state of every
generator: a resumed phase draws what an undisturbed one would have drawn.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fulmen.errors import CheckpointError
from fulmen.model import Model
from fulmen.model.checkpoint import verify_folder, write_folder, write_model
from fulmen.run import check_space, guard_space
from fulmen.text import Tokenizer
from fulmen.train.trainer import Trainer

OPTIMIZER = "optimizer.safetensors"
CURSOR = "cursor.json"
TRAINER = "trainer"
"""Field of the cursor file with the trainer's own counters."""
OTHER_BYTES = 1 << 20
"""Room for config, tokenizer and manifest."""


def save_training(folder: Path, trainer: Trainer, *, tokenizer: Tokenizer, cursor: dict[str, Any]) -> None:
    """Writes a checkpoint folder atomically; it also loads as a plain model (`fulmen.load_model`).

    Raises: DiskFullError when the disk has too little room, before anything is written where that can be known.
    """
    optimizer = _optimizer_tensors(trainer)
    text = json.dumps({**cursor, TRAINER: trainer.state()})
    tensors = (*trainer.model.state_dict().values(), *optimizer.values())
    num_bytes = sum(tensor.nbytes for tensor in tensors) + len(text) + OTHER_BYTES

    def write(path: Path) -> None:
        write_model(trainer.model, path, tokenizer=tokenizer)
        save_file(optimizer, path / OPTIMIZER)
        (path / CURSOR).write_text(text)

    check_space(folder, num_bytes=num_bytes)
    with guard_space(folder, num_bytes=num_bytes):
        write_folder(folder, write)


def load_training(folder: Path, trainer: Trainer) -> dict[str, Any]:
    """Fills the trainer's model and optimizer from a checkpoint and returns its cursor.

    Raises: CheckpointError when files are missing, damaged, or belong to another model or optimizer.
    """
    verify_folder(folder)
    try:
        weights = load_file(folder / "model.safetensors")
        tensors = load_file(folder / OPTIMIZER)
        cursor = json.loads((folder / CURSOR).read_text())
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder}: unreadable ({error}); allowed: a complete training checkpoint") from error
    expected = {name: tensor.shape for name, tensor in trainer.model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    if expected != found:
        wrong = sorted(set(expected.items()) ^ set(found.items()))[0][0]
        raise CheckpointError(f"{folder}: {wrong} does not fit this run's model; allowed: a checkpoint of this run")
    trainer.model.load_state_dict(weights)
    by_name = dict(trainer.model.named_parameters())
    for part, optimizer in trainer.optimizer.parts().items():
        optimizer.state.clear()
        for key, tensor in tensors.items():
            owner, state_name = key.rsplit("/", 1)
            own_part, name = owner.split("/", 1)
            if own_part != part:
                continue
            if name not in by_name:
                raise CheckpointError(f"{folder}: optimizer state of unknown parameter {name}")
            optimizer.state[by_name[name]][state_name] = tensor.to(by_name[name].device)
    if TRAINER in cursor:
        trainer.load(cursor.pop(TRAINER))
    return cursor


def _names(model: Model) -> dict[Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _optimizer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    names = _names(trainer.model)
    return {
        f"{part}/{names[parameter]}/{state_name}": tensor.detach().cpu().contiguous()
        for part, optimizer in trainer.optimizer.parts().items()
        for parameter, state in optimizer.state.items()
        for state_name, tensor in state.items()
    }
