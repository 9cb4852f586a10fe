"""The engine that completes conversations: rollouts and evaluations call it in process."""

from fulmen.serve.engine import Engine
from fulmen.serve.stats import EngineStats
from fulmen.serve.worker import Draining, QueueFull, Worker

__all__ = ["Draining", "Engine", "EngineStats", "QueueFull", "Worker"]
