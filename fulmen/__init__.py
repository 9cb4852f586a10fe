"""fulmen: train, reinforce and serve hybrid lightning-attention reasoning models.

Names are imported on first use, so that the text side (`fulmen.envs`, `fulmen.rewards`, ...) never loads torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fulmen.errors import FulmenError
from fulmen.types import Sampling

if TYPE_CHECKING:
    from fulmen import envs, evals, kernels, rewards, rl, rollout
    from fulmen.model import Model, ModelConfig
    from fulmen.model.checkpoint import load_model, save_model
    from fulmen.run import Run
    from fulmen.serve import Engine
    from fulmen.text import Tokenizer
    from fulmen.train import AdamW, Trainer

__version__ = "0.1.0"

_HOMES = {
    "load_model": "fulmen.model.checkpoint",
    "save_model": "fulmen.model.checkpoint",
    "Model": "fulmen.model",
    "ModelConfig": "fulmen.model",
    "Tokenizer": "fulmen.text",
    "Engine": "fulmen.serve",
    "Trainer": "fulmen.train",
    "AdamW": "fulmen.train",
    "Run": "fulmen.run",
}
_MODULES = ("envs", "rewards", "rollout", "rl", "evals", "kernels")

__all__ = [
    "AdamW", "Engine", "FulmenError", "Model", "ModelConfig", "Run", "Sampling", "Tokenizer", "Trainer",
    "envs", "evals", "kernels", "load_model", "rewards", "rl", "rollout", "save_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"fulmen.{name}")
    raise AttributeError(f"module 'fulmen' has no attribute {name!r}")
