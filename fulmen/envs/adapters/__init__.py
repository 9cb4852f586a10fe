"""Environments of other projects, in workers of their own; each needs its extra, and says so."""
