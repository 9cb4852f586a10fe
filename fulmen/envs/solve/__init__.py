"""Solvers that several environments share; they prove that an answer is the only one, or find what can be deduced."""
