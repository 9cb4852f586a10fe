"""What an engine holds and has done, for whoever watches it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """A moment of an engine."""

    num_waiting: int
    num_running: int
    num_slots: int
    blocks_used: int
    blocks_total: int
    prompt_tokens: int
    """Prompt tokens of all finished requests."""
    completion_tokens: int
    """Of all finished requests."""
    drawn_tokens: int
    """Completion tokens of running requests too, as launched."""
    cached_tokens: int
    """Prompt tokens that did not have to be computed."""
    preemptions: int
    snapshots: int
    snapshot_bytes: int
