# What a developer types. `make demo` and `make test` need nothing before them: they set up what they use.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PYTHON_BIN := $(VENV)/bin/python
TORCH_VENV := .venv-torch
LOCK_VENV := .venv-lock
# passed on to pytest: make test ARGS="-k journal"
ARGS ?=
# test processes; a file's tests stay together, because they share servers. ARGS="-n 0" for one process and a debugger
JOBS ?= auto
PYTEST := -m pytest -n $(JOBS) --dist loadfile
TORCH := torch==2.13.0 torchcodec==0.13.*

# command:package, where the command is missing the package is installed
DEMO_PROGRAMS := ffmpeg:ffmpeg
TEST_PROGRAMS := ffmpeg:ffmpeg mp3val:mp3val sox:sox espeak-ng:espeak-ng flac:flac opusenc:opus-tools lame:lame \
	gcc:build-essential mkfs.ext4:e2fsprogs

LOCK := $(LOCK_VENV)/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock' --quiet

INSTALLED := $(VENV)/.installed
DEMO_SYSTEM := $(VENV)/.system-demo
TEST_SYSTEM := $(VENV)/.system-test
NODE_LOCK := $(wildcard tests/prism/package-lock.json)
NODE_MODULES := $(if $(NODE_LOCK),$(if $(shell command -v npm),tests/prism/node_modules/.installed))

# start-up depends on compiled code, and PYTHONDONTWRITEBYTECODE may be set; does nothing for what is up to date
COMPILE := $(PYTHON_BIN) -m compileall -q hugflow localhub

.PHONY: help setup demo test soak coverage test-torch lint format bench docs lock sbom clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) $(TEST_SYSTEM) $(NODE_MODULES) ## everything that development needs: .venv, system programs, Node parts

demo: $(INSTALLED) $(DEMO_SYSTEM) ## download an example dataset from a small local Hub, and show what came of it
	@$(COMPILE)
	@$(PYTHON_BIN) -m examples.demo

test: setup ## all tests but the long loops; ARGS="-k name" passes on to pytest
	@$(COMPILE)
	@$(PYTHON_BIN) $(PYTEST) -m "not soak" $(ARGS)

soak: setup ## the long loops (kills, power cuts, mutations, network faults), and property tests with new examples
	@$(COMPILE)
	@HUGFLOW_SOAK=1 $(PYTHON_BIN) $(PYTEST) -m "soak $(if $(CI),,or hypothesis)" $(ARGS)

coverage: setup ## all tests, with the branches that they reach
	@$(VENV)/bin/coverage erase
	@$(VENV)/bin/coverage run $(PYTEST) $(ARGS); status=$$?; \
	$(VENV)/bin/coverage combine --quiet && $(VENV)/bin/coverage report; exit $$status

test-torch: $(TORCH_VENV)/.installed ## tests with real torch and torchcodec, in a virtual environment of their own
	@$(TORCH_VENV)/bin/python -m pytest tests/torch $(ARGS)

lint: $(INSTALLED) ## ruff, its formatter, mypy --strict
	@failed=; \
	$(VENV)/bin/ruff check . || failed=1; \
	$(VENV)/bin/ruff format --check . || failed=1; \
	$(VENV)/bin/mypy || failed=1; \
	test -z "$$failed"

format: $(INSTALLED) ## put the code into the project's format
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(INSTALLED) $(TEST_SYSTEM) ## the benchmarks: ratios, measured side by side
	@$(COMPILE)
	@$(PYTHON_BIN) -m benchmarks

docs: $(INSTALLED) ## check the documents: links, and every hugflow command that they show
	@$(PYTHON_BIN) -m scripts.check_docs

lock: $(LOCK_VENV)/bin/uv ## write the lock files again from pyproject.toml; UPGRADE=1 takes newer versions
	@$(LOCK) --group dev $(if $(UPGRADE),--upgrade) --output-file constraints.txt
	@$(LOCK) --constraints constraints.txt --output-file constraints-runtime.txt

sbom: $(LOCK_VENV)/bin/cyclonedx-py ## write sbom.json: what a server installs, from the lock, in CycloneDX's form
	@$< requirements constraints-runtime.txt --pyproject pyproject.toml --mc-type application --output-reproducible \
		--of JSON --output-file sbom.json

$(LOCK_VENV)/bin/%:
	@test -x $(LOCK_VENV)/bin/pip || python3 -m venv $(LOCK_VENV)
	@$(LOCK_VENV)/bin/pip install --quiet 'uv>=0.9' 'cyclonedx-bom>=7'
	@touch $@

clean: ## remove everything that make made; datasets and state stay
	rm -rf $(VENV) $(TORCH_VENV) $(LOCK_VENV) tests/prism/node_modules build dist demo sbom.json
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find hugflow localhub tests benchmarks examples scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): constraints.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

$(DEMO_SYSTEM): scripts/system-packages.sh | $(INSTALLED)
	@scripts/system-packages.sh $(DEMO_PROGRAMS)
	@touch $@

$(TEST_SYSTEM): scripts/system-packages.sh | $(INSTALLED)
	@scripts/system-packages.sh $(TEST_PROGRAMS)
	@touch $@

tests/prism/node_modules/.installed: tests/prism/package-lock.json
	@mkdir -p $(@D)
	@if node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)'; \
	then echo "setup: installing the Node parts of the tests"; npm ci --prefix tests/prism --no-audit --no-fund --loglevel=error; \
	else echo "setup: the Node parts of the tests need Node.js 20 or newer; without them, their tests are skipped" >&2; fi
	@touch $@

$(TORCH_VENV)/.installed: constraints.txt pyproject.toml scripts/setup.sh Makefile
	@scripts/setup.sh $(TORCH_VENV)
	@echo "setup: installing $(TORCH) into $(TORCH_VENV)"
	@$(TORCH_VENV)/bin/python -m pip install -qq --disable-pip-version-check $(TORCH)
	@touch $@
