# `make demo` and `make test` do everything from nothing; a second call skips what is done.
# All of the installer's output goes to standard error, so that a target's own output stays clean.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
# Where a plain `pip install torch` brings a CUDA build that is not wanted, name the CPU index here.
TORCH_OPTIONS ?=
WORKERS ?= 2
# How long `make soak` plays at most.
SOAK_SECONDS ?= 43200
# How long `make fuzz` looks at each parser.
FUZZ_SECONDS ?= 60
PACKAGES := privacy imaging silo_node aggregator compliance deploy
PROTO := privacy/wire/collegium.proto
PROTOC := $(BIN)/python -m grpc_tools.protoc -I.
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo test test-programs test-all audits preflight simulate soak fuzz container-test bundle lint advisories format proto proto-check reference benchmark-cxr benchmark-segmentation clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

$(BIN)/python:
	@echo "making the virtual environment in $(VENV)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Collegium needs Python 3.11")'
	@$(PYTHON) -m venv $(VENV) >&2

# torch comes first and alone: the largest part, and the one that has a build for CPUs only.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "installing torch (about 200 MB)" >&2
	@$(PIP) $(TORCH_OPTIONS) torch==2.13.0 >&2
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	@echo "installing Collegium and what it needs" >&2
	@$(PIP) -e '.[dev]' >&2
	@touch $@

install: $(VENV)/.installed ## make the virtual environment and install into it

demo: $(VENV)/.installed ## three hospitals and an aggregator train together on this machine
	@$(BIN)/collegium-sandbox run --out demo

test: $(VENV)/.installed ## all tests that take seconds
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m 'not slow and not audit'

test-all: $(VENV)/.installed ## all tests, also those that take minutes
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

test-programs: $(VENV)/.installed ## the guides' commands as they stand there, kills and bad lines, with the real programs
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m slow tests/docs tests/e2e/test_recovery_page.py \
	  tests/e2e/test_upgrade_page.py tests/e2e/test_kill.py tests/e2e/test_line.py tests/e2e/test_revocation.py

audits: $(VENV)/.installed ## the longer attacks on the training code, sound and broken on purpose
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m audit tests/privacy/dp/audit

preflight: $(VENV)/.installed ## the four preflight checks of every network and loss that studies may name
	@$(BIN)/python -m pytest -q -n $(WORKERS) tests/silo_node/learning/test_preflight_allow_list.py

simulate: $(VENV)/.installed ## 2,000 generated histories of a consortium in which things go wrong
	@COLLEGIUM_HISTORIES=2000 COLLEGIUM_HISTORIES_AT_LEAST=2000 COLLEGIUM_SECONDS=2400 $(BIN)/python -m pytest -q -n $(WORKERS) -m 'not slow' tests/simulation

soak: $(VENV)/.installed ## 100,000 of them, other ones each time, for SOAK_SECONDS at most
	@COLLEGIUM_HISTORIES=100000 COLLEGIUM_SECONDS=$(SOAK_SECONDS) COLLEGIUM_SEED=$${COLLEGIUM_SEED:-$$RANDOM} \
	  $(BIN)/python -m pytest -q -s -n 0 tests/simulation/test_histories.py

container-test: $(VENV)/.installed ## build both images and have them train locked down (root; buildah, podman, runc, debootstrap)
	@PYTHON=$(BIN)/python bash tests/containers/run.sh

bundle: $(VENV)/.installed ## the signed offline bundle in dist/: wheels, images, what is in them (BASE, RELEASE_KEY)
	@PYTHON=$(BIN)/python bash deploy/release/bundle.sh

fuzz: $(VENV)/.installed ## every parser of a peer's or a disk's bytes, FUZZ_SECONDS each, guided by coverage
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(ARGUMENTS)

lint: $(VENV)/.installed proto-check ## style, types, layers, security rules, generated code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/bandit -q -c pyproject.toml -r $(PACKAGES)

advisories: $(VENV)/.installed ## what is known against the pinned packages
	@$(BIN)/python -m deploy.release.advisories

format: $(VENV)/.installed ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

proto: $(VENV)/.installed ## generate the wire messages from the protobuf file
	@$(PROTOC) --python_out=. --pyi_out=. $(PROTO)

proto-check: $(VENV)/.installed
	@made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; \
	$(PROTOC) --python_out="$$made" --pyi_out="$$made" $(PROTO); \
	for file in "$$made"/privacy/wire/*; do \
	  cmp -s "$$file" "privacy/wire/$$(basename "$$file")" || \
	    { echo "privacy/wire/$$(basename "$$file") is not what $(PROTO) gives; run 'make proto'" >&2; exit 1; }; \
	done

reference: $(VENV)/.installed ## write the generated parts of the documentation again
	@$(BIN)/python docs/figures/data_way.py > docs/figures/data-way.svg
	@$(BIN)/python docs/figures/trust_boundaries.py > docs/figures/trust-boundaries.svg
	@$(BIN)/python docs/reference/configuration_keys.py > docs/reference/configuration.md
	@PYTHONPATH=. $(BIN)/python docs/reference/networks_tables.py > docs/reference/networks.md
	@$(BIN)/python docs/reference/error_codes_tables.py > docs/reference/error-codes.md
	@$(BIN)/python docs/reference/events_tables.py > docs/reference/events.md
	@$(BIN)/python docs/reference/metrics_tables.py > docs/reference/metrics.md

benchmark-cxr: $(VENV)/.installed ## train on real chest X-rays; prints one JSON object (use make -s)
	@$(BIN)/python -m benchmarks.cxr $(ARGUMENTS)

benchmark-segmentation: $(VENV)/.installed ## segment real MRI volumes; prints one JSON object (use make -s)
	@$(BIN)/python -m benchmarks.segmentation $(ARGUMENTS)

clean: ## remove the virtual environment and the demo
	@rm -rf $(VENV) demo *.egg-info
