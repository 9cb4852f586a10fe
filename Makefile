# Everything runs from .venv, which the first target that needs it makes. `demo` needs no development tools, so the
# environment has two stamps; both are redone when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# One process per core, each with one thread: idle OpenMP threads that spin would take the cores from each other.
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow lint bench clean

help:  ## Print the targets
	@echo 'make TARGET [PYTHON=python3] [ARGS="..."]'
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' Makefile

setup: .venv/.dev  ## Make .venv with everything that is needed to run and to test

demo: .venv/.runtime  ## Run the demonstration (ARGS go to `fulmen demo`)
	$(BIN)/fulmen demo $(ARGS)

test: lint  ## Lint, then run the tests (ARGS go to pytest)
	$(TEST_ENV) $(BIN)/python -m pytest -n auto --maxprocesses 8 $(ARGS)

slow: .venv/.dev  ## Run the tests that take longer: fuzzing of the server, large runs (ARGS go to pytest)
	$(TEST_ENV) $(BIN)/python -m pytest -n auto --maxprocesses 8 -m "slow and not gpu" $(ARGS)

lint: .venv/.dev  ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/.runtime  ## Measure speed on this CPU and the demo over three seeds; results go to benchmarks/results
	$(BIN)/python -m benchmarks.cpu_speed
	$(BIN)/python -m benchmarks.demo_seeds $(ARGS)

clean:  ## Remove caches and builds; .venv and runs/ stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fulmen needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv

# torch comes first and by itself: it is the one long download, and pip then keeps the build that this machine offers.
.venv/.runtime: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing fulmen into .venv (torch is a large download; once only)'
	$(PIP) install -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/.runtime
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@
