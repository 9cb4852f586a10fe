"""The hybrid decoder: one definition for training, rollouts and serving."""

from fulmen.model.cache import Cache
from fulmen.model.config import PRESETS, ModelConfig
from fulmen.model.transformer import Model, ModelOutput

__all__ = ["PRESETS", "Cache", "Model", "ModelConfig", "ModelOutput"]
