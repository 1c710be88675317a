# Set-up and jobs; every target makes what it needs. A second call installs nothing.
#   make demo         the main job, on real weights and real data
#   make test         style, types, layering and the whole test suite; .ci/run calls this
#   make test-oldest  the suite under the oldest TensorFlow that is supported, which TPUs need (.venv-2.20)
#   make bench-peers  the environment of the tools that we are measured against (about 1 GB)
#   make bench        every benchmark, hours; `.venv/bin/python -m benchmarks NAME` for one
#   make lint | format | notebook | clean

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
RUN := .stamp-run
DEV := .stamp-dev
PEERS := .venv-peers
WORKERS ?= 2
PIN ?=
OLDEST := tensorflow==2.20.* tensorflow-text==2.20.*
ROUNDS ?= 5

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo test check lint format types layers pytest notebook bench bench-peers install dev clean test-oldest

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/$(RUN)
	@$(BIN)/tfvertical demo

test: lint types layers pytest

lint: $(VENV)/$(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/$(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/$(DEV)
	$(BIN)/mypy

layers: $(VENV)/$(DEV)
	$(BIN)/lint-imports

pytest: $(VENV)/$(DEV)
	$(BIN)/python -m pytest -n $(WORKERS)

test-oldest:
	$(MAKE) pytest VENV=.venv-2.20 PIN="$(OLDEST)"

notebook: $(VENV)/$(DEV)
	$(BIN)/python -m pytest tests/test_notebook.py

bench: $(VENV)/$(DEV) $(PEERS)/$(RUN)
	$(BIN)/python -m benchmarks --rounds $(ROUNDS)

bench-peers: $(PEERS)/$(RUN)

install: $(VENV)/$(RUN)

dev: $(VENV)/$(DEV)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "tfvertical needs Python 3.11, 3.12 or 3.13, and found: $$(python3 --version 2>&1)." \
		"Install one, or say which: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The venv module failed; on Debian and Ubuntu:" \
		"sudo apt install python3-venv" >&2; exit 1; }

$(VENV)/$(RUN): setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing tfvertical into $(VENV) (about two minutes)"
	@$(PIP) install --editable '.[litert]'
	@touch $@

$(VENV)/$(DEV): setup.cfg pyproject.toml | $(VENV)/bin/python
	@echo "Installing tfvertical and its development tools into $(VENV) (about two minutes)"
	@$(PIP) install $(PIN) --editable '.[dev]'
	@touch $(VENV)/$(RUN) $@

$(PEERS)/$(RUN): benchmarks/peers/requirements.txt benchmarks/peers/requirements-no-deps.txt | $(VENV)/bin/python
	@echo "Installing the peers into $(PEERS) (about three minutes)"
	@$(BIN)/python -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input -qq install -r benchmarks/peers/requirements.txt
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input -qq install --no-deps \
		-r benchmarks/peers/requirements-no-deps.txt
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) .venv-2.20 build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
