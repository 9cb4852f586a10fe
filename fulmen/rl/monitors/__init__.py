"""Numbers that say whether a run is healthy."""
