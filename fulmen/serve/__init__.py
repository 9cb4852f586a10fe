"""The engine that completes conversations: rollouts and evaluations call it in process."""

from fulmen.serve.engine import Engine

__all__ = ["Engine"]
