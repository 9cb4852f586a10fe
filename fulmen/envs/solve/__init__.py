"""Solvers and codes that several logic tasks, or a task and its tests, share. One module each."""
