"""Groups of scored attempts; imports no torch, is handed a `Generate`."""

from fulmen.rollout.collect import Collected, CollectSettings, collect, sample_groups

__all__ = ["CollectSettings", "Collected", "collect", "sample_groups"]
