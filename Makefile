# Everything happens in a virtual environment (.venv): nothing needs root, nothing outside this folder changes.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
# The libraries that `bench` compares with live apart: they ask for versions of their own.
PEERS ?= .venv-peers
# LanceDB is no part of `dev`.
LANCE ?= .venv-lance
BIN := $(VENV)/bin
# A stamp says what is installed: `.dev` holds all of `.base`.
BASE := $(VENV)/.base
DEV := $(VENV)/.dev
INPUTS := pyproject.toml constraints.txt
ARGS ?=
JOBS ?= auto
# Where data sets that need files lie; claims and benchmarks alone read it, and say so where it is unset.
DATA := $(or $(NEARFAR_DATA),$(wildcard $(abspath ../shared/data)))

.PHONY: help setup fix check test test-all test-browser test-lance demo bench claims docs stubs lock clean

help:  ## show this list
	@printf 'nearfar: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nOptions: PYTHON=python3.12 (which Python), VENV=.venv (where), ARGS="-k queue" (for test, demo and bench)\n'

setup: $(DEV)  ## install everything for development into .venv

fix: $(DEV)  ## format, repair what can be repaired, and generate the stubs
	$(BIN)/ruff check --fix --quiet || true
	$(BIN)/ruff format --quiet
	$(BIN)/python -m nearfar.catalogue.stubs

check: $(DEV)  ## style, types, layers, stubs: fast, without the test suite
	$(BIN)/python -m pytest -q tests/static $(ARGS)

test: $(DEV)  ## set up and run the test suite, a process a core (JOBS=0: in one)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(ARGS)

test-all: $(DEV)  ## the same, with every objective under every relation in every way of running (long)
	NEARFAR_TEST_ALL=1 $(BIN)/python -m pytest -q $(ARGS)

test-browser: $(DEV)  ## the report in headless Chromium (Debian: chromium chromium-driver); fails where there is none
	NEARFAR_BROWSER=1 $(BIN)/python -m pytest -q tests/browser $(ARGS)

test-lance:  ## the index kept by LanceDB, in an environment of its own (.venv-lance)
	@PYTHON='$(PYTHON)' .ci/environment install '$(LANCE)' '.[dev,lance]'
	$(LANCE)/bin/python -m pytest -q tests/search/test_backends.py $(ARGS)

demo: $(BASE)  ## set up and run the main job: a code search of your own machine (3 minutes)
	$(BIN)/nearfar quickstart $(ARGS)

bench: export NEARFAR_DATA := $(DATA)
bench: $(DEV)  ## measure speed and memory beside other libraries (an hour; NEARFAR_DATA: texts)
	@PYTHON='$(BIN)/python' benchmarks/environment '$(PEERS)'
	$(PEERS)/bin/python benchmarks/loss_stage.py $(ARGS)
	$(BIN)/python docs/benchmarks.py
	$(PEERS)/bin/python benchmarks/micro_batching.py $(ARGS)
	$(PEERS)/bin/python benchmarks/train_step.py $(ARGS)
	$(BIN)/python benchmarks/static_training.py $(ARGS)
	$(PEERS)/bin/python benchmarks/encode.py $(ARGS)
	$(PEERS)/bin/python benchmarks/retrieval_probe.py $(ARGS)
	$(PEERS)/bin/python benchmarks/search.py $(ARGS)
	$(BIN)/python benchmarks/decoding.py $(ARGS)
	$(BIN)/python benchmarks/serve_load.py $(ARGS)
	$(BIN)/python docs/benchmarks.py

claims: $(DEV)  ## run the papers' claims whose stored outcome is not current (NEARFAR_DATA: data sets; goes on where it was)
	NEARFAR_DATA='$(DATA)' $(BIN)/nearfar claim --all --budget 2h $(ARGS)

docs: $(DEV)  ## render the docs site into docs/site
	$(BIN)/python -W error -m nearfar.catalogue.site docs/site

stubs: $(DEV)
	$(BIN)/python -m nearfar.catalogue.stubs

lock:  ## refresh constraints.txt from a fresh environment
	@PYTHON='$(PYTHON)' .ci/environment lock

clean:  ## remove everything that these targets made
	rm -rf $(VENV) $(PEERS) .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist docs/site
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE): $(INPUTS)
	@PYTHON='$(PYTHON)' .ci/environment install '$(VENV)' '.'
	@touch $@

$(DEV): $(INPUTS)
	@PYTHON='$(PYTHON)' .ci/environment install '$(VENV)' '.[dev]'
	@touch $(BASE) $@
