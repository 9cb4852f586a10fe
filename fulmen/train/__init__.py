"""Optimisation of a model: batches in, one optimizer step out, exact save and resume."""

from fulmen.train.optim import AdamW
from fulmen.train.trainer import Loss, LossOutput, StepResult, Trainer

__all__ = ["AdamW", "Loss", "LossOutput", "StepResult", "Trainer"]
