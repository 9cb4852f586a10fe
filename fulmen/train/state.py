"""Everything a training phase needs to go on exactly: weights, optimizer, cursor. No pickles.

All randomness of fulmen is counter-based (seeds made of step and task numbers), so the cursor is the state of every
generator: a resumed phase draws what an undisturbed one would have drawn.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fulmen.errors import CheckpointError
from fulmen.model import Model
from fulmen.model.checkpoint import verify_folder, write_folder, write_model
from fulmen.run import check_space, guard_space
from fulmen.text import Tokenizer
from fulmen.train.optim import AdamW, Masters
from fulmen.train.trainer import Trainer

OPTIMIZER = "optimizer.safetensors"
CURSOR = "cursor.json"
TRAINER = "trainer"
"""Field of the cursor file with what the trainer keeps beside tensors."""
OTHER_BYTES = 1 << 20
"""Room for config, tokenizer and manifest."""


def save_training(
    folder: Path,
    trainer: Trainer,
    *,
    tokenizer: Tokenizer,
    cursor: dict[str, Any],
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Writes a checkpoint folder atomically; it also loads as a plain model (`fulmen.load_model`).

    `write_more` writes further files into the folder.

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
        if write_more is not None:
            write_more(path)

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
    names = _names(trainer.model)
    for part, optimizer in trainer.optimizer.parts().items():
        own: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in tensors.items():
            if key.split("/", 1)[0] == part:
                name, state_name = key.removeprefix(f"{part}/").rsplit("/", 1)
                own[name][state_name] = tensor
        if unknown := own.keys() - set(names.values()):
            raise CheckpointError(f"{folder}: optimizer state of unknown parameter {min(unknown)}")
        _fill(optimizer, own, names)
    if TRAINER in cursor:
        trainer.load(cursor.pop(TRAINER))
    return cursor


def _names(model: Model) -> dict[Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _optimizer_tensors(trainer: Trainer) -> dict[str, Tensor]:
    names = _names(trainer.model)
    return {
        f"{part}/{name}/{state_name}": tensor.detach().to("cpu", copy=True)
        for part, optimizer in trainer.optimizer.parts().items()
        for name, state_name, tensor in _states(optimizer, names)
    }


def _masters(optimizer: torch.optim.Optimizer) -> Masters | None:
    return optimizer.masters if isinstance(optimizer, AdamW) else None


def _states(optimizer: torch.optim.Optimizer, names: dict[Tensor, str]) -> Iterator[tuple[str, str, Tensor]]:
    """Yields (parameter, name, tensor) of an optimizer's state; what masters hold in one tensor comes in parts."""
    masters = _masters(optimizer)
    flat = {} if masters is None else {"master": masters.flat, **optimizer.state.get(masters.flat, {})}
    for state_name, tensor in flat.items():
        assert masters is not None, "only they have a flat state"
        parts = masters.views(tensor) if tensor.ndim else [tensor] * len(masters.parameters)
        yield from ((names[p], state_name, part) for p, part in zip(masters.parameters, parts, strict=True))
    for parameter, state in optimizer.state.items():
        if masters is None or parameter is not masters.flat:
            yield from ((names[parameter], state_name, tensor) for state_name, tensor in state.items())


def _fill(optimizer: torch.optim.Optimizer, own: dict[str, dict[str, Tensor]], names: dict[Tensor, str]) -> None:
    """Puts tensors by parameter and name where `_states` found them."""
    masters = _masters(optimizer)
    half = [] if masters is None else [names[p] for p in masters.parameters]
    by_name = {name: parameter for parameter, name in names.items()}
    optimizer.state.clear()
    for name in own.keys() - set(half):
        parameter = by_name[name]
        optimizer.state[parameter].update({key: x.to(parameter.device) for key, x in own[name].items()})
    if masters is None or half[0] not in own:
        return
    for state_name, first in own[half[0]].items():
        is_scalar = not first.ndim
        whole = first if is_scalar else torch.cat([own[name][state_name].flatten() for name in half])
        if state_name == "master":
            masters.flat.data.copy_(whole)
        else:
            optimizer.state[masters.flat][state_name] = whole.to(masters.flat.device)
