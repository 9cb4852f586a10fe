"""Solvers that several environments share; they prove solutions unique and show their steps."""
