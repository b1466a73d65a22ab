# Two commands do it all: `make demo` and `make test`; each sets itself up. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough, and not too new for the pinned packages.
PYTHON ?= $(shell for each in python3.12 python3.13 python3.11 python3 python; do \
	"$$each" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1 && { echo "$$each"; break; }; done)
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
# Files go to whoever is free in the order of tests/conftest.py. Long tests also wait for servers and for minutes of
# a schedule: one worker more than cores.
WORKERS := -n $(if $(LONG),3,2) --dist loadfile --no-loadscope-reorder
# Bytecode is kept even where the environment says otherwise: every process that a test starts would compile us again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo demo-reset serve test fuzz torture coverage lint bench setup setup-dev clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: setup ## run the shipped syncs on the sandbox, from the first load to orders that are placed live, and show what happened
	@$(BIN)/caspio-sync demo

demo-reset: ## forget the demo's sandbox, ledger and Prefect database
	rm -rf .caspio-sync/demo

serve: setup ## Prefect's server with its UI, a deployment for each sync, and a worker, until Ctrl-C; PORT=n
	@$(BIN)/caspio-sync serve --port $(or $(PORT),4200)

test: setup-dev ## run the test suite; LONG=1 with the long tests (servers, workers, kills), as CI does
	@$(BIN)/python -m pytest $(WORKERS) $(if $(LONG),,-m 'not long') $(ARGS)

fuzz: setup-dev ## fuzz what comes from outside for SECONDS=60 in all; TARGET=name for one of it, SEED=n for other dice
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(if $(TARGET),--target $(TARGET),)

torture: setup-dev ## kill the sync by 5,000 seeded schedules; SEEDS=n for so many, SEED=n to replay one
	@CASPIO_TORTURE_SEEDS=$(or $(SEEDS),5000) CASPIO_TORTURE_SEED=$(SEED) \
		$(BIN)/python -m pytest $(if $(SEED),,-n 2) -q tests/torture $(ARGS)

coverage: setup-dev ## run the suite and show what it covers
	@$(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term:skip-covered $(ARGS)

lint: setup-dev ## linters, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-dev ## measure; JSON=file writes the metrics there
	@$(BIN)/python -m benchmarks $(if $(JSON),--json $(JSON),) $(ARGS)

setup: $(STAMP)
setup-dev: $(DEV_STAMP)

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "caspio-sync needs Python 3.11, 3.12 or 3.13 and found none on the PATH." \
		"Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Making a virtual environment in $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 2; }

$(STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing the pinned dependencies (once, about two minutes) ..."
	@$(PIP) --editable .
	@touch $@

$(DEV_STAMP): $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing the pinned dependencies and the development tools (once, about two minutes) ..."
	@$(PIP) --editable '.[dev,postgresql]'
	@touch $@ $(STAMP)

clean: ## remove the virtual environment and all state
	rm -rf $(VENV) .caspio-sync .pytest_cache .mypy_cache .ruff_cache .hypothesis build
