"""Solvers and machinery that several logic tasks share."""
